"""The primitives of lib0's encoding: what a Yjs dialect's bytes are made of.

    varUint    7 bits a byte, lowest first, bit 8: more follow
    varInt     the first byte holds 6 bits and, in bit 7, the sign; then as varUint
    varString  varUint length in *bytes*, then UTF-8
    buf        varUint length in bytes, then the bytes
    any        a tag byte from 127 (undefined) down to 116 (bytes), then the content

Knows bytes alone, no message. Every read is bounded by the bytes that are there: a short read, a
number that JavaScript cannot hold, text that is not UTF-8 and nesting past `MAX_NESTING` are each a
`ProtocolError`. Numbers need not be in their shortest form, as lib0 itself does not ask for it.

Source: lib0 (npm), `encoding.js` and `decoding.js`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from engineroom.errors import ProtocolError

MAX_INTEGER: Final = 2**53 - 1
"""JavaScript's largest exact integer; lib0 refuses more."""

MAX_NESTING: Final = 100
"""Depth of arrays and maps in an `any`. Yrs decodes them by recursion: a million levels overflow
its stack and end the process. Its own limit for JSON is 127."""

AnyValue: TypeAlias = (
    "bool | int | float | str | bytes | list[AnyValue] | dict[str, AnyValue] | None"
)


class Reader:
    """Reads one message from its beginning to its end. `position` is the offset of the next byte.

    Every method raises `ProtocolError` when the bytes do not hold what is asked for.
    """

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    @property
    def remaining(self) -> int:
        """How many bytes are left."""
        return len(self.data) - self.position

    def byte(self) -> int:
        """The next byte, 0 to 255."""
        position = self.position
        try:
            value = self.data[position]
        except IndexError:
            raise self._short(1) from None
        self.position = position + 1
        return value

    def var_uint(self) -> int:
        """A whole number, 0 to `MAX_INTEGER`."""
        position = self.position
        data = self.data
        try:
            value = data[position]
            position += 1
            if value >= 0x80:
                value &= 0x7F
                shift = 7
                while (more := data[position]) >= 0x80:
                    value |= (more & 0x7F) << shift
                    position += 1
                    shift += 7
                    if shift > 63:  # more bytes than any number of 64 bits takes
                        raise ProtocolError(f"the number at byte {self.position} has no end")
                value |= more << shift
                position += 1
        except IndexError:
            raise self._short(1) from None
        if value > MAX_INTEGER:
            raise ProtocolError(f"the number at byte {self.position} is larger than 2**53 - 1")
        self.position = position
        return value

    def var_int(self) -> int:
        """A whole number, -`MAX_INTEGER` to `MAX_INTEGER`. Minus zero reads as 0."""
        start = self.position
        first = self.byte()
        value = first & 0x3F
        if first & 0x80:
            value |= self.var_uint() << 6
            if value > MAX_INTEGER:
                raise ProtocolError(f"the number at byte {start} is larger than 2**53 - 1")
        return -value if first & 0x40 else value

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        position = self.position
        end = position + count
        if end > len(self.data):
            raise self._short(count)
        self.position = end
        return self.data[position:end]

    def buf(self) -> bytes:
        """Bytes with their length before them."""
        return self.take(self.var_uint())

    def var_string(self) -> str:
        """Text with its length in bytes before it."""
        start = self.position
        try:
            return self.take(self.var_uint()).decode()
        except UnicodeDecodeError:
            raise ProtocolError(f"the text at byte {start} is not UTF-8") from None

    def any(self) -> AnyValue:
        """A JSON-like value; `undefined` reads as None."""
        return self._any(MAX_NESTING)

    def _any(self, depth: int) -> AnyValue:
        tag = self.byte()
        read = _ANY.get(tag)
        if read is not None:
            return read(self)
        if tag not in (_ANY_MAP, _ANY_ARRAY):
            raise ProtocolError(f"unknown kind of value {tag} at byte {self.position - 1}")
        if depth == 0:
            raise ProtocolError(f"values are nested more than {MAX_NESTING} deep")
        if tag == _ANY_ARRAY:
            return [self._any(depth - 1) for _ in range(self.count())]
        return {self.var_string(): self._any(depth - 1) for _ in range(self.count(2))}

    def count(self, least_bytes: int = 1) -> int:
        """A varUint that counts what follows, each at least `least_bytes` long; so it never exceeds
        what is there."""
        start = self.position
        count = self.var_uint()
        if count * least_bytes > self.remaining:
            raise ProtocolError(f"the count at byte {start} is larger than what follows")
        return count

    def finish(self) -> None:
        """Checks that nothing is left."""
        if self.position != len(self.data):
            raise ProtocolError(f"{self.remaining} bytes follow the end of the message")

    def _short(self, count: int) -> ProtocolError:
        return ProtocolError(
            f"the message ends early: {count} bytes needed at byte {self.position}, "
            f"{self.remaining} left"
        )


_ANY_MAP: Final = 118
_ANY_ARRAY: Final = 117


def _float(reader: Reader, layout: struct.Struct) -> float:
    (value,) = layout.unpack(reader.take(layout.size))
    return float(value)


_FLOAT32: Final = struct.Struct(">f")
_FLOAT64: Final = struct.Struct(">d")

_ANY: Final[dict[int, Callable[[Reader], AnyValue]]] = {
    127: lambda reader: None,  # undefined
    126: lambda reader: None,
    125: Reader.var_int,
    124: lambda reader: _float(reader, _FLOAT32),
    123: lambda reader: _float(reader, _FLOAT64),
    122: lambda reader: int.from_bytes(reader.take(8), "big", signed=True),
    121: lambda reader: False,
    120: lambda reader: True,
    119: Reader.var_string,
    116: Reader.buf,
}


_SMALL_NUMBERS: Final = tuple(bytes([number]) for number in range(0x80))


def var_uint(value: int) -> bytes:
    """`value`, 0 to `MAX_INTEGER`, as varUint."""
    if 0 <= value < 0x80:
        return _SMALL_NUMBERS[value]
    if not 0 <= value <= MAX_INTEGER:
        raise ValueError(f"{value} is not within 0 to 2**53 - 1")
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def var_int(value: int) -> bytes:
    """`value`, -`MAX_INTEGER` to `MAX_INTEGER`, as varInt."""
    sign = 0x40 if value < 0 else 0
    value = abs(value)
    if value < 0x40:
        return bytes([value | sign])
    if value > MAX_INTEGER:
        raise ValueError(f"{value} is not within -(2**53 - 1) to 2**53 - 1")
    return bytes([value & 0x3F | sign | 0x80]) + var_uint(value >> 6)


def buf(data: bytes) -> bytes:
    """`data` with its length before it."""
    return var_uint(len(data)) + data


def var_string(text: str) -> bytes:
    """`text` with its length in bytes before it. A lone surrogate, which UTF-8 cannot hold, becomes
    `?`."""
    return buf(text.encode("utf-8", "replace"))


def any_value(value: AnyValue) -> bytes:
    """`value` as an `any`. Whole numbers past `MAX_INTEGER` travel as 64-bit integers (JavaScript's
    BigInt)."""
    match value:
        case None:
            return b"\x7e"
        case bool():
            return b"\x78" if value else b"\x79"
        case int():
            if -MAX_INTEGER <= value <= MAX_INTEGER:
                return b"\x7d" + var_int(value)
            return b"\x7a" + value.to_bytes(8, "big", signed=True)
        case float():
            return b"\x7b" + _FLOAT64.pack(value)
        case str():
            return b"\x77" + var_string(value)
        case bytes():
            return b"\x74" + buf(value)
        case list():
            return b"\x75" + var_uint(len(value)) + b"".join(map(any_value, value))
        case dict():
            entries = (var_string(key) + any_value(entry) for key, entry in value.items())
            return b"\x76" + var_uint(len(value)) + b"".join(entries)
