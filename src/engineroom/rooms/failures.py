"""How long a room that failed stays shut: clients come back at once, and opening costs the most.

A first failure costs nothing. From the second in a row on, the room opens no sooner than after a pause that doubles.
Pure: the time, in seconds of any clock, is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

from .address import Address

FIRST_PAUSE_SECONDS = 1.0
LAST_PAUSE_SECONDS = 30.0
FORGET_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class _Failed:
    times: int
    at: float

    @property
    def until(self) -> float:
        """When the room may open again."""
        if self.times == 1:
            return self.at
        pause = FIRST_PAUSE_SECONDS * 2.0 ** min(self.times - 2, 30)
        return self.at + min(pause, LAST_PAUSE_SECONDS)


class Failures:
    """The rooms that failed lately."""

    def __init__(self) -> None:
        self._failed: dict[Address, _Failed] = {}

    def add(self, address: Address, now: float) -> None:
        """The room at `address` has failed."""
        for each in [a for a, f in self._failed.items() if now - f.at > FORGET_SECONDS]:
            del self._failed[each]
        before = self._failed.get(address)
        self._failed[address] = _Failed(before.times + 1 if before else 1, now)

    def wait_seconds(self, address: Address, now: float) -> float:
        """How long the room at `address` stays shut; 0 when it may open."""
        failed = self._failed.get(address)
        return max(0.0, failed.until - now) if failed else 0.0
