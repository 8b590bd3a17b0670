"""How much of something a member may do in a second.

A token bucket: it fills at a rate, holds what two seconds bring, and is empty when somebody takes more. Time is
passed in; time that goes backwards adds nothing.
"""

from __future__ import annotations

BURST_SECONDS = 2.0


class Allowance:
    """`per_second` units a second, and at most two seconds' worth at once."""

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._most = self._left = per_second * BURST_SECONDS
        self._at = now

    def take(self, units: float, now: float) -> bool:
        """Use `units`; False when that is more than there is. A full bucket lets a single larger piece through."""
        left = self._left
        if now > self._at:
            left = min(self._most, left + (now - self._at) * self._per_second)
        self._at = now
        if units > left and left < self._most:
            self._left = left
            return False
        self._left = left - units
        return True
