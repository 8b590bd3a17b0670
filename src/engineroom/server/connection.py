"""What a transport and a room are to each other, and the bounds of a transport.

A transport gives its room a `Connection`, which rooms declare, and is given a `Membership`.
Declared here, so that the transports need neither each other nor the inside of rooms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engineroom.errors import CloseCode
from engineroom.rooms.counters import Counters

# RFC 6455, section 5.5: a control frame carries at most 125 bytes, two of which are a close frame's
# code.
MAX_CLOSE_REASON_BYTES = 123


class Membership(Protocol):
    """One member, as its transport sees it."""

    def receive(self, frame: bytes) -> None:
        """A whole binary message from the client; never waits."""

    def paused(self) -> None:
        """What waits to be written has crossed the high mark."""

    def resumed(self) -> None:
        """What waits to be written has fallen below the low mark."""

    def leave(self) -> None:
        """The socket is gone. May be called again."""


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """The bounds of one socket: `frame_bytes` for a whole message, `unfinished_bytes` for
    what all sockets together hold of messages that have not ended, the marks of what waits to be
    written, times in seconds.
    """

    frame_bytes: int = 17 << 20
    unfinished_bytes: int = 512 << 20
    write_high_bytes: int = 256 << 10
    write_low_bytes: int = 64 << 10
    handshake_timeout_seconds: float = 10.0
    close_timeout_seconds: float = 3.0
    ping_idle_seconds: float = 30.0
    ping_reply_seconds: float = 20.0


def count_close(counters: Counters, code: int) -> None:
    """A transport has closed its socket with this code by itself: its client broke the rules of WebSockets."""
    counters.closes[code] += 1
    if code == CloseCode.TOO_BIG:
        counters.limits["max_frame_bytes"] += 1


def close_reason(text: str) -> str:
    """`text`, cut so that it fits into a close frame."""
    return text.encode()[:MAX_CLOSE_REASON_BYTES].decode("utf-8", "ignore")
