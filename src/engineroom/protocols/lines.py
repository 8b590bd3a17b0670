"""What a room's programs say about values: JSON, one object a line, UTF-8, over a descriptor.

    {"get": "/speed"}                       -> {"address": "/speed", "value": 3}      (absent: "missing": true)
    {"set": "/speed", "value": 4}           -> nothing, or {"id": …, "ok": true} where an "id" was given
    {"watch": "/speed"}                     -> the value now, then one line at every change
    {"unwatch": "/speed"}
    {"set": "/picture", "base64": "iVBO…"}  -> bytes in place of JSON

A watch on `/motor/*` hears of every address below `/motor/`. Each request may carry an "id" (a string or a number),
which its answer repeats. A mistake is answered with {"error": "…", "id": …} and harms nothing.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

import msgspec

from engineroom.errors import ProtocolError

from .messages import Value, ValueKind

MAX_LINE_BYTES: Final = 2**24
"""The longest line, its end included: 16 MiB, as for engines, hold 12 MB of bytes in base64."""

RequestId: TypeAlias = str | int | None


@dataclass(frozen=True, slots=True)
class Get:
    """Read the value at `address`."""

    address: str
    id: RequestId = None


@dataclass(frozen=True, slots=True)
class Set:
    """Set the value at `address`."""

    address: str
    value: Value
    id: RequestId = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Hear of `address` (or, with a trailing `/*`, of all below it): its value now and every change."""

    address: str
    id: RequestId = None


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Hear of `address` no more."""

    address: str
    id: RequestId = None


@dataclass(frozen=True, slots=True)
class ValueIs:
    """The value at `address`, None when there is none; `id` where it answers a request."""

    address: str
    value: Value | None
    id: RequestId = None


@dataclass(frozen=True, slots=True)
class Ok:
    """The request `id` has been carried out."""

    id: RequestId


@dataclass(frozen=True, slots=True)
class Failed:
    """A request could not be carried out."""

    error: str
    id: RequestId = None


FromProgram: TypeAlias = Get | Set | Watch | Unwatch
ToProgram: TypeAlias = ValueIs | Ok | Failed


class LineError(ProtocolError):
    """A line that is no request, answered by `Failed(error.reason, error.id)`.

    `id` is the request's, None where there was none or it could not be read.
    """

    def __init__(self, reason: str, request_id: RequestId = None) -> None:
        super().__init__(reason)
        self.id = request_id


# --- reading ---------------------------------------------------------------------------------

_Raw: TypeAlias = msgspec.Raw | msgspec.UnsetType


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """A request as it is on the line. Exactly one of the first four is there."""

    get: str | msgspec.UnsetType = msgspec.UNSET
    set: str | msgspec.UnsetType = msgspec.UNSET
    watch: str | msgspec.UnsetType = msgspec.UNSET
    unwatch: str | msgspec.UnsetType = msgspec.UNSET
    value: _Raw = msgspec.UNSET
    base64: str | msgspec.UnsetType = msgspec.UNSET
    id: RequestId = None


class _OnlyId(msgspec.Struct):
    """The part of a mistaken line that an answer needs."""

    id: RequestId = None


_LINE: Final = msgspec.json.Decoder(_Line)
_ONLY_ID: Final = msgspec.json.Decoder(_OnlyId)
_VERBS: Final = ("get", "set", "watch", "unwatch")


def decode_request(line: bytes) -> FromProgram:
    """The request in one line, with or without its end. JSON values are kept as they were written, not rebuilt.

    Raises:
        LineError: too long, not JSON, not UTF-8, or no request; nothing has been done.
    """
    if len(line) > MAX_LINE_BYTES:
        raise LineError(f"the line has {len(line)} bytes; at most {MAX_LINE_BYTES}")
    try:
        line.decode()  # what becomes Raw is not checked otherwise
        fields = _LINE.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise LineError(f"not a request: {error}", _id_of(line)) from None
    return _request(fields)


def _id_of(line: bytes) -> RequestId:
    try:
        return _ONLY_ID.decode(line).id
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


def _request(line: _Line) -> FromProgram:
    verbs = [verb for verb in _VERBS if getattr(line, verb) is not msgspec.UNSET]
    if len(verbs) != 1:
        raise LineError("a request has exactly one of get, set, watch and unwatch", line.id)
    if isinstance(line.set, str):
        return Set(line.set, _value_of(line), line.id)
    if line.value is not msgspec.UNSET or line.base64 is not msgspec.UNSET:
        raise LineError(f"{verbs[0]} takes no value", line.id)
    if isinstance(line.get, str):
        return Get(line.get, line.id)
    if isinstance(line.watch, str):
        return Watch(line.watch, line.id)
    assert isinstance(line.unwatch, str)
    return Unwatch(line.unwatch, line.id)


def _value_of(line: _Line) -> Value:
    if isinstance(line.value, msgspec.Raw) and line.base64 is msgspec.UNSET:
        return Value(ValueKind.JSON, bytes(line.value))
    if isinstance(line.base64, str) and line.value is msgspec.UNSET:
        try:
            return Value(ValueKind.BYTES, base64.b64decode(line.base64, validate=True))
        except (binascii.Error, ValueError) as error:
            raise LineError(f"base64 is not valid: {error}", line.id) from None
    raise LineError("set needs exactly one of value and base64", line.id)


# --- writing ---------------------------------------------------------------------------------


class _Answer(msgspec.Struct, omit_defaults=True):
    """An answer as it is on the line; a field that says nothing is left out."""

    address: str | msgspec.UnsetType = msgspec.UNSET
    value: _Raw = msgspec.UNSET
    base64: str | msgspec.UnsetType = msgspec.UNSET
    missing: bool = False
    ok: bool = False
    error: str | msgspec.UnsetType = msgspec.UNSET
    id: RequestId = None


_ENCODER: Final = msgspec.json.Encoder()


def encode_reply(message: ToProgram) -> bytes:
    """The line that carries `message`, its end included."""
    match message:
        case ValueIs():
            answer = _value_answer(message)
        case Ok():
            answer = _Answer(ok=True, id=message.id)
        case Failed():
            answer = _Answer(error=message.error, id=message.id)
        case _:
            assert_never(message)
    return _ENCODER.encode(answer) + b"\n"


def _value_answer(message: ValueIs) -> _Answer:
    answer = _Answer(address=message.address, id=message.id)
    if message.value is None:
        answer.missing = True
    elif message.value.kind is ValueKind.BYTES:
        answer.base64 = base64.b64encode(message.value.data).decode()
    else:
        # A line end within JSON text is only ever white space, and here it would end the line.
        answer.value = msgspec.Raw(message.value.data.replace(b"\n", b" "))
    return answer
