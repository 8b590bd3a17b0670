"""The SQLite store's own ways; its promises are in the contract suite."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from engineroom.errors import StoreError
from engineroom.stores import SQLiteStore, StoreStatistics
from engineroom.stores.database import connect
from engineroom.stores.reading import read_document
from engineroom.testing.stores import LINEAGE, PATIENCE_SECONDS, append, load, record, records

pytestmark = pytest.mark.anyio


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rooms.db"


def write_letter(file: Path) -> None:
    """Something else than a database."""
    file.write_bytes(b"no database" * 1000)


def sizes(file: Path) -> dict[str, int]:
    """The files in the folder, with their sizes in bytes."""
    return {each.name: each.stat().st_size for each in file.parent.iterdir()}


@contextmanager
def writer_held_up(file: Path) -> Iterator[None]:
    """Another process's transaction, for which the writer has to wait."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_a_load_is_not_behind_other_documents(file: Path) -> None:
    """While the writer is held up by another document's appends, a load answers."""
    async with SQLiteStore(file) as store:
        assert await append(store, "a", [record(1)]) is None
        with writer_held_up(file):
            reports: list[StoreError | None] = []
            store.append("b", LINEAGE, [record(1)], reports.append)
            assert (await load(store, "a")).last_number == 1
            assert await store.load("b-unwritten") is None
            assert reports == []
        assert await append(store, "b", [record(2)]) is None
        assert reports == [None]


async def test_a_load_waits_for_its_own_document(file: Path) -> None:
    """While an append to the same document is held up, the load waits, and then has it."""
    async with SQLiteStore(file) as store:
        with writer_held_up(file):
            store.append("a", LINEAGE, [record(1)], lambda error: None)
            loading = asyncio.ensure_future(load(store, "a"))
            done, _ = await asyncio.wait(
                [loading, asyncio.ensure_future(store.load("b"))],
                return_when=asyncio.FIRST_COMPLETED,
            )
            assert loading not in done
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await loading).last_number == 1


async def test_statistics_tell_bytes_and_commits(file: Path) -> None:
    """What is queued counts in calls and bytes until it is reported; commits are counted."""
    async with SQLiteStore(file) as store:
        assert store.statistics() == StoreStatistics()
        store.append(
            "a", LINEAGE, [record(1, bytes(100)), record(2, bytes(20))], lambda error: None
        )
        compaction = asyncio.ensure_future(store.compact("a", bytes(7), 1))
        await asyncio.sleep(0)
        assert store.statistics().queued_calls == 2
        assert store.statistics().queued_bytes == 127
        await compaction
        assert store.statistics().queued_bytes == 0
        assert 1 <= store.statistics().commits <= 2
    assert store.statistics().queued_calls == 0


async def test_closing_leaves_one_file(file: Path) -> None:
    """After closing the write-ahead log has gone into the file, and its side files are gone."""
    async with SQLiteStore(file) as store:
        assert await append(store, "a", records(1, 100)) is None
        assert sizes(file)["rooms.db-wal"] > 0
        await store.load("a")
    assert list(sizes(file)) == ["rooms.db"]
    assert not [each for each in threading.enumerate() if each.name.startswith("engineroom-")]


async def test_closing_empties_the_log_beside_a_reader(file: Path) -> None:
    """Where another process keeps the file open, its log stays, empty."""
    async with SQLiteStore(file) as store:
        assert await append(store, "a", records(1, 100)) is None
        reader = connect(file, mode="ro")
        assert reader.execute("SELECT count(*) FROM records").fetchone() == (100,)
    assert sizes(file)["rooms.db-wal"] == 0
    reader.close()


async def test_the_log_is_bounded(file: Path) -> None:
    """Checkpoints keep the write-ahead log near its bound, however much is written."""
    async with SQLiteStore(file, durability="os") as store:
        for number in range(1, 51):
            assert await append(store, "a", [record(number, bytes(1_000_000))]) is None
        assert sizes(file)["rooms.db-wal"] < 20 * 1024 * 1024
        assert sizes(file)["rooms.db"] > 20 * 1024 * 1024


async def test_a_relative_path_is_of_the_moment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is resolved once: a later change of the working folder changes nothing."""
    monkeypatch.chdir(file.parent)
    store = SQLiteStore(Path("rooms.db"))
    monkeypatch.chdir("/")
    async with store:
        assert await append(store, "a", [record(1)]) is None
        assert (await load(store, "a")).last_number == 1
    assert list(sizes(file)) == ["rooms.db"]


async def test_a_store_that_cannot_be_opened_raises(file: Path) -> None:
    """What is wrong with the file is raised at the opening, and the store stays closed."""
    write_letter(file)
    store = SQLiteStore(file)
    with pytest.raises(StoreError, match="not a database"):
        await store.__aenter__()
    with pytest.raises(StoreError, match="closed"):
        await store.load("a")


async def test_a_commit_that_another_process_prevents_is_reported(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that another process does not let go fails the commit, with advice; the next is tried."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{"timeout": 0.01, **k}))
    async with SQLiteStore(file) as store:
        with writer_held_up(file):
            error = await append(store, "a", [record(1)])
            assert str(error) == (
                "the store could not be written: database is locked: another process holds the file; let it go"
            )
            assert store.statistics().failed_commits == 1
        assert await append(store, "a", [record(1)]) is None


async def test_the_file_is_readable_beside_the_store(file: Path) -> None:
    """Another process may read the file while the store is open, and sees what was reported."""
    async with SQLiteStore(file) as store:
        assert await append(store, "a", [record(1)]) is None
        reading = await asyncio.to_thread(read_document, file, "a")
        assert reading is not None
        assert reading.document.records == (record(1),)
