"""Every statement that changes the SQLite file.

It knows SQL; nothing of threads, event loops or callers. `database` opens the file, `reading` reads
it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

from engineroom.errors import StoreError
from engineroom.rooms.storage import Record, Version
from engineroom.stores.database import (
    explain,
    record_checksum,
    set_durability,
    snapshot_checksum,
    version_checksum,
)
from engineroom.stores.promises import (
    Durability,
    Head,
    check_history,
    check_new_version,
    check_path,
    check_version,
    check_version_name,
    head_after_append,
    head_after_compaction,
)

KNOWN_DOCUMENTS = 10_000  # whose heads are kept in memory; past it they are looked up again

# Free pages leave the file once they are a quarter of it, a few at a commit: moving one takes some
# 5 microseconds, and all who share the commit wait. Fewer stay, for the records to come.
VACUUM_SHARE = 4
VACUUM_PAGES = 1024
LAST_VACUUM_PAGES = 32_768  # at the end: 64 MB

# Many rows a statement, since Python's sqlite3 gives the interpreter lock away at every step of a
# statement: row by row, a commit of 100 rows takes 160 ms while another thread computes, and 10 ms
# in one statement.
_INSERTS = tuple(
    (rows, f"INSERT INTO records VALUES {','.join(['(?,?,?,?,?,?)'] * rows)}")  # noqa: S608
    for rows in (100, 10, 1)
)
_COLUMNS = 6

_FIND = """
SELECT d.id, d.lineage,
    coalesce((SELECT max(number) FROM records WHERE document = d.id), 0),
    coalesce((SELECT max(number) FROM quarantine WHERE document = d.id), 0),
    coalesce((SELECT number FROM snapshots WHERE document = d.id), 0)
FROM documents AS d WHERE d.path = ?
"""
_COMPACT = """
INSERT OR REPLACE INTO snapshots(document, number, changed, bytes, checksum, notes)
VALUES (:document, :number, coalesce(
    (
        SELECT time FROM records WHERE document = :document AND number <= :number
        ORDER BY number DESC LIMIT 1
    ),
    (SELECT changed FROM snapshots WHERE document = :document),
    0.0), :bytes, :checksum, :notes)
"""
_KEEP = """
INSERT OR REPLACE INTO history SELECT document, number, time, user, bytes, checksum
FROM records WHERE document = ? AND number <= ? AND time >= ?
"""
_DELETES = (
    "DELETE FROM history WHERE document = ?",
    "DELETE FROM versions WHERE document = ?",
    "DELETE FROM records WHERE document = ?",
    "DELETE FROM snapshots WHERE document = ?",
    "DELETE FROM quarantine WHERE document = ?",
    "DELETE FROM documents WHERE id = ?",
)
_QUARANTINE = """
INSERT OR IGNORE INTO quarantine SELECT document, number, time, user, bytes, checksum
FROM records WHERE document = ? AND number = ?
"""


@dataclass(frozen=True, slots=True)
class _Document:
    id: int
    head: Head


class Tables:
    """The tables, for the one thread that writes: every change is inside a `transaction()`.

    Rows of `append` are collected, and inserted together before the next other change or at the
    commit. Refusals (`StoreError`) come before anything of the refused call is written, so they
    leave the transaction as it was.
    """

    def __init__(self, connection: sqlite3.Connection, file: Path | None = None) -> None:
        """`file` is where the connection's file stands, to notice when somebody moves it away."""
        self._connection = connection
        self._file = file
        self._place = None if file is None else _place_of(file)
        # Heads of the documents in use, so that an append needs no look-up (a step of a statement,
        # see _INSERTS).
        self._documents: dict[str, _Document] = {}
        self._rows: list[object] = []
        self._freed = False
        self._durability: Durability | None = None

    @contextmanager
    def transaction(self, durability: Durability = "disk") -> Iterator[None]:
        """One commit: all of it is in the file when the block ends, or none of it when it raises.

        Raises:
            StoreError: the file could not be written; says why, and what to do.
        """
        try:
            self._begin(durability)
            try:
                yield
                self._insert_rows()
                self._shrink()
                self._connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        except sqlite3.Error as error:
            raise StoreError(f"the store could not be written: {explain(error)}") from error

    def _begin(self, durability: Durability) -> None:
        self._check_place()
        if self._connection.in_transaction:  # an earlier rolling back has failed
            self._roll_back()
        if durability != self._durability:
            set_durability(self._connection, durability)
            self._durability = durability
        self._connection.execute("BEGIN IMMEDIATE")

    def append(self, path: str, lineage: str, records: Sequence[Record]) -> None:
        """Add `records` to the document's log; the first ones make the document.

        Raises:
            StoreError: refused, see `promises.head_after_append`.
        """
        document = self._find(path)
        head = head_after_append(path, _head(document), lineage, records)
        if not records:
            return
        self._check_size(path, max(len(record.update) for record in records))
        identity = self._create(path, lineage) if document is None else document.id
        self._remember(path, _Document(identity, head))
        for record in records:
            self._rows += _row(identity, record)

    def compact(
        self,
        path: str,
        snapshot: bytes,
        number: int,
        notes: bytes = b"",
        history_since: float = inf,
    ) -> None:
        """Put `snapshot` in place of the records up to `number`; those of `history_since` or later
        become history.

        Raises:
            StoreError: refused, see `promises.head_after_compaction`.
        """
        check_history(history_since)
        document = self._find(path)
        head = head_after_compaction(path, _head(document), number)
        assert document is not None
        self._check_size(path, max(len(snapshot), len(notes)))
        self._insert_rows()
        row = {
            "document": document.id,
            "number": number,
            "bytes": snapshot,
            "checksum": snapshot_checksum(document.id, number, snapshot, notes),
            "notes": notes,
        }
        self._connection.execute(_COMPACT, row)
        self._retire_records(document.id, number, history_since)
        self._remember(path, _Document(document.id, head))

    def _retire_records(self, document: int, number: int, history_since: float) -> None:
        """Records up to `number` leave the log: for the history, or for good."""
        if history_since != inf:
            self._connection.execute(_KEEP, (document, number, history_since))
        self._connection.execute(
            "DELETE FROM records WHERE document = ? AND number <= ?", (document, number)
        )
        self._connection.execute(
            "DELETE FROM history WHERE document = ? AND time < ?", (document, history_since)
        )
        self._freed = True

    def delete(self, path: str) -> bool:
        """Remove the document and all that belongs to it; whether there was one."""
        document = self._find(path)
        if document is None:
            return False
        self._insert_rows()
        for statement in _DELETES:
            self._connection.execute(statement, (document.id,))
        self._documents.pop(path, None)
        self._freed = True
        return True

    def put_version(self, path: str, version: Version, encoding: bytes) -> None:
        """Keep `encoding` as a version.

        Raises:
            StoreError: refused, see `promises.check_version` and `check_new_version`.
        """
        check_version(path, version, encoding)
        document = self._find(path)
        taken = document is not None and self._has_version(document.id, version.id)
        check_new_version(path, version, document=document is not None, taken=taken)
        assert document is not None
        self._check_size(path, len(encoding))
        time = version.time + 0.0
        checksum = version_checksum(document.id, version.id, version.number, time, encoding)
        self._connection.execute(
            "INSERT INTO versions(document, id, number, time, kind, name, user, checksum, bytes) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (document.id, version.id, version.number, time, version.kind, version.name,
             version.user, checksum, encoding),
        )  # fmt: skip

    def rename_version(self, path: str, version: str, name: str) -> bool:
        """Give a version another name; whether there was one."""
        check_version_name(path, name)
        return self._change_version(
            path, version, "UPDATE versions SET name = ? WHERE document = ? AND id = ?", name
        )

    def delete_version(self, path: str, version: str) -> bool:
        """Remove a version; whether there was one."""
        gone = self._change_version(
            path, version, "DELETE FROM versions WHERE document = ? AND id = ?"
        )
        self._freed |= gone
        return gone

    def _change_version(self, path: str, version: str, statement: str, *values: str) -> bool:
        document = self._find(path)
        if document is None:
            return False
        changed = self._connection.execute(statement, (*values, document.id, version))
        return changed.rowcount > 0

    def _has_version(self, document: int, version: str) -> bool:
        found = self._connection.execute(
            "SELECT 1 FROM versions WHERE document = ? AND id = ?", (document, version)
        )
        return found.fetchone() is not None

    def quarantine(self, document: int, numbers: Iterable[int]) -> None:
        """Move damaged records out of the log as they are; what has left the log is left alone."""
        self._insert_rows()
        for number in numbers:
            self._connection.execute(_QUARANTINE, (document, number))
            self._connection.execute(
                "DELETE FROM records WHERE document = ? AND number = ?", (document, number)
            )

    def close(self) -> None:
        """Copy the write-ahead log into the file and close it.

        Raises:
            StoreError: the log could not be copied now; it stays beside the file, and nothing is
            lost.
        """
        try:
            with suppress(sqlite3.Error):  # free pages stay in the file, for another time
                self._connection.executescript(f"PRAGMA incremental_vacuum({LAST_VACUUM_PAGES});")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise StoreError(
                "the store's log could not be copied into its file (it stays beside it): "
                f"{explain(error)}"
            ) from error
        finally:
            self._connection.close()

    def rewrite(self) -> None:
        """Write the file anew, without its free pages; in no transaction. For a store at rest.

        A file of schema 1 can give free pages back from then on.

        Raises:
            StoreError: it could not be written anew (it needs as much free space again).
        """
        try:
            self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._connection.execute("VACUUM")
        except sqlite3.Error as error:
            raise StoreError(f"the store could not be written anew: {explain(error)}") from error

    def _check_place(self) -> None:
        """SQLite does not see that its file was moved or deleted, and writes into what nobody will
        ever read.

        Raises:
            StoreError: it was.
        """
        if self._file is None:
            return
        place = _place_of(self._file)
        if place != self._place:
            what = "is gone" if place is None else "is another file than the one that was opened"
            raise StoreError(
                f"the store could not be written: {self._file} {what}: bring it back, or stop the "
                "server, put the data folder in order, and start it again"
            )

    def _shrink(self) -> None:
        """Let free pages leave the file, some, when there are many."""
        if not self._freed:
            return
        self._freed = False
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        if free * VACUUM_SHARE > pages:
            # One at a time: Python takes one step of this statement, and a page leaves at a step.
            for _ in range(min(free, VACUUM_PAGES)):
                self._connection.execute("PRAGMA incremental_vacuum(1)")

    def _find(self, path: str) -> _Document | None:
        check_path(path)
        document = self._documents.get(path)
        if document is not None:
            return document
        row = self._connection.execute(_FIND, (path,)).fetchone()
        if row is None:
            return None
        identity, lineage, logged, quarantined, snapshot = row
        head = Head(lineage, max(logged, quarantined, snapshot), snapshot)
        document = _Document(identity, head)
        self._remember(path, document)
        return document

    def _remember(self, path: str, document: _Document) -> None:
        """Keep the document's head. What is forgotten for it is looked up, so its rows go first."""
        if path not in self._documents and len(self._documents) >= KNOWN_DOCUMENTS:
            self._insert_rows()
            self._documents.clear()
        self._documents[path] = document

    def _roll_back(self) -> None:
        """Forget what was not committed; after some errors SQLite itself has done so already."""
        self._documents.clear()
        self._rows.clear()
        self._freed = False
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _create(self, path: str, lineage: str) -> int:
        """Make the document; its id."""
        row = self._connection.execute(
            "INSERT INTO documents(path, lineage) VALUES (?, ?) RETURNING id", (path, lineage)
        ).fetchone()
        return int(row[0])

    def _check_size(self, path: str, size_bytes: int) -> None:
        """Refuse what no row can hold, before it fails the commit that others share."""
        limit_bytes = self._connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) // 2
        if size_bytes > limit_bytes:
            raise StoreError(
                f"{size_bytes} bytes of document {path!r} are more than the {limit_bytes} of a row"
            )

    def _insert_rows(self) -> None:
        rows, self._rows = self._rows, []
        start = 0
        for size, statement in _INSERTS:
            while len(rows) - start >= size * _COLUMNS:
                end = start + size * _COLUMNS
                self._connection.execute(statement, rows[start:end])
                start = end


def _place_of(file: Path) -> tuple[int, int] | None:
    """Which file stands there, None when there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _head(document: _Document | None) -> Head | None:
    return None if document is None else document.head


def _row(document: int, record: Record) -> tuple[object, ...]:
    """A row of `records`. SQLite knows no negative zero: adding zero makes it the positive one,
    which it keeps.
    """
    time, user = record.time + 0.0, record.user.encode()
    checksum = record_checksum(document, record.number, time, user, record.update)
    return (document, record.number, time, record.user, record.update, checksum)
