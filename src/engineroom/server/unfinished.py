"""What sockets hold of messages that have not ended yet, bounded for all of them together.

A message may be large, and a client may send all of it but its last byte and wait. What a socket holds beyond a free
amount is taken from a common purse; strangers, who have not said who they are, have a smaller one of their own.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

FREE_BYTES = 64 << 10
STRANGER_BYTES = 1 << 20
NO_BOUND = 1 << 62


class Purse(Protocol):
    """Bytes that some sockets may hold together."""

    def queue(self, size_bytes: int) -> bool:
        """Keep so much; False, and nothing is kept, when it is too much."""

    def unqueue(self, size_bytes: int) -> None:
        """It is not kept any longer."""


class CommonPurse:
    """The purse of all whose visitors are known: `unfinished_bytes`."""

    def __init__(self, limit_bytes: int, reached: Counter[str] | None = None) -> None:
        self._limit_bytes = limit_bytes
        self._reached: Counter[str] = Counter() if reached is None else reached
        self.queued_bytes = 0

    def queue(self, size_bytes: int) -> bool:
        """Keep so much; False, and nothing is kept, when it is too much."""
        if self.queued_bytes + size_bytes > self._limit_bytes:
            self._reached["unfinished_bytes"] += 1
            return False
        self.queued_bytes += size_bytes
        return True

    def unqueue(self, size_bytes: int) -> None:
        """It is not kept any longer."""
        self.queued_bytes -= size_bytes


class Unfinished:
    """One socket's unfinished message."""

    __slots__ = ("_counted", "_held", "_most_bytes", "_purse")

    def __init__(self, purse: Purse, most_bytes: int) -> None:
        """`most_bytes` is what this socket alone may hold."""
        self._purse = purse
        self._most_bytes = most_bytes
        self._held = self._counted = 0

    def grow(self, size_bytes: int) -> bool:
        """So much more was read; False when that is more than the purse has."""
        self._held += size_bytes
        if self._held <= FREE_BYTES:
            return True
        more = self._held - self._counted
        if self._held > self._most_bytes or not self._purse.queue(more):
            return False
        self._counted += more
        return True

    def end(self) -> None:
        """The message has ended, or the socket has."""
        self._held = 0
        if self._counted:
            self._purse.unqueue(self._counted)
            self._counted = 0

    def move(self, purse: Purse, most_bytes: int) -> bool:
        """Hold it against another purse from now on; False when that is full."""
        self._most_bytes = most_bytes
        counted = self._counted
        if counted and not purse.queue(counted):
            return False
        self._purse.unqueue(counted)
        self._purse = purse
        return True
