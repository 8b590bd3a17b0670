"""A store without a disk: the same promises, order and refusals as the others, until the process
ends.

For tests, and for `durability = "memory"`. The documents live as long as the object, also while it
is closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from types import TracebackType
from typing import Self

from engineroom.errors import StoreError
from engineroom.rooms.storage import DocumentInfo, Record, Stored, StoredDocument, Version
from engineroom.stores.outstanding import Call, Outstanding
from engineroom.stores.promises import (
    Head,
    StoreStatistics,
    check_history,
    check_new_version,
    check_path,
    check_version,
    check_version_name,
    head_after_append,
    head_after_compaction,
)


@dataclass(slots=True)
class _Document:
    head: Head
    records: list[Record] = field(default_factory=list)
    history: list[Record] = field(default_factory=list)
    versions: dict[str, tuple[Version, bytes]] = field(default_factory=dict)
    snapshot: bytes | None = None
    notes: bytes = b""
    changed: float = 0.0


class MemoryStore:
    """Documents in memory. Open it with `async with`, as often as you like, in one event loop at a
    time.

    What is appended is there at once, and reported in the next turn of the loop, in order.
    """

    def __init__(self) -> None:
        self._documents: dict[str, _Document] = {}
        self._outstanding = Outstanding()
        self._outcomes: deque[StoreError | None] = deque()
        self._commits = 0
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        self._commits = 0
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the store, once every append has been reported."""
        self._open = False
        while self._outcomes:
            self._report()

    async def load(self, path: str) -> StoredDocument | None:
        """See `Store.load`."""
        document = self._find(path)
        if document is None:
            return None
        head = document.head
        return StoredDocument(
            head.lineage,
            document.snapshot,
            head.snapshot_number,
            tuple(document.records),
            head.last_number,
            notes=document.notes,
        )

    def append(self, path: str, lineage: str, records: Sequence[Record], stored: Stored) -> None:
        """See `Store.append`."""
        try:
            self._check_open()
            self._append(path, lineage, records)
            outcome = None
        except StoreError as refusal:
            outcome = refusal
        size_bytes = sum(len(record.update) for record in records)
        self._outstanding.add(Call(path, size_bytes, stored))
        if not self._outcomes:
            asyncio.get_running_loop().call_soon(self._report)
        self._outcomes.append(outcome)

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
        self._check_open()
        check_history(history_since)
        document = self._documents.get(path)
        head = head_after_compaction(path, _head(document), number)
        assert document is not None
        document.head, document.snapshot, document.notes = head, snapshot, notes
        covered = (record for record in document.records if record.number <= number)
        document.history = [
            record for record in (*document.history, *covered) if record.time >= history_since
        ]
        document.records = [record for record in document.records if record.number > number]

    async def list_documents(self, prefix: str = "") -> list[DocumentInfo]:
        """See `Store.list_documents`."""
        self._check_open()
        return [
            _describe(path, document)
            for path, document in sorted(self._documents.items())
            if path.startswith(prefix)
        ]

    async def read_history(self, path: str, *, after: int = 0, limit: int = 10_000) -> list[Record]:
        """See `Store.read_history`."""
        document = self._find(path)
        if document is None:
            return []
        records = (*document.history, *document.records)
        return [record for record in records if record.number > after][:limit]

    async def put_version(self, path: str, version: Version, encoding: bytes) -> None:
        """See `Store.put_version`."""
        self._check_open()
        check_version(path, version, encoding)
        document = self._documents.get(path)
        taken = document is not None and version.id in document.versions
        check_new_version(path, version, document=document is not None, taken=taken)
        assert document is not None
        document.versions[version.id] = (version, encoding)

    async def list_versions(self, path: str) -> list[Version]:
        """See `Store.list_versions`."""
        document = self._find(path)
        return [version for version, _ in document.versions.values()] if document else []

    async def read_version(self, path: str, version: str) -> bytes | None:
        """See `Store.read_version`."""
        document = self._find(path)
        entry = document.versions.get(version) if document else None
        return entry[1] if entry else None

    async def rename_version(self, path: str, version: str, name: str) -> bool:
        """See `Store.rename_version`."""
        document = self._find(path)
        check_version_name(path, name)
        if document is None or version not in document.versions:
            return False
        known, encoding = document.versions[version]
        document.versions[version] = (replace(known, name=name), encoding)
        return True

    async def delete_version(self, path: str, version: str) -> bool:
        """See `Store.delete_version`."""
        document = self._find(path)
        return document is not None and document.versions.pop(version, None) is not None

    async def delete(self, path: str) -> bool:
        """See `Store.delete`."""
        self._check_open()
        check_path(path)
        return self._documents.pop(path, None) is not None

    def statistics(self) -> StoreStatistics:
        """What the store has to do and has done since it was opened."""
        return StoreStatistics(len(self._outstanding), self._outstanding.size_bytes, self._commits)

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError("the store is closed")

    def _find(self, path: str) -> _Document | None:
        self._check_open()
        check_path(path)
        return self._documents.get(path)

    def _append(self, path: str, lineage: str, records: Sequence[Record]) -> None:
        document = self._documents.get(path)
        head = head_after_append(path, _head(document), lineage, records)
        if not records:
            return
        if document is None:
            document = self._documents[path] = _Document(head)
        document.head = head
        document.records.extend(records)
        document.changed = records[-1].time

    def _report(self) -> None:
        """Report what was queued by now; what its callbacks append is reported in a turn of its
        own.
        """
        if not self._outcomes:  # closing has reported them already
            return
        self._commits += 1
        outcomes, self._outcomes = self._outcomes, deque()
        for outcome in outcomes:
            self._outstanding.report_next(outcome)


def _head(document: _Document | None) -> Head | None:
    return None if document is None else document.head


def _describe(path: str, document: _Document) -> DocumentInfo:
    head = document.head
    records = sum(len(record.update) for record in (*document.history, *document.records))
    versions = sum(version.bytes for version, _ in document.versions.values())
    snapshot = len(document.snapshot or b"") + len(document.notes)
    return DocumentInfo(
        path,
        head.lineage,
        head.last_number,
        head.snapshot_number,
        records + versions + snapshot,
        document.changed,
    )
