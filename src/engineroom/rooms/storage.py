"""What a room needs of a store. The stores are in `stores/`; the server injects one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from engineroom.errors import StoreError


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a document's log. `number` counts from 1 without gaps; `time` is in seconds since the epoch.

    `user` is who made the update (empty: the server), `update` the bytes as they were received (V1).
    """

    number: int
    time: float
    user: str
    update: bytes


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as it stands in the store: a snapshot that covers all numbers up to `snapshot_number`, and the tail.

    `lineage` is the identity of the document's history. `damaged` counts records whose checksum did not hold: they
    are kept aside in the store, reported, and not among `records`.
    """

    lineage: str
    snapshot: bytes | None
    snapshot_number: int
    records: tuple[Record, ...]
    last_number: int
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A line of the store's list: times in seconds since the epoch, sizes in bytes."""

    path: str
    lineage: str
    last_number: int
    snapshot_number: int
    stored_bytes: int
    changed: float


Stored = Callable[[StoreError | None], None]


class Store(Protocol):
    """A durable log of updates and its snapshots, for all documents. Opened and closed with `async with`.

    Paths are `str(address)`. A document begins to exist with its first `append`.
    """

    async def load(self, path: str) -> StoredDocument | None:
        """The document as it is on disk, None when it was never written to.

        Raises:
            StoreError: it cannot be read.
        """

    def append(self, path: str, lineage: str, records: Sequence[Record], stored: Stored) -> None:
        """Queue `records`, and return at once. Calls keep their order, over all documents.

        `stored(None)` is called in the event loop when they are durable, `stored(error)` when they could not be
        written; nothing of this call is on disk then, and the caller may append the same records again.
        """

    async def compact(self, path: str, snapshot: bytes, number: int) -> None:
        """Put `snapshot` in place of the records up to `number`, in one commit, after all earlier appends.

        Raises:
            StoreError: nothing has changed.
        """

    async def list_documents(self) -> list[DocumentInfo]:
        """All documents, by path."""

    async def delete(self, path: str) -> bool:
        """Remove the document and its log; whether there was one."""


class OutputKeeper(Protocol):
    """Keeps the whole of outputs of which a document holds only the end. Bounded; never waits."""

    def keep(self, path: str, evaluation: str, index: int, text: str) -> None:
        """Add `text` to output `index` of `evaluation`, in the order of the calls."""
