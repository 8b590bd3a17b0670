"""The writer's thread: what goes into a commit, and what happens when it or the loop fails."""

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from engineroom.errors import StoreError
from engineroom.stores.database import open_database
from engineroom.stores.group_commit import GroupCommit
from engineroom.stores.outstanding import Call
from engineroom.stores.promises import StoreStatistics
from engineroom.stores.tables import Tables
from engineroom.testing.stores import LINEAGE, PATIENCE_SECONDS, record

pytestmark = pytest.mark.anyio


class Crash(BaseException):
    """What a bug in an extension module raises (pyo3's panics are no `Exception`)."""


@pytest.fixture
def open_tables(tmp_path: Path) -> Callable[[], Tables]:
    return lambda: Tables(open_database(tmp_path / "rooms.db", durability="os"))


@pytest.fixture
async def writer(open_tables: Callable[[], Tables]) -> AsyncIterator[GroupCommit[Tables]]:
    async with GroupCommit(open_tables) as writer:
        yield writer


async def run(
    writer: GroupCommit[Tables], work: Callable[[Tables], None], size_bytes: int = 0
) -> None:
    """Submit `work` and wait for its report; an error is raised."""
    future: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()
    writer.submit(Call("a", size_bytes, future.set_result), work)
    async with asyncio.timeout(PATIENCE_SECONDS):
        error = await future
    if error is not None:
        raise error


def nothing(tables: Tables) -> None:
    """Work that changes nothing."""


async def test_what_is_queued_during_a_commit_goes_into_the_next(
    writer: GroupCommit[Tables],
) -> None:
    """While one commit is held up, a hundred calls of many documents gather; one commit takes all."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(tables: Tables) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)

    writer.submit(Call("a", 0, lambda error: None), hold)
    assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
    for number in range(100):
        work = partial(Tables.append, path=f"{number}", lineage=LINEAGE, records=[record(1)])
        writer.submit(Call(f"{number}", 10, lambda error: None), work)
    assert writer.statistics() == StoreStatistics(queued_calls=101, queued_bytes=1000)
    assert writer.concerns("7")
    go_on.set()
    await run(writer, nothing)
    assert writer.statistics().commits in (2, 3)  # the last call may have had a commit of its own
    assert not writer.concerns("7")


async def test_a_commit_wakes_the_loop_once(
    writer: GroupCommit[Tables], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All callbacks of a commit are called in one turn of the loop, which it wakes once."""
    loop = asyncio.get_running_loop()
    wake, wakes = loop.call_soon_threadsafe, list[object]()

    def count(callback: Callable[..., None], *arguments: object) -> asyncio.Handle:
        wakes.append(callback)
        return wake(callback, *arguments)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    reports: list[StoreError | None] = []
    for _ in range(1000):
        writer.submit(Call("a", 0, reports.append), nothing)
    await run(writer, nothing)
    assert len(reports) == 1000
    assert len(wakes) == writer.statistics().commits


async def test_a_failed_commit_fails_everything_in_it(
    writer: GroupCommit[Tables], caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in one job undoes its commit; each caller hears of it, and the next commit is tried."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(tables: Tables) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)

    def fail(tables: Tables) -> None:
        raise ValueError("a bug")

    writer.submit(Call("a", 0, lambda error: None), hold)
    assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
    reports: list[StoreError | None] = []
    append = partial(Tables.append, path="a", lineage=LINEAGE, records=[record(1)])
    writer.submit(Call("a", 0, reports.append), append)
    writer.submit(Call("a", 0, reports.append), fail)
    go_on.set()
    with pytest.raises(StoreError, match=r"could not be written: ValueError\('a bug'\)"):
        await run(writer, fail)
    assert [type(error) for error in reports] == [StoreError, StoreError]
    assert reports[0] is not reports[1]
    await run(writer, append)
    assert writer.statistics().failed_commits >= 1
    assert "a bug" in caplog.text


async def test_work_that_is_alone_has_a_commit_of_its_own(writer: GroupCommit[Tables]) -> None:
    """What is queued before and after it is committed apart, in order; its failure is its own."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(tables: Tables) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)

    def fail(tables: Tables) -> None:
        raise ValueError("alone")

    writer.submit(Call("a", 0, lambda error: None), hold)
    assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
    reports: list[StoreError | None] = []
    for number, alone in enumerate((False, True, False)):
        append = partial(Tables.append, path=f"{number}", lineage=LINEAGE, records=[record(1)])
        writer.submit(Call("a", 0, reports.append), fail if alone else append, alone=alone)
    go_on.set()
    await run(writer, nothing)
    assert [error is None for error in reports] == [True, False, True]


async def test_a_commit_is_synchronised_when_one_of_its_jobs_asks_for_it(
    writer: GroupCommit[Tables],
) -> None:
    """`disk` goes before `os` in the same commit, and the next commit has its own."""
    begun, go_on = threading.Event(), threading.Event()
    seen: list[str | None] = []

    def hold(tables: Tables) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)

    def look(tables: Tables) -> None:
        seen.append(tables._durability)

    writer.submit(Call("a", 0, lambda error: None), hold, durability="os")
    assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
    writer.submit(Call("a", 0, lambda error: None), look, durability="os")
    writer.submit(Call("a", 0, lambda error: None), look, durability="disk")
    go_on.set()
    await run(writer, nothing)
    report: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()
    writer.submit(Call("a", 0, report.set_result), look, durability="os")
    assert await report is None
    assert seen == ["disk", "disk", "os"]


async def test_a_crash_of_the_thread_is_reported(
    open_tables: Callable[[], Tables], caplog: pytest.LogCaptureFixture
) -> None:
    """Every waiting call hears of it, every later one too, the log has the trace, closing returns."""

    def crash(tables: Tables) -> None:
        raise Crash("panicked")

    async with GroupCommit(open_tables) as writer:
        reports: list[StoreError | None] = []
        writer.submit(Call("a", 0, reports.append), crash)
        with pytest.raises(
            StoreError, match=r"has crashed \(Crash\('panicked'\)\): restart the server"
        ):
            await run(writer, nothing)
        assert [type(error) for error in reports] == [StoreError]
        with pytest.raises(StoreError, match="has crashed"):
            await run(writer, nothing)
        assert writer.statistics().queued_calls == 0
    (entry,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert entry.exc_info is not None


async def test_a_crash_at_the_opening_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """An opening that fails in an unexpected way ends with an error, and does not hang."""

    def crash() -> Tables:
        raise Crash("panicked")

    with pytest.raises(StoreError, match="has crashed"):
        async with GroupCommit(crash):
            pass
    assert "has crashed" in caplog.text


async def test_a_failed_opening_raises_its_error(caplog: pytest.LogCaptureFixture) -> None:
    """The reason why the tables cannot be opened reaches the caller as it is, and is not logged twice."""

    def refuse() -> Tables:
        raise StoreError("no such folder")

    with pytest.raises(StoreError, match="no such folder"):
        async with GroupCommit(refuse):
            pass
    assert caplog.text == ""


async def test_a_cancelled_opening_ends_the_thread(open_tables: Callable[[], Tables]) -> None:
    """Cancelled while it opens, the thread closes what it opened and ends."""
    go_on = threading.Event()

    def open_slowly() -> Tables:
        assert go_on.wait(PATIENCE_SECONDS)
        return open_tables()

    writer = GroupCommit(open_slowly)
    opening = asyncio.ensure_future(writer.__aenter__())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled()
    go_on.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await writer.__aexit__(None, None, None)


async def test_a_cancelled_closing_still_commits(open_tables: Callable[[], Tables]) -> None:
    """Cancelled while it closes, the thread commits and reports what it has."""
    go_on = threading.Event()
    writer = await GroupCommit(open_tables).__aenter__()
    writer.submit(
        Call("a", 0, lambda error: None), lambda tables: assert_true(go_on.wait(PATIENCE_SECONDS))
    )
    reports: list[StoreError | None] = []
    append = partial(Tables.append, path="a", lineage=LINEAGE, records=[record(1)])
    writer.submit(Call("a", 0, reports.append), append)
    closing = asyncio.ensure_future(writer.__aexit__(None, None, None))
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    go_on.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await writer.__aexit__(None, None, None)
    assert reports == [None]


def assert_true(value: bool) -> None:
    assert value


def test_a_closed_loop_ends_the_thread(open_tables: Callable[[], Tables]) -> None:
    """When the loop has gone, the thread commits what it had taken, and ends without a trace."""
    go_on = threading.Event()

    async def leave_open() -> None:
        writer = await GroupCommit(open_tables).__aenter__()
        writer.submit(
            Call("a", 0, lambda error: None),
            lambda tables: assert_true(go_on.wait(PATIENCE_SECONDS)),
        )
        append = partial(Tables.append, path="a", lineage=LINEAGE, records=[record(1)])
        writer.submit(Call("a", 0, lambda error: None), append)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave_open())
    (thread,) = [each for each in threading.enumerate() if each.name == "engineroom-store"]
    loop.close()
    go_on.set()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_a_process_may_end_without_closing(tmp_path: Path) -> None:
    """A program that forgets to close the store ends by itself, silently, and has its file intact."""
    program = """
import asyncio, sys
from pathlib import Path
from engineroom.stores import SQLiteStore
from engineroom.testing.stores import append, record

async def main():
    store = SQLiteStore(Path(sys.argv[1]))
    await store.__aenter__()
    await append(store, "a", [record(1)])

asyncio.run(main())
"""
    file = tmp_path / "rooms.db"
    command = [sys.executable, "-c", program, str(file)]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    connection = open_database(file, durability="os")
    assert connection.execute("SELECT count(*) FROM records").fetchone() == (1,)
    connection.close()
