"""What the end of a connection means: try again, or give up, and with which error. A table; nothing is done here."""

from __future__ import annotations

import re
from typing import Any, Final

from pycrdt import Doc

from engineroom.errors import (
    AccessDenied,
    CloseCode,
    EngineroomError,
    LimitExceeded,
    ProtocolError,
)


class ConnectionLost(EngineroomError):
    """The connection ended, or could not be made. The document keeps its changes; they can be sent over another one."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class OtherHistory(EngineroomError):
    """The room's document was made anew, so this replica's history is not the room's: merging would double the text.

    `document` is the replica as it stands, with everything that was changed in it; `unacknowledged` of its changes are
    not known to have been saved. Copy what is wanted from it into a new `Doc`, connected anew.
    """

    def __init__(self, reason: str, document: Doc[Any], unacknowledged: int) -> None:
        super().__init__(reason or "the room's document was made anew")
        self.document = document
        self.unacknowledged = unacknowledged


RETRIED_STATUSES: Final = frozenset({408, 425, 429})
"""Refusals of a handshake, below 500, that say: later. Source: RFC 9110, RFC 8470, RFC 6585."""

_LASTING_LIMITS: Final = frozenset(
    {"update_bytes", "update_structs", "update_deletions", "document_bytes", "document_types"}
)
"""Limits that the same changes would meet again. All others are met by many at once, or by haste."""

_LIMIT: Final = re.compile(r"limit reached: (\w+) = ([\d.e+]+)")


def of_refusal(status: int, reason: str) -> EngineroomError | None:
    """Why a handshake that was refused with `status` is not worth another try; None when it is."""
    if status >= 500 or status in RETRIED_STATUSES:
        return None
    return AccessDenied(reason.strip() or f"the server refused the connection ({status})", status)


def of_close(
    code: int, reason: str, document: Doc[Any], unacknowledged: int
) -> EngineroomError | None:
    """Why a connection that was closed with `code` is not worth another one; None when it is."""
    match code:
        case CloseCode.UNAUTHORIZED:
            return AccessDenied(reason or "the token is not valid (any more)", 401)
        case CloseCode.FORBIDDEN:
            return AccessDenied(reason or "you may not be in this room", 403)
        case CloseCode.OTHER_HISTORY:
            return OtherHistory(reason, document, unacknowledged)
        case CloseCode.PROTOCOL_ERROR | CloseCode.UNSUPPORTED_DATA | 1002 | 1007:
            return ProtocolError(reason or f"the server closed the connection with {code}")
        case CloseCode.TOO_BIG:
            return LimitExceeded(reason or "frame_bytes", 0)
        case CloseCode.LIMIT_EXCEEDED:
            return _of_limit(reason)
    return None


def _of_limit(reason: str) -> EngineroomError | None:
    match = _LIMIT.search(reason)
    if match is None or match[1] not in _LASTING_LIMITS:
        return None
    return LimitExceeded(match[1], float(match[2]))
