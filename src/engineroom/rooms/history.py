"""When a room keeps a version of its document by itself, and which of those go again.

A version is a stored encoding. One is kept after some time of changes, after a pause that follows many, and when the
last member leaves: the moments to which people want to go back. Old ones are thinned out, those with a name never.

Pure: numbers and times come in, decisions come out. What a version holds, and where it is kept, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias

from .limits import RoomLimits
from .storage import Version

Kind: TypeAlias = Literal["time", "activity"]

HOUR = 3_600.0
DAY = 24 * HOUR
# What was there before somebody restored is not thinned out: it may be somebody else's work of a minute ago.
RESTORE_SECONDS = 30 * DAY


@dataclass(frozen=True, slots=True)
class _Age:
    """Of versions younger than `until_seconds`, the newest in every `every_seconds` stays."""

    until_seconds: float
    every_seconds: float


# Like the tides of a backup: one a minute of the last hour, then one an hour, a day, a week.
AGES = (_Age(HOUR, 60.0), _Age(DAY, HOUR), _Age(30 * DAY, DAY), _Age(inf, 7 * DAY))


class History:
    """What has changed since the last version. Asked at every turn of its room, so it keeps its answers ready."""

    def __init__(self, limits: RoomLimits, number: int, *, on: bool) -> None:
        """`number` is the newest of the log at opening; nothing before it counts as a change."""
        self.on = on
        self._limits = limits
        self._number = number
        self._kept_number = number
        self._interval_at: float | None = None
        self._pause_at = inf

    def saw(self, number: int, now: float) -> None:
        """The newest number of the log, after a turn."""
        if number == self._number:
            return
        self._number = number
        if self._interval_at is None:
            self._interval_at = now + self._limits.history_interval_seconds
        if number - self._kept_number >= self._limits.history_pause_updates:
            self._pause_at = now + self._limits.history_pause_seconds

    def due(self, now: float, *, empty: bool) -> Kind | None:
        """Why a version should be kept now; `empty`: nobody is in the room."""
        if self._interval_at is None or not self.on:
            return None
        if now >= self._interval_at:
            return "time"
        return "activity" if empty or now >= self._pause_at else None

    def next_at(self) -> float | None:
        """When `due` should be asked again, if nothing happens before."""
        if self._interval_at is None or not self.on:
            return None
        return min(self._interval_at, self._pause_at)

    def kept(self) -> None:
        """A version of now is being kept, or cannot be."""
        self._kept_number = self._number
        self._interval_at = None
        self._pause_at = inf


def version_id(number: int, kind: str, mark: str = "") -> str:
    """An id for a version: those that a room keeps by itself are told apart by their number; others need a `mark`."""
    return f"{number}-{kind}{'-' if mark else ''}{mark}"


def is_lasting(version: Version) -> bool:
    """Whether a version stays until somebody deletes it."""
    return version.kind == "hand" or bool(version.name)


def thinned_out(versions: Sequence[Version], now: float, limits: RoomLimits) -> list[str]:
    """The ids of the versions that should go: too close together for their age, or past the bounds."""
    passing = [version for version in versions if not is_lasting(version)]
    passing.sort(key=lambda version: (version.time, version.number), reverse=True)
    kept = list(_newest_of_each(passing, now))
    room = limits.versions - (len(versions) - len(passing))
    free = limits.versions_bytes - sum(v.bytes for v in versions if is_lasting(v))
    stay: set[str] = set()
    for version in kept[: max(0, room)]:
        free -= version.bytes
        if free < 0:
            break
        stay.add(version.id)
    return [version.id for version in passing if version.id not in stay]


def _newest_of_each(newest_first: Iterable[Version], now: float) -> Iterable[Version]:
    seen: set[tuple[float, int]] = set()
    for version in newest_first:
        if version.kind == "restore" and now - version.time < RESTORE_SECONDS:
            yield version
            continue
        # What lies in the future, since the clock was set back, is young.
        age = next(each for each in AGES if now - version.time < each.until_seconds)
        slot = (age.every_seconds, int(version.time // age.every_seconds))
        if slot not in seen:
            seen.add(slot)
            yield version
