"""Which store keeps which documents: one `Store` that hands each call to the store of its path.

It knows prefixes and stores; nothing of what they are. The longest prefix that a path begins with
decides. Order is each store's own: two documents in two stores have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from math import inf
from types import TracebackType
from typing import Protocol, Self, TypeVar

from engineroom.rooms.storage import (
    DocumentInfo,
    Record,
    Store,
    Stored,
    StoredDocument,
    Version,
)
from engineroom.stores.promises import StoreStatistics

Value = TypeVar("Value")


class OpenableStore(Store, Protocol):
    """A store with what every store of ours has beside the contract."""

    async def __aenter__(self) -> Store: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None: ...

    def statistics(self) -> StoreStatistics:
        """What the store has to do and has done since it was opened."""


class ByPrefix(dict[str, Value]):
    """Values by the prefixes of paths; `""` is every path's."""

    def of(self, path: str) -> Value:
        """The value of the longest prefix that `path` begins with."""
        return self[max((prefix for prefix in self if path.startswith(prefix)), key=len)]


class ChosenStore:
    """The store of each path, by prefix. `async with` opens every store, once, and closes it."""

    def __init__(self, stores: Mapping[str, OpenableStore]) -> None:
        """`stores` are by prefix; the one of `""` has every other path."""
        self._by_prefix = ByPrefix(stores)
        self._stores: Sequence[OpenableStore] = list(dict.fromkeys(stores.values()))
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open every store.

        Raises:
            StoreError: one cannot be opened; none is open then.
        """
        async with AsyncExitStack() as exits:
            for store in self._stores:
                await exits.enter_async_context(store)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every store, once all that is queued in it has been reported."""
        await self._exits.__aexit__(kind, error, trace)

    async def load(self, path: str) -> StoredDocument | None:
        """See `Store.load`."""
        return await self._by_prefix.of(path).load(path)

    def append(self, path: str, lineage: str, records: Sequence[Record], stored: Stored) -> None:
        """See `Store.append`."""
        self._by_prefix.of(path).append(path, lineage, records, stored)

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
        store = self._by_prefix.of(path)
        await store.compact(path, snapshot, number, notes=notes, history_since=history_since)

    async def list_documents(self, prefix: str = "") -> list[DocumentInfo]:
        """See `Store.list_documents`. A document that a store has for another's prefix is not in it:
        nobody would find it there.
        """
        found = [
            info
            for store in self._stores
            for info in await store.list_documents(prefix)
            if self._by_prefix.of(info.path) is store
        ]
        return sorted(found, key=lambda info: info.path)

    async def delete(self, path: str) -> bool:
        """See `Store.delete`."""
        return await self._by_prefix.of(path).delete(path)

    async def read_history(self, path: str, *, after: int = 0, limit: int = 10_000) -> list[Record]:
        """See `Store.read_history`."""
        return await self._by_prefix.of(path).read_history(path, after=after, limit=limit)

    async def put_version(self, path: str, version: Version, encoding: bytes) -> None:
        """See `Store.put_version`."""
        await self._by_prefix.of(path).put_version(path, version, encoding)

    async def list_versions(self, path: str) -> list[Version]:
        """See `Store.list_versions`."""
        return await self._by_prefix.of(path).list_versions(path)

    async def read_version(self, path: str, version: str) -> bytes | None:
        """See `Store.read_version`."""
        return await self._by_prefix.of(path).read_version(path, version)

    async def rename_version(self, path: str, version: str, name: str) -> bool:
        """See `Store.rename_version`."""
        return await self._by_prefix.of(path).rename_version(path, version, name)

    async def delete_version(self, path: str, version: str) -> bool:
        """See `Store.delete_version`."""
        return await self._by_prefix.of(path).delete_version(path, version)

    def statistics(self) -> StoreStatistics:
        """What all stores together have to do and have done since they were opened."""
        all_of_them = [store.statistics() for store in self._stores]
        return StoreStatistics(
            sum(one.queued_calls for one in all_of_them),
            sum(one.queued_bytes for one in all_of_them),
            sum(one.commits for one in all_of_them),
            sum(one.failed_commits for one in all_of_them),
        )
