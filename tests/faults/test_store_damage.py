"""What a disk has damaged is found, kept aside and told; nothing else is lost with it."""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest

from engineroom.errors import StoreError
from engineroom.rooms.storage import Record
from engineroom.stores import SQLiteStore
from engineroom.testing.stores import append, load, record, records

pytestmark = pytest.mark.anyio

MARK = b"a mark that stands nowhere else"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rooms.db"


async def write(
    file: Path, new: Iterable[Record], *, snapshot_at: int = 0, snapshot: bytes = b""
) -> None:
    """A closed store with document `a`, and an unhurt `b` beside it."""
    async with SQLiteStore(file) as store:
        assert await append(store, "a", list(new)) is None
        assert await append(store, "b", records(1, 3)) is None
        if snapshot_at:
            await store.compact("a", snapshot, snapshot_at)


def flip_byte(file: Path, mark: bytes = MARK) -> None:
    """Change one byte of the only place where `mark` stands in the file."""
    content = bytearray(file.read_bytes())
    assert content.count(mark) == 1
    content[content.index(mark) + len(mark) // 2] ^= 1
    file.write_bytes(content)


def change(statement: str) -> Callable[[Path], None]:
    """Damage by SQL, for what a flipped byte cannot reach with certainty."""

    def damage(file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            assert connection.execute(statement).rowcount == 1

    return damage


def query(file: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(statement).fetchall()


@pytest.mark.parametrize(
    "damage",
    [
        flip_byte,
        change("UPDATE records SET number = 9 WHERE document = 1 AND number = 5"),
        change("UPDATE records SET time = time + 1 WHERE document = 1 AND number = 5"),
        change("UPDATE records SET user = 'eve' WHERE document = 1 AND number = 5"),
        change("UPDATE records SET user = CAST(x'ff' AS TEXT) WHERE document = 1 AND number = 5"),
        change("UPDATE records SET checksum = checksum + 1 WHERE document = 1 AND number = 5"),
        change("DELETE FROM records WHERE document = 1 AND number = 5"),
    ],
    ids=["byte", "number", "time", "user", "encoding", "checksum", "missing"],
)
async def test_a_damaged_record_is_left_out_and_told(
    file: Path, damage: Callable[[Path], None]
) -> None:
    """All other records come back, those after it too; the loss is counted, at every load alike."""
    new = [*records(1, 4), record(5, MARK), *records(6, 8)]
    await write(file, new)
    damage(file)
    async with SQLiteStore(file) as store:
        for _ in range(2):
            document = await load(store, "a")
            assert document.records == (*records(1, 4), *records(6, 8))
            assert document.damaged >= 1
        assert (await load(store, "b")).damaged == 0
        assert await append(store, "a", [record(document.last_number + 1)]) is None


async def test_a_damaged_record_is_kept_as_it_is(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It stands in the table `quarantine` with its changed byte, and the log names the document once."""
    await write(file, [record(1), record(2, MARK), record(3)])
    flip_byte(file)
    async with SQLiteStore(file) as store:
        assert (await load(store, "a")).damaged == 1
        assert (await load(store, "a")).damaged == 1
    assert caplog.text.count("document a: 1 damaged records") == 1
    ((number, kept),) = query(file, "SELECT number, bytes FROM quarantine")
    assert isinstance(kept, bytes)
    assert number == 2
    assert [a ^ b for a, b in zip(kept, MARK, strict=True)].count(1) == 1
    assert query(file, "SELECT number FROM records WHERE document = 1") == [(1,), (3,)]


async def test_a_damaged_last_record_keeps_its_number(file: Path) -> None:
    """The number of a lost record is never given again, also after the next opening."""
    await write(file, [record(1), record(2, MARK)])
    flip_byte(file)
    for _ in range(2):
        async with SQLiteStore(file) as store:
            document = await load(store, "a")
            assert (document.records, document.last_number, document.damaged) == (
                (record(1),),
                2,
                1,
            )
    async with SQLiteStore(file) as store:
        assert await append(store, "a", [record(2)]) is not None
        assert await append(store, "a", [record(3)]) is None
        await store.compact("a", b"snapshot", 3)
        assert (await load(store, "a")).damaged == 1


async def test_damage_is_told_even_when_nothing_can_be_moved(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process holds the file, a load still answers without the damaged record."""
    await write(file, [record(1), record(2, MARK)])
    flip_byte(file)
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{"timeout": 0.01, **k}))
    async with SQLiteStore(file) as store:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert (await load(store, "a")).damaged == 1
            other.execute("ROLLBACK")
        assert (await load(store, "a")).damaged == 1
    assert query(file, "SELECT number FROM quarantine") == [(2,)]


async def test_a_damaged_snapshot_is_an_error_that_keeps_everything(file: Path) -> None:
    """The document does not open as if it were empty; its snapshot and its tail stay as they are."""
    await write(file, records(1, 5), snapshot_at=3, snapshot=MARK)
    flip_byte(file)
    before = query(file, "SELECT * FROM snapshots"), query(file, "SELECT * FROM records")
    async with SQLiteStore(file) as store:
        with pytest.raises(
            StoreError, match=r"snapshot of document 'a' \(up to record 3\) .* is damaged"
        ):
            await store.load("a")
        assert (await load(store, "b")).records == tuple(records(1, 3))
        assert [info.path for info in await store.list_documents()] == ["a", "b"]
    assert (query(file, "SELECT * FROM snapshots"), query(file, "SELECT * FROM records")) == before
    async with SQLiteStore(file) as store:
        assert await store.delete("a")
        assert await append(store, "a", [record(1)]) is None


async def test_a_damaged_structure_is_an_error(file: Path) -> None:
    """A file that SQLite itself cannot read is told with what to do."""
    await write(file, [record(number, bytes(500)) for number in range(1, 200)])
    tear(file)
    async with SQLiteStore(file) as store:
        with pytest.raises(StoreError, match=r"malformed: restore the file from a backup"):
            await store.load("a")


def tear(file: Path) -> None:
    """Overwrite every page from the seventh with what no page begins with."""
    content = bytearray(file.read_bytes())
    for start in range(6 * 4096, len(content), 4096):
        content[start : start + 100] = b"\xee" * 100
    file.write_bytes(content)
