"""SIGKILL of a process that appends: what it had reported as stored is there, and the log has no gaps."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from engineroom.rooms.storage import Record
from engineroom.stores import FileStore, SQLiteStore

pytestmark = pytest.mark.anyio

ROUNDS = 20
DOCUMENTS = ("a", "b", "c")

# Appends to three documents as fast as it can, in calls of one to five records, compacts now and then,
# and writes `document number` to its standard output for every record reported as stored.
APPENDER = """
import asyncio, os, random, sys
from pathlib import Path
from engineroom.rooms.storage import Record
from engineroom.stores import FileStore, SQLiteStore

async def append_for_ever(store, path):
    stored = await store.load(path)
    number = stored.last_number if stored else 0
    while True:
        count = random.randint(1, 5)
        new = [Record(number + i, 1.0, path, b"%s %d" % (path.encode(), number + i)) for i in range(1, count + 1)]
        number += count
        done = asyncio.Event()

        def report(error, done=done, last=number, path=path):
            assert error is None, error
            os.write(1, b"%s %d\\n" % (path.encode(), last))
            done.set()

        store.append(path, "lineage", new, report)
        if random.random() < 0.5:
            await done.wait()
        if random.random() < 0.02:
            await store.compact(path, b"snapshot %d" % number, number, history_since=0.0)
        await asyncio.sleep(0)

async def main():
    make = {"sqlite": SQLiteStore, "file": FileStore}[sys.argv[1]]
    async with make(Path(sys.argv[2])) as store, asyncio.TaskGroup() as tasks:
        for path in sys.argv[3:]:
            tasks.create_task(append_for_ever(store, path))

asyncio.run(main())
"""


def append_until_killed(kind: str, place: Path, reports: int) -> dict[str, int]:
    """Kill the appender after that many reports; the last number that it reported for each document."""
    last: dict[str, int] = {}
    with subprocess.Popen(
        [sys.executable, "-c", APPENDER, kind, str(place), *DOCUMENTS], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):  # goes on to what was in the pipe at the end
            if not line.endswith(b"\n"):
                break
            path, number = line.decode().split()
            last[path] = int(number)
            if count == reports:
                process.kill()
    assert process.returncode == -9
    return last


@pytest.mark.parametrize("kind", ["sqlite", "file"])
async def test_nothing_acknowledged_is_lost(kind: str, tmp_path: Path) -> None:
    """Twenty kills at random moments: every reported record is there, in order, without a gap, and
    the history has them all.
    """
    place = tmp_path / "rooms"
    for _ in range(ROUNDS):
        last = append_until_killed(kind, place, random.randrange(600))
        async with SQLiteStore(place) if kind == "sqlite" else FileStore(place) as store:
            for path, reported in last.items():
                document = await store.load(path)
                assert document is not None
                assert document.last_number >= reported
                assert document.damaged == 0
                assert document.snapshot in (None, b"snapshot %d" % document.snapshot_number)
                expected = [
                    Record(number, 1.0, path, b"%s %d" % (path.encode(), number))
                    for number in range(1, document.last_number + 1)
                ]
                assert document.records == tuple(expected[document.snapshot_number :])
                assert await store.read_history(path, limit=10**6) == expected
