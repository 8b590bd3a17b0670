"""The page dialect, `engineroom.v1`: the Yjs framing, and message types from 100 up. One message a
frame.

Two tables say it all: what members send and what rooms send, each a line with the type's number,
the message, and its fields in the order of the wire. The first are read with bounds; the second
come from our own server, where a frame's size is bound enough. Types 0, 1 and 3 are those of `yjs`.

Unlike a Yjs client's, a page's unknown type is an error here: the server delivers the page's
program itself, so the two agree. The other way round, `decode_to_member` passes over what it does
not know, so that a client may be older.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

from engineroom.errors import ProtocolError

from . import lib0, yjs
from .lib0 import MAX_INTEGER, Reader
from .messages import (
    AnswerInput,
    Complete,
    Completions,
    Done,
    EngineState,
    Evaluate,
    FromMember,
    Interrupt,
    PageChanged,
    Refused,
    Restart,
    RightsChanged,
    SetValue,
    Stateless,
    TerminalEnded,
    TerminalInput,
    TerminalOutput,
    TerminalResize,
    TerminalScreen,
    TerminalSize,
    ToMember,
    Trouble,
    Value,
    ValueChanged,
    ValueKind,
    Welcome,
)

SUBPROTOCOL: Final = "engineroom.v1"
"""What a page asks for in `Sec-WebSocket-Protocol`."""

MAX_NAME_BYTES: Final = 255
"""Addresses, names of cells, engines and terminals, ids of evaluations: as long as a room's address
may be."""

MAX_CODE_BYTES: Final = 2**20
"""One cell's code. Notebooks' longest cells are some 100 kB; it is queued and copied to the
engine."""

MAX_INPUT_BYTES: Final = 2**16
"""One answer to `input()`. A terminal's own line holds 4 KiB."""

MAX_TYPED_BYTES: Final = 2**20
"""One message of terminal input: a paste."""

MAX_VALUE_BYTES: Final = 2**22
"""One value: a picture from a widget. The last one of each address is kept for newcomers."""

MAX_TERMINAL_SIZE: Final = 1000
"""Columns or rows. A screen of 1000 x 1000 cells is the most that a room has to remember."""


@dataclass(frozen=True, slots=True)
class _Field:
    """How one field is read and written."""

    read: Callable[[Reader], Any]
    write: Callable[[Any], bytes]


def _number(least: int = 0, most: int = MAX_INTEGER) -> _Field:
    def read(reader: Reader) -> int:
        value = reader.var_uint()
        if not least <= value <= most:
            raise ProtocolError(f"{value} is not within {least} to {most}")
        return value

    return _Field(read, lib0.var_uint)


def _take(reader: Reader, max_bytes: int | None) -> bytes:
    data = reader.buf()
    if max_bytes is not None and len(data) > max_bytes:
        raise ProtocolError(f"{len(data)} bytes; at most {max_bytes} are allowed here")
    return data


def _blob(max_bytes: int | None = None) -> _Field:
    return _Field(lambda reader: _take(reader, max_bytes), lib0.buf)


def _text(max_bytes: int | None = None) -> _Field:
    def read(reader: Reader) -> str:
        try:
            return _take(reader, max_bytes).decode()
        except UnicodeDecodeError:
            raise ProtocolError("a text is not UTF-8") from None

    return _Field(read, lib0.var_string)


def _texts() -> _Field:
    def read(reader: Reader) -> tuple[str, ...]:
        return tuple(reader.var_string() for _ in range(reader.count()))

    def write(texts: tuple[str, ...]) -> bytes:
        return lib0.var_uint(len(texts)) + b"".join(map(lib0.var_string, texts))

    return _Field(read, write)


def _value(max_bytes: int | None = None) -> _Field:
    def read(reader: Reader) -> Value:
        kind = reader.var_uint()
        if kind not in (ValueKind.JSON, ValueKind.BYTES):
            raise ProtocolError(f"unknown kind of value {kind}; known are 0 (JSON) and 1 (bytes)")
        data = _take(reader, max_bytes)
        if kind == ValueKind.JSON:
            yjs.check_json(data, "the value")
        return Value(ValueKind(kind), data)

    return _Field(read, lambda value: lib0.var_uint(value.kind) + lib0.buf(value.data))


_NUMBER: Final = _number()
_SIZE: Final = _number(1, MAX_TERMINAL_SIZE)
_NAME: Final = _text(MAX_NAME_BYTES)
_CODE: Final = _text(MAX_CODE_BYTES)
_TEXT: Final = _text()
_BLOB: Final = _blob()


class _Codec:
    """One type of message: its number, its class, and its fields in the order of wire and class
    alike."""

    __slots__ = ("fields", "kind", "names", "number", "prefix")

    def __init__(self, number: int, kind: type, *wire: _Field) -> None:
        self.number = number
        self.kind = kind
        self.prefix = lib0.var_uint(number)
        self.names = tuple(field.name for field in fields(kind))
        self.fields = wire

    def read(self, reader: Reader) -> Any:
        return self.kind(*[field.read(reader) for field in self.fields])

    def write(self, message: object) -> bytes:
        parts = [self.prefix]
        for name, field in zip(self.names, self.fields, strict=True):
            parts.append(field.write(getattr(message, name)))
        return b"".join(parts)


_FROM_MEMBER: Final = (
    _Codec(101, SetValue, _NUMBER, _NAME, _value(MAX_VALUE_BYTES)),
    _Codec(110, Evaluate, _NUMBER, _NAME, _NAME, _CODE),
    _Codec(111, Interrupt, _NUMBER, _NAME),
    _Codec(112, Restart, _NUMBER, _NAME),
    _Codec(113, Complete, _NUMBER, _NAME, _CODE, _NUMBER),
    _Codec(115, AnswerInput, _NUMBER, _NAME, _text(MAX_INPUT_BYTES)),
    _Codec(120, TerminalInput, _NAME, _blob(MAX_TYPED_BYTES)),
    _Codec(121, TerminalResize, _NAME, _SIZE, _SIZE),
    _Codec(133, Stateless, _TEXT),
)

_TO_MEMBER: Final = (
    _Codec(100, Welcome, _TEXT),
    _Codec(102, ValueChanged, _TEXT, _NUMBER, _value()),
    _Codec(103, Done, _NUMBER),
    _Codec(104, Refused, _NUMBER, _TEXT, _TEXT),
    _Codec(114, Completions, _NUMBER, _NUMBER, _NUMBER, _texts()),
    _Codec(116, EngineState, _TEXT, _TEXT, _TEXT),
    _Codec(122, TerminalOutput, _TEXT, _BLOB),
    _Codec(123, TerminalScreen, _TEXT, _SIZE, _SIZE, _BLOB),
    _Codec(124, TerminalEnded, _TEXT, _TEXT),
    _Codec(125, TerminalSize, _TEXT, _SIZE, _SIZE),
    _Codec(130, PageChanged, _TEXT),
    _Codec(131, Trouble, _TEXT, _TEXT),
    _Codec(132, RightsChanged, _texts()),
    _Codec(133, Stateless, _TEXT),
)


def _readers(codecs: Iterable[_Codec]) -> dict[int, Callable[[Reader], Any]]:
    return {**yjs.READERS, **{codec.number: codec.read for codec in codecs}}


def _writers(codecs: Iterable[_Codec]) -> dict[type, Callable[..., bytes | None]]:
    return {**yjs.WRITERS, **{codec.kind: codec.write for codec in codecs}}


_FROM_MEMBER_READERS: Final = _readers(_FROM_MEMBER)
_FROM_MEMBER_WRITERS: Final = _writers(_FROM_MEMBER)
_TO_MEMBER_READERS: Final = _readers(_TO_MEMBER)
_TO_MEMBER_WRITERS: Final = _writers(_TO_MEMBER)


class PageDialect:
    """What Engineroom's own pages speak. A `Dialect`, and with the two methods at its end the
    client's side of it."""

    name = "page"

    def decode(self, frame: bytes) -> FromMember:
        """The message that a member sent in one frame.

        Raises:
            ProtocolError: an unknown type or one that only rooms send, a short frame, trailing
            bytes, a bound exceeded.
        """
        reader = Reader(frame)
        number = reader.var_uint()
        read = _FROM_MEMBER_READERS.get(number)
        if read is None:
            raise ProtocolError(f"members send no message of type {number} in {SUBPROTOCOL}")
        message: FromMember = read(reader)
        reader.finish()
        return message

    def encode(self, message: ToMember) -> bytes | None:
        """The frame that carries `message` to a member; None for what other dialects alone have a word for."""
        write = _TO_MEMBER_WRITERS.get(type(message))
        return None if write is None else write(message)

    def decode_to_member(self, frame: bytes) -> ToMember | None:
        """The message that a room sent in one frame; None for a type that this client is too old to
        know.

        Raises:
            ProtocolError: a short frame, trailing bytes, text that is not UTF-8.
        """
        reader = Reader(frame)
        read = _TO_MEMBER_READERS.get(reader.var_uint())
        if read is None:
            return None
        message: ToMember = read(reader)
        reader.finish()
        return message

    def encode_from_member(self, message: FromMember) -> bytes:
        """The frame in which a client sends `message`."""
        frame = _FROM_MEMBER_WRITERS[type(message)](message)
        assert frame is not None, "members' messages have words in this dialect"
        return frame
