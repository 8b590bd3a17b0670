"""Updates that are nearly right: structs of a few clients that refer to one another, with every kind of content.

Bytes at random are refused at the first of them; what harms pycrdt is well formed and wrong. Everything is drawn from
one `Random`, so a seed is a case.
"""

from __future__ import annotations

from random import Random

from engineroom.protocols.lib0 import any_value, buf, var_string, var_uint

CLIENTS = (5, 9, 11, 2**32 - 1)
NAMES = ("text", "map", "page", "a")
KEYS = ("k", "list", "note", "")
TEXTS = ("a", "hi", "é", "日本", "😀", "a😀b", "\0", "xyz" * 20)
JSONS = ("true", "null", "1.5", '"é"', '{"a":[1]}', "[" * 20 + "]" * 20, "-0", "1e300")
TYPES = (b"\x00", b"\x01", b"\x02", b"\x03\x01p", b"\x04", b"\x06")


def sequence(random: Random) -> list[bytes]:
    """A few updates, one after the other."""
    clocks: dict[int, int] = {}
    return [_update(random, clocks) for _ in range(random.randint(1, 5))]


def _update(random: Random, clocks: dict[int, int]) -> bytes:
    clients = random.sample(CLIENTS, random.choice((0, 1, 1, 1, 2, 3)))
    lists = [_structs(random, client, clocks) for client in clients]
    return var_uint(len(lists)) + b"".join(lists) + _deletions(random, clocks)


def _structs(random: Random, client: int, clocks: dict[int, int]) -> bytes:
    known = clocks.get(client, 0)
    clock = known if random.random() < 0.85 else random.randint(0, known + 3)
    head = var_uint(client) + var_uint(clock)
    structs = []
    for _ in range(random.choice((1, 1, 2, 3, 6, 40 if random.random() < 0.1 else 4))):
        struct, length = _struct(random, client, clock, clocks)
        structs.append(struct)
        clock += length
        clocks[client] = max(clocks.get(client, 0), clock)
    return var_uint(len(structs)) + head + b"".join(structs)


def _struct(random: Random, client: int, clock: int, clocks: dict[int, int]) -> tuple[bytes, int]:
    plain = random.random()
    if plain < 0.06:
        length = random.choice((1, 1, 2, 5))
        return bytes([0 if plain < 0.045 else 10]) + var_uint(length), length
    kind, content, length = _content(random)
    info, head = kind, b""
    shape = random.random()
    if shape < 0.35 and clock:
        info, head = kind | 0x80, var_uint(client) + var_uint(clock - 1)
    elif shape < 0.65:
        for bit in random.choice(((0x80,), (0x40,), (0x80, 0x40))):
            info |= bit
            head += _id(random, clocks)
    if info & 0xC0 == 0:
        named = random.random() < 0.5
        head = (
            b"\x01" + var_string(random.choice(NAMES)) if named else b"\x00" + _id(random, clocks)
        )
        if random.random() < 0.35:
            info |= 0x20
            head += var_string(random.choice(KEYS))
    return bytes([info]) + head + content, length


def _id(random: Random, clocks: dict[int, int]) -> bytes:
    client = random.choice(list(clocks) or CLIENTS)
    return var_uint(client) + var_uint(random.randint(0, max(0, clocks.get(client, 0) - 1)))


def _content(random: Random) -> tuple[int, bytes, int]:
    match random.choice((1, 3, 4, 4, 4, 5, 6, 7, 7, 7, 8, 8, 9)):
        case 1:
            length = random.choice((1, 2, 4))
            return 1, var_uint(length), length
        case 3:
            return 3, buf(random.randbytes(random.randint(0, 4))), 1
        case 4:
            text = random.choice(TEXTS)
            return 4, var_string(text), len(text.encode("utf-16-le")) // 2
        case 5:
            return 5, var_string(random.choice(JSONS)), 1
        case 6:
            return (
                6,
                var_string(random.choice(("b", "i", ""))) + var_string(random.choice(JSONS)),
                1,
            )
        case 7:
            return 7, random.choice(TYPES), 1
        case 8:
            values = [
                random.choice((None, True, 1, -(2**40), 2**60, 0.5, "é", b"x", [1], {"a": 1}))
            ]
            values *= random.choice((1, 1, 2, 5))
            return 8, var_uint(len(values)) + b"".join(map(any_value, values)), len(values)
        case _:
            options = random.choice(({}, {"gc": False}, {"autoLoad": True, "meta": {"a": 1}}))
            return 9, var_string(random.choice(("g", "", "h"))) + any_value(options), 1


def _deletions(random: Random, clocks: dict[int, int]) -> bytes:
    chosen = [client for client in clocks if random.random() < 0.25]
    lists = []
    for client in chosen:
        at, ranges = 0, []
        for _ in range(random.choice((1, 1, 2, 5))):
            at += random.randint(0, 3)
            length = random.choice((1, 1, 2, 3))
            ranges.append(var_uint(at) + var_uint(length))
            at += length
        lists.append(var_uint(client) + var_uint(len(ranges)) + b"".join(ranges))
    return var_uint(len(lists)) + b"".join(lists)
