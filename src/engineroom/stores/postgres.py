"""The store in a PostgreSQL database: one task that writes for all documents, and readers beside
it.

Its own concern is order, and what a caller hears: what is queued while the task commits goes into
its next commit, whatever the document. A connection that is lost fails what is queued, so that
rooms say so and try again; it is opened anew with back-off. `postgres_writing` changes the tables,
`postgres_reading` reads them, `postgres_schema` opens them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Self, TypeVar

import asyncpg

from engineroom.errors import StoreError
from engineroom.rooms.storage import DocumentInfo, Record, Stored, StoredDocument, Version
from engineroom.stores.outstanding import Call, Outstanding
from engineroom.stores.postgres_reading import (
    Reading,
    read_document,
    read_history,
    read_list,
    read_version,
    read_versions,
)
from engineroom.stores.postgres_schema import (
    COMMAND_SECONDS,
    CONNECT_SECONDS,
    FAILED,
    LOST,
    AnyConnection,
    Connection,
    connect,
    describe_url,
    explain,
    prepare,
    set_durability,
)
from engineroom.stores.postgres_writing import Append, PostgresWriter
from engineroom.stores.promises import (
    Durability,
    DurabilityOf,
    StoreStatistics,
    check_history,
    check_path,
    check_version,
    check_version_name,
)

logger = logging.getLogger("engineroom.stores")

READERS = 4
COMMIT_CALLS = 5_000  # of one commit; the next takes the rest
FIRST_RETRY_SECONDS = 0.25
LAST_RETRY_SECONDS = 5.0
CLOSE_SECONDS = 5.0

Result = TypeVar("Result")


@dataclass(slots=True)
class _Change:
    """Another call than `append` on its way."""

    path: str
    work: Callable[[Connection], Awaitable[None]]
    refusal: StoreError | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """A `fence` changes nothing: that it was committed does not tell that the store can be written."""

    item: Append | _Change
    durability: Durability
    fence: bool = False


class PostgresStore:
    """Documents in the database at `url` (`postgres://user:password@host:port/database`). Open it
    with `async with`.

    With `durability="disk"` what is reported as stored is in the database's own log on disk; with
    `"os"` the database may lose its last moments when it crashes (`synchronous_commit = off`).
    `durability_of` may say it for each path. Several servers may have one database; a document is
    written by one of them at a time, the other one's appends are refused (see `postgres_writing`).

    Order is `ThreadedStore`'s. When a connection is lost in a commit, its calls are reported as
    failed although the database may have committed them; the same records are then recognised when
    they come again. Cancelling a change stops the waiting, not the change.
    """

    def __init__(
        self,
        url: str,
        *,
        durability: Durability = "disk",
        durability_of: DurabilityOf | None = None,
        read_only: bool = False,
    ) -> None:
        self._url = url
        self._durability_of = durability_of or (lambda path: durability)
        self._read_only = read_only
        self._writer = PostgresWriter()
        self._outstanding = Outstanding()
        self._jobs: list[_Job] = []
        self._news = asyncio.Event()
        self._commits = 0
        self._failed_commits = 0
        self._failing = False
        self._open = False
        self._connection: Connection | None = None
        self._connection_durability: Durability | None = None
        self._retry_at = 0.0
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect, and bring the schema up to date.

        Raises:
            StoreError: the database cannot be reached, or was written by a newer Engineroom.
        """
        connection = await connect(self._url)
        try:
            await prepare(connection, read_only=self._read_only)
        except FAILED as error:
            connection.terminate()
            raise StoreError(
                f"cannot open the store {describe_url(self._url)}: {explain(error)}"
            ) from error
        except BaseException:
            connection.terminate()
            raise
        self._connection, self._connection_durability = connection, None
        self._pool = asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=READERS,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings={"application_name": "engineroom"},
        )
        await self._pool
        self._open = True
        self._commits = self._failed_commits = 0
        self._news.clear()
        self._task = asyncio.create_task(self._serve(), name="engineroom-store")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit and report everything that is queued, end the readings, and disconnect."""
        assert self._task is not None
        assert self._pool is not None
        self._open = False
        self._news.set()
        await asyncio.shield(self._task)
        pool, self._pool = self._pool, None
        try:
            await asyncio.wait_for(pool.close(), CLOSE_SECONDS)
        except FAILED:
            pool.terminate()
        await self._disconnect()

    async def load(self, path: str) -> StoredDocument | None:
        """See `Store.load`. Damaged records are logged, and moved into the table `quarantine`.

        Raises:
            StoreError: the database cannot be read, or the document's snapshot is damaged.
        """
        check_path(path)
        found = await self._read_after(path, lambda connection: read_document(connection, path))
        if found is None:
            return None
        if found.damaged_numbers and not self._read_only:
            await self._quarantine(path, found)
        return found.document

    def append(self, path: str, lineage: str, records: Sequence[Record], stored: Stored) -> None:
        """See `Store.append`. A number out of turn or another lineage is reported to `stored`."""
        try:
            self._check_open()
        except StoreError as error:
            # Closed: a report all the same, and never inside the call.
            asyncio.get_running_loop().call_soon(stored, error)
            return
        size_bytes = sum(len(record.update) for record in records)
        job = _Job(Append(path, lineage, records), self._durability_of(path))
        self._submit(Call(path, size_bytes, stored), job)

    async def compact(
        self,
        path: str,
        snapshot: bytes,
        number: int,
        *,
        notes: bytes = b"",
        history_since: float = inf,
    ) -> None:
        """See `Store.compact`."""
        check_history(history_since)
        await self._change(
            path,
            lambda c: self._writer.compact(c, path, snapshot, number, notes, history_since),
            size_bytes=len(snapshot),
        )

    async def list_documents(self, prefix: str = "") -> list[DocumentInfo]:
        """See `Store.list_documents`. What is queued is not in it yet.

        Raises:
            StoreError: the database cannot be read.
        """
        return await self._read(lambda connection: read_list(connection, prefix))

    async def delete(self, path: str) -> bool:
        """See `Store.delete`. In order with appends: what comes after it begins a new document.

        Raises:
            StoreError: nothing has changed.
        """
        check_path(path)
        return await self._change(path, lambda c: self._writer.delete(c, path))

    async def read_history(self, path: str, *, after: int = 0, limit: int = 10_000) -> list[Record]:
        """See `Store.read_history`.

        Raises:
            StoreError: the database cannot be read.
        """
        check_path(path)
        return await self._read_after(path, lambda c: read_history(c, path, after, limit))

    async def put_version(self, path: str, version: Version, encoding: bytes) -> None:
        """See `Store.put_version`."""
        check_version(path, version, encoding)
        await self._change(
            path,
            lambda c: self._writer.put_version(c, path, version, encoding),
            size_bytes=len(encoding),
        )

    async def list_versions(self, path: str) -> list[Version]:
        """See `Store.list_versions`.

        Raises:
            StoreError: the database cannot be read.
        """
        check_path(path)
        return await self._read_after(path, lambda c: read_versions(c, path))

    async def read_version(self, path: str, version: str) -> bytes | None:
        """See `Store.read_version`."""
        check_path(path)
        return await self._read_after(path, lambda c: read_version(c, path, version))

    async def rename_version(self, path: str, version: str, name: str) -> bool:
        """See `Store.rename_version`.

        Raises:
            StoreError: nothing has changed.
        """
        check_version_name(path, name)
        return await self._change(
            path, lambda c: self._writer.rename_version(c, path, version, name)
        )

    async def delete_version(self, path: str, version: str) -> bool:
        """See `Store.delete_version`.

        Raises:
            StoreError: nothing has changed.
        """
        check_path(path)
        return await self._change(path, lambda c: self._writer.delete_version(c, path, version))

    def statistics(self) -> StoreStatistics:
        """What the store has to do and has done since it was opened."""
        outstanding = self._outstanding
        return StoreStatistics(
            len(outstanding), outstanding.size_bytes, self._commits, self._failed_commits
        )

    # --- calls -------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError("the store is closed")
        if self._read_only:
            raise StoreError("the store was opened to read alone")

    def _submit(self, call: Call, job: _Job) -> None:
        self._outstanding.add(call)
        self._jobs.append(job)
        self._news.set()

    async def _change(
        self,
        path: str,
        work: Callable[[Connection], Awaitable[Result]],
        *,
        size_bytes: int = 0,
        fence: bool = False,
    ) -> Result:
        """Do `work` in its turn, and wait for its commit."""
        self._check_open()
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        results: list[Result] = []

        async def run(connection: Connection) -> None:
            results.append(await work(connection))

        def done(error: StoreError | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(results[-1])

        job = _Job(_Change(path, run), self._durability_of(path), fence)
        self._submit(Call(path, size_bytes, done), job)
        return await future

    async def _read_after(
        self, path: str, read: Callable[[AnyConnection], Awaitable[Result]]
    ) -> Result:
        """Read what is there once every earlier change of the document is reported."""
        if self._open and self._outstanding.concerns(path):
            with suppress(StoreError):  # the commit has failed: what is on disk is the answer
                await self._change(path, _nothing, fence=True)
        return await self._read(read)

    async def _read(self, read: Callable[[AnyConnection], Awaitable[Result]]) -> Result:
        """Read in one moment, on a connection of its own."""
        if self._pool is None or not self._open:
            raise StoreError("the store is closed")
        try:
            async with self._pool.acquire(timeout=CONNECT_SECONDS) as connection:
                transaction = connection.transaction(isolation="repeatable_read", readonly=True)
                async with transaction:
                    return await read(connection)
        except FAILED as error:
            raise StoreError(
                f"cannot read the store {describe_url(self._url)}: {explain(error)}"
            ) from error

    async def _quarantine(self, path: str, found: Reading) -> None:
        """Move damaged records aside. When that fails, the next load finds them again."""
        numbers = found.damaged_numbers
        logger.error(
            "document %s: %d damaged records were left out and moved aside, the first is %d",
            path,
            len(numbers),
            numbers[0],
        )
        try:
            await self._change(path, lambda c: self._writer.quarantine(c, found.id, numbers))
        except StoreError as error:
            logger.warning("document %s: its damaged records stay in the log: %s", path, error)

    # --- the task ----------------------------------------------------------------------------

    async def _serve(self) -> None:
        while self._open or self._jobs:
            if not self._jobs:
                await self._news.wait()
                self._news.clear()
            jobs, self._jobs = self._jobs[:COMMIT_CALLS], self._jobs[COMMIT_CALLS:]
            if jobs:
                self._report(jobs, await self._try_commit(jobs))

    def _report(self, jobs: Sequence[_Job], failure: str | None) -> None:
        if failure is None:
            self._commits += 1
        else:
            self._failed_commits += 1
        if failure is not None or not all(job.fence for job in jobs):
            self._log_change(failure)
        for job in jobs:
            refusal = job.item.refusal
            self._outstanding.report_next(refusal or (StoreError(failure) if failure else None))

    def _log_change(self, failure: str | None) -> None:
        """Log the first of many failed commits, and the end of them: callers try again and again."""
        if failure is not None and not self._failing:
            logger.error("%s", failure)
        elif failure is None and self._failing:
            logger.warning("the store can be written again")
        self._failing = failure is not None

    async def _try_commit(self, jobs: Sequence[_Job]) -> str | None:
        """Do all `jobs` in one commit; why it failed, else None."""
        try:
            connection = await self._connected()
        except StoreError as error:
            return str(error)
        try:
            await self._prepare_commit(connection, jobs)
            async with connection.transaction():
                await self._carry_out(connection, jobs)
        except Exception as error:
            self._writer.forget()
            if not isinstance(error, FAILED):
                logger.exception("a fault in the store")
            if isinstance(error, LOST) or connection.is_closed():
                self._writer.doubt([j.item.path for j in jobs if isinstance(j.item, Append)])
                self._lose()
            return f"the store could not be written: {explain(error)}"
        return None

    async def _prepare_commit(self, connection: Connection, jobs: Sequence[_Job]) -> None:
        durability: Durability = "os"
        if any(job.durability == "disk" for job in jobs):
            durability = "disk"
        if durability != self._connection_durability:
            await set_durability(connection, durability)
            self._connection_durability = durability

    async def _carry_out(self, connection: Connection, jobs: Sequence[_Job]) -> None:
        """All jobs in order; appends that follow each other together."""
        appends: list[Append] = []
        for job in jobs:
            if isinstance(job.item, Append):
                appends.append(job.item)
                continue
            if appends:
                await self._writer.append(connection, appends)
                appends = []
            try:
                await job.item.work(connection)
            except StoreError as refusal:
                job.item.refusal = refusal
        if appends:
            await self._writer.append(connection, appends)

    # --- the connection ----------------------------------------------------------------------

    async def _connected(self) -> Connection:
        """The connection that writes, opened anew when it was lost and it is time.

        Raises:
            StoreError: there is none now.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        now = asyncio.get_running_loop().time()
        if now < self._retry_at:
            raise StoreError(
                f"the database {describe_url(self._url)} cannot be reached; it is tried again in "
                f"{self._retry_at - now:.1f} s"
            )
        self._writer.forget()
        try:
            self._connection = await connect(self._url)
        except StoreError:
            self._retry_at = asyncio.get_running_loop().time() + self._retry_seconds
            self._retry_seconds = min(2 * self._retry_seconds, LAST_RETRY_SECONDS)
            raise
        self._connection_durability = None
        self._retry_seconds = FIRST_RETRY_SECONDS
        return self._connection

    def _lose(self) -> None:
        """Give up a connection that does not answer as it should."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=CLOSE_SECONDS)
            except FAILED:
                connection.terminate()


async def _nothing(connection: Connection) -> None:
    """Work that changes nothing."""
