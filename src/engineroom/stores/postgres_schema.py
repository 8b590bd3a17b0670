"""The PostgreSQL schema: its tables, how they are brought up to date, how a connection is opened,
and what its errors ask of the reader.

Everything stands in the schema `engineroom` of the database. Paths, lineages and users are bytea:
PostgreSQL's text cannot hold every Unicode text (no NUL), and bytes sort as paths do. The view
`engineroom.listing` shows documents to people.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from engineroom.errors import StoreError
from engineroom.stores.promises import Durability

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
AnyConnection: TypeAlias = "Connection | PoolConnectionProxy[asyncpg.Record]"

CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 60.0
# One server at a time brings the schema up to date ("EngR", and what it is for).
MIGRATION_LOCK = 0x456E_6752_0001

_SCHEMA_1 = """
CREATE TABLE engineroom.documents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path bytea NOT NULL UNIQUE,
    lineage bytea NOT NULL,
    last_number bigint NOT NULL,
    snapshot_number bigint NOT NULL DEFAULT 0,
    changed double precision NOT NULL
);
CREATE TABLE engineroom.records (
    document bigint NOT NULL,
    number bigint NOT NULL,
    time double precision NOT NULL,
    author bytea NOT NULL,
    bytes bytea NOT NULL,
    checksum bigint NOT NULL,
    PRIMARY KEY (document, number)
);
CREATE TABLE engineroom.history (LIKE engineroom.records INCLUDING ALL);
CREATE INDEX history_by_time ON engineroom.history (document, time);
CREATE TABLE engineroom.quarantine (LIKE engineroom.records INCLUDING ALL);
CREATE TABLE engineroom.snapshots (
    document bigint PRIMARY KEY,
    number bigint NOT NULL,
    bytes bytea NOT NULL,
    notes bytea NOT NULL,
    checksum bigint NOT NULL
);
CREATE TABLE engineroom.versions (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document bigint NOT NULL,
    id text NOT NULL,
    number bigint NOT NULL,
    time double precision NOT NULL,
    kind bytea NOT NULL,
    name bytea NOT NULL,
    author bytea NOT NULL,
    bytes bytea NOT NULL,
    checksum bigint NOT NULL,
    UNIQUE (document, id)
);
CREATE VIEW engineroom.listing AS
    SELECT id, encode(path, 'escape') AS path, last_number, snapshot_number,
        to_timestamp(changed) AS changed
    FROM engineroom.documents;
"""
_MIGRATIONS = (_SCHEMA_1,)  # the n-th makes schema n of the one before it
SCHEMA_VERSION = len(_MIGRATIONS)

# What says that the database, not a statement, is the matter.
LOST = (
    OSError,
    TimeoutError,
    asyncio.IncompleteReadError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)
FAILED = (*LOST, asyncpg.PostgresError)


async def connect(url: str) -> Connection:
    """A connection to the database.

    Raises:
        StoreError: there is none.
    """
    try:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings={"application_name": "engineroom"},
        )
    except (*FAILED, ValueError) as error:
        raise StoreError(f"cannot reach the store {describe_url(url)}: {explain(error)}") from error


async def prepare(connection: Connection, *, read_only: bool = False) -> None:
    """Bring the schema up to date, whichever of several servers comes first.

    Raises:
        StoreError: it is of a newer Engineroom; or is not up to date, and may only be read.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        version = await _version(connection)
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"the database was written by a newer Engineroom (its schema is {version}, this "
                f"one knows {SCHEMA_VERSION}): install that version, or choose another database"
            )
        if version == SCHEMA_VERSION:
            return
        if read_only:
            raise StoreError("the database holds no documents of this version of Engineroom")
        if version == 0:
            await connection.execute("CREATE SCHEMA IF NOT EXISTS engineroom")
            await connection.execute("CREATE TABLE engineroom.schema (version integer NOT NULL)")
            await connection.execute("INSERT INTO engineroom.schema VALUES (0)")
        for migration in _MIGRATIONS[version:]:
            await connection.execute(migration)
        await connection.execute("UPDATE engineroom.schema SET version = $1", SCHEMA_VERSION)


async def set_durability(connection: Connection, durability: Durability) -> None:
    """What the commits to come promise: `os` lets them return before the server's log is on disk."""
    value = "on" if durability == "disk" else "off"
    await connection.execute(f"SET synchronous_commit = {value}")


def describe_url(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def explain(error: BaseException) -> str:
    """The database's error in one line, with what to do where that is known."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, asyncpg.DiskFullError):
        return f"{text}: free some space on the database's disk"
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return f"{text}: give the role the right to create a schema in the database"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return f"{text}: look at user and password in the store's URL"
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return f"{text}: connect to the primary server"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return text


async def _version(connection: Connection) -> int:
    if await connection.fetchval("SELECT to_regclass('engineroom.schema')") is None:
        return 0
    return int(await connection.fetchval("SELECT version FROM engineroom.schema"))
