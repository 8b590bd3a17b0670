"""What can go wrong, and the codes with which a socket is closed.

    EngineroomError
    ├── ProtocolError        a client's bytes do not follow its dialect
    ├── AddressError         text that is no room address or value address
    ├── AccessDenied         the visitor may not do this
    ├── LimitExceeded        a bound on what a client can make grow
    ├── RoomClosed           the room ended while something waited for it
    ├── StoreError           the store could not load or append
    ├── DataFolderError      the data folder is unusable, or another server's
    ├── ProgramError         a program could not be started or reached
    ├── PageError            a page that cannot be read
    └── SettingsError        a setting that is not valid

A user's failing code is an *output*, never one of these. Data are in fields, so that callers need not parse text.
"""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """WebSocket close codes. Below 4000: RFC 6455 section 7.4.1; from 4000 up: ours."""

    NORMAL = 1000
    GOING_AWAY = 1001
    UNSUPPORTED_DATA = 1003
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    PROTOCOL_ERROR = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    TOO_SLOW = 4408
    OTHER_HISTORY = 4409
    ROOM_CLOSED = 4410
    LIMIT_EXCEEDED = 4429


class EngineroomError(Exception):
    """The root of every error that Engineroom raises on purpose."""


class ProtocolError(EngineroomError):
    """Bytes that do not follow the dialect; only the client that sent them is closed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AddressError(EngineroomError):
    """Text that is not an address."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text!r} is no address: {reason}")
        self.text = text
        self.reason = reason


class AccessDenied(EngineroomError):
    """The visitor may not do this. `status` is the HTTP status to answer with."""

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class LimitExceeded(EngineroomError):
    """A bound was reached: `limit` names the setting, `allowed` is its value."""

    def __init__(self, limit: str, allowed: float) -> None:
        super().__init__(f"limit reached: {limit} = {allowed:g}")
        self.limit = limit
        self.allowed = allowed


class RoomClosed(EngineroomError):
    """The room ended while something waited for it."""


class StoreError(EngineroomError):
    """The store could not load or append."""


class DataFolderError(EngineroomError):
    """The data folder cannot be written, or another server holds it."""


class ProgramError(EngineroomError):
    """A program could not be started or reached."""


class PageError(EngineroomError):
    """A page that cannot be read, with the file and the line (from 1) where known."""

    def __init__(self, path: str, line: int | None, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}" if line else f"{path}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


class SettingsError(EngineroomError):
    """A setting that is not valid; the message names it and says what is."""
