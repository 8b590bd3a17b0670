"""Reading the file: one moment of it, whatever is written meanwhile."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engineroom.errors import StoreError
from engineroom.stores import reading
from engineroom.stores.database import open_database
from engineroom.stores.reading import read_document, read_list
from engineroom.stores.tables import Tables
from engineroom.testing.stores import LINEAGE, record, records


def test_a_reading_is_of_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compaction between the reading of the snapshot and of the records is not seen by halves."""
    file = tmp_path / "rooms.db"
    read_records = reading._read_records

    with closing(Tables(open_database(file, durability="os"))) as tables:
        with tables.transaction():
            tables.append("a", LINEAGE, records(1, 5))

        def compact_meanwhile(
            connection: sqlite3.Connection, identity: int, after: int
        ) -> tuple[list[object], list[int]]:
            with tables.transaction():
                tables.append("a", LINEAGE, [record(6)])
                tables.compact("a", b"snapshot", 6)
            return read_records(connection, identity, after)  # type: ignore[return-value]

        monkeypatch.setattr(reading, "_read_records", compact_meanwhile)
        result = read_document(file, "a")
    assert result is not None
    assert (result.document.snapshot_number, result.document.records) == (0, tuple(records(1, 5)))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """A file that has gone is told, and not made anew."""
    with pytest.raises(StoreError, match=r"cannot read the store .*rooms.db: unable to open"):
        read_list(tmp_path / "rooms.db")
    assert list(tmp_path.iterdir()) == []
