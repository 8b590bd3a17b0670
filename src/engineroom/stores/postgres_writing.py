"""Changing the PostgreSQL store, on the one connection that writes.

It knows SQL and which documents' heads it has seen; nothing of queues, tasks or callers.

Several servers may have one database. What keeps them from writing one document together is its
head: an append moves `last_number` from what this server believes to the next, in the statement
that adds the records, and only where it is still so. The second writer of a document finds it moved,
and is refused, each time. Deletion and compaction lock the document's row first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from engineroom.errors import StoreError
from engineroom.rooms.storage import Record, Version
from engineroom.stores.database import record_checksum, snapshot_checksum, version_checksum
from engineroom.stores.postgres_reading import record_of
from engineroom.stores.postgres_schema import Connection
from engineroom.stores.promises import (
    Head,
    check_new_version,
    check_path,
    head_after_append,
    head_after_compaction,
)

KNOWN_DOCUMENTS = 10_000
MAX_BYTES = 1 << 29  # of one value: PostgreSQL takes 1 GB, the protocol a little less

_HEADS = """
SELECT id, path, lineage, last_number, snapshot_number FROM engineroom.documents
WHERE path = ANY($1::bytea[])
"""
_CREATE = """
INSERT INTO engineroom.documents (path, lineage, last_number, changed)
SELECT path, lineage, 0, 0 FROM unnest($1::bytea[], $2::bytea[]) AS new (path, lineage)
ON CONFLICT (path) DO NOTHING RETURNING id, path
"""
_APPEND = """
WITH moved AS (
    UPDATE engineroom.documents AS d SET last_number = n.last, changed = n.changed
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::double precision[])
        AS n (id, first, last, changed)
    WHERE d.id = n.id AND d.last_number = n.first - 1
    RETURNING d.id
), added AS (
    INSERT INTO engineroom.records (document, number, time, author, bytes, checksum)
    SELECT r.* FROM unnest($5::bigint[], $6::bigint[], $7::double precision[], $8::bytea[],
        $9::bytea[], $10::bigint[]) AS r (document, number, time, author, bytes, checksum)
    JOIN moved ON moved.id = r.document
)
SELECT id FROM moved
"""
_SNAPSHOT = """
INSERT INTO engineroom.snapshots (document, number, bytes, notes, checksum)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT (document) DO UPDATE
SET number = $2, bytes = $3, notes = $4, checksum = $5
"""
_KEEP = """
INSERT INTO engineroom.history SELECT * FROM engineroom.records
WHERE document = $1 AND number <= $2 AND time >= $3 ON CONFLICT DO NOTHING
"""
_QUARANTINE = """
WITH gone AS (
    DELETE FROM engineroom.records WHERE document = $1 AND number = ANY($2::bigint[]) RETURNING *
)
INSERT INTO engineroom.quarantine SELECT * FROM gone ON CONFLICT DO NOTHING
"""
_PARTS = ("records", "history", "quarantine", "snapshots", "versions")


@dataclass(slots=True)
class Append:
    """One call of `append` on its way: `refusal` says why it was not taken."""

    path: str
    lineage: str
    records: Sequence[Record]
    refusal: StoreError | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    id: int
    head: Head


@dataclass(slots=True)
class _Growth:
    """What a batch adds to one document."""

    known: _Known
    first: int
    head: Head
    records: list[Record] = field(default_factory=list)
    appends: list[Append] = field(default_factory=list)


class PostgresWriter:
    """The documents as this server knows them, for the one connection that writes.

    After a transaction that failed, `forget`; after one whose end is not known, `doubt` too.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._doubted: set[str] = set()

    def forget(self) -> None:
        """Look everything up again."""
        self._known.clear()

    def doubt(self, paths: Sequence[str]) -> None:
        """Appends to these may have been committed although nobody was told: the same records may
        come again.
        """
        self._doubted.update(paths)

    async def append(self, connection: Connection, appends: Sequence[Append]) -> None:
        """Carry out many calls of many documents; those that are refused say so.

        Raises:
            StoreError: a record is too large for any database.
        """
        await self._look_up(connection, {one.path for one in appends})
        growths: dict[str, _Growth] = {}
        for one in appends:
            try:
                records = await self._without_doubled(connection, one)
                self._plan(growths, one, records)
            except StoreError as refusal:
                one.refusal = refusal
        await self._create(connection, growths)
        await self._add(connection, growths)
        self._doubted.difference_update(growths)

    async def compact(
        self,
        connection: Connection,
        path: str,
        snapshot: bytes,
        number: int,
        notes: bytes,
        history_since: float,
    ) -> None:
        """Put `snapshot` in place of the records up to `number`.

        Raises:
            StoreError: refused, see `promises.head_after_compaction`.
        """
        known = await self._lock(connection, path)
        head = head_after_compaction(path, known.head if known else None, number)
        assert known is not None
        _check_size(path, max(len(snapshot), len(notes)))
        checksum = snapshot_checksum(known.id, number, snapshot, notes)
        await connection.execute(_SNAPSHOT, known.id, number, snapshot, notes, checksum)
        if history_since != inf:
            await connection.execute(_KEEP, known.id, number, history_since)
        await connection.execute(
            "DELETE FROM engineroom.records WHERE document = $1 AND number <= $2", known.id, number
        )
        await connection.execute(
            "DELETE FROM engineroom.history WHERE document = $1 AND time < $2",
            known.id,
            history_since,
        )
        await connection.execute(
            "UPDATE engineroom.documents SET snapshot_number = $2 WHERE id = $1", known.id, number
        )
        self._remember(path, _Known(known.id, head))

    async def delete(self, connection: Connection, path: str) -> bool:
        """Remove a document; whether there was one."""
        known = await self._lock(connection, path)
        if known is None:
            return False
        for part in _PARTS:
            await connection.execute(
                f"DELETE FROM engineroom.{part} WHERE document = $1",  # noqa: S608
                known.id,
            )
        await connection.execute("DELETE FROM engineroom.documents WHERE id = $1", known.id)
        self._known.pop(path, None)
        self._doubted.discard(path)
        return True

    async def put_version(
        self, connection: Connection, path: str, version: Version, encoding: bytes
    ) -> None:
        """Keep a version.

        Raises:
            StoreError: refused, see `promises.check_new_version`.
        """
        known = await self._lock(connection, path)
        taken = known is not None and await connection.fetchval(
            "SELECT true FROM engineroom.versions WHERE document = $1 AND id = $2",
            known.id,
            version.id,
        )
        check_new_version(path, version, document=known is not None, taken=bool(taken))
        assert known is not None
        _check_size(path, len(encoding))
        checksum = version_checksum(known.id, version.id, version.number, version.time, encoding)
        await connection.execute(
            "INSERT INTO engineroom.versions "
            "(document, id, number, time, kind, name, author, bytes, checksum) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            known.id, version.id, version.number, version.time, version.kind.encode(),
            version.name.encode(), version.user.encode(), encoding, checksum,
        )  # fmt: skip

    async def rename_version(
        self, connection: Connection, path: str, version: str, name: str
    ) -> bool:
        """Give a version another name; whether there was one."""
        done = await connection.execute(
            "UPDATE engineroom.versions AS v SET name = $3 FROM engineroom.documents AS d "
            "WHERE d.id = v.document AND d.path = $1 AND v.id = $2",
            path.encode(),
            version,
            name.encode(),
        )
        return done != "UPDATE 0"

    async def delete_version(self, connection: Connection, path: str, version: str) -> bool:
        """Remove a version; whether there was one."""
        done = await connection.execute(
            "DELETE FROM engineroom.versions AS v USING engineroom.documents AS d "
            "WHERE d.id = v.document AND d.path = $1 AND v.id = $2",
            path.encode(),
            version,
        )
        return done != "DELETE 0"

    async def quarantine(
        self, connection: Connection, document: int, numbers: Sequence[int]
    ) -> None:
        """Move damaged records out of the log as they are."""
        await connection.execute(_QUARANTINE, document, list(numbers))

    # --- heads -------------------------------------------------------------------------------

    async def _look_up(self, connection: Connection, paths: set[str]) -> None:
        """Find the heads of the documents that are not known."""
        unknown = []
        for path in paths - self._known.keys():
            try:
                check_path(path)
            except StoreError:
                continue  # refused with its call
            unknown.append(path.encode())
        if not unknown:
            return
        if len(self._known) + len(unknown) > KNOWN_DOCUMENTS:
            self._known = {path: self._known[path] for path in paths & self._known.keys()}
        for row in await connection.fetch(_HEADS, unknown):
            self._take(row["path"].decode(), row)

    async def _lock(self, connection: Connection, path: str) -> _Known | None:
        """The document as it is now, held until the transaction ends."""
        check_path(path)
        self._known.pop(path, None)
        row = await connection.fetchrow(
            "SELECT id, path, lineage, last_number, snapshot_number FROM engineroom.documents "
            "WHERE path = $1 FOR UPDATE",
            path.encode(),
        )
        if row is None:
            return None
        return self._take(path, row)

    def _take(self, path: str, row: object) -> _Known:
        head = Head(row["lineage"].decode(), row["last_number"], row["snapshot_number"])  # type: ignore[index]
        known = _Known(row["id"], head)  # type: ignore[index]
        self._remember(path, known)
        return known

    def _remember(self, path: str, known: _Known) -> None:
        self._known[path] = known

    # --- appends -----------------------------------------------------------------------------

    async def _without_doubled(self, connection: Connection, append: Append) -> Sequence[Record]:
        """The records of a call, but for those that an earlier commit had, of whose end nobody was
        told. They are the same to the byte, or they are somebody else's.
        """
        known = self._known.get(append.path)
        if append.path not in self._doubted or known is None:
            return append.records
        last = known.head.last_number
        again = [record for record in append.records if record.number <= last]
        if not again or append.lineage != known.head.lineage:
            return append.records
        rows = await connection.fetch(
            "SELECT * FROM engineroom.records WHERE document = $1 AND number BETWEEN $2 AND $3 "
            "ORDER BY number",
            known.id,
            again[0].number,
            again[-1].number,
        )
        if [record_of(row) for row in rows] != again:
            return append.records
        return append.records[len(again) :]

    def _plan(self, growths: dict[str, _Growth], append: Append, records: Sequence[Record]) -> None:
        """Add a call to what the batch adds to its document.

        Raises:
            StoreError: refused, see `promises.head_after_append`.
        """
        path = append.path
        growth = growths.get(path)
        known = self._known.get(path)
        before = growth.head if growth else known.head if known else None
        head = head_after_append(path, before, append.lineage, records)
        if not records:
            return
        _check_size(path, max(len(record.update) for record in records))
        if growth is None:
            growth = _Growth(known or _Known(0, Head(append.lineage)), records[0].number, head)
            growths[path] = growth
        growth.head = head
        growth.records += records
        growth.appends.append(append)

    async def _create(self, connection: Connection, growths: dict[str, _Growth]) -> None:
        """Make the documents that begin here; those that somebody else has just made are refused."""
        new = {path: growth for path, growth in growths.items() if not growth.known.id}
        if not new:
            return
        rows = await connection.fetch(
            _CREATE,
            [path.encode() for path in new],
            [growth.head.lineage.encode() for growth in new.values()],
        )
        made = {row["path"].decode(): row["id"] for row in rows}
        for path, growth in new.items():
            if path in made:
                growth.known = _Known(made[path], growth.known.head)
            else:
                _refuse(growth, path)
                del growths[path]

    async def _add(self, connection: Connection, growths: dict[str, _Growth]) -> None:
        """Move the heads and add the records, in one statement."""
        if not growths:
            return
        grown = list(growths.values())
        rows = [(growth.known.id, record) for growth in grown for record in growth.records]
        authors = [record.user.encode() for _, record in rows]
        moved = await connection.fetch(
            _APPEND,
            [growth.known.id for growth in grown],
            [growth.first for growth in grown],
            [growth.head.last_number for growth in grown],
            [growth.records[-1].time for growth in grown],
            [document for document, _ in rows],
            [record.number for _, record in rows],
            [record.time for _, record in rows],
            authors,
            [record.update for _, record in rows],
            [
                record_checksum(document, record.number, record.time, author, record.update)
                for (document, record), author in zip(rows, authors, strict=True)
            ],
        )
        ids = {row["id"] for row in moved}
        for path, growth in growths.items():
            if growth.known.id in ids:
                self._remember(path, _Known(growth.known.id, growth.head))
            else:
                self._known.pop(path, None)
                _refuse(growth, path)


def _refuse(growth: _Growth, path: str) -> None:
    for append in growth.appends:
        append.refusal = StoreError(
            f"document {path!r} does not end before record {growth.first} any more: another server "
            "writes it. Have one server keep it, or close its room here and open it again"
        )


def _check_size(path: str, size_bytes: int) -> None:
    if size_bytes > MAX_BYTES:
        raise StoreError(
            f"{size_bytes} bytes of document {path!r} are more than the {MAX_BYTES} of a row"
        )
