"""Idempotency keys: a request that is sent again is answered again, and done once.

What a keyed request will do is written down, as one update, before it is done. A CRDT update that is applied twice
changes nothing the second time; so a request whose first try ended in the dark (a crash, a timeout) is done again
from its row, not worked out anew. A key is forgotten after a day.

It knows rows and updates; it knows no rooms.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engineroom.errors import StoreError
from engineroom.server.small_database import SmallDatabase

from .problems import Problem

KEEP_SECONDS = 24 * 3600.0
MAX_KEYS = 100_000
MAX_KEYS_OF_DOCUMENT = 10_000
_KEY = re.compile(r'"?([\x21\x23-\x7e]{1,255})"?')
SCHEMA = """
CREATE TABLE keys (
    document TEXT NOT NULL,
    key TEXT NOT NULL,
    made REAL NOT NULL,
    digest BLOB NOT NULL,
    lineage TEXT NOT NULL,
    number INTEGER NOT NULL,
    bytes BLOB,
    done INTEGER NOT NULL,
    PRIMARY KEY (document, key)
) WITHOUT ROWID;
CREATE INDEX keys_by_age ON keys (made)
"""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a keyed request does: `update` (None: nothing) in the document of `lineage`.

    `number` is the document's newest number: before the request, and once it is `done`, with it.
    """

    digest: bytes
    lineage: str
    number: int
    update: bytes | None
    done: bool = False


class Keys:
    """The keys of a server, in a database that has the tables of `SCHEMA`."""

    def __init__(self, database: SmallDatabase, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def find(self, document: str, key: str) -> Intent | None:
        """What was written down for the key, unless it is too old.

        Raises:
            StoreError: it cannot be read.
        """
        since = self._clock() - KEEP_SECONDS

        def work(connection: sqlite3.Connection) -> Intent | None:
            row = connection.execute(
                "SELECT digest, lineage, number, bytes, done FROM keys"
                " WHERE document = ? AND key = ? AND made >= ?",
                (document, key, since),
            ).fetchone()
            if row is None:
                return None
            digest, lineage, number, update, done = row
            return Intent(digest, lineage, number, update, done=bool(done))

        return await self._database.run(work)

    async def begin(self, document: str, key: str, intent: Intent) -> None:
        """Write down what the request is about to do.

        Raises:
            StoreError: it cannot be written, or too many keys are kept.
        """
        now = self._clock()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM keys WHERE made < ?", (now - KEEP_SECONDS,))
            (count,) = connection.execute("SELECT count(*) FROM keys").fetchone()
            if count >= MAX_KEYS:
                raise StoreError(f"{MAX_KEYS} idempotency keys of one day are kept already")
            (count,) = connection.execute(
                "SELECT count(*) FROM keys WHERE document = ?", (document,)
            ).fetchone()
            if count >= MAX_KEYS_OF_DOCUMENT:
                reason = (
                    f"{MAX_KEYS_OF_DOCUMENT} idempotency keys of this document are kept already"
                )
                raise StoreError(reason)
            connection.execute(
                "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                (
                    document,
                    key,
                    now,
                    intent.digest,
                    intent.lineage,
                    intent.number,
                    intent.update,
                ),
            )

        await self._database.run(work)

    async def finish(self, document: str, key: str, number: int) -> None:
        """The request is done, and durable at `number`.

        Raises:
            StoreError: it cannot be written.
        """
        await self._database.run(
            lambda connection: connection.execute(
                "UPDATE keys SET done = 1, number = ?, bytes = NULL WHERE document = ? AND key = ?",
                (number, document, key),
            )
        )

    async def forget(self, document: str, key: str) -> None:
        """The request was refused, and has done nothing.

        Raises:
            StoreError: it cannot be written.
        """
        await self._database.run(
            lambda connection: connection.execute(
                "DELETE FROM keys WHERE document = ? AND key = ?", (document, key)
            )
        )

    async def forget_document(self, document: str) -> None:
        """The document is gone.

        Raises:
            StoreError: it cannot be written.
        """
        await self._database.run(
            lambda connection: connection.execute(
                "DELETE FROM keys WHERE document = ?", (document,)
            )
        )


def key_of(values: Sequence[str]) -> str | None:
    """The key that the `Idempotency-Key` headers state, with or without quotes.

    Raises:
        Problem: `bad_key`.
    """
    if not values:
        return None
    match = _KEY.fullmatch(values[0].strip()) if len(values) == 1 else None
    if match is None:
        raise Problem("bad_key", "Idempotency-Key is once 1 to 255 visible ASCII characters.")
    return match[1]


def digest_of(*parts: bytes | Sequence[str]) -> bytes:
    """What makes two requests the same."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else "\0".join(part).encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()
