"""A PostgreSQL server that goes away under load, and two servers on one database."""

import asyncio
from collections.abc import Callable, Iterator

import asyncpg
import pytest

from engineroom.errors import StoreError
from engineroom.rooms.storage import Record
from engineroom.stores.postgres import PostgresStore
from engineroom.stores.postgres_schema import SCHEMA_VERSION, describe_url
from engineroom.testing.postgres_server import PostgresServer
from engineroom.testing.stores import (
    LINEAGE,
    PATIENCE_SECONDS,
    append,
    is_refused,
    load,
    record,
    records,
    version,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


async def until(condition: Callable[[], bool]) -> None:
    """Return when it holds, as what holds it comes from another process."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def append_until(store: PostgresStore, path: str, last: int) -> int:
    """Append 1 to `last` in calls of five, each until it is taken, as a room does; how many failed."""
    number, failures = 0, 0
    while number < last:
        new = [record(number + i, path.encode() + b" %d" % (number + i)) for i in range(1, 6)]
        error = await append(store, path, new)
        if error is None:
            number += 5
        else:
            failures += 1
            await asyncio.sleep(0.05)
    return failures


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_postgres_restarted_under_load(server: PostgresServer, how: str) -> None:
    """Appends fail while it is away and go on by themselves; nothing is missing, nothing is double."""
    url = server.make_database()
    paths = [f"room {number}" for number in range(5)]
    async with PostgresStore(url) as store:
        async with asyncio.timeout(3 * PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
            writers = [tasks.create_task(append_until(store, path, 500)) for path in paths]
            for _ in range(3):
                before = store.statistics()
                await until(lambda: store.statistics().commits >= before.commits + 20)  # noqa: B023
                await asyncio.to_thread(server.stop if how == "stop" else server.kill)
                failed = before.failed_commits
                await until(lambda: store.statistics().failed_commits > failed)  # noqa: B023
                await asyncio.to_thread(server.launch)
        assert sum(writer.result() for writer in writers) > 0
        for path in paths:
            document = await load(store, path)
            updates = [one.update for one in document.records]
            assert updates == [path.encode() + b" %d" % n for n in range(1, 501)]


async def test_a_lost_answer_to_a_commit_is_made_good(server: PostgresServer) -> None:
    """Records whose commit was told as failed, and had come through, are taken when they come again;
    others in their place are not.
    """
    url = server.make_database()
    async with PostgresStore(url) as store, PostgresStore(url) as unseen:
        assert await append(store, "a", [record(1)]) is None
        assert await append(store, "b", [record(1)]) is None
        store._writer.doubt(["a", "b"])
        for path in ("a", "b"):  # as the lost commit had them
            assert await append(unseen, path, records(2, 4)) is None
        store._writer.forget()
        assert await append(store, "a", records(2, 6)) is None
        assert (await load(store, "a")).records == tuple(records(1, 6))
        stranger = [record(2), record(3, b"somebody else's")]
        assert await append(store, "b", stranger) is not None
        assert await append(store, "a", records(5, 6)) is not None, "it is in doubt no more"


async def test_a_second_writer_of_a_document_is_refused(server: PostgresServer) -> None:
    """Two servers may share a database; a document has the log of one of them, without a gap."""
    url = server.make_database()
    async with PostgresStore(url) as one, PostgresStore(url) as other:
        assert await append(one, "a", records(1, 3)) is None
        assert (await load(other, "a")).last_number == 3
        assert await append(other, "a", [record(4)]) is None
        error = await append(one, "a", [record(4, b"too late")])
        assert "another server writes it" in str(error) or "next number is 5" in str(error)
        again = await append(one, "a", [record(4, b"too late")])
        assert isinstance(again, StoreError)
        assert (await load(one, "a")).records == tuple(records(1, 4))
        assert await append(other, "b", [record(1)]) is None
        assert await append(one, "b", [record(1)], lineage="mine") is not None
        assert await append(one, "c", [record(1)]) is None
        assert await append(other, "c", [record(1)]) is not None


async def test_two_writers_of_many_documents(server: PostgresServer) -> None:
    """Whoever comes second in a document is refused alone; the others of its commit are taken."""
    url = server.make_database()
    async with PostgresStore(url) as one, PostgresStore(url) as other:
        for path in ("a", "b", "c"):
            assert await append(one, path, [record(1)]) is None
        assert await append(other, "b", [record(2)]) is None
        reports: list[bool] = []
        for path in ("a", "b", "c"):
            one.append(path, LINEAGE, [record(2, b"x")], lambda error: reports.append(not error))
        assert await append(one, "d", [record(1)]) is None
        assert reports == [True, False, True]


async def test_many_servers_may_open_a_new_database_at_once(server: PostgresServer) -> None:
    """One of them makes the schema, the others wait for it."""
    url = server.make_database()
    stores = [PostgresStore(url) for _ in range(5)]
    await asyncio.gather(*(store.__aenter__() for store in stores))
    for number, store in enumerate(stores):
        assert await append(store, f"{number}", [record(1)]) is None
    await asyncio.gather(*(store.__aexit__(None, None, None) for store in stores))


async def test_a_newer_schema_is_refused(server: PostgresServer) -> None:
    """A database of a newer Engineroom is refused with both versions, and not changed."""
    url = server.make_database()
    async with PostgresStore(url):
        pass
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE engineroom.schema SET version = version + 1")
    await connection.close()
    with pytest.raises(StoreError, match=f"its schema is {SCHEMA_VERSION + 1}"):
        await PostgresStore(url).__aenter__()


async def test_a_database_that_is_not_there(server: PostgresServer) -> None:
    """Opening tells which one, without the password."""
    url = f"postgres://ada:secret@127.0.0.1:{server.port}/nowhere"
    with pytest.raises(StoreError, match="cannot reach the store postgres://127") as caught:
        await PostgresStore(url).__aenter__()
    assert "secret" not in str(caught.value)
    assert describe_url("postgres://a:b@h:99999999/x") == "postgres://h/x"


async def test_readers_alone(server: PostgresServer) -> None:
    """Opened to read, it needs a schema, reads, and refuses every change."""
    url = server.make_database()
    with pytest.raises(StoreError, match="no documents of this version"):
        await PostgresStore(url, read_only=True).__aenter__()
    async with PostgresStore(url) as store:
        assert await append(store, "a", [record(1)]) is None
        async with PostgresStore(url, read_only=True) as reader:
            assert (await load(reader, "a")).last_number == 1
            assert await append(reader, "a", [record(2)]) is not None
            assert await is_refused(reader.delete("a"))
            assert await is_refused(reader.put_version("a", version("v"), b"encoding"))


async def test_a_damaged_record_is_moved_aside(server: PostgresServer) -> None:
    """A record whose checksum does not hold is left out, counted, and kept in the quarantine."""
    url = server.make_database()
    async with PostgresStore(url) as store:
        assert await append(store, "a", records(1, 4)) is None
        connection = await asyncpg.connect(url)
        await connection.execute(
            "UPDATE engineroom.records SET bytes = 'other' WHERE number IN (2, 4)"
        )
        for _ in range(2):
            document = await load(store, "a")
            assert document.records == (record(1), record(3))
            assert (document.last_number, document.damaged) == (4, 2)
        kept = await connection.fetch("SELECT number FROM engineroom.quarantine ORDER BY number")
        assert [row["number"] for row in kept] == [2, 4]
        await connection.close()
        assert await append(store, "a", [record(5)]) is None
        await store.compact("a", b"snapshot", 5)
        assert (await load(store, "a")).damaged == 2


async def test_closing_while_the_database_is_away(server: PostgresServer) -> None:
    """What is queued is reported as failed, and closing returns."""
    url = server.make_database()
    reports: list[StoreError | None] = []
    try:
        async with PostgresStore(url) as store:
            assert await append(store, "a", [record(1)]) is None
            await asyncio.to_thread(server.stop)
            store.append("a", LINEAGE, [Record(2, 1.0, "", b"x")], reports.append)
        assert [type(report) for report in reports] == [StoreError]
    finally:
        await asyncio.to_thread(server.launch)


async def test_os_durability_is_asynchronous(server: PostgresServer) -> None:
    """A commit is synchronous when one of its appends asks for the disk."""
    url = server.make_database()
    async with PostgresStore(url, durability_of=lambda path: "os" if path == "o" else "disk") as s:
        for path, expected in (("o", "off"), ("d", "on"), ("o", "off")):
            number = 1 if await s.load(path) is None else 2
            assert await append(s, path, [record(number)]) is None
            assert s._connection is not None
            assert await s._connection.fetchval("SHOW synchronous_commit") == expected
