"""Bytes changed a little: the oldest way to find what a decoder does not expect."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from engineroom.protocols.lib0 import var_uint

TELLING = bytes(range(13)) + b"\x20\x40\x44\x47\x64\x66\x7f\x80\x84\x87\xc4\xff"
NUMBERS = (0, 1, 127, 128, 2**14, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**63)


def mutant(random: Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with one to four changes."""
    data = bytearray(random.choice(seeds))
    for _ in range(random.randint(1, 4)):
        _change(random, data, seeds)
    return bytes(data)


def _change(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    at = random.randint(0, len(data))
    end = min(len(data), at + random.choice((1, 1, 2, 4, 16)))
    match random.randrange(7):
        case 0:
            data[at : at + 1] = bytes([random.choice(TELLING)])
        case 1:
            data[at:at] = bytes([random.choice(TELLING)])
        case 2:
            del data[at:end]
        case 3:
            data[at:end] = _number(random)
        case 4:
            data[at:at] = data[at:end]
        case 5:
            other = random.choice(seeds)
            start = random.randint(0, len(other))
            data[at:] = other[start : start + 200]
        case _:
            if at < len(data):
                data[at] ^= 1 << random.randrange(8)


def _number(random: Random) -> bytes:
    number = random.choice(NUMBERS)
    if number < 2**53:
        return var_uint(number)
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(encoded) + bytes([number])
