"""Reading the PostgreSQL store: each reading of one moment, on a connection of its own.

It changes nothing: what it finds damaged, it names, and the writer moves it aside.
"""

from __future__ import annotations

from dataclasses import dataclass

from asyncpg import Record as Row

from engineroom.errors import StoreError
from engineroom.rooms.storage import DocumentInfo, Record, StoredDocument, Version
from engineroom.stores.database import record_checksum, snapshot_checksum, version_checksum
from engineroom.stores.postgres_schema import AnyConnection

_LIST = """
SELECT d.path, d.lineage, d.last_number, d.snapshot_number, d.changed,
    coalesce((SELECT sum(length(bytes)) FROM engineroom.records WHERE document = d.id), 0)
    + coalesce((SELECT sum(length(bytes)) FROM engineroom.history WHERE document = d.id), 0)
    + coalesce((SELECT sum(length(bytes)) FROM engineroom.versions WHERE document = d.id), 0)
    + coalesce((
        SELECT length(bytes) + length(notes) FROM engineroom.snapshots WHERE document = d.id
    ), 0) AS size
FROM engineroom.documents AS d
WHERE substring(d.path FROM 1 FOR length($1::bytea)) = $1 ORDER BY d.path
"""
_HISTORY = """
SELECT r.* FROM (
    (SELECT * FROM engineroom.history WHERE document = $1 AND number > $2 ORDER BY number LIMIT $3)
    UNION ALL
    (SELECT * FROM engineroom.records WHERE document = $1 AND number > $2 ORDER BY number LIMIT $3)
) AS r ORDER BY r.number LIMIT $3
"""
_VERSIONS = """
SELECT v.id, v.number, v.time, v.kind, v.name, v.author, length(v.bytes) AS size
FROM engineroom.versions AS v JOIN engineroom.documents AS d ON d.id = v.document
WHERE d.path = $1 ORDER BY v.sequence
"""
_VERSION = """
SELECT d.id AS document, v.number, v.time, v.bytes, v.checksum
FROM engineroom.versions AS v JOIN engineroom.documents AS d ON d.id = v.document
WHERE d.path = $1 AND v.id = $2
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """A document, its id, and the numbers of damaged records that still stand in its log."""

    document: StoredDocument
    id: int
    damaged_numbers: tuple[int, ...]


async def read_document(connection: AnyConnection, path: str) -> Reading | None:
    """The document, or None. Damaged records are left out, as in `reading.read_document`.

    Raises:
        StoreError: its snapshot is damaged.
    """
    row = await connection.fetchrow(
        "SELECT id, lineage, last_number FROM engineroom.documents WHERE path = $1", path.encode()
    )
    if row is None:
        return None
    identity = row["id"]
    snapshot, number, notes = await _read_snapshot(connection, identity, path)
    rows = await connection.fetch(
        "SELECT * FROM engineroom.records WHERE document = $1 AND number > $2 ORDER BY number",
        identity,
        number,
    )
    records = [record_of(one) for one in rows if is_sound(one)]
    damaged = tuple(one["number"] for one in rows if not is_sound(one))
    covered = await connection.fetchval(
        "SELECT count(*) FROM engineroom.quarantine WHERE document = $1 AND number <= $2",
        identity,
        number,
    )
    last = row["last_number"]
    lost = last - number - len(records) + covered
    lineage = row["lineage"].decode()
    document = StoredDocument(lineage, snapshot, number, tuple(records), last, lost, notes)
    return Reading(document, identity, damaged)


async def read_list(connection: AnyConnection, prefix: str) -> list[DocumentInfo]:
    """All documents whose path begins with `prefix`, by path."""
    return [
        DocumentInfo(
            row["path"].decode(),
            row["lineage"].decode(),
            row["last_number"],
            row["snapshot_number"],
            int(row["size"]),
            row["changed"],
        )
        for row in await connection.fetch(_LIST, prefix.encode())
    ]


async def read_history(
    connection: AnyConnection, path: str, after: int, limit: int
) -> list[Record]:
    """The oldest `limit` sound records with a number above `after`."""
    identity = await connection.fetchval(
        "SELECT id FROM engineroom.documents WHERE path = $1", path.encode()
    )
    rows = await connection.fetch(_HISTORY, identity, after, limit)
    return [record_of(row) for row in rows if is_sound(row)]


async def read_versions(connection: AnyConnection, path: str) -> list[Version]:
    """The versions of a document, oldest first."""
    return [
        Version(
            row["id"],
            row["number"],
            row["time"],
            row["kind"].decode(),
            row["name"].decode(),
            row["author"].decode(),
            row["size"],
        )
        for row in await connection.fetch(_VERSIONS, path.encode())
    ]


async def read_version(connection: AnyConnection, path: str, version: str) -> bytes | None:
    """The encoding of a version.

    Raises:
        StoreError: it is damaged.
    """
    row = await connection.fetchrow(_VERSION, path.encode(), version)
    if row is None:
        return None
    encoding = bytes(row["bytes"])
    checksum = version_checksum(row["document"], version, row["number"], row["time"], encoding)
    if checksum != row["checksum"]:
        raise StoreError(
            f"version {version!r} of document {path!r} is damaged in the database: restore it from "
            "a backup, or delete the version"
        )
    return encoding


def record_of(row: Row) -> Record:
    """The record in a row."""
    return Record(row["number"], row["time"], row["author"].decode(), bytes(row["bytes"]))


def is_sound(row: Row) -> bool:
    """Whether a record's checksum holds."""
    checksum = record_checksum(
        row["document"], row["number"], row["time"], row["author"], row["bytes"]
    )
    return checksum == int(row["checksum"])


async def _read_snapshot(
    connection: AnyConnection, identity: int, path: str
) -> tuple[bytes | None, int, bytes]:
    row = await connection.fetchrow(
        "SELECT * FROM engineroom.snapshots WHERE document = $1", identity
    )
    if row is None:
        return None, 0, b""
    number, snapshot, notes = row["number"], bytes(row["bytes"]), bytes(row["notes"])
    if snapshot_checksum(identity, number, snapshot, notes) != row["checksum"]:
        raise StoreError(
            f"the snapshot of document {path!r} (up to record {number}) is damaged in the database. "
            "Nothing was changed: restore the database from a backup, or delete the document"
        )
    return snapshot, number, notes
