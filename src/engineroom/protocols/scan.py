"""A quick look over updates that were read before: their structs, without judging them.

The law: bytes come here only after `updates.read_update` has accepted them, or from pycrdt itself. So nothing is
checked that costs time, and a struct takes a third of what it takes to read it. Malformed bytes are a `ProtocolError`
all the same, or are misread; they never go on without end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from engineroom.errors import ProtocolError

from .contents import CONTENTS, DELETED, STRING, utf16_units
from .lib0 import Reader
from .summaries import ClockRange
from .walk import GC, HAS_KEY, HAS_ORIGIN, HAS_RIGHT_ORIGIN, KIND, SKIP

_VAR: Final = rb"[\x80-\xff]*+[\x00-\x7f]"
# The head of an item with an origin or a right origin, or both.
_LINKED: Final = re.compile(
    rb"[\x40-\xbf]" + _VAR * 2 + rb"|[\xc0-\xff]" + _VAR * 4, re.DOTALL
)  # fmt: skip


class Struct(NamedTuple):
    """One struct: its id, its length in clocks, its info byte, and where in the update its content is."""

    client: int
    clock: int
    length: int
    info: int
    start: int
    content: int
    end: int


class Scan:
    """The structs of an update, in their order. Afterwards `deletions_at` is where its deletions begin."""

    def __init__(self, update: bytes) -> None:
        self.update = update
        self.deletions_at = 0

    def __iter__(self) -> Iterator[Struct]:
        reader = Reader(self.update)
        for _ in range(reader.count(3)):
            count = reader.count(2)
            client, clock = reader.var_uint(), reader.var_uint()
            for _ in range(count):
                start = reader.position
                info = reader.byte()
                if info in (GC, SKIP):
                    content = reader.position
                    length = reader.var_uint()
                else:
                    _pass_head(reader, info)
                    content = reader.position
                    length = _pass_content(reader, info & KIND)
                yield Struct(client, clock, length, info, start, content, reader.position)
                clock += length
        self.deletions_at = reader.position


def _pass_head(reader: Reader, info: int) -> None:
    if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN):
        match = _LINKED.match(reader.data, reader.position - 1)
        if match is None:
            raise ProtocolError(f"the item at byte {reader.position - 1} ends early")
        reader.position = match.end()
        return
    if reader.var_uint() == 1:
        reader.buf()
    else:
        reader.var_uint()
        reader.var_uint()
    if info & HAS_KEY:
        reader.buf()


def _pass_content(reader: Reader, kind: int) -> int:
    if kind == STRING:
        data = reader.buf()
        return len(data) if data.isascii() else utf16_units(data.decode("utf-8", "replace"))
    if kind == DELETED:
        return reader.var_uint()
    read = CONTENTS.get(kind)
    if read is None:
        raise ProtocolError(f"struct kind {kind} is not supported")
    return read(reader)


def inserts_of(update: bytes) -> list[ClockRange]:
    """The ranges of clocks that an update carries.

    Raises:
        ProtocolError: malformed.
    """
    ranges: list[ClockRange] = []
    last = (-1, 0, 0)
    for struct in Scan(update):
        if struct.info == SKIP:
            continue
        client, clock, end = struct.client, struct.clock, struct.clock + struct.length
        if client == last[0] and clock == last[2]:
            last = ranges[-1] = (client, last[1], end)
        else:
            last = (client, clock, end)
            ranges.append(last)
    return ranges


def right_origin_of(update: bytes, struct: Struct) -> bytes:
    """The bytes of an item's right origin; empty when it has none."""
    if not struct.info & HAS_RIGHT_ORIGIN:
        return b""
    reader = Reader(update, struct.start + 1)
    if struct.info & HAS_ORIGIN:
        reader.var_uint()
        reader.var_uint()
    start = reader.position
    reader.var_uint()
    reader.var_uint()
    return update[start : reader.position]


def links_of(update: bytes, struct: Struct) -> list[tuple[int, int]]:
    """What an item stands next to: its origin and right origin, whichever it has."""
    reader = Reader(update, struct.start + 1)
    count = bool(struct.info & HAS_ORIGIN) + bool(struct.info & HAS_RIGHT_ORIGIN)
    return [(reader.var_uint(), reader.var_uint()) for _ in range(count)]
