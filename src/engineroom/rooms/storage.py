"""What a room needs of a store. The stores are in `stores/`; the server injects one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
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

    `lineage` is the identity of the document's history. `notes` are the room's own, as its last compaction left them
    (empty before): bytes that mean nothing to a store. `damaged` counts records whose checksum did not hold: they
    are kept aside in the store, reported, and not among `records`.
    """

    lineage: str
    snapshot: bytes | None
    snapshot_number: int
    records: tuple[Record, ...]
    last_number: int
    damaged: int = 0
    notes: bytes = b""


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A line of the store's list: times in seconds since the epoch, sizes in bytes."""

    path: str
    lineage: str
    last_number: int
    snapshot_number: int
    stored_bytes: int
    changed: float


@dataclass(frozen=True, slots=True)
class Version:
    """A document as it once was. `id` is unique in its document and made by the caller (at most 64 ASCII characters).

    `number` is the newest number of the log that the version holds, `time` when it was made (seconds since the
    epoch), `kind` what made it: `hand`, `time`, `activity` or `restore`. `name` may be empty, `user` too (the server).
    `bytes` is the size of its encoding.
    """

    id: str
    number: int
    time: float
    kind: str
    name: str
    user: str
    bytes: int


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

    async def compact(
        self,
        path: str,
        snapshot: bytes,
        number: int,
        *,
        notes: bytes = b"",
        history_since: float = inf,
    ) -> None:
        """Put `snapshot` in place of the records up to `number`, in one commit, after all earlier appends.

        `notes` takes the place of the earlier notes. Covered records of `history_since` (seconds since the epoch) or
        later stay readable through `read_history`; covered ones that are older are removed for good.

        Raises:
            StoreError: nothing has changed.
        """

    async def list_documents(self, prefix: str = "") -> list[DocumentInfo]:
        """All documents whose path begins with `prefix`, by path."""

    async def delete(self, path: str) -> bool:
        """Remove the document with its log, history and versions; whether there was one."""

    async def read_history(self, path: str, *, after: int = 0, limit: int = 10_000) -> list[Record]:
        """The oldest `limit` records with a number above `after`, covered by a snapshot or not.

        Numbers that are missing have been removed by compaction, or are damaged.
        """

    async def put_version(self, path: str, version: Version, encoding: bytes) -> None:
        """Keep `encoding` (one update, V1) as a version of an existing document.

        Raises:
            StoreError: there is no such document, or its version `version.id` exists already.
        """

    async def list_versions(self, path: str) -> list[Version]:
        """The versions of a document, oldest first; empty when there is no such document."""

    async def read_version(self, path: str, version: str) -> bytes | None:
        """The encoding of a version; None when there is none.

        Raises:
            StoreError: it cannot be read, or its checksum does not hold.
        """

    async def rename_version(self, path: str, version: str, name: str) -> bool:
        """Give a version another name; whether there was one."""

    async def delete_version(self, path: str, version: str) -> bool:
        """Remove a version; whether there was one."""


class OutputKeeper(Protocol):
    """Keeps the whole of outputs of which a document holds only the end. Bounded; never waits."""

    def keep(self, path: str, evaluation: str, index: int, text: str) -> None:
        """Add `text` to output `index` of `evaluation`, in the order of the calls."""
