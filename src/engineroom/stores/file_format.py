"""The form of the file store's files: a header, then frames; both with checksums.

Pure: bytes in, frames and damage out. A file is

    "EngrLog1"  8 bytes
    identity    16 random bytes, the same in all files of one document, and new for every document
    length      4 bytes, of the JSON text that follows: what the file is of (`Heading`)
    checksum    CRC-32 of all that

and a frame

    mark        4 bytes
    kind        1 byte, and 3 of zero
    number      8 bytes
    time        8 bytes, a double: seconds since the epoch
    first       4 bytes, the length of the first part (a user, notes, what describes a version)
    second      4 bytes, the length of the second part (an update, a snapshot, an encoding)
    checksum    4 bytes, CRC-32 of identity and both parts
    checksum    4 bytes, CRC-32 of identity and all of the above
    both parts

in little-endian numbers. The frame's head has a checksum of its own, so that a damaged part costs
its record alone and a damaged head is passed over by looking for the next sound one. What a client
writes into an update cannot look like a frame, for it cannot know the identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Protocol
from zlib import crc32

import msgspec

from engineroom.errors import StoreError

MAGIC = b"EngrLog1"
MARK = b"\xe5\x1fEr"
IDENTITY_BYTES = 16
_LENGTH = Struct("<I")
_HEAD = Struct("<4sB3xqdIII")
_CHECKSUM = Struct("<I")
HEAD_BYTES = _HEAD.size + _CHECKSUM.size
_PREFIX_BYTES = len(MAGIC) + IDENTITY_BYTES + _LENGTH.size
MAX_HEADING_BYTES = 1 << 20
MAX_PART_BYTES = (1 << 32) - 1


class Kind(IntEnum):
    """What a frame holds."""

    RECORD = 1
    SNAPSHOT = 2
    VERSION = 3
    RENAME = 4
    REMOVE = 5
    DAMAGED = 6
    """`number` records that could not be read when the file was compacted, as they stood."""


class Heading(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a file is of. The last three belong to logs: up to which number the snapshot that
    follows covers it (0: none follows), the time of the last record that it covers, and since when
    history is kept.
    """

    path: str
    lineage: str
    snapshot_number: int = 0
    changed: float = 0.0
    history_since: float | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame at `offset`. `first` and `second` are empty when only heads were read."""

    kind: Kind
    number: int
    time: float
    first: bytes
    second: bytes
    offset: int
    size: int
    first_bytes: int
    second_bytes: int


@dataclass(frozen=True, slots=True)
class Damage:
    """What stands where a frame should be; `number` where its head is sound."""

    offset: int
    size: int
    number: int | None


@dataclass(frozen=True, slots=True)
class Torn:
    """The end of the file is no whole frame, from `offset` on."""

    offset: int
    size: int


class Source(Protocol):
    """Where bytes come from."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, size: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Held:
    """A source in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


def encode_heading(identity: bytes, heading: Heading) -> bytes:
    """The beginning of a file."""
    text = msgspec.json.encode(heading)
    beginning = MAGIC + identity + _LENGTH.pack(len(text)) + text
    return beginning + _CHECKSUM.pack(crc32(beginning))


def decode_heading(source: Source) -> tuple[bytes, Heading, int]:
    """Identity, heading, and where the frames begin.

    Raises:
        StoreError: it is no such file, or its beginning is damaged.
    """
    prefix = source.read(0, _PREFIX_BYTES)
    if len(prefix) < _PREFIX_BYTES or not prefix.startswith(MAGIC):
        raise StoreError("it is no document of Engineroom, or its beginning is damaged")
    (length,) = _LENGTH.unpack(prefix[-_LENGTH.size :])
    end = _PREFIX_BYTES + length
    rest = source.read(_PREFIX_BYTES, min(length, MAX_HEADING_BYTES) + _CHECKSUM.size)
    if len(rest) != length + _CHECKSUM.size or crc32(prefix + rest[:length]) != _number(rest):
        raise StoreError("its beginning is damaged")
    identity = prefix[len(MAGIC) : len(MAGIC) + IDENTITY_BYTES]
    return identity, msgspec.json.decode(rest[:length], type=Heading), end + _CHECKSUM.size


def encode_frame(
    identity: bytes, kind: Kind, number: int, time: float, first: bytes, second: bytes
) -> bytes:
    """A frame.

    Raises:
        StoreError: a part is too long.
    """
    if max(len(first), len(second)) > MAX_PART_BYTES:
        raise StoreError(f"{len(second)} bytes are more than a record can have (4 GiB)")
    salt = crc32(identity)
    payload = crc32(second, crc32(first, salt))
    head = _HEAD.pack(MARK, kind, number, time, len(first), len(second), payload)
    return b"".join((head, _CHECKSUM.pack(crc32(head, salt)), first, second))


def read_frames(
    source: Source, start: int, identity: bytes, *, heads_only: bool = False
) -> Iterator[Frame | Damage | Torn]:
    """The frames from `start` on, and what is damaged; `Torn`, when it comes, comes last.

    With `heads_only` the parts are neither read nor checked.
    """
    salt = crc32(identity)
    offset = start
    while offset < source.size:
        head = _decode_head(source.read(offset, HEAD_BYTES), salt)
        if head is None:
            found = _find_head(source, offset + 1, salt)
            if found is None:
                yield Torn(offset, source.size - offset)
                return
            yield Damage(offset, found - offset, None)
            offset = found
            continue
        kind, number, time, first_bytes, second_bytes, checksum = head
        size = HEAD_BYTES + first_bytes + second_bytes
        if offset + size > source.size:
            yield Torn(offset, source.size - offset)
            return
        parts = b"" if heads_only else source.read(offset + HEAD_BYTES, first_bytes + second_bytes)
        if not heads_only and crc32(parts, salt) != checksum:
            yield Damage(offset, size, number)
        else:
            first, second = parts[:first_bytes], parts[first_bytes:]
            yield Frame(kind, number, time, first, second, offset, size, first_bytes, second_bytes)
        offset += size


def _decode_head(data: bytes, salt: int) -> tuple[Kind, int, float, int, int, int] | None:
    if len(data) < HEAD_BYTES or not data.startswith(MARK):
        return None
    if crc32(data[: _HEAD.size], salt) != _number(data):
        return None
    _, kind, number, time, first, second, checksum = _HEAD.unpack_from(data)
    try:
        return Kind(kind), number, time, first, second, checksum
    except ValueError:
        return None


def _find_head(source: Source, offset: int, salt: int) -> int | None:
    """Where the next sound head begins."""
    rest = source.read(offset, source.size - offset)
    place = rest.find(MARK)
    while place >= 0:
        if _decode_head(rest[place : place + HEAD_BYTES], salt) is not None:
            return offset + place
        place = rest.find(MARK, place + 1)
    return None


def _number(data: bytes) -> int:
    """The checksum at the end of `data`."""
    (number,) = _CHECKSUM.unpack(data[-_CHECKSUM.size :])
    return int(number)
