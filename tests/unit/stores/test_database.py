"""The SQLite file: whose it is, how it is opened, what its checksums cover."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from engineroom.errors import StoreError
from engineroom.stores import database
from engineroom.stores.database import (
    _SCHEMA_1,
    APPLICATION_ID,
    SCHEMA_VERSION,
    connect,
    explain,
    open_database,
    record_checksum,
    snapshot_checksum,
)
from engineroom.stores.promises import Durability
from engineroom.stores.reading import read_document
from engineroom.stores.tables import Tables
from engineroom.testing.stores import LINEAGE, record


def test_a_new_file_is_its_users_alone(tmp_path: Path) -> None:
    """The file and SQLite's side files have mode 0600, whatever the umask."""
    file = tmp_path / "rooms.db"
    with closing(open_database(file, durability="disk")):
        modes = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
    assert modes == {"rooms.db": 0o600, "rooms.db-wal": 0o600, "rooms.db-shm": 0o600}


@pytest.mark.parametrize(("durability", "synchronous"), [("disk", 2), ("os", 1)])
def test_durability_decides_when_the_log_is_synchronised(
    tmp_path: Path, durability: Durability, synchronous: int
) -> None:
    """`disk` is synchronous=FULL, a synchronised log at every commit; `os` is NORMAL."""
    with closing(open_database(tmp_path / "rooms.db", durability=durability)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (8000,)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A file of a newer Engineroom is refused with both versions and what to do, and not changed."""
    file = tmp_path / "rooms.db"
    with closing(open_database(file, durability="os")) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = file.read_bytes()
    with pytest.raises(
        StoreError, match=r"by a newer Engineroom \(its schema is 3.*install that version"
    ):
        open_database(file, durability="os")
    assert file.read_bytes() == before


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """A database that is not ours is refused, and not changed."""
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE precious(x)")
    before = file.read_bytes()
    with pytest.raises(StoreError, match="is a database of another program"):
        open_database(file, durability="disk")
    assert file.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["other.db"]


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file of something else is refused with its name."""
    file = tmp_path / "rooms.db"
    file.write_text("This is a letter, not a database. " * 100)
    with pytest.raises(
        StoreError, match=r"cannot open the store .*rooms.db: file is not a database"
    ):
        open_database(file, durability="disk")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """A file in a folder that is not there cannot be opened; the error names it."""
    with pytest.raises(
        StoreError, match=r"cannot open the store .*missing/rooms.db: .*No such file"
    ):
        open_database(tmp_path / "missing" / "rooms.db", durability="disk")


def test_an_opening_that_was_cut_off_is_made_good(tmp_path: Path) -> None:
    """A file without tables, left by a process that was killed while it opened, becomes a store."""
    file = tmp_path / "rooms.db"
    file.touch()
    for _ in range(2):
        with closing(open_database(file, durability="disk")) as connection:
            assert connection.execute("SELECT count(*) FROM documents").fetchone() == (0,)


def test_odd_characters_in_the_files_name(tmp_path: Path) -> None:
    """Names that mean something in an URI are names."""
    folder = tmp_path / "a?mode=memory#b%20c é"
    folder.mkdir()
    with closing(open_database(folder / "rooms.db", durability="os")):
        assert (folder / "rooms.db").stat().st_size > 0


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    """A connection for reading changes nothing, and makes no file."""
    file = tmp_path / "rooms.db"
    with pytest.raises(sqlite3.OperationalError), closing(connect(file, mode="ro")) as connection:
        connection.execute("SELECT 1 FROM documents")
    assert not file.exists()
    with closing(open_database(file, durability="os")), closing(connect(file, mode="ro")) as reader:
        change = partial(reader.execute, "DELETE FROM documents")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            change()


def test_a_checksum_covers_every_field() -> None:
    """A change of any field, or of the border between user and update, changes the checksum."""
    fields = (1, 2, 3.0, b"ada", b"update")
    variants = [
        (9, 2, 3.0, b"ada", b"update"),
        (1, 9, 3.0, b"ada", b"update"),
        (1, 2, 9.0, b"ada", b"update"),
        (1, 2, 3.0, b"adb", b"update"),
        (1, 2, 3.0, b"ada", b"updaue"),
        (1, 2, 3.0, b"adau", b"pdate"),
        (1, 2, 3.0, b"", b"adaupdate"),
    ]
    assert record_checksum(*fields) not in {record_checksum(*each) for each in variants}
    snapshots = {
        snapshot_checksum(*each)
        for each in ((1, 2, b"a"), (1, 3, b"a"), (2, 2, b"a"), (1, 2, b"b"))
    }
    assert len(snapshots) == 4


def test_an_error_says_what_to_do() -> None:
    """Known errors of SQLite come with advice, others as they are."""
    error = sqlite3.OperationalError("database or disk is full")
    assert explain(error) == "database or disk is full"
    error.sqlite_errorname = "SQLITE_FULL"
    assert explain(error) == "database or disk is full: free some space on its disk"
    error.sqlite_errorname = "SQLITE_IOERR_WRITE"
    assert explain(error).endswith("look at its disk, and at the system's log")


def old_file(path: Path) -> None:
    """A file as schema 1 had it: a document with a snapshot up to 3 and a record 4."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(
            f"{_SCHEMA_1} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
        )
        connection.execute("INSERT INTO documents(path, lineage) VALUES ('a', ?)", (LINEAGE,))
        checksum = snapshot_checksum(1, 3, b"snapshot")
        connection.execute(
            "INSERT INTO snapshots VALUES (1, 3, 1.0, ?, ?)", (b"snapshot", checksum)
        )
        four = record(4)
        checksum = record_checksum(1, 4, four.time, four.user.encode(), four.update)
        connection.execute(
            "INSERT INTO records VALUES (1, 4, ?, ?, ?, ?)",
            (four.time, four.user, four.update, checksum),
        )


def test_a_file_of_schema_1_is_brought_up(tmp_path: Path) -> None:
    """It keeps everything, and takes notes, history and versions from then on."""
    file = tmp_path / "rooms.db"
    old_file(file)
    with closing(Tables(open_database(file, durability="disk"))) as tables:
        found = read_document(file, "a")
        assert found is not None
        assert (found.document.snapshot, found.document.notes) == (b"snapshot", b"")
        assert (found.document.records, found.document.damaged) == ((record(4),), 0)
        with tables.transaction():
            tables.compact("a", b"next", 4, notes=b"notes", history_since=0.0)
        found = read_document(file, "a")
        assert found is not None
        assert (found.document.snapshot, found.document.notes) == (b"next", b"notes")


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one transaction: a file of schema 1 is still one, and can be brought up later."""
    file = tmp_path / "rooms.db"
    old_file(file)
    broken = (_SCHEMA_1, f"{database._SCHEMA_2} SELECT * FROM nowhere;")
    monkeypatch.setattr(database, "_MIGRATIONS", broken)
    with pytest.raises(StoreError, match="nowhere"):
        open_database(file, durability="disk")
    monkeypatch.undo()
    with closing(connect(file, mode="ro")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'history'")
        assert tables.fetchone() == (0,)
    with closing(open_database(file, durability="disk")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_new_file_gives_free_pages_back(tmp_path: Path) -> None:
    """Free pages can leave a new file one by one (auto_vacuum 2 is incremental)."""
    with closing(open_database(tmp_path / "rooms.db", durability="disk")) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
