"""A small SQLite file of the server's own, beside the documents: idempotency keys, webhooks that are to be delivered.

It knows one file, one thread and transactions; what the tables mean is its users' affair. Each piece of work is one
transaction, durable when `run` returns. SQLite's errors come out as `StoreError`s.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from engineroom.errors import StoreError
from engineroom.stores.database import explain

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class SmallDatabase:
    """`async with SmallDatabase(path, schema, version=1) as database`: the file is made when it is missing."""

    def __init__(self, path: Path, schema: str, *, version: int) -> None:
        """`schema` is SQL that makes the tables of `version`."""
        self._path = path
        self._schema = schema
        self._version = version
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"engineroom-{path.stem}")
        self._connection: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            StoreError: it cannot be opened, or was written by a newer Engineroom.
        """
        try:
            self._connection = await self._call(self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file after all work that was begun."""
        connection = self._connection
        if connection is not None:
            self._connection = None
            await asyncio.shield(self._call(connection.close))
        self._thread.shutdown(wait=False)

    async def run(self, work: Work[T]) -> T:
        """What `work` returns, called in the thread with the connection, in one transaction; durable then.

        When the call is cancelled, the work may still be done.

        Raises:
            StoreError: nothing has changed.
        """
        connection = self._connection
        if connection is None:
            raise StoreError(f"{self._path.name} is closed")
        return await self._call(lambda: _transact(connection, work))

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path.name}: {explain(error)}") from error
        except OSError as error:
            raise StoreError(f"{self._path.name}: {error.strerror}") from error

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > self._version:
                raise StoreError(
                    f"{self._path} was written by a newer Engineroom: install that version, or "
                    "move the file away"
                )
            if version == 0:
                script = f"BEGIN; {self._schema}; PRAGMA user_version = {self._version}; COMMIT;"
                connection.executescript(script)
        except BaseException:
            connection.close()
            raise
        return connection


def _transact(connection: sqlite3.Connection, work: Work[T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
