"""The room's side of its log: numbers, what is not durable yet, and who waits for it.

One append is under way at a time. Records that come meanwhile go with the next one, which is what makes one
commit serve many. A failed append is tried again, with back-off, for as long as the room lives; nobody is
told "stored" before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from engineroom.protocols.messages import Durable, SyncUpdate

from .effects import Append
from .members import MemberId
from .storage import Record

MAX_APPEND_RECORDS = 10_000
FIRST_RETRY_SECONDS = 0.25
LAST_RETRY_SECONDS = 15.0
# What a record takes in a store beside its update, about.
RECORD_BYTES = 32
# The part of its snapshot that the log of an empty room may have behind it.
EMPTY_SHARE = 8


@dataclass(frozen=True, slots=True)
class _Acknowledgement:
    number: int
    member: MemberId
    message: SyncUpdate | Durable
    news: bool


class Log:
    """Records of one document, numbered from `number + 1`."""

    def __init__(
        self, number: int, tail_bytes: int, snapshot_bytes: int, *, keep_all: bool = False
    ) -> None:
        """`number` is the newest in the store, whose log has `tail_bytes` (of records with what stores add to them)
        after a snapshot of `snapshot_bytes`.

        With `keep_all` no snapshot ever takes the log's place: it holds records that the document does not.
        """
        self.number = number
        self.durable = number
        self.tail_bytes = tail_bytes
        self.snapshot_bytes = snapshot_bytes
        self.failing = ""
        self.unstored_bytes = 0
        self._keep_all = keep_all
        self._seeded_only = number == 0
        self._waiting: deque[Record] = deque()
        self._under_way: tuple[Record, ...] = ()
        self._acknowledgements: deque[_Acknowledgement] = deque()
        self._retry_at: float | None = None
        self._retry_seconds = FIRST_RETRY_SECONDS

    def add(self, update: bytes, user: str, now: float, *, seed: bool = False) -> int:
        """A new record; its number. A log that holds nothing but its page's seed is not worth storing yet."""
        self.number += 1
        self._waiting.append(Record(self.number, now, user, update))
        self.tail_bytes += len(update) + RECORD_BYTES
        self.unstored_bytes += len(update)
        if not seed:
            self._seeded_only = False
        return self.number

    def acknowledge(self, member: MemberId, update: bytes, number: int | None = None) -> None:
        """Tell `member` of `update` when all up to `number` (None: up to now) is durable."""
        wanted = self.number if number is None else number
        self._await(_Acknowledgement(wanted, member, SyncUpdate(update), number is not None))

    def check_durable(self, member: MemberId, token: bytes) -> None:
        """Tell `member` `Durable` with this token when all up to now is durable."""
        self._await(_Acknowledgement(self.number, member, Durable(token), False))

    def _await(self, item: _Acknowledgement) -> None:
        wanted = item.number
        if not self._acknowledgements or self._acknowledgements[-1].number <= wanted:
            self._acknowledgements.append(item)
        else:  # an update that waited for its dependency has an older number
            place = bisect_right(self._acknowledgements, wanted, key=lambda each: each.number)
            self._acknowledgements.insert(place, item)

    def forget(self, member: MemberId) -> None:
        """`member` is gone."""
        if any(item.member == member for item in self._acknowledgements):
            kept = (item for item in self._acknowledgements if item.member != member)
            self._acknowledgements = deque(kept)

    def take_acknowledgements(self) -> list[tuple[MemberId, SyncUpdate | Durable, bool, int]]:
        """Those whose records are durable now (or that wait for nothing), whether they brought anything new, and the
        number that they waited for.
        """
        ready: list[tuple[MemberId, SyncUpdate | Durable, bool, int]] = []
        limit = self.number if self._seeded_only else self.durable
        while self._acknowledgements and self._acknowledgements[0].number <= limit:
            item = self._acknowledgements.popleft()
            ready.append((item.member, item.message, item.news, item.number))
        return ready

    def stored(self, number: int) -> bool:
        """All up to `number` is durable; whether that ends a time of failures."""
        self.durable = max(self.durable, number)
        self.unstored_bytes -= sum(len(record.update) for record in self._under_way)
        self._under_way = ()
        recovered = bool(self.failing)
        self.failing, self._retry_at, self._retry_seconds = "", None, FIRST_RETRY_SECONDS
        return recovered

    def failed(self, reason: str, now: float) -> bool:
        """The append under way has failed; whether that is news."""
        self._waiting.extendleft(reversed(self._under_way))
        self._under_way = ()
        self._retry_at = now + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, LAST_RETRY_SECONDS)
        news = not self.failing
        self.failing = reason
        return news

    def next_append(self, now: float) -> Append | None:
        """What is to be handed to the store now."""
        if self._under_way or not self._waiting or self._seeded_only:
            return None
        if self._retry_at is not None and now < self._retry_at:
            return None
        count = min(len(self._waiting), MAX_APPEND_RECORDS)
        self._under_way = tuple(self._waiting.popleft() for _ in range(count))
        return Append(self._under_way)

    def take_rest(self) -> tuple[Record, ...]:
        """What was not handed to the store yet, for a room that ends before its time."""
        rest = () if self._seeded_only else tuple(self._waiting)
        self._waiting.clear()
        return rest

    @property
    def oldest_unstored(self) -> float | None:
        """When the oldest record that is not durable was made (seconds since the epoch); None: all are."""
        if self.settled:
            return None
        waiting = (*self._under_way, *self._waiting)
        return next((record.time for record in waiting if record.time), None)

    @property
    def retry_at(self) -> float | None:
        """When a failed append is tried again."""
        return self._retry_at if self._waiting and not self._under_way else None

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be stored."""
        return self._seeded_only or not (self._waiting or self._under_way)

    def compact_due(self, compact_bytes: int, *, empty: bool = False) -> bool:
        """Whether a snapshot should take the place of the stored log. In an `empty` room it keeps nobody waiting, and
        the next opening is quicker for it: so it comes sooner.
        """
        least = self.snapshot_bytes // EMPTY_SHARE if empty else self.snapshot_bytes
        return self.tail_bytes > max(compact_bytes, least) and self.may_compact

    @property
    def begun(self) -> bool:
        """Whether it holds more than its page's seed, and so is stored, or will be."""
        return not self._seeded_only

    @property
    def may_compact(self) -> bool:
        """Whether a snapshot may take the place of the stored log: everything is on disk, and in the document."""
        return not self._keep_all and self.settled and self.durable > 0

    def compacted(self, snapshot_bytes: int) -> None:
        """A snapshot of this size takes its place."""
        self.snapshot_bytes = snapshot_bytes
        self.tail_bytes = 0
