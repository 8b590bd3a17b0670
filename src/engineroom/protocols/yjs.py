"""The Yjs dialect: what `y-websocket` and every client built like it speaks. One message a frame.

    00 sync            00 buf(state vector) Step 1 | 01 buf(update) Step 2 | 02 buf(update) Update
    01 awareness       buf( varUint n, n times: varUint client, varUint clock, varString JSON )
    02 auth            from servers only, and only logged by clients
    03 query awareness nothing more

A frame of any other type is ignored, as y-websocket's own servers ignore it: clients derived from
it send types of their own (y-sweet 102, JupyterLab a type 2 that is no auth) and still expect to be
served. What is within a known type must be right. Updates and state vectors pass through here
unread; `updates` reads them.

Source: y-protocols (npm) `sync.js`, `awareness.js`; y-websocket (npm) `y-websocket.js`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from engineroom.errors import ProtocolError

from .lib0 import Reader, buf, var_string, var_uint
from .messages import (
    AwarenessState,
    AwarenessUpdate,
    DocumentMessage,
    FromMember,
    QueryAwareness,
    Refused,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    ToMember,
)

SYNC: Final = 0
AWARENESS: Final = 1
QUERY_AWARENESS: Final = 3

MAX_AWARENESS_STATES: Final = 10_000
"""States in one message. After a reconnect a client may send every state it knows, so this is above
any room's members."""

MAX_AWARENESS_STATE_BYTES: Final = 65_536
"""One client's presence: a name, a colour and a cursor take some 300 bytes."""

MAX_STATE_VECTOR_BYTES: Final = 2**20
"""A Step 1. One client takes some 8 bytes in it, so these are more than a hundred thousand sessions of editing."""

_JSON: Final = msgspec.json.Decoder(msgspec.Raw)


def check_json(text: str | bytes, what: str) -> None:
    """Checks that `text` is one JSON value.

    Raises:
        ProtocolError: it is not, or it is nested too deep to be read; `what` names it in the error.
    """
    try:
        _JSON.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ProtocolError(f"{what} is not JSON: {error}") from None


# --- reading ---------------------------------------------------------------------------------


def _read_sync(reader: Reader) -> DocumentMessage:
    step = reader.byte()
    body = reader.buf()
    if step == 2:
        return SyncUpdate(body)
    if step == 1:
        return SyncStep2(body)
    if step == 0:
        if len(body) > MAX_STATE_VECTOR_BYTES:
            raise ProtocolError(f"a state vector has at most {MAX_STATE_VECTOR_BYTES} bytes")
        return SyncStep1(body)
    raise ProtocolError(f"unknown sync message {step}; known are 0, 1 and 2")


def _read_awareness(reader: Reader) -> AwarenessUpdate:
    body = Reader(reader.buf())
    count = body.count(3)
    if count > MAX_AWARENESS_STATES:
        raise ProtocolError(f"{count} awareness states; at most {MAX_AWARENESS_STATES} are read")
    states = tuple(_read_state(body) for _ in range(count))
    body.finish()
    return AwarenessUpdate(states)


def _read_state(reader: Reader) -> AwarenessState:
    client = reader.var_uint()
    clock = reader.var_uint()
    start = reader.position
    text = reader.var_string()
    if reader.position - start > MAX_AWARENESS_STATE_BYTES:
        raise ProtocolError(
            f"awareness of client {client} is longer than {MAX_AWARENESS_STATE_BYTES} bytes"
        )
    check_json(text, f"the awareness state of client {client}")
    return AwarenessState(client, clock, text)


def _read_query(reader: Reader) -> QueryAwareness:
    return QueryAwareness()


READERS: Final[dict[int, Callable[[Reader], DocumentMessage]]] = {
    SYNC: _read_sync,
    AWARENESS: _read_awareness,
    QUERY_AWARENESS: _read_query,
}
"""Message type to the reader of what follows it."""


# --- writing ---------------------------------------------------------------------------------


def _write_awareness(message: AwarenessUpdate) -> bytes:
    body = [var_uint(len(message.states))]
    for state in message.states:
        body += (var_uint(state.client), var_uint(state.clock), var_string(state.state))
    return b"\x01" + buf(b"".join(body))


def _write_refused(message: Refused) -> bytes | None:
    """y-protocols' "permission denied"; a Yjs client has no other words of the room's refused."""
    return b"\x02\x00" + var_string(message.reason) if message.code == "read_only" else None


WRITERS: Final[dict[type, Callable[..., bytes | None]]] = {
    SyncStep1: lambda message: b"\x00\x00" + buf(message.state_vector),
    SyncStep2: lambda message: b"\x00\x01" + buf(message.update),
    SyncUpdate: lambda message: b"\x00\x02" + buf(message.update),
    AwarenessUpdate: _write_awareness,
    QueryAwareness: lambda message: b"\x03",
    Refused: _write_refused,
}
"""Class of message to the writer of its whole frame."""


class YjsDialect:
    """What any Yjs client speaks: documents and presence, no word for values and programs. A
    `Dialect`."""

    name = "yjs"

    def decode(self, frame: bytes) -> FromMember | None:
        """The message in one frame; None for a type that servers ignore.

        Raises:
            ProtocolError: an empty or short frame, trailing bytes, a bound exceeded, a state that
            is not JSON.
        """
        reader = Reader(frame)
        read = READERS.get(reader.var_uint())
        if read is None:
            return None
        message = read(reader)
        reader.finish()
        return message

    def encode(self, message: ToMember) -> bytes | None:
        """The frame that carries `message`; None for what only pages are told."""
        write = WRITERS.get(type(message))
        return None if write is None else write(message)
