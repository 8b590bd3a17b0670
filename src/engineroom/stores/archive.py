"""An archive behind another store: copies of its documents in object storage, S3-compatible or any
other that obstore knows.

It knows a store and a place for objects; nothing of CRDTs. A copy is the whole document, snapshot
and tail, in the form of `file_format`, so that it carries its own checksums:

    <name of the path>/<name of the lineage>-<newest number>.log

A document is copied after each compaction, and by a sweep when it has changed in any way. What
fails is reported and tried again with the next sweep: nobody waits for the archive, and it never
fails an append. The copies of a document that the inner store does not have are read when it is
loaded: there nothing but an answer will do, for an archive that cannot be read may have it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Self
from weakref import WeakValueDictionary

import obstore
from obstore.exceptions import BaseError

from engineroom.errors import StoreError
from engineroom.rooms.storage import DocumentInfo, Record, Stored, StoredDocument, Version
from engineroom.stores.choice import OpenableStore
from engineroom.stores.file_format import (
    IDENTITY_BYTES,
    Heading,
    Held,
    Kind,
    encode_frame,
    encode_heading,
)
from engineroom.stores.file_names import LOG, file_name
from engineroom.stores.file_reading import parse_log
from engineroom.stores.promises import StoreStatistics

if TYPE_CHECKING:
    from obstore.store import ObjectStore

logger = logging.getLogger("engineroom.stores")

KEPT = 2  # copies of one lineage: should the newest turn out damaged, there is another
CONCURRENCY = 4
REQUEST_SECONDS = 60.0

_FAILED = (BaseError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class ArchiveStatistics:
    """What the archive has done since the opening, and what waits for it."""

    copies: int = 0
    failures: int = 0
    restored: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class _Copy:
    key: str
    name: str
    lineage: str
    number: int
    modified: datetime


class ArchivedStore:
    """`inner`, with copies in `objects`. `async with` opens and closes `inner` too.

    `sweep_seconds` is how often changed documents are looked for. What is not copied at the end is
    found by the first sweep after the next opening.
    """

    def __init__(
        self, inner: OpenableStore, objects: ObjectStore, *, sweep_seconds: float = 300.0
    ) -> None:
        self._inner = inner
        self._objects = objects
        self._sweep_seconds = sweep_seconds
        self._waiting: dict[str, None] = {}
        self._archived: dict[str, tuple[str, int]] | None = None
        self._news = asyncio.Event()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._copies = self._failures = self._restored = 0
        self._failing = False
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the inner store. The archive need not be there yet.

        Raises:
            StoreError: the inner store cannot be opened.
        """
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(self._inner)
            tasks = await exits.enter_async_context(asyncio.TaskGroup())
            task = tasks.create_task(self._serve(), name="engineroom-archive")
            exits.callback(task.cancel)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop copying, and close the inner store."""
        await self._exits.__aexit__(kind, error, trace)

    async def load(self, path: str) -> StoredDocument | None:
        """See `Store.load`. What the inner store does not have is brought back from the archive.

        Raises:
            StoreError: neither store can say that there is no such document.
        """
        found = await self._inner.load(path)
        if found is not None:
            return found
        async with self._lock(path):
            if await self._restore(path):
                return await self._inner.load(path)
        return None

    def append(self, path: str, lineage: str, records: Sequence[Record], stored: Stored) -> None:
        """See `Store.append`."""
        self._inner.append(path, lineage, records, stored)

    async def compact(
        self,
        path: str,
        snapshot: bytes,
        number: int,
        *,
        notes: bytes = b"",
        history_since: float = inf,
    ) -> None:
        """See `Store.compact`. The document is copied soon afterwards."""
        await self._inner.compact(path, snapshot, number, notes=notes, history_since=history_since)
        self._waiting[path] = None
        self._news.set()

    async def list_documents(self, prefix: str = "") -> list[DocumentInfo]:
        """See `Store.list_documents`: what the inner store has."""
        return await self._inner.list_documents(prefix)

    async def delete(self, path: str) -> bool:
        """See `Store.delete`: in its turn, and then its copies.

        Raises:
            StoreError: some copies are left, from which it comes back when it is loaded.
        """
        there = await self._inner.delete(path)
        self._waiting.pop(path, None)
        async with self._lock(path):
            if self._archived is not None:
                self._archived.pop(file_name(path), None)
            try:
                copies = await self._list(f"{file_name(path)}/")
                await self._remove(copies)
            except _FAILED as error:
                raise StoreError(
                    f"the copies of document {path!r} in the archive could not be removed, and it "
                    f"would come back from them: delete it again ({_explain(error)})"
                ) from error
        return there or bool(copies)

    async def read_history(self, path: str, *, after: int = 0, limit: int = 10_000) -> list[Record]:
        """See `Store.read_history`."""
        return await self._inner.read_history(path, after=after, limit=limit)

    async def put_version(self, path: str, version: Version, encoding: bytes) -> None:
        """See `Store.put_version`. Versions are not copied."""
        await self._inner.put_version(path, version, encoding)

    async def list_versions(self, path: str) -> list[Version]:
        """See `Store.list_versions`."""
        return await self._inner.list_versions(path)

    async def read_version(self, path: str, version: str) -> bytes | None:
        """See `Store.read_version`."""
        return await self._inner.read_version(path, version)

    async def rename_version(self, path: str, version: str, name: str) -> bool:
        """See `Store.rename_version`."""
        return await self._inner.rename_version(path, version, name)

    async def delete_version(self, path: str, version: str) -> bool:
        """See `Store.delete_version`."""
        return await self._inner.delete_version(path, version)

    def statistics(self) -> StoreStatistics:
        """The inner store's."""
        return self._inner.statistics()

    def archive_statistics(self) -> ArchiveStatistics:
        """The archive's."""
        return ArchiveStatistics(self._copies, self._failures, self._restored, len(self._waiting))

    # --- copying -----------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Copy what waits; look for more now and then."""
        loop = asyncio.get_running_loop()
        while True:
            await self._try_sweep()
            until = loop.time() + self._sweep_seconds
            while loop.time() < until:
                waiting, self._waiting = list(self._waiting), {}
                await self._copy_all(waiting)
                if self._news.is_set():
                    self._news.clear()
                    continue
                try:
                    async with asyncio.timeout_at(until):
                        await self._news.wait()
                except TimeoutError:
                    break
                self._news.clear()

    async def _try_sweep(self) -> None:
        """Find what has changed since it was copied."""
        try:
            if self._archived is None:
                self._archived = _newest(await self._list(""))
            for info in await self._inner.list_documents():
                state = (file_name(info.lineage), info.last_number)
                if self._archived.get(file_name(info.path)) != state:
                    self._waiting[info.path] = None
        except (*_FAILED, StoreError) as error:
            self._report(error)
        except Exception:
            logger.exception("a fault while the archive looked for changed documents")

    async def _copy_all(self, paths: Sequence[str]) -> None:
        gate = asyncio.Semaphore(CONCURRENCY)

        async def copy_one(path: str) -> None:
            async with gate:
                await self._try_copy(path)

        async with asyncio.TaskGroup() as tasks:
            for path in paths:
                tasks.create_task(copy_one(path))

    async def _try_copy(self, path: str) -> None:
        try:
            async with self._lock(path):
                await self._copy(path)
        except (*_FAILED, StoreError) as error:  # the next sweep finds it again
            if self._archived is not None:
                self._archived.pop(file_name(path), None)
            self._report(error)
        except Exception:
            logger.exception("document %s: a fault while it was copied into the archive", path)

    async def _copy(self, path: str) -> None:
        document = await self._inner.load(path)
        if document is None:
            return
        if document.damaged:
            logger.error("document %s is damaged: its copies in the archive are left alone", path)
            return
        name, lineage = file_name(path), file_name(document.lineage)
        key = f"{name}/{lineage}-{document.last_number}{LOG}"
        data = _encode(path, document)
        async with asyncio.timeout(REQUEST_SECONDS):
            await obstore.put_async(self._objects, key, data)
            size = (await obstore.head_async(self._objects, key))["size"]
        if size != len(data):
            raise StoreError(f"the archive has {size} bytes of {key}, not {len(data)}")
        self._copies += 1
        self._failing = False
        if self._archived is not None:
            self._archived[name] = (lineage, document.last_number)
        copies = [copy for copy in await self._list(f"{name}/") if copy.lineage == lineage]
        await self._remove([copy for copy in _newest_first(copies) if copy.key != key][KEPT - 1 :])

    def _report(self, error: BaseException) -> None:
        """Log the first of many failures: they come again with every sweep."""
        self._failures += 1
        if not self._failing:
            logger.error("the archive could not be written: %s", _explain(error))
        self._failing = True

    # --- bringing back -----------------------------------------------------------------------

    async def _restore(self, path: str) -> bool:
        """Bring a document back into the inner store; whether there was a copy.

        Its log begins anew: record 1 is the copy's snapshot.
        """
        copies = _newest_first(await self._find_copies(path))
        for copy in copies:
            document = await self._read(copy, path)
            if document is None:
                continue
            await self._put_back(path, document)
            self._restored += 1
            logger.warning("document %s was brought back from the archive (%s)", path, copy.key)
            return True
        if copies:
            raise StoreError(
                f"all copies of document {path!r} in the archive are damaged: look at "
                f"{copies[0].key}, or delete the document"
            )
        return False

    async def _read(self, copy: _Copy, path: str) -> StoredDocument | None:
        """The document of a copy, None when the copy is damaged.

        Raises:
            StoreError: the archive cannot be read.
        """
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                answer = await obstore.get_async(self._objects, copy.key)
                data = bytes(await answer.bytes_async())
        except _FAILED as error:
            raise StoreError(f"the archive could not be read: {_explain(error)}") from error
        try:
            log = parse_log(Held(data), path, copy.key)
        except StoreError as error:
            logger.error("%s", error)
            return None
        document = log.document
        if log.torn or document.damaged or document.last_number != copy.number:
            logger.error("the copy %s in the archive is damaged", copy.key)
            return None
        return document

    async def _put_back(self, path: str, document: StoredDocument) -> None:
        updates = [record.update for record in document.records]
        times = [record.time for record in document.records]
        users = [record.user for record in document.records]
        if document.snapshot is not None:
            updates.insert(0, document.snapshot)
            times.insert(0, times[0] if times else 0.0)
            users.insert(0, "")
        records = [
            Record(number, *fields)
            for number, fields in enumerate(zip(times, users, updates, strict=True), 1)
        ]
        report: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()
        self._inner.append(path, document.lineage, records, report.set_result)
        error = await asyncio.shield(report)
        if error is not None:
            raise error
        if document.snapshot is not None:
            await self._inner.compact(path, document.snapshot, 1, notes=document.notes)

    # --- objects -----------------------------------------------------------------------------

    async def _find_copies(self, path: str) -> list[_Copy]:
        try:
            return await self._list(f"{file_name(path)}/")
        except _FAILED as error:
            raise StoreError(f"the archive could not be read: {_explain(error)}") from error

    async def _list(self, prefix: str) -> list[_Copy]:
        found: list[_Copy] = []
        async with asyncio.timeout(10 * REQUEST_SECONDS):
            async for some in self._objects.list(prefix or None):
                for entry in some:
                    copy = _parse_key(entry["path"], entry["last_modified"])
                    if copy is not None:
                        found.append(copy)
        return found

    async def _remove(self, copies: Sequence[_Copy]) -> None:
        if copies:
            async with asyncio.timeout(REQUEST_SECONDS):
                await obstore.delete_async(self._objects, [copy.key for copy in copies])

    def _lock(self, path: str) -> asyncio.Lock:
        """One change of a document's copies at a time."""
        lock = self._locks.get(path)
        if lock is None:
            lock = self._locks[path] = asyncio.Lock()
        return lock


def _encode(path: str, document: StoredDocument) -> bytes:
    identity = secrets.token_bytes(IDENTITY_BYTES)
    changed = document.records[-1].time if document.records else 0.0
    number = document.snapshot_number
    parts = [encode_heading(identity, Heading(path, document.lineage, number, changed))]
    if document.snapshot is not None:
        parts.append(
            encode_frame(
                identity, Kind.SNAPSHOT, number, changed, document.notes, document.snapshot
            )
        )
    for record in document.records:
        user = record.user.encode()
        parts.append(
            encode_frame(identity, Kind.RECORD, record.number, record.time, user, record.update)
        )
    return b"".join(parts)


def _parse_key(key: str, modified: datetime) -> _Copy | None:
    """The copy that a key names; None when it is none of ours."""
    name, slash, rest = key.partition("/")
    lineage, dash, number = rest.removesuffix(LOG).rpartition("-")
    if not (slash and dash and rest.endswith(LOG) and number.isascii() and number.isdigit()):
        return None
    return _Copy(key, name, lineage, int(number), modified)


def _newest_first(copies: Sequence[_Copy]) -> list[_Copy]:
    """By time first: a document that was brought back counts from the beginning again."""
    return sorted(copies, key=lambda copy: (copy.modified, copy.number), reverse=True)


def _newest(copies: Sequence[_Copy]) -> dict[str, tuple[str, int]]:
    """The newest copy's lineage and number, by the name of the path."""
    return {copy.name: (copy.lineage, copy.number) for copy in reversed(_newest_first(copies))}


def _explain(error: BaseException) -> str:
    """The first line: what follows is the library's own."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return str(error).partition("\n")[0] or type(error).__name__
