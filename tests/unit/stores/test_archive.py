"""The archive: what is copied and when, what is brought back, and what happens when it fails."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import LocalStore, ObjectStore
from obstore.store import MemoryStore as MemoryObjects

from engineroom.errors import StoreError
from engineroom.rooms.storage import StoredDocument
from engineroom.stores import MemoryStore
from engineroom.stores.archive import KEPT, ArchivedStore
from engineroom.stores.file_format import MARK
from engineroom.testing.stores import (
    LINEAGE,
    PATIENCE_SECONDS,
    STORE_CHECKS,
    Check,
    append,
    is_refused,
    load,
    record,
    records,
)

pytestmark = pytest.mark.anyio


async def until(condition: Callable[[], bool]) -> None:
    """Return when it holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def keys(objects: ObjectStore) -> list[str]:
    return sorted(entry["path"] for some in objects.list() for entry in some)


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return LocalStore(tmp_path / "archive", mkdir=True)


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_contract(check: Check) -> None:
    """An archived store keeps this promise."""
    inner, objects = MemoryStore(), MemoryObjects()
    await check(lambda: ArchivedStore(inner, objects))


async def test_a_compacted_document_is_copied(objects: ObjectStore) -> None:
    """Soon after a compaction there is a copy, with the tail; the newest two of them stay."""
    async with ArchivedStore(MemoryStore(), objects) as store:
        for number in range(1, 5):
            assert await append(store, "notes/today", [record(number)]) is None
            await store.compact("notes/today", b"snapshot", number)
            await until(lambda: store.archive_statistics().copies >= number)  # noqa: B023
        await until(lambda: len(keys(objects)) == KEPT)
        assert keys(objects) == [f"notes%2Ftoday/{LINEAGE}-{number}.log" for number in (3, 4)]


async def test_a_sweep_copies_what_has_changed(objects: ObjectStore) -> None:
    """Without a compaction a changed document is copied by the next sweep, also after a restart; one
    that has not changed is not.
    """
    inner = MemoryStore()
    async with ArchivedStore(inner, objects, sweep_seconds=0.02) as store:
        assert await append(store, "a", records(1, 3)) is None
        await until(lambda: store.archive_statistics().copies >= 1)
    async with inner:
        assert await append(inner, "b", [record(1)]) is None
    async with ArchivedStore(inner, objects, sweep_seconds=0.02) as store:
        await until(lambda: store.archive_statistics().copies >= 1)
        assert await append(store, "a", [record(4)]) is None
        await until(lambda: store.archive_statistics().copies >= 2)
    assert f"a/{LINEAGE}-4.log" in keys(objects)
    assert f"b/{LINEAGE}-1.log" in keys(objects)


async def test_a_lost_document_is_brought_back(objects: ObjectStore) -> None:
    """A document that the store does not have any more comes from its newest copy, with snapshot,
    notes and tail; its log begins anew.
    """
    async with ArchivedStore(MemoryStore(), objects) as store:
        assert await append(store, "a", records(1, 5)) is None
        await store.compact("a", b"snapshot", 3, notes=b"notes")
        await until(lambda: store.archive_statistics().copies >= 1)
    async with ArchivedStore(MemoryStore(), objects) as store:
        document = await load(store, "a")
        assert (document.lineage, document.snapshot) == (LINEAGE, b"snapshot")
        assert (document.notes, document.last_number) == (b"notes", 3)
        assert [one.update for one in document.records] == [record(4).update, record(5).update]
        assert store.archive_statistics().restored == 1
        assert await store.load("other") is None
        assert await append(store, "a", [record(4)]) is None


@pytest.mark.parametrize("cut", [3, 60, 110], ids=["record", "whole record", "snapshot"])
async def test_a_damaged_copy_is_passed_over(objects: ObjectStore, cut: int) -> None:
    """The one before it is taken, wherever the newest ends too early; when all are damaged, the
    document does not open as if it were new.
    """
    async with ArchivedStore(MemoryStore(), objects) as store:
        for number in (2, 4):
            assert await append(store, "a", records(number - 1, number)) is None
            await store.compact("a", b"snapshot %d" % number, number - 1)
            await until(lambda: store.archive_statistics().copies >= number // 2)  # noqa: B023
    newest = f"a/{LINEAGE}-4.log"
    content = bytes(objects.get(newest).bytes())
    end = content.rindex(MARK) if cut == 60 else len(content) - cut
    objects.put(newest, content[:end])
    async with ArchivedStore(MemoryStore(), objects) as store:
        assert (await load(store, "a")).snapshot == b"snapshot 2"
    for key in keys(objects):
        objects.put(key, b"rubbish")
    async with ArchivedStore(MemoryStore(), objects) as store:
        with pytest.raises(StoreError, match=r"all copies of document 'a' .* damaged"):
            await store.load("a")


async def test_a_deleted_document_does_not_come_back(objects: ObjectStore) -> None:
    """Its copies go before it; another's stay."""
    async with ArchivedStore(MemoryStore(), objects) as store:
        for path in ("a", "ab"):
            assert await append(store, path, [record(1)]) is None
            await store.compact(path, b"snapshot", 1)
        await until(lambda: len(keys(objects)) == 2)
        assert await store.delete("a") is True
        assert await store.load("a") is None
        assert await store.delete("a") is False
        assert keys(objects) == [f"ab/{LINEAGE}-1.log"]


async def test_a_damaged_document_does_not_replace_its_copies(
    objects: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    """What is lost here may be whole there."""

    class Damaged(MemoryStore):
        async def load(self, path: str) -> StoredDocument | None:
            return StoredDocument(LINEAGE, None, 0, (), 5, 5)

    async with ArchivedStore(Damaged(), objects) as store:
        assert await append(store, "a", [record(1)]) is None
        await store.compact("a", b"snapshot", 1)
        await until(lambda: "damaged" in caplog.text)
    assert keys(objects) == []


async def test_an_archive_that_fails_fails_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Appends and compactions go on, the failure is logged once, and the copy is made later."""
    folder = tmp_path / "archive"
    objects = LocalStore(folder, mkdir=True)
    folder.rmdir()
    folder.write_text("in the way")
    async with ArchivedStore(MemoryStore(), objects, sweep_seconds=0.02) as store:
        assert await append(store, "a", [record(1)]) is None
        await store.compact("a", b"snapshot", 1)
        await until(lambda: store.archive_statistics().failures >= 3)
        assert await append(store, "a", [record(2)]) is None
        assert await is_refused(store.load("unknown")), "nobody can say that there is none"
        assert (await load(store, "a")).last_number == 2
        assert await append(store, "b", [record(1)]) is None
        assert await is_refused(store.delete("b")), "it could come back"
        folder.unlink()
        await until(lambda: store.archive_statistics().copies >= 1)
    assert caplog.text.count("the archive could not be") == 1
