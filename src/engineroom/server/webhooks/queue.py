"""What is to be delivered, on disk, and of which number of each document was told last.

An event and the mark that it was queued are one transaction; so a document whose log is longer than its mark has not
been told of. A change that waits takes the place of an older one of the same document: receivers that were away for
long hear of each document once. What is given up stays as a dead letter, for a while and in a bounded number.

It knows rows; it knows no network and no rooms.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from engineroom.server.small_database import SmallDatabase

MAX_WAITING = 100_000
MAX_DEAD = 1_000
KEEP_DEAD_SECONDS = 30 * 24 * 3600.0
FILE_NAME = "webhooks.sqlite"
VERSION = 1
SCHEMA = """
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    event TEXT NOT NULL,
    document TEXT NOT NULL,
    body BLOB NOT NULL,
    made REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    dead INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX deliveries_by_due ON deliveries (webhook, dead, due);
CREATE INDEX deliveries_by_document ON deliveries (webhook, document, event, dead);
CREATE TABLE marks (
    webhook TEXT NOT NULL,
    document TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (webhook, document)
) WITHOUT ROWID;
CREATE TABLE webhooks (id TEXT PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID
"""

_COLUMNS = "number, webhook, id, event, document, body, made, attempts, due, error"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row. Times are in seconds since the epoch; `error` is why the last attempt failed."""

    number: int
    webhook: str
    id: str
    event: str
    document: str
    body: bytes
    made: float
    attempts: int
    due: float
    error: str


@dataclass(frozen=True, slots=True)
class Letter:
    """An event for one webhook. `mark` is the number of the document that it tells of; None leaves it, 0 removes it."""

    webhook: str
    id: str
    event: str
    document: str
    body: bytes
    mark: int | None = None


class Queue:
    """The queue of a server: `async with Queue(database) as queue`."""

    def __init__(self, database: SmallDatabase, *, clock: Callable[[], float] = time.time) -> None:
        """`database` has the tables of `SCHEMA`; it is opened and closed with the queue."""
        self._database = database
        self._clock = clock
        self._under_way: set[int] = set()
        self.waiting = 0
        self.dead = 0

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        await self._count()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._database.__aexit__(kind, error, trace)

    # --- in ----------------------------------------------------------------------------------

    async def put(self, letters: Iterable[Letter]) -> int:
        """Queue events, durably; how many found no place.

        Raises:
            StoreError: none was queued.
        """
        now, busy = self._clock(), frozenset(self._under_way)

        def work(connection: sqlite3.Connection) -> int:
            (waiting,) = connection.execute(
                "SELECT count(*) FROM deliveries WHERE dead = 0"
            ).fetchone()
            left_out = 0
            for letter in letters:
                if waiting >= MAX_WAITING:
                    left_out += 1
                    continue
                waiting += _put(connection, letter, now, busy)
            return left_out

        left_out = await self._database.run(work)
        await self._count()
        return left_out

    async def reconcile(
        self, webhook: str, documents: Mapping[str, int], *, forget: bool
    ) -> tuple[dict[str, int], list[str]]:
        """What was not told of `documents` (address to newest number): those that are newer than their mark, with the
        mark (0: none), and those that are gone.

        A webhook that is seen for the first time is told of nothing: its marks begin with what there is. With
        `forget`, the marks of what is gone go too; otherwise they go when that is told.

        Raises:
            StoreError: the marks cannot be read.
        """
        now = self._clock()

        def work(connection: sqlite3.Connection) -> tuple[dict[str, int], list[str]]:
            new = connection.execute(
                "INSERT OR IGNORE INTO webhooks VALUES (?, ?)", (webhook, now)
            ).rowcount
            if new:
                rows = [(webhook, path, number) for path, number in documents.items()]
                connection.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", rows)
                return {}, []
            marks: dict[str, int] = dict(
                connection.execute(
                    "SELECT document, number FROM marks WHERE webhook = ?", (webhook,)
                )
            )
            newer = {p: marks.get(p, 0) for p, n in documents.items() if n > marks.get(p, 0)}
            gone = [path for path in marks if path not in documents]
            if forget:
                connection.executemany(
                    "DELETE FROM marks WHERE webhook = ? AND document = ?",
                    [(webhook, path) for path in gone],
                )
            return newer, gone

        return await self._database.run(work)

    # --- out ---------------------------------------------------------------------------------

    async def take_due(self, webhook: str, limit: int) -> tuple[list[Delivery], float | None]:
        """Up to `limit` deliveries that are due, oldest first, and when the next one is due (None: nothing waits).

        What was taken is under way until `done`, `retry` or `give_up`, or the end of the process.

        Raises:
            StoreError: they cannot be read.
        """
        now, busy = self._clock(), frozenset(self._under_way)

        def work(connection: sqlite3.Connection) -> list[Delivery]:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM deliveries WHERE webhook = ? AND dead = 0"  # noqa: S608
                " ORDER BY due, number LIMIT ?",
                (webhook, limit + len(busy) + 1),
            )
            return [Delivery(*row) for row in rows if row[0] not in busy]

        found = await self._database.run(work)
        due = [each for each in found if each.due <= now][:limit]
        self._under_way.update(each.number for each in due)
        later = [each.due for each in found[len(due) :]]
        return due, min(later, default=None)

    async def done(self, delivery: Delivery) -> None:
        """It was taken.

        Raises:
            StoreError: it stays, and will be delivered again.
        """
        await self._settle(delivery, "DELETE FROM deliveries WHERE number = ?", ())

    async def retry(self, delivery: Delivery, *, due: float, error: str) -> None:
        """It was not taken; it is tried again when it is `due`.

        Raises:
            StoreError: it stays as it was.
        """
        sql = "UPDATE deliveries SET attempts = attempts + 1, due = ?, error = ? WHERE number = ?"
        await self._settle(delivery, sql, (due, error))

    async def give_up(self, delivery: Delivery, *, error: str) -> None:
        """It is not tried again by itself; it becomes a dead letter.

        Raises:
            StoreError: it stays as it was.
        """
        sql = "UPDATE deliveries SET attempts = attempts + 1, dead = 1, error = ? WHERE number = ?"
        await self._settle(delivery, sql, (error,))
        await self._prune_dead()

    # --- for people --------------------------------------------------------------------------

    async def dead_letters(self, limit: int = 100) -> list[Delivery]:
        """The newest dead letters.

        Raises:
            StoreError: they cannot be read.
        """
        return await self._database.run(
            lambda connection: [
                Delivery(*row)
                for row in connection.execute(
                    f"SELECT {_COLUMNS} FROM deliveries WHERE dead = 1"  # noqa: S608
                    " ORDER BY number DESC LIMIT ?",
                    (limit,),
                )
            ]
        )

    async def revive(self, number: int) -> bool:
        """Try a dead letter again, now; whether there was one.

        Raises:
            StoreError: it stays dead.
        """
        sql = "UPDATE deliveries SET dead = 0, attempts = 0, due = ? WHERE number = ? AND dead = 1"
        now = self._clock()
        count = await self._database.run(lambda c: c.execute(sql, (now, number)).rowcount)
        await self._count()
        return bool(count)

    async def discard(self, number: int) -> bool:
        """Remove a dead letter; whether there was one.

        Raises:
            StoreError: it stays.
        """
        sql = "DELETE FROM deliveries WHERE number = ? AND dead = 1"
        count = await self._database.run(lambda c: c.execute(sql, (number,)).rowcount)
        await self._count()
        return bool(count)

    # --- inside ------------------------------------------------------------------------------

    async def _settle(self, delivery: Delivery, sql: str, values: tuple[object, ...]) -> None:
        try:
            await self._database.run(lambda c: c.execute(sql, (*values, delivery.number)))
        finally:
            self._under_way.discard(delivery.number)
        await self._count()

    async def _prune_dead(self) -> None:
        since = self._clock() - KEEP_DEAD_SECONDS

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM deliveries WHERE dead = 1 AND made < ?", (since,))
            connection.execute(
                "DELETE FROM deliveries WHERE dead = 1 AND number NOT IN"
                " (SELECT number FROM deliveries WHERE dead = 1 ORDER BY number DESC LIMIT ?)",
                (MAX_DEAD,),
            )

        await self._database.run(work)
        await self._count()

    async def _count(self) -> None:
        counts: dict[int, int] = await self._database.run(
            lambda c: dict(c.execute("SELECT dead, count(*) FROM deliveries GROUP BY dead"))
        )
        self.waiting, self.dead = counts.get(0, 0), counts.get(1, 0)


def _put(connection: sqlite3.Connection, letter: Letter, now: float, busy: frozenset[int]) -> int:
    """Queue one event and set its mark; how many more wait then."""
    place = (letter.webhook, letter.document)
    if letter.mark:
        connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", (*place, letter.mark))
    elif letter.mark == 0:
        connection.execute("DELETE FROM marks WHERE webhook = ? AND document = ?", place)
    if letter.event == "change":
        rows = connection.execute(
            "SELECT number FROM deliveries"
            " WHERE webhook = ? AND document = ? AND event = 'change' AND dead = 0",
            place,
        )
        for (number,) in rows.fetchall():
            if number not in busy:
                sql = "UPDATE deliveries SET id = ?, body = ? WHERE number = ?"
                connection.execute(sql, (letter.id, letter.body, number))
                return 0
    connection.execute(
        "INSERT INTO deliveries (webhook, id, event, document, body, made, due)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (letter.webhook, letter.id, letter.event, letter.document, letter.body, now, now),
    )
    return 1
