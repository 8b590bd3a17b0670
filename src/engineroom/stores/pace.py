"""When a commit waits a little, so that it serves more records.

Pure: the times and the sizes of commits go in, a delay comes out. A commit costs a write and a
synchronisation of the disk, for one record as for a hundred. Where records come in a stream, each
commit waits until the one before it is `COMMIT_EVERY_SECONDS` old, and takes with it what has come
by then. Where whoever writes waits for each commit before writing on, waiting would bring nothing
but delay; so it goes on only while commits have company, and is tried now and then. And a commit
that serves many already does not wait for more.
"""

from __future__ import annotations

from math import inf
from typing import Final

COMMIT_EVERY_SECONDS: Final = 0.02
TRY_EVERY: Final = 16  # early commits, of which one waits where the others do not
COMPANY: Final = 1.25  # records a commit, on average, from which waiting pays
ENOUGH: Final = 64  # records, from which a commit's own price no longer counts
WEIGHT: Final = 0.25  # of the newest commit in that average


class Pace:
    """The pace of one writer's commits. Times are in seconds, of a clock that never goes back."""

    __slots__ = ("_average", "_early", "_last")

    def __init__(self) -> None:
        self._last = -inf
        self._average = 1.0
        self._early = 0

    def delay(self, records: int, now: float) -> float:
        """How long the `records` that have come by `now` wait for others; 0: not at all."""
        early_seconds = self._last + COMMIT_EVERY_SECONDS - now
        if early_seconds <= 0 or records >= ENOUGH:
            return 0.0
        self._early += 1
        if self._average < COMPANY and self._early % TRY_EVERY:
            return 0.0
        return early_seconds

    def begin(self, records: int, now: float) -> None:
        """A commit of so many records begins."""
        self._last = now
        self._average += WEIGHT * (records - self._average)
