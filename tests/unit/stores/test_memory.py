"""The memory store's own ways; its promises are in the contract suite."""

import pytest

from engineroom.errors import StoreError
from engineroom.stores import MemoryStore, StoreStatistics
from engineroom.testing.stores import LINEAGE, append, load, record

pytestmark = pytest.mark.anyio


async def test_statistics_tell_what_is_not_reported() -> None:
    """Calls and bytes count until they are reported."""
    async with MemoryStore() as store:
        store.append("a", LINEAGE, [record(1, b"12345")], lambda error: None)
        store.append("a", LINEAGE, [record(2, b"123")], lambda error: None)
        assert store.statistics() == StoreStatistics(queued_calls=2, queued_bytes=8)
        assert await append(store, "a", [record(3)]) is None
        assert store.statistics() == StoreStatistics(commits=1)


async def test_documents_live_as_long_as_the_object() -> None:
    """A store that is opened again has its documents; another object has none."""
    first = MemoryStore()
    async with first as store:
        assert await append(store, "a", [record(1)]) is None
    async with first as store:
        assert (await load(store, "a")).last_number == 1
    async with MemoryStore() as store:
        assert await store.load("a") is None


async def test_it_refuses_before_it_is_opened() -> None:
    """A store that was never opened answers as a closed one."""
    with pytest.raises(StoreError, match="closed"):
        await MemoryStore().load("a")
