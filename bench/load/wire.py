"""What members say and hear: Yjs frames, as bytes, and the one envelope that a peer puts around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import randrange

from pycrdt import Doc, Text

from engineroom.protocols.updates import read_update

STEP_1 = b"\x00\x00\x01\x00"  # asks for everything: an empty state vector
STEP_2_KIND, UPDATE_KIND, AWARENESS_KIND = b"\x00\x01", b"\x00\x02", b"\x01"


def var_uint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_var_uint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def buf(data: bytes) -> bytes:
    return var_uint(len(data)) + data


def update_frame(update: bytes) -> bytes:
    return UPDATE_KIND + buf(update)


def update_in(frame: bytes) -> bytes:
    """The update that Step 2 or an update's frame carries."""
    length, position = read_var_uint(frame, 2)
    return frame[position : position + length]


def inserted(frame: bytes) -> list[tuple[int, int, int]]:
    """The clocks that an update's frame brings: client, first, and the one after the last."""
    return list(read_update(update_in(frame)).inserts)


def awareness_frame(client: int, clock: int, state: bytes) -> bytes:
    return AWARENESS_KIND + buf(b"\x01" + var_uint(client) + var_uint(clock) + buf(state))


def awareness_states(frame: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Client, clock and state of each entry."""
    _, position = read_var_uint(frame, 1)
    count, position = read_var_uint(frame, position)
    for _ in range(count):
        client, position = read_var_uint(frame, position)
        clock, position = read_var_uint(frame, position)
        length, position = read_var_uint(frame, position)
        yield client, clock, frame[position : position + length]
        position += length


def edits(insertions: Iterable[tuple[int, str]], *, together: int = 1) -> Iterator[bytes]:
    """The updates that insert (where, what) into an empty text, so many insertions `together` in each."""
    document: Doc[Text] = Doc(client_id=randrange(1, 1 << 32))  # as many bits as Yjs takes
    text = document.get("text", type=Text)
    made: list[bytes] = []
    document.observe(lambda event: made.append(event.update))
    rest = iter(insertions)
    while pieces := list(islice(rest, together)):
        with document.transaction():
            for at, what in pieces:
                text.insert(at, what)
        yield from made
        made.clear()


def typed(count: int) -> list[bytes]:
    """Frames of one writer who types `count` characters, one an update."""
    return list(map(update_frame, edits((number, "x") for number in range(count))))


def read_updates(path: Path) -> Iterator[bytes]:
    """The updates in a file of length-prefixed ones."""
    data = path.read_bytes()
    position = 0
    while position < len(data):
        length, position = read_var_uint(data, position)
        yield data[position : position + length]
        position += length


def characters_in(frame: bytes) -> int:
    """How long the text is that Step 2 brings."""
    document: Doc[Text] = Doc()
    document.apply_update(update_in(frame))
    return len(str(document.get("text", type=Text)))


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands before each Yjs message, and what must be said first. y-websocket's has neither."""

    prefix: bytes = b""
    greeting: tuple[bytes, ...] = ()


def envelope(dialect: str, room: str) -> Envelope:
    """The envelope of a dialect, `yjs` or `hocuspocus`."""
    if dialect == "yjs":
        return Envelope()
    prefix = buf(room.encode())
    return Envelope(prefix, (prefix + b"\x02\x00" + buf(b"no token"),))
