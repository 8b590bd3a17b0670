"""Reading the stores of pycrdt-websocket and ypy-websocket, from bytes written by the format's facts."""

import bz2
import gzip
import lzma
import sqlite3
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from pycrdt import Doc, Text

from engineroom.errors import StoreError
from engineroom.protocols.lib0 import buf
from engineroom.stores.foreign import DECOMPRESSIONS, read_file, read_foreign

CHARACTERS = "hello"


def typed() -> list[bytes]:
    """The updates of somebody who types `CHARACTERS` into the root `text`."""
    doc: Doc[Text] = Doc()
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    text = doc.get("text", type=Text)
    for character in CHARACTERS:
        text += character
    return updates


def triple(update: bytes, time: float = 5.5, metadata: bytes = b"meta") -> bytes:
    return buf(update) + buf(metadata) + buf(struct.pack("<d", time))


def file_store(updates: Sequence[bytes]) -> bytes:
    return b"VERSION:2\n" + b"".join(triple(update, 1.0 + n) for n, update in enumerate(updates))


def database(
    file: Path,
    rows: Sequence[tuple[object, ...]],
    *,
    checkpoints: Sequence[tuple[object, ...]] | None = None,
    version: int = 2,
) -> None:
    """A database with `rows` of path, update, metadata and time."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "CREATE TABLE yupdates (path TEXT NOT NULL, yupdate BLOB, metadata BLOB, timestamp REAL)"
        )
        connection.execute("CREATE INDEX i ON yupdates (path, timestamp)")
        connection.executemany("INSERT INTO yupdates VALUES (?, ?, ?, ?)", rows)
        if checkpoints is not None:
            connection.execute(
                "CREATE TABLE ycheckpoints (path TEXT PRIMARY KEY, checkpoint BLOB, timestamp REAL)"
            )
            connection.executemany("INSERT INTO ycheckpoints VALUES (?, ?, ?)", checkpoints)
        connection.execute(f"PRAGMA user_version = {version}")


def rows_of(updates: Sequence[bytes], path: str = "notes") -> list[tuple[object, ...]]:
    return [(path, update, b"meta", 1.0 + n) for n, update in enumerate(updates)]


# --- files -----------------------------------------------------------------------------------


def test_a_file_store_is_read(tmp_path: Path) -> None:
    """Every update in order, with its time; the name is the file's."""
    updates = typed()
    (tmp_path / "room.y").write_bytes(file_store(updates))
    (found,) = read_foreign(tmp_path / "room.y")
    assert (found.name, found.lost) == ("room.y", ())
    assert found.updates == tuple((1.0 + n, update) for n, update in enumerate(updates))


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_file_keeps_what_stands_before(cut: int) -> None:
    """Wherever the last record was cut, the others are there, and the loss is told."""
    updates = typed()
    data = file_store(updates)
    last = len(triple(updates[-1]))
    found = read_file("room", data[: -min(cut, last - 1)])
    assert [update for _, update in found.updates] == updates[:-1]
    assert len(found.lost) == 1
    assert found.lost[0].startswith("record 5 cannot be read")


def test_what_follows_a_torn_record_is_lost_and_told() -> None:
    """Another program went on writing behind it: where its records begin cannot be known."""
    updates = typed()
    torn = triple(updates[2])[:-12]
    data = file_store(updates[:2]) + torn + b"".join(map(triple, updates[3:]))
    found = read_file("room", data)
    assert [update for _, update in found.updates] == updates[:2]
    assert "record 3 cannot be read" in found.lost[0]
    assert f"the last {len(torn) + sum(len(triple(u)) for u in updates[3:])} bytes" in found.lost[0]


def test_an_empty_file_store_has_no_updates() -> None:
    """A file that was begun alone is a document without updates, and nothing is lost."""
    found = read_file("room", b"VERSION:2\n")
    assert (found.updates, found.lost) == ((), ())


@pytest.mark.parametrize(
    "beginning", [b"VERSION:3\n", b"VERSION:\n", b"VERSION:2", b"VERSION:2x\n"]
)
def test_other_versions_are_refused(beginning: bytes) -> None:
    """A version that is not known is named, and nothing is guessed."""
    if beginning == b"VERSION:2":  # cut within its first line: nothing was written yet
        assert read_file("room", beginning).updates == ()
        return
    with pytest.raises(StoreError, match="only version 2 is known"):
        read_file("room", beginning + triple(typed()[0]))


def test_a_folder_is_read_by_relative_paths(tmp_path: Path) -> None:
    """Files and databases below it; other files are left alone."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/room.y").write_bytes(file_store(typed()))
    (tmp_path / "letter.txt").write_text("dear")
    (tmp_path / "empty").touch()
    database(tmp_path / "ystore.db", rows_of(typed(), "notes/a"))
    assert [found.name for found in read_foreign(tmp_path)] == ["sub/room.y", "notes/a"]


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    """Neither is told which it should be."""
    (tmp_path / "letter").write_text("dear")
    with pytest.raises(StoreError, match="is no store of pycrdt-websocket or ypy-websocket"):
        list(read_foreign(tmp_path / "letter"))
    with pytest.raises(StoreError, match="No such file"):
        list(read_foreign(tmp_path / "nowhere"))


# --- databases -------------------------------------------------------------------------------


def test_a_database_without_checkpoints_is_read(tmp_path: Path) -> None:
    """Every document by its path, every row in the order in which it was written, whatever its time."""
    updates = typed()
    rows = [*rows_of(updates, "b"), ("a", updates[0], None, -5.0), ("a", None, None, 1.0)]
    database(tmp_path / "y.db", rows)
    a, b = read_foreign(tmp_path / "y.db")
    assert (a.name, a.updates, a.lost) == ("a", ((-5.0, updates[0]),), ())
    assert [update for _, update in b.updates] == updates


def test_databases_without_a_version_are_read(tmp_path: Path) -> None:
    """ypy-websocket before 0.8: without metadata and times, or with times as text."""
    updates = typed()
    for number, columns in enumerate(("", ", metadata BLOB", ", metadata BLOB, timestamp TEXT")):
        file = tmp_path / f"{number}.db"
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(f"CREATE TABLE yupdates (path TEXT, yupdate BLOB{columns})")
            for update in updates:
                connection.execute(
                    "INSERT INTO yupdates (path, yupdate) VALUES ('notes', ?)", (update,)
                )
        (found,) = read_foreign(file)
        assert found.updates == tuple((0.0, update) for update in updates)


def test_a_checkpoint_is_one_update_more(tmp_path: Path) -> None:
    """Rows that the clock says it covers are read all the same; a checkpoint may stand alone."""
    updates = typed()
    checkpoints = [("notes", updates[0], 100.0), ("alone", updates[1], 1.0)]
    database(tmp_path / "y.db", rows_of(updates), checkpoints=checkpoints)
    alone, notes = read_foreign(tmp_path / "y.db")
    assert [update for _, update in alone.updates] == [updates[1]]
    assert [update for _, update in notes.updates] == [updates[0], *updates]


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("zlib", zlib.compress),
        ("gzip", gzip.compress),
        ("bz2", bz2.compress),
        ("lzma", lzma.compress),
    ],
)
def test_compressed_rows(tmp_path: Path, name: str, compress: Callable[[bytes], bytes]) -> None:
    """With its name they are read, those that were written before compression too; without it, what
    to do is told.
    """
    updates = typed()
    mixed = [updates[0], *map(compress, updates[1:])]
    database(tmp_path / "y.db", rows_of(mixed))
    (found,) = read_foreign(tmp_path / "y.db", decompress=DECOMPRESSIONS[name])
    assert [update for _, update in found.updates] == updates
    (found,) = read_foreign(tmp_path / "y.db")
    assert len(found.updates) == 1
    expected = f"4 of 5 updates are none, the first is 2 (it is compressed: --decompress {name})"
    assert found.lost == (expected,)


def test_a_row_that_is_no_update_is_left_out(tmp_path: Path) -> None:
    """The others of its document come in, and it is told."""
    updates = typed()
    database(tmp_path / "y.db", rows_of([updates[0], b"rubbish", updates[1]]))
    (found,) = read_foreign(tmp_path / "y.db")
    assert [update for _, update in found.updates] == updates[:2]
    assert found.lost == ("1 of 3 updates are none, the first is 2",)


def test_other_databases_are_refused(tmp_path: Path) -> None:
    """One without the table, and one of another version."""
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE t(x)")
    with pytest.raises(StoreError, match="no table yupdates"):
        list(read_foreign(tmp_path / "other.db"))
    database(tmp_path / "new.db", [], version=3)
    with pytest.raises(StoreError, match="version 3; only version 2 is known"):
        list(read_foreign(tmp_path / "new.db"))


def test_a_torn_database_gives_what_can_be_read(tmp_path: Path) -> None:
    """Where SQLite finds its pages damaged, what it gave before counts, and the loss is told."""
    file = tmp_path / "y.db"
    (update,) = typed()[:1]
    database(file, [("notes", update, bytes(3000), float(n)) for n in range(100)])
    content = bytearray(file.read_bytes())
    for start in range(len(content) // 2 // 4096 * 4096, len(content), 4096):
        content[start : start + 50] = b"\xee" * 50
    file.write_bytes(content)
    found = list(read_foreign(file))
    assert found[0].name == "notes"
    assert 0 < len(found[0].updates) < 100
    assert "cannot be read" in found[0].lost[0]
