"""The shell of the stores that live in files: a thread that writes with group commit, and readers
beside it.

It joins a `Writer` (one thread's), a `Reader` (anyone's) and the event loop. Its own concern is
order: what a load sees, and what a caller hears. It knows nothing of what the files look like.

Order: every change goes through one queue. A reading of a document for which something is queued
first waits for that commit, so it sees every change that was called before it, and is never behind
other documents' changes. Cancelling a change stops the waiting, not the change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from math import inf
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from engineroom.errors import StoreError
from engineroom.rooms.storage import DocumentInfo, Record, Stored, StoredDocument, Version
from engineroom.stores.group_commit import GroupCommit, Written
from engineroom.stores.outstanding import Call
from engineroom.stores.promises import (
    DurabilityOf,
    StoreStatistics,
    check_history,
    check_path,
    check_version,
)

logger = logging.getLogger("engineroom.stores")

READERS = 4  # readings at a time; they wait for the disk and hold no lock that a writer needs

Result = TypeVar("Result")


class Writer(Written, Protocol):
    """What changes the files, inside of `transaction()`. A refusal (`StoreError`) comes before
    anything of the refused call is written.
    """

    def append(self, path: str, lineage: str, records: Sequence[Record]) -> None:
        """Add to a document's log."""

    def compact(
        self, path: str, snapshot: bytes, number: int, notes: bytes, history_since: float
    ) -> None:
        """Put a snapshot in place of records."""

    def delete(self, path: str) -> bool:
        """Remove a document."""

    def put_version(self, path: str, version: Version, encoding: bytes) -> None:
        """Keep a version."""

    def rename_version(self, path: str, version: str, name: str) -> bool:
        """Give a version another name."""

    def delete_version(self, path: str, version: str) -> bool:
        """Remove a version."""


class Found(Protocol):
    """A document that was read."""

    @property
    def document(self) -> StoredDocument: ...


FoundT_co = TypeVar("FoundT_co", bound=Found, covariant=True)
FoundT = TypeVar("FoundT", bound=Found)
WriterT = TypeVar("WriterT", bound=Writer)


class Reader(Protocol[FoundT_co]):
    """What reads the files, from any thread."""

    def document(self, path: str) -> FoundT_co | None:
        """A document as it stands."""

    def documents(self, prefix: str) -> list[DocumentInfo]:
        """All documents whose path begins with `prefix`, by path."""

    def history(self, path: str, after: int, limit: int) -> list[Record]:
        """The oldest `limit` records above `after`."""

    def versions(self, path: str) -> list[Version]:
        """The versions of a document, oldest first."""

    def version(self, path: str, version: str) -> bytes | None:
        """The encoding of a version."""


class ThreadedStore(Generic[WriterT, FoundT]):
    """A store of files. Open it with `async with`.

    `durability_of` says for a path whether its appends are synchronised with the disk (`disk`) or
    left to the operating system (`os`). With `alone`, a change that is no append has a commit of
    its own. Without `open_writer` it only reads, and may stand beside a server's.
    """

    def __init__(
        self,
        open_writer: Callable[[], WriterT] | None,
        reader: Reader[FoundT],
        *,
        durability_of: DurabilityOf,
        alone: bool = False,
    ) -> None:
        self._open_writer = open_writer
        self._reader = reader
        self._durability_of = durability_of
        self._alone = alone
        self._writer: GroupCommit[WriterT] | None = None
        self._readers: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        """Open the files.

        Raises:
            StoreError: they cannot be opened, are no store, or were written by a newer Engineroom.
        """
        if self._open_writer is not None:
            writer = GroupCommit(self._open_writer)
            await writer.__aenter__()
            self._writer = writer
        self._readers = ThreadPoolExecutor(READERS, "engineroom-store-reader")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit and report everything that is queued, end the readings, and close the files."""
        assert self._readers is not None
        readers, self._readers = self._readers, None
        if self._writer is not None:
            await self._writer.__aexit__(kind, error, trace)
        await asyncio.to_thread(readers.shutdown)

    async def load(self, path: str) -> StoredDocument | None:
        """See `Store.load`. Damage is logged, and kept aside.

        Raises:
            StoreError: the files cannot be read, or the document's snapshot is damaged.
        """
        found = await self._read_after(path, partial(self._reader.document, path))
        if found is None:
            return None
        if self._writer is not None:
            await self._repair(path, found)
        return found.document

    def append(self, path: str, lineage: str, records: Sequence[Record], stored: Stored) -> None:
        """See `Store.append`. A number out of turn or another lineage is reported to `stored`."""
        size_bytes = sum(len(record.update) for record in records)

        def work(writer: WriterT) -> None:
            writer.append(path, lineage, records)

        try:
            writer = self._open()
            durability = self._durability_of(path)
            call = Call(path, size_bytes, stored)
            writer.submit(call, work, durability=durability, records=len(records))
        except StoreError as error:
            # Closed or crashed: a report all the same, and never inside the call.
            asyncio.get_running_loop().call_soon(stored, error)

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
            lambda writer: writer.compact(path, snapshot, number, notes, history_since),
            size_bytes=len(snapshot),
        )

    async def list_documents(self, prefix: str = "") -> list[DocumentInfo]:
        """See `Store.list_documents`. What is queued is not in it yet.

        Raises:
            StoreError: the files cannot be read.
        """
        return await self._read(partial(self._reader.documents, prefix))

    async def delete(self, path: str) -> bool:
        """See `Store.delete`. In order with appends: what comes after it begins a new document.

        Raises:
            StoreError: nothing has changed.
        """
        check_path(path)
        return await self._change(path, lambda writer: writer.delete(path))

    async def read_history(self, path: str, *, after: int = 0, limit: int = 10_000) -> list[Record]:
        """See `Store.read_history`.

        Raises:
            StoreError: the files cannot be read.
        """
        return await self._read_after(path, partial(self._reader.history, path, after, limit))

    async def put_version(self, path: str, version: Version, encoding: bytes) -> None:
        """See `Store.put_version`."""
        check_version(path, version, encoding)
        await self._change(
            path,
            lambda writer: writer.put_version(path, version, encoding),
            size_bytes=len(encoding),
        )

    async def list_versions(self, path: str) -> list[Version]:
        """See `Store.list_versions`.

        Raises:
            StoreError: the files cannot be read.
        """
        return await self._read_after(path, partial(self._reader.versions, path))

    async def read_version(self, path: str, version: str) -> bytes | None:
        """See `Store.read_version`."""
        return await self._read_after(path, partial(self._reader.version, path, version))

    async def rename_version(self, path: str, version: str, name: str) -> bool:
        """See `Store.rename_version`.

        Raises:
            StoreError: nothing has changed.
        """
        return await self._change(path, lambda writer: writer.rename_version(path, version, name))

    async def delete_version(self, path: str, version: str) -> bool:
        """See `Store.delete_version`.

        Raises:
            StoreError: nothing has changed.
        """
        return await self._change(path, lambda writer: writer.delete_version(path, version))

    def statistics(self) -> StoreStatistics:
        """What the store has to do and has done since it was opened."""
        return self._writer.statistics() if self._writer is not None else StoreStatistics()

    async def _repair(self, path: str, found: FoundT) -> None:
        """Keep aside what was found damaged."""

    def _open(self) -> GroupCommit[WriterT]:
        if self._readers is None:
            raise StoreError("the store is closed")
        if self._writer is None:
            raise StoreError("the store was opened to read alone")
        return self._writer

    async def _change(
        self,
        path: str,
        work: Callable[[WriterT], Result],
        *,
        size_bytes: int = 0,
        fence: bool = False,
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

        self._open().submit(
            Call(path, size_bytes, done),
            lambda writer: results.append(work(writer)),
            durability=self._durability_of(path),
            alone=self._alone and not fence,
            fence=fence,
        )
        return await future

    async def _read_after(self, path: str, read: Callable[[], Result]) -> Result:
        """Read what is there once every earlier change of the document is reported."""
        if self._readers is not None and self._writer is not None and self._writer.concerns(path):
            with suppress(StoreError):  # the commit has failed: what is on disk is the answer
                await self._change(path, lambda writer: None, fence=True)
        return await self._read(read)

    async def _read(self, read: Callable[[], Result]) -> Result:
        if self._readers is None:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, read)
