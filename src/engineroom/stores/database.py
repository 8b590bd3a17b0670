"""The SQLite file: its tables, how it is opened, its checksums, and what its errors ask of the
reader.

It knows the shape of the file; nothing of threads, event loops or callers. `tables` changes it,
`reading` reads it.

A record's checksum is CRC-32 over its document, number, time, user and update. It is there to find
what a disk has damaged, not what an adversary has written. For that a CRC is as good as any, and
`zlib.crc32` is the one in the standard library (CRC-32C finds the same bursts; it is faster only in
hardware).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Literal
from zlib import crc32

from engineroom.errors import StoreError
from engineroom.stores.promises import Durability

SCHEMA_VERSION = 2
APPLICATION_ID = 0x456E_6752  # "EngR": whose file this is (PRAGMA application_id)

# Half of SQLite's: an empty file has a dozen pages, and most files hold few and small documents.
PAGE_BYTES = 2048

# A checkpoint every 16 MB of log instead of SQLite's 4: where many rooms type, the same pages come
# again and again, and a hundred rooms reach half as many rows again. Recovery reads at most that.
WAL_PAGES = 8000
WAL_FILE_BYTES = 32 * 1024 * 1024  # a checkpoint cuts the log back to this after a large commit

_SYNCHRONOUS = {"disk": "FULL", "os": "NORMAL"}

# Ids are never used again (AUTOINCREMENT), so that a record cannot come to stand under a later
# document. `records` is stored in the order of its key: a document's log lies together, and is read
# as one run of pages. Compaction moves what stays readable from `records` to `history`, so that a
# long history slows neither loads nor compactions. Bytes stand last: a list does not read them.
_SCHEMA_1 = """
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    lineage TEXT NOT NULL
) STRICT;
CREATE TABLE records (
    document INTEGER NOT NULL,
    number INTEGER NOT NULL,
    time REAL NOT NULL,
    user TEXT NOT NULL,
    bytes BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (document, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE snapshots (
    document INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    changed REAL NOT NULL,
    bytes BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE quarantine (
    document INTEGER NOT NULL,
    number INTEGER NOT NULL,
    time ANY,
    user ANY,
    bytes ANY,
    checksum ANY,
    PRIMARY KEY (document, number)
) STRICT, WITHOUT ROWID;
"""

_SCHEMA_2 = """
ALTER TABLE snapshots ADD COLUMN notes BLOB NOT NULL DEFAULT x'';
CREATE TABLE history (
    document INTEGER NOT NULL,
    number INTEGER NOT NULL,
    time REAL NOT NULL,
    user TEXT NOT NULL,
    bytes BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (document, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX history_by_time ON history (document, time);
CREATE TABLE versions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL,
    id TEXT NOT NULL,
    number INTEGER NOT NULL,
    time REAL NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    user TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (document, id)
) STRICT;
"""
_MIGRATIONS = (_SCHEMA_1, _SCHEMA_2)  # the n-th makes schema n of the one before it

_ADVICE = (
    ("SQLITE_FULL", "free some space on its disk"),
    ("SQLITE_READONLY", "make the file and its folder writable"),
    ("SQLITE_IOERR", "look at its disk, and at the system's log"),
    ("SQLITE_BUSY", "another process holds the file; let it go"),
    ("SQLITE_CORRUPT", "restore the file from a backup"),
)

_RECORD = Struct("<qqdq")
_SNAPSHOT = Struct("<qq")
_VERSION = Struct("<qqd")


def record_checksum(document: int, number: int, time: float, user: bytes, update: bytes) -> int:
    """The checksum of a record. The user's length is in it: user and update cannot run together."""
    return crc32(update, crc32(user, crc32(_RECORD.pack(document, number, time, len(user)))))


def snapshot_checksum(document: int, number: int, snapshot: bytes, notes: bytes = b"") -> int:
    """The checksum of a snapshot with its notes. Without notes it is schema 1's, which had none."""
    return crc32(notes, crc32(snapshot, crc32(_SNAPSHOT.pack(document, number))))


def version_checksum(document: int, version: str, number: int, time: float, data: bytes) -> int:
    """The checksum of a version's encoding. Its name may change, and is not in it."""
    return crc32(data, crc32(version.encode(), crc32(_VERSION.pack(document, number, time))))


def connect(path: Path, *, mode: Literal["rw", "ro"]) -> sqlite3.Connection:
    """A connection to the existing file at the absolute `path`; transactions are the caller's.

    Text that is not UTF-8 (damage) does not raise: it comes out with surrogates, and its checksum
    does not hold.
    """
    connection = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None)
    connection.text_factory = lambda text: text.decode(errors="surrogateescape")
    return connection


def open_database(path: Path, *, durability: Durability) -> sqlite3.Connection:
    """A connection that writes to the file at the absolute `path`; a new file has mode 0600.

    Raises:
        StoreError: the file cannot be opened, is no store, or was written by a newer Engineroom.
    """
    try:
        _create(path)
        connection = connect(path, mode="rw")
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot open the store {path}: {error}") from error
    try:
        _prepare(connection, path, durability)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise StoreError(f"cannot open the store {path}: {error}") from error
        raise
    return connection


def _create(path: Path) -> None:
    """Make an empty file, for this user alone (SQLite's side files get its mode), and durable."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def set_durability(connection: sqlite3.Connection, durability: Durability) -> None:
    """What the commits to come promise. Between transactions alone."""
    connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")


def _prepare(connection: sqlite3.Connection, path: Path, durability: Durability) -> None:
    """Check whose file it is before anything changes; then settings, and a new file's tables."""
    version = _check_owner(connection, path)
    if version == 0:  # only before the file's first page is written
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # free pages can leave the file
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(f"cannot open the store {path}: its file system has no write-ahead log")
    set_durability(connection, durability)
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_FILE_BYTES}")
    if version < SCHEMA_VERSION:
        connection.executescript(
            f"BEGIN IMMEDIATE; {''.join(_MIGRATIONS[version:])}"
            f"PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )


def _check_owner(connection: sqlite3.Connection, path: Path) -> int:
    """The file's schema; 0 when it is still empty, so that it may become ours.

    Raises:
        StoreError: it is another program's, or of a newer schema.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == 0 and version == 0 and tables == 0:
        return 0
    if application != APPLICATION_ID:
        raise StoreError(f"{path} is a database of another program: choose another file")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer Engineroom (its schema is {version}, this one knows "
            f"{SCHEMA_VERSION}): install that version, or choose another data folder"
        )
    return int(version)


def explain(error: sqlite3.Error) -> str:
    """SQLite's error, with what to do where that is known."""
    name = getattr(error, "sqlite_errorname", "")
    for prefix, advice in _ADVICE:
        if name.startswith(prefix):
            return f"{error}: {advice}"
    return str(error)
