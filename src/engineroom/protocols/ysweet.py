"""The y-sweet dialect: the Yjs framing, and a question that the client asks after each change.

    66 sync status     buf(varUint version), answered with the same bytes

The version counts the client's own changes. Answered, it says that all changes up to it are durable. The client
takes a server that is silent for three seconds for dead, so `server/ysweet_socket.py` does not leave it waiting for a
disk that fails.

The client's query of awareness carries its own presence behind the type; it is passed over, as it was told before.

Source: @y-sweet/client (npm) 0.9.1, `provider.ts`; y-sweet's server, `doc_connection.rs`.
"""

from __future__ import annotations

from typing import Final

from engineroom.errors import ProtocolError

from . import yjs
from .lib0 import Reader, buf
from .messages import CheckDurable, Durable, FromMember, QueryAwareness, ToMember

SYNC_STATUS: Final = 0x66

MAX_TOKEN_BYTES: Final = 64
"""What a client wants back. Its version takes at most eight."""


def is_sync_status(frame: bytes) -> bool:
    """Whether the frame is a question for durability, or its answer."""
    return frame[:1] == b"\x66"


def is_step2(frame: bytes) -> bool:
    """Whether the frame answers a Step 1."""
    return frame[:2] == b"\x00\x01"


class YSweetDialect:
    """What y-sweet's clients speak. A `Dialect`."""

    name = "ysweet"

    def decode(self, frame: bytes) -> FromMember | None:
        """The message in one frame; None for a type that servers ignore.

        Raises:
            ProtocolError: a short frame, trailing bytes, a bound exceeded, a state that is not JSON.
        """
        reader = Reader(frame)
        kind = reader.var_uint()
        message: FromMember
        if kind == SYNC_STATUS:
            token = reader.buf()
            if len(token) > MAX_TOKEN_BYTES:
                raise ProtocolError(f"a version has at most {MAX_TOKEN_BYTES} bytes")
            message = CheckDurable(token)
        elif kind == yjs.QUERY_AWARENESS:
            return QueryAwareness()
        elif (read := yjs.READERS.get(kind)) is not None:
            message = read(reader)
        else:
            return None
        reader.finish()
        return message

    def encode(self, message: ToMember) -> bytes | None:
        """The frame that carries `message`; None for what this dialect has no word for."""
        if isinstance(message, Durable):
            return b"\x66" + buf(message.token)
        write = yjs.WRITERS.get(type(message))
        return None if write is None else write(message)
