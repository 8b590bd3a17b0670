"""Reading the SQLite file: each reading on a connection of its own, and of one moment.

It changes nothing: what it finds damaged, it names, and the writer's thread moves it aside.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from engineroom.errors import StoreError
from engineroom.rooms.storage import DocumentInfo, Record, StoredDocument, Version
from engineroom.stores.database import (
    connect,
    explain,
    record_checksum,
    snapshot_checksum,
    version_checksum,
)
from engineroom.stores.promises import check_path

# With max(), SQLite takes a bare column (here: time) from the row that has the maximum; its manual
# promises it.
_LIST = """
SELECT d.path, d.lineage,
    max(coalesce(r.last, 0), coalesce(q.last, 0), coalesce(s.number, 0)), coalesce(s.number, 0),
    coalesce(r.size, 0) + coalesce(h.size, 0) + coalesce(v.size, 0)
        + coalesce(length(s.bytes), 0) + coalesce(length(s.notes), 0),
    coalesce(r.time, s.changed, 0.0)
FROM documents AS d
LEFT JOIN (
    SELECT document, max(number) AS last, sum(length(bytes)) AS size, time
    FROM records GROUP BY document
) AS r ON r.document = d.id
LEFT JOIN (
    SELECT document, max(number) AS last FROM quarantine GROUP BY document
) AS q ON q.document = d.id
LEFT JOIN (
    SELECT document, sum(length(bytes)) AS size FROM history GROUP BY document
) AS h ON h.document = d.id
LEFT JOIN (
    SELECT document, sum(length(bytes)) AS size FROM versions GROUP BY document
) AS v ON v.document = d.id
LEFT JOIN snapshots AS s ON s.document = d.id
WHERE substr(CAST(d.path AS BLOB), 1, length(:prefix)) = :prefix
ORDER BY d.path
"""
_HISTORY = """
SELECT d.id, r.number, r.time, r.user, r.bytes, r.checksum FROM documents AS d JOIN (
    SELECT * FROM history UNION ALL SELECT * FROM records
) AS r ON r.document = d.id
WHERE d.path = ? AND r.number > ? ORDER BY r.number
"""
_VERSIONS = """
SELECT v.id, v.number, v.time, v.kind, v.name, v.user, length(v.bytes)
FROM versions AS v JOIN documents AS d ON d.id = v.document WHERE d.path = ? ORDER BY v.sequence
"""
_VERSION = """
SELECT d.id, v.number, v.time, v.checksum, v.bytes
FROM versions AS v JOIN documents AS d ON d.id = v.document WHERE d.path = ? AND v.id = ?
"""


@dataclass(frozen=True, slots=True)
class SQLiteReader:
    """The file at the absolute path `file`, to read. Any thread may call it, several at a time.

    Every call raises `StoreError` when the file cannot be read.
    """

    file: Path

    def document(self, path: str) -> Reading | None:
        """See `read_document`."""
        return read_document(self.file, path)

    def documents(self, prefix: str) -> list[DocumentInfo]:
        """All documents whose path begins with `prefix`, by path."""
        return read_list(self.file, prefix)

    def history(self, path: str, after: int, limit: int) -> list[Record]:
        """The oldest `limit` sound records with a number above `after`."""
        check_path(path)
        records: list[Record] = []
        with _reader(self.file) as connection:
            for identity, *fields in connection.execute(_HISTORY, (path, after)):
                if len(records) >= limit:
                    break
                if _is_sound(identity, *fields):
                    number, time, user, update, _ = fields
                    records.append(Record(number, time, user, update))
        return records

    def versions(self, path: str) -> list[Version]:
        """The versions of a document, oldest first."""
        check_path(path)
        with _reader(self.file) as connection:
            return [Version(*row) for row in connection.execute(_VERSIONS, (path,))]

    def version(self, path: str, version: str) -> bytes | None:
        """The encoding of a version.

        Raises:
            StoreError: it is damaged.
        """
        check_path(path)
        with _reader(self.file) as connection:
            row = connection.execute(_VERSION, (path, version)).fetchone()
        if row is None:
            return None
        identity, number, time, checksum, encoding = row
        if version_checksum(identity, version, number, time, encoding) != checksum:
            raise StoreError(
                f"version {version!r} of document {path!r} in {self.file} is damaged: "
                "restore the file from a backup, or delete the version"
            )
        return bytes(encoding)


@dataclass(frozen=True, slots=True)
class Reading:
    """A document, its id in the file, and the numbers of damaged records that still stand in its
    log.
    """

    document: StoredDocument
    id: int
    damaged_numbers: tuple[int, ...]


def read_document(file: Path, path: str) -> Reading | None:
    """The document, or None.

    Records whose checksum does not hold are left out and those after them are returned: what
    depends on a lost update waits for it, and a member who has it still brings it back; what does
    not depend on it is fine. A damaged snapshot is an error instead: without it nearly nothing of
    the document would show, and it would look empty.

    Raises:
        StoreError: the file cannot be read, or the snapshot is damaged.
    """
    check_path(path)
    with _reader(file) as connection:
        row = connection.execute(
            "SELECT id, lineage FROM documents WHERE path = ?", (path,)
        ).fetchone()
        if row is None:
            return None
        identity, lineage = row
        snapshot, snapshot_number, notes = _read_snapshot(connection, identity, path, file)
        records, damaged = _read_records(connection, identity, snapshot_number)
        quarantined = [
            number
            for (number,) in connection.execute(
                "SELECT number FROM quarantine WHERE document = ?", (identity,)
            )
        ]
    last = max([snapshot_number, *damaged, *quarantined, *(r.number for r in records[-1:])])
    # What is missing from the tail without having been moved aside counts as damaged too.
    lost = last - snapshot_number - len(records)
    lost += sum(number <= snapshot_number for number in quarantined)
    document = StoredDocument(lineage, snapshot, snapshot_number, tuple(records), last, lost, notes)
    return Reading(document, identity, tuple(damaged))


def read_list(file: Path, prefix: str = "") -> list[DocumentInfo]:
    """All documents whose path begins with `prefix`, by path.

    Raises:
        StoreError: the file cannot be read.
    """
    with _reader(file) as connection:
        return [
            DocumentInfo(*row) for row in connection.execute(_LIST, {"prefix": prefix.encode()})
        ]


@contextmanager
def _reader(file: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(connect(file, mode="ro")) as connection:
            connection.execute("BEGIN")  # all that follows sees one moment
            yield connection
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the store {file}: {explain(error)}") from error


def _read_snapshot(
    connection: sqlite3.Connection, identity: int, path: str, file: Path
) -> tuple[bytes | None, int, bytes]:
    row = connection.execute(
        "SELECT number, bytes, notes, checksum FROM snapshots WHERE document = ?", (identity,)
    ).fetchone()
    if row is None:
        return None, 0, b""
    number, snapshot, notes, checksum = row
    whole = isinstance(snapshot, bytes) and isinstance(notes, bytes)
    if not whole or snapshot_checksum(identity, number, snapshot, notes) != checksum:
        raise StoreError(
            f"the snapshot of document {path!r} (up to record {number}) in {file} is damaged. "
            "Nothing was changed: restore the file from a backup, or delete the document"
        )
    return snapshot, number, notes


def _read_records(
    connection: sqlite3.Connection, identity: int, after: int
) -> tuple[list[Record], list[int]]:
    """The sound records in order, and the numbers of the others."""
    rows = connection.execute(
        "SELECT number, time, user, bytes, checksum FROM records "
        "WHERE document = ? AND number > ? ORDER BY number",
        (identity, after),
    ).fetchall()
    records: list[Record] = []
    damaged: list[int] = []
    for number, time, user, update, checksum in rows:
        if _is_sound(identity, number, time, user, update, checksum):
            records.append(Record(number, time, user, update))
        else:
            damaged.append(number)
    return records, damaged


def _is_sound(identity: int, number: int, *fields: object) -> bool:
    """Whether the fields have their types, which damage may have changed, and match their checksum."""
    match fields:
        case (float() as time, str() as user, bytes() as update, int() as checksum):
            encoded = user.encode(errors="surrogateescape")
            return record_checksum(identity, number, time, encoded, update) == checksum
        case _:
            return False
