"""What was taken back before its end: ids of links, of tokens, of users; kept in a file of the data folder.

A revocation of an id stands against every pass with that id which was issued until then; what is issued later is
good. So a user who was sent away may be let in again with a new token, and a room whose links were all ended may be
shared again. An entry is forgotten when everything that it stands against has ended by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from engineroom.errors import DataFolderError, LimitExceeded, StoreError

from .secret_files import write_private
from .visitors import Pass

MAX_REVOCATIONS = 100_000
"""About 10 MB."""

MAX_OF_VISITORS = MAX_REVOCATIONS // 2
"""Where visitors who take back links of their own stop: the rest is for those who look after the rooms."""


class Revocation(msgspec.Struct, frozen=True, array_like=True):
    """Passes issued until `since` are void (None: whenever they were issued); after `until` (None: never) none of
    them would be good anyway.
    """

    since: float | None
    until: float | None


class Revocations:
    """The revocations in force. `load` makes one."""

    def __init__(
        self,
        path: Path | None,
        entries: dict[str, Revocation] | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._entries = entries or {}
        self._clock = clock
        self._writing = asyncio.Lock()

    @classmethod
    def load(cls, path: Path, *, clock: Callable[[], float] = time.time) -> Revocations:
        """Those that are kept in the file; none where there is no file.

        Raises:
            DataFolderError: the file cannot be read. Nothing is let in on a guess.
        """
        try:
            entries = msgspec.json.decode(path.read_bytes(), type=dict[str, Revocation])
        except FileNotFoundError:
            entries = {}
        except (OSError, msgspec.DecodeError) as error:
            raise DataFolderError(f"cannot read what was revoked, in {path}: {error}") from error
        return cls(path, entries, clock=clock)

    def covers(self, each: Pass) -> bool:
        """Whether the pass was taken back."""
        return any(self.holds(one, each.issued) for one in each.ids)

    def holds(self, id: str, issued: float) -> bool:  # noqa: A002
        """Whether what has this id, and was issued then, was taken back."""
        entry = self._entries.get(id)
        return entry is not None and (entry.since is None or issued <= entry.since)

    async def add(
        self,
        id: str,  # noqa: A002
        *,
        until: float | None = None,
        for_good: bool = False,
        of_visitor: bool = False,
    ) -> None:
        """Take back every pass with this id that was issued until now, or, `for_good`, ever: for an id that is given
        once. In force at once, durable when it returns.

        `until` is when the last of those passes ends by itself; None: it may never. `of_visitor` says that it is asked
        by somebody who looks after no room.

        Raises:
            LimitExceeded: too many are in force.
            StoreError: it could not be written: it is in force until the server ends.
        """
        now = self._clock()
        self._forget_ended(now)
        most = MAX_OF_VISITORS if of_visitor else MAX_REVOCATIONS
        if id not in self._entries and len(self._entries) >= most:
            raise LimitExceeded("revocations", most)
        self._entries[id] = Revocation(None if for_good else now, until)
        await self._write()

    def _forget_ended(self, now: float) -> None:
        ended = [
            key
            for key, entry in self._entries.items()
            if entry.until is not None and entry.until < now
        ]
        for key in ended:
            del self._entries[key]

    async def _write(self) -> None:
        if self._path is None:
            return
        async with self._writing:
            data = msgspec.json.encode(self._entries)
            try:
                await asyncio.to_thread(write_private, self._path, data)
            except OSError as error:
                raise StoreError(
                    f"the revocation holds until the server ends: {self._path}: {error.strerror}"
                ) from error
