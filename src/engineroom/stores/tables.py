"""Every statement that changes the SQLite file.

It knows SQL; nothing of threads, event loops or callers. `database` opens the file, `reading` reads
it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from engineroom.errors import StoreError
from engineroom.rooms.storage import Record
from engineroom.stores.database import record_checksum, snapshot_checksum
from engineroom.stores.promises import Head, check_path, head_after_append, head_after_compaction

KNOWN_DOCUMENTS = 10_000  # whose heads are kept in memory; past it they are looked up again

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
INSERT OR REPLACE INTO snapshots(document, number, changed, bytes, checksum)
VALUES (:document, :number, coalesce(
    (
        SELECT time FROM records WHERE document = :document AND number <= :number
        ORDER BY number DESC LIMIT 1
    ),
    (SELECT changed FROM snapshots WHERE document = :document),
    0.0), :bytes, :checksum)
"""
_DELETES = (
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

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # Heads of the documents in use, so that an append needs no look-up (a step of a statement,
        # see _INSERTS).
        self._documents: dict[str, _Document] = {}
        self._rows: list[object] = []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One commit: all of it is in the file when the block ends, or none of it when it raises."""
        if self._connection.in_transaction:  # an earlier rolling back has failed
            self._roll_back()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._insert_rows()
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

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

    def compact(self, path: str, snapshot: bytes, number: int) -> None:
        """Put `snapshot` in place of the records up to `number`.

        Raises:
            StoreError: refused, see `promises.head_after_compaction`.
        """
        document = self._find(path)
        head = head_after_compaction(path, _head(document), number)
        assert document is not None
        self._check_size(path, len(snapshot))
        self._insert_rows()
        row = {
            "document": document.id,
            "number": number,
            "bytes": snapshot,
            "checksum": snapshot_checksum(document.id, number, snapshot),
        }
        self._connection.execute(_COMPACT, row)
        self._connection.execute(
            "DELETE FROM records WHERE document = ? AND number <= ?", (document.id, number)
        )
        self._remember(path, _Document(document.id, head))

    def delete(self, path: str) -> bool:
        """Remove the document and all that belongs to it; whether there was one."""
        document = self._find(path)
        if document is None:
            return False
        self._insert_rows()
        for statement in _DELETES:
            self._connection.execute(statement, (document.id,))
        self._documents.pop(path, None)
        return True

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
            sqlite3.Error: the log could not be copied now; it stays beside the file, and nothing is
            lost.
        """
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._connection.close()

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


def _head(document: _Document | None) -> Head | None:
    return None if document is None else document.head


def _row(document: int, record: Record) -> tuple[object, ...]:
    """A row of `records`. SQLite knows no negative zero: adding zero makes it the positive one,
    which it keeps.
    """
    time, user = record.time + 0.0, record.user.encode()
    checksum = record_checksum(document, record.number, time, user, record.update)
    return (document, record.number, time, record.user, record.update, checksum)
