"""A store without a disk: the same promises, order and refusals as the others, until the process
ends.

For tests, and for `durability = "memory"`. The documents live as long as the object, also while it
is closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from engineroom.errors import StoreError
from engineroom.rooms.storage import DocumentInfo, Record, Stored, StoredDocument
from engineroom.stores.outstanding import Call, Outstanding
from engineroom.stores.promises import (
    Head,
    StoreStatistics,
    check_path,
    head_after_append,
    head_after_compaction,
)


@dataclass(slots=True)
class _Document:
    head: Head
    records: list[Record] = field(default_factory=list)
    snapshot: bytes | None = None
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
        self._check_open()
        check_path(path)
        document = self._documents.get(path)
        if document is None:
            return None
        head = document.head
        return StoredDocument(
            head.lineage,
            document.snapshot,
            head.snapshot_number,
            tuple(document.records),
            head.last_number,
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

    async def compact(self, path: str, snapshot: bytes, number: int) -> None:
        """See `Store.compact`."""
        self._check_open()
        document = self._documents.get(path)
        head = head_after_compaction(path, _head(document), number)
        assert document is not None
        document.head, document.snapshot = head, snapshot
        document.records = [record for record in document.records if record.number > number]

    async def list_documents(self) -> list[DocumentInfo]:
        """See `Store.list_documents`."""
        self._check_open()
        return [_describe(path, document) for path, document in sorted(self._documents.items())]

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
    stored_bytes = sum(len(record.update) for record in document.records)
    return DocumentInfo(
        path,
        head.lineage,
        head.last_number,
        head.snapshot_number,
        stored_bytes + len(document.snapshot or b""),
        document.changed,
    )
