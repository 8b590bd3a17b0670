"""The statements that change the file."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engineroom.errors import StoreError
from engineroom.rooms.storage import Version
from engineroom.stores import tables as tables_module
from engineroom.stores.database import open_database
from engineroom.stores.reading import read_document
from engineroom.stores.tables import Tables
from engineroom.testing.stores import LINEAGE, record, records


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rooms.db"


@pytest.fixture
def connection(file: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(file, durability="os")
    yield connection
    connection.close()


@pytest.fixture
def tables(connection: sqlite3.Connection) -> Tables:
    return Tables(connection)


@pytest.mark.parametrize("count", [1, 9, 10, 11, 99, 100, 101, 110, 234])
def test_every_number_of_rows_is_inserted(tables: Tables, file: Path, count: int) -> None:
    """However many records a commit has, all of them are there in order."""
    with tables.transaction():
        tables.append("a", LINEAGE, records(1, count))
    reading = read_document(file, "a")
    assert reading is not None
    assert reading.document.records == tuple(records(1, count))


def test_a_transaction_is_all_or_nothing(tables: Tables, file: Path) -> None:
    """An exception undoes everything since the beginning, in the file and in what is remembered."""
    with tables.transaction():
        tables.append("a", LINEAGE, [record(1)])

    def change_and_fail() -> None:
        with tables.transaction():
            tables.append("a", LINEAGE, [record(2)])
            tables.append("b", LINEAGE, [record(1)])
            tables.compact("a", b"snapshot", 2)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_and_fail()
    assert read_document(file, "b") is None
    with tables.transaction():
        tables.append("a", LINEAGE, [record(2)])
        tables.append("b", LINEAGE, [record(1)])
    reading = read_document(file, "a")
    assert reading is not None
    assert reading.document.records == tuple(records(1, 2))


def test_a_refusal_leaves_the_transaction_as_it_was(tables: Tables, file: Path) -> None:
    """What was done before and after a refused call in the same transaction is kept."""
    with tables.transaction():
        tables.append("a", LINEAGE, [record(1)])
        with pytest.raises(StoreError):
            tables.append("a", LINEAGE, [record(3)])
        with pytest.raises(StoreError):
            tables.compact("a", b"snapshot", 3)
        tables.append("a", LINEAGE, [record(2)])
    reading = read_document(file, "a")
    assert reading is not None
    assert reading.document.records == tuple(records(1, 2))


def test_what_no_row_can_hold_is_refused(tables: Tables, connection: sqlite3.Connection) -> None:
    """An update or a snapshot beyond SQLite's limit is refused before the commit fails for all."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
    with tables.transaction():
        tables.append("a", LINEAGE, [record(1)])
        with pytest.raises(
            StoreError, match="6000 bytes of document 'a' are more than the 5000 of a row"
        ):
            tables.append("a", LINEAGE, [record(2, bytes(6000))])
        with pytest.raises(StoreError, match="6000 bytes of document 'a'"):
            tables.compact("a", bytes(6000), 1)


def test_forgotten_heads_are_looked_up(
    tables: Tables, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more documents than are remembered, numbers still go on, also within one transaction."""
    monkeypatch.setattr(tables_module, "KNOWN_DOCUMENTS", 2)
    with tables.transaction():
        for number in range(1, 4):
            for path in ("a", "b", "c", "d", "e"):
                tables.append(path, LINEAGE, [record(number)])
    for path in ("a", "b", "c", "d", "e"):
        reading = read_document(file, path)
        assert reading is not None
        assert reading.document.last_number == 3


def test_only_so_many_heads_are_kept(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of documents is bounded, new ones too."""
    monkeypatch.setattr(tables_module, "KNOWN_DOCUMENTS", 10)
    with tables.transaction():
        for number in range(100):
            tables.append(f"{number}", LINEAGE, [record(1)])
            assert len(tables._documents) <= 10


def test_a_compaction_removes_what_it_covers(
    tables: Tables, connection: sqlite3.Connection
) -> None:
    """Records that were appended in the same transaction go too, and no others."""
    with tables.transaction():
        tables.append("a", LINEAGE, records(1, 5))
        tables.append("b", LINEAGE, records(1, 5))
        tables.compact("a", b"snapshot", 4)
    rows = connection.execute("SELECT document, number FROM records").fetchall()
    assert rows == [(1, 5), *((2, number) for number in range(1, 6))]


def test_ids_are_never_used_again(tables: Tables, connection: sqlite3.Connection) -> None:
    """A document that takes a deleted one's place has another id."""
    ids = []
    for _ in range(3):
        with tables.transaction():
            tables.append("a", LINEAGE, [record(1)])
        ids += connection.execute("SELECT id FROM documents").fetchone()
        with tables.transaction():
            assert tables.delete("a")
    assert len(set(ids)) == 3


def test_quarantine_keeps_a_record_as_it_is(tables: Tables, connection: sqlite3.Connection) -> None:
    """A record that is moved aside keeps all its fields; one that has gone is left alone."""
    with tables.transaction():
        tables.append("a", LINEAGE, records(1, 3))
    ((identity,),) = connection.execute("SELECT id FROM documents")
    before = connection.execute("SELECT * FROM records WHERE number = 2").fetchall()
    with tables.transaction():
        tables.quarantine(identity, [2, 9])
    assert connection.execute("SELECT * FROM quarantine").fetchall() == before
    assert connection.execute("SELECT number FROM records").fetchall() == [(1,), (3,)]


def test_a_quarantined_last_record_keeps_its_number(tables: Tables, file: Path) -> None:
    """The number of a last record that was moved aside is not given again."""
    with tables.transaction():
        tables.append("a", LINEAGE, records(1, 3))
    with tables.transaction():
        tables.quarantine(1, [3])
    fresh = Tables(open_database(file, durability="os"))
    with fresh.transaction():
        with pytest.raises(StoreError):
            fresh.append("a", LINEAGE, [record(3)])
        fresh.append("a", LINEAGE, [record(4)])
    fresh.close()


def test_deleting_removes_every_row(tables: Tables, connection: sqlite3.Connection) -> None:
    """Nothing of a deleted document is left in any table."""
    with tables.transaction():
        tables.append("a", LINEAGE, records(1, 5))
        tables.compact("a", b"snapshot", 2, history_since=0.0)
        tables.put_version("a", Version("v", 2, 1.0, "hand", "", "", 3), b"abc")
        tables.quarantine(1, [4])
        tables.append("a", LINEAGE, [record(6)])
        assert tables.delete("a")
    for table in ("documents", "records", "snapshots", "quarantine", "history", "versions"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_free_pages_leave_the_file(tables: Tables, connection: sqlite3.Connection) -> None:
    """After a compaction that frees most of the file its pages go, some at each commit."""
    with tables.transaction():
        tables.append("a", LINEAGE, [record(number, bytes(4000)) for number in range(1, 1501)])
    (before,) = connection.execute("PRAGMA page_count").fetchone()
    with tables.transaction():
        tables.compact("a", b"snapshot", 1500)
    (after,) = connection.execute("PRAGMA page_count").fetchone()
    assert tables_module.VACUUM_PAGES <= before - after <= tables_module.VACUUM_PAGES + 2


def test_closing_frees_the_file(tables: Tables, connection: sqlite3.Connection, file: Path) -> None:
    """When a store has closed, its file holds no free pages."""
    with tables.transaction():
        tables.append("a", LINEAGE, [record(number, bytes(4000)) for number in range(1, 1501)])
        tables.compact("a", b"snapshot", 1500)
    tables.close()
    assert file.stat().st_size < 100_000


def test_a_file_of_an_older_schema_is_written_anew(tmp_path: Path) -> None:
    """Written anew, a file without auto_vacuum gives free pages back from then on."""
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("CREATE TABLE t(x)")
    tables = Tables(sqlite3.connect(old, isolation_level=None))
    tables.rewrite()
    assert tables._connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    tables.close()
