"""The API's parts, opened in their order: the small database, shut addresses, keys.

In two steps, since rooms stand between them: what is deleted must be known before a room opens, and documents are
reached through rooms.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engineroom.rooms.address import Address
from engineroom.rooms.open_rooms import Rooms
from engineroom.rooms.plan import Plan
from engineroom.rooms.storage import Store
from engineroom.server.small_database import SmallDatabase

from . import deleted as shut
from . import keys as idempotency
from .deleted import Deleted
from .documents import Documents
from .keys import Keys

SCHEMA = f"{idempotency.SCHEMA};{shut.SCHEMA};CREATE TABLE probes (time REAL NOT NULL)"
FILE_NAME = "server.sqlite"


@dataclass(frozen=True, slots=True)
class ApiMemory:
    """What the API keeps on disk."""

    keys: Keys
    deleted: Deleted[Plan]
    database: SmallDatabase

    async def probe(self) -> None:
        """Write to the data folder, durably.

        Raises:
            StoreError: it cannot be written.
        """
        await self.database.run(_touch)


@asynccontextmanager
async def open_memory(
    data: Path, plan_of: Callable[[Address], Plan | None]
) -> AsyncIterator[ApiMemory]:
    """What the API keeps in the data folder; rooms are to be made with `deleted.plan_of`.

    Raises:
        StoreError: it cannot be opened.
    """
    async with SmallDatabase(data / FILE_NAME, SCHEMA, version=1) as database:
        deleted = Deleted(database, plan_of)
        await deleted.load()
        yield ApiMemory(Keys(database), deleted, database)


def documents_of(
    memory: ApiMemory,
    rooms: Rooms,
    store: Store,
    *,
    document_bytes: int,
    remains: Sequence[Callable[[Address], Awaitable[Any]]] = (),
    on_delete: Callable[[Address], None] = lambda address: None,
) -> Documents:
    """The documents of a server, to be entered with `async with`."""
    return Documents(
        rooms,
        store,
        memory.deleted,
        memory.keys,
        document_bytes=document_bytes,
        remains=remains,
        on_delete=on_delete,
    )


def _touch(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM probes")
    connection.execute("INSERT INTO probes VALUES (?)", (time.time(),))
