"""The Hocuspocus dialect: many documents on one socket, each frame with the key of its document before it.

    varString key, varUint type, body              one raw byte 09 or 0a, without a key: ping, pong
    0 sync             as in `yjs`                 5 stateless            varString
    1 awareness        as in `yjs`                 6 broadcast stateless  between servers only: refused
    2 auth             client 00 varString token [varString version]
                       server 01 varString reason: denied | 02 varString "read-write" or "readonly"
    3 query awareness  nothing more                7 close                client nothing; server varString reason
    8 sync status      01 durable | 00 refused: one for each Update and each Step 2

A key is the document's name; with session awareness it is the name, a NUL and a session's id, so that one socket holds
the same document several times. What is answered carries the key as it came. A dialect is therefore one object for
each key. Authentication, closing and pings concern the socket and not the room: `server/hocuspocus_socket.py` does
them with the functions here. A type that is not in the table is ignored, as Hocuspocus' own servers ignore it.

Source: @hocuspocus/provider (npm) 2.15, 3.4 and 4.8, `MessageReceiver`; @hocuspocus/common, `auth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from engineroom.errors import ProtocolError

from . import yjs
from .lib0 import Reader, buf, var_string
from .messages import FromMember, Refused, RightsChanged, Stateless, SyncStatus, ToMember

MAX_KEY_BYTES: Final = 512
"""A key: an address of at most 255 bytes, a NUL, and a session's id (the provider's have 11)."""

MAX_TOKEN_BYTES: Final = 16 << 10
"""A token: as long as all headers of a request may be together."""

MAX_STATELESS_BYTES: Final = 2**20
"""A stateless message. It is handed to hooks as text, and may be told to every member."""

PING: Final = b"\x09"
PONG: Final = b"\x0a"


class Kind(IntEnum):
    """What a frame is, by the number after its key."""

    SYNC = 0
    AWARENESS = 1
    AUTH = 2
    QUERY_AWARENESS = 3
    STATELESS = 5
    BROADCAST_STATELESS = 6
    CLOSE = 7
    SYNC_STATUS = 8


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a frame: its key, its type, and where its body begins."""

    key: bytes
    kind: int
    position: int


@dataclass(frozen=True, slots=True)
class Credentials:
    """The body of a client's Auth. `version` is the provider's, which those before 4 do not tell."""

    token: str
    version: str | None


# --- what the socket reads and writes ----------------------------------------------------------


def read_head(frame: bytes) -> Head:
    """The key and the type of a frame.

    Raises:
        ProtocolError: a short frame, or a key that is longer than `MAX_KEY_BYTES`.
    """
    reader = Reader(frame)
    key = reader.buf()
    if len(key) > MAX_KEY_BYTES:
        raise ProtocolError(f"a document's name has at most {MAX_KEY_BYTES} bytes")
    kind = reader.var_uint()
    return Head(key, kind, reader.position)


def document_name(key: bytes) -> str:
    """The name of the document that a key is of.

    Raises:
        ProtocolError: it is not UTF-8.
    """
    try:
        return key.partition(b"\0")[0].decode()
    except UnicodeDecodeError:
        raise ProtocolError("the document's name is not UTF-8") from None


def is_step1(frame: bytes, head: Head) -> bool:
    """Whether the frame asks for what its sender lacks."""
    return head.kind == Kind.SYNC and frame[head.position : head.position + 1] == b"\x00"


def read_credentials(frame: bytes, head: Head) -> Credentials:
    """What a client's Auth says.

    Raises:
        ProtocolError: it is not what a client sends.
    """
    reader = Reader(frame, head.position)
    if (step := reader.var_uint()) != 0:
        raise ProtocolError(f"clients send no authentication message {step}; they send 0, a token")
    token = _text(reader, MAX_TOKEN_BYTES, "a token")
    version = _text(reader, MAX_TOKEN_BYTES, "a version") if reader.remaining else None
    reader.finish()
    return Credentials(token, version)


def authenticated(key: bytes, *, write: bool) -> bytes:
    """The frame that lets a client into a document."""
    return buf(key) + b"\x02\x02" + var_string("read-write" if write else "readonly")


def denied(key: bytes, reason: str) -> bytes:
    """The frame that does not let a client into a document, or no longer."""
    return buf(key) + b"\x02\x01" + var_string(reason)


def closed(key: bytes, reason: str) -> bytes:
    """The frame that says that a document is closed on this socket."""
    return buf(key) + b"\x07" + var_string(reason)


# --- what the room reads and writes ------------------------------------------------------------


class HocuspocusDialect:
    """What the members of a room say whose frames carry `key`. A `Dialect`."""

    __slots__ = ("_prefix", "name")

    def __init__(self, key: bytes) -> None:
        self.name = "hocuspocus " + key.decode("latin-1")
        self._prefix = buf(key)

    def decode(self, frame: bytes) -> FromMember | None:
        """The message in one frame, whose key is not looked at; None for what concerns the socket, and for an unknown
        type.

        Raises:
            ProtocolError: a short frame, trailing bytes, a bound exceeded, a message that only servers send.
        """
        reader = Reader(frame)
        reader.buf()
        kind = reader.var_uint()
        if kind == Kind.BROADCAST_STATELESS:
            raise ProtocolError("clients do not broadcast: send a stateless message (5) instead")
        message: FromMember
        if kind == Kind.STATELESS:
            message = Stateless(_text(reader, MAX_STATELESS_BYTES, "a stateless message"))
        elif (read := yjs.READERS.get(kind)) is not None:
            message = read(reader)
        else:
            return None
        reader.finish()
        return message

    def encode(self, message: ToMember) -> bytes | None:
        """The frame that carries `message`; None for what this dialect has no word for."""
        match message:
            case SyncStatus(applied):
                return self._prefix + (b"\x08\x01" if applied else b"\x08\x00")
            case Stateless(text):
                return self._prefix + b"\x05" + var_string(text)
            case RightsChanged(rights):
                scope = "read-write" if "write" in rights else "readonly"
                return self._prefix + b"\x02\x02" + var_string(scope)
            case Refused():  # `SyncStatus` says it; in this dialect the Yjs word for it means another thing
                return None
            case _:
                write = yjs.WRITERS.get(type(message))
                frame = None if write is None else write(message)
                return None if frame is None else self._prefix + frame


def _text(reader: Reader, max_bytes: int, what: str) -> str:
    data = reader.buf()
    if len(data) > max_bytes:
        raise ProtocolError(f"{what} has at most {max_bytes} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ProtocolError(f"{what} is not UTF-8") from None
