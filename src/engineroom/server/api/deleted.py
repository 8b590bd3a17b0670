"""Addresses whose document was deleted: nobody joins there until it is created anew.

Clients that still hold a deleted document come back by themselves, and would bring all of it back. So an address
stays shut for `KEEP_SECONDS` after the deletion, and while one is under way. Who creates the document anew opens it:
its history is another one then, and old clients are known by theirs.

It knows addresses and rows; it knows no rooms.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from engineroom.rooms.address import Address
from engineroom.server.small_database import SmallDatabase

KEEP_SECONDS = 30 * 24 * 3600.0
SCHEMA = """
CREATE TABLE deleted (document TEXT PRIMARY KEY, made REAL NOT NULL) WITHOUT ROWID
"""

Plan = TypeVar("Plan")


class Deleted(Generic[Plan]):
    """The shut addresses. In front of `plan_of`, which says what a room is made from: here there is none."""

    def __init__(
        self,
        database: SmallDatabase,
        plan_of: Callable[[Address], Plan | None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._plan_of = plan_of
        self._clock = clock
        self._shut: dict[str, float] = {}
        self._going: Counter[str] = Counter()
        self._opening: Counter[str] = Counter()

    async def load(self) -> None:
        """Read which addresses are shut; before the first room opens.

        Raises:
            StoreError: they cannot be read.
        """
        since = self._clock() - KEEP_SECONDS

        def work(connection: sqlite3.Connection) -> list[tuple[str, float]]:
            connection.execute("DELETE FROM deleted WHERE made < ?", (since,))
            return connection.execute("SELECT document, made FROM deleted").fetchall()

        self._shut = dict(await self._database.run(work))

    def plan_of(self, address: Address) -> Plan | None:
        """What the room at `address` is made from; None where there is none, or no more."""
        return None if self.shut(address) else self._plan_of(address)

    def shut(self, address: Address) -> bool:
        """Whether nobody may join there now."""
        path = str(address)
        if self._going[path]:
            return True
        made = self._shut.get(path)
        return made is not None and self._clock() - made < KEEP_SECONDS and not self._opening[path]

    @contextmanager
    def going(self, address: Address) -> Iterator[None]:
        """While its document is being deleted."""
        with _counted(self._going, str(address)):
            yield

    @contextmanager
    def opening(self, address: Address) -> Iterator[None]:
        """While its document is being created anew."""
        with _counted(self._opening, str(address)):
            yield

    async def add(self, address: Address) -> None:
        """Its document is deleted.

        Raises:
            StoreError: that cannot be written down.
        """
        path, now = str(address), self._clock()
        await self._database.run(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO deleted VALUES (?, ?)", (path, now)
            )
        )
        self._shut[path] = now

    async def remove(self, address: Address) -> None:
        """Its document was created anew.

        Raises:
            StoreError: that cannot be written down.
        """
        path = str(address)
        if path in self._shut:
            await self._database.run(
                lambda connection: connection.execute(
                    "DELETE FROM deleted WHERE document = ?", (path,)
                )
            )
            self._shut.pop(path, None)


@contextmanager
def _counted(counter: Counter[str], path: str) -> Iterator[None]:
    counter[path] += 1
    try:
        yield
    finally:
        counter[path] -= 1
        if not counter[path]:
            del counter[path]
