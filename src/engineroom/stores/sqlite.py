"""The store in one SQLite file: a thread that writes with group commit, and readers beside it.

It joins the parts: `tables` (the file), `group_commit` (the thread), `reading` (loads). Its own
concern is order: what a load sees, and what a caller hears.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from engineroom.errors import StoreError
from engineroom.rooms.storage import DocumentInfo, Record, Stored, StoredDocument
from engineroom.stores.database import Durability, open_database
from engineroom.stores.group_commit import GroupCommit
from engineroom.stores.outstanding import Call
from engineroom.stores.promises import StoreStatistics, check_path
from engineroom.stores.reading import read_document, read_list
from engineroom.stores.tables import Tables

logger = logging.getLogger("engineroom.stores")

READERS = 4  # loads at a time; they wait for the disk and hold no lock that a writer needs

Result = TypeVar("Result")


class SQLiteStore:
    """Documents in the SQLite file at `path` (made with mode 0600). Open it with `async with`.

    With `durability="disk"` what is reported as stored survives a loss of power: the log is
    synchronised at every commit. With `"os"` it survives the end of the process, not of the
    machine. One process at a time: the data folder's lock (`fabric.local`) sees to that.

    Order: every change goes through one queue. A `load` of a document for which something is queued
    first waits for that commit, and reads on a connection of its own afterwards; so it sees every
    append that was called before it, and is never behind other documents' appends.

    Cancelling `compact`, `delete` or `load` stops the waiting, not the change.
    """

    def __init__(self, path: Path, *, durability: Durability = "disk") -> None:
        self._path = path.absolute()
        self._durability: Durability = durability
        self._writer: GroupCommit | None = None
        self._readers: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            StoreError: it cannot be opened, is no store, or was written by a newer Engineroom.
        """
        writer = GroupCommit(self._open_tables)
        await writer.__aenter__()
        self._readers = ThreadPoolExecutor(READERS, "engineroom-store-reader")
        self._writer = writer
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit and report everything that is queued, end the loads, and close the file."""
        assert self._writer is not None
        assert self._readers is not None
        readers, self._readers = self._readers, None
        await self._writer.__aexit__(kind, error, trace)
        await asyncio.to_thread(readers.shutdown)

    async def load(self, path: str) -> StoredDocument | None:
        """See `Store.load`. Damaged records are logged, and moved into the table `quarantine`.

        Raises:
            StoreError: the file cannot be read, or the document's snapshot is damaged.
        """
        if self._writer is not None and self._writer.concerns(path):
            with suppress(StoreError):  # the commit has failed: what is on disk is the answer
                await self._change(path, lambda tables: None)
        reading = await self._read(partial(read_document, self._path, path))
        if reading is None:
            return None
        if reading.damaged_numbers:
            await self._quarantine(path, reading.id, reading.damaged_numbers)
        return reading.document

    def append(self, path: str, lineage: str, records: Sequence[Record], stored: Stored) -> None:
        """See `Store.append`. A number out of turn or another lineage is reported to `stored`."""
        size_bytes = sum(len(record.update) for record in records)
        work = partial(Tables.append, path=path, lineage=lineage, records=records)
        try:
            self._submit(Call(path, size_bytes, stored), work)
        except StoreError as error:
            # Closed or crashed: a report all the same, and never inside the call.
            asyncio.get_running_loop().call_soon(stored, error)

    async def compact(self, path: str, snapshot: bytes, number: int) -> None:
        """See `Store.compact`."""
        work = partial(Tables.compact, path=path, snapshot=snapshot, number=number)
        await self._change(path, work, size_bytes=len(snapshot))

    async def list_documents(self) -> list[DocumentInfo]:
        """See `Store.list_documents`. What is queued is not in it yet.

        Raises:
            StoreError: the file cannot be read.
        """
        return await self._read(partial(read_list, self._path))

    async def delete(self, path: str) -> bool:
        """See `Store.delete`. In order with appends: what comes after it begins a new document.

        Raises:
            StoreError: nothing has changed.
        """
        check_path(path)
        return await self._change(path, partial(Tables.delete, path=path))

    def statistics(self) -> StoreStatistics:
        """What the store has to do and has done since it was opened."""
        return self._writer.statistics() if self._writer is not None else StoreStatistics()

    def _open_tables(self) -> Tables:
        return Tables(open_database(self._path, durability=self._durability))

    def _submit(self, call: Call, work: Callable[[Tables], None]) -> None:
        if self._writer is None:
            raise StoreError("the store is closed")
        self._writer.submit(call, work)

    async def _change(
        self, path: str, work: Callable[[Tables], Result], *, size_bytes: int = 0
    ) -> Result:
        """Do `work` in its turn, and wait for its commit."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        results: list[Result] = []

        def done(error: StoreError | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(results[-1])

        self._submit(Call(path, size_bytes, done), lambda tables: results.append(work(tables)))
        return await future

    async def _read(self, read: Callable[[], Result]) -> Result:
        if self._readers is None:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, read)

    async def _quarantine(self, path: str, identity: int, numbers: tuple[int, ...]) -> None:
        """Move damaged records aside. When that fails, the next load finds them again."""
        logger.error(
            "document %s: %d damaged records were left out and moved aside, the first is %d",
            path,
            len(numbers),
            numbers[0],
        )
        try:
            await self._change(path, partial(Tables.quarantine, document=identity, numbers=numbers))
        except StoreError as error:
            logger.warning("document %s: its damaged records stay in the log: %s", path, error)
