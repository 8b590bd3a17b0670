"""The archive on a real S3-compatible server, which goes away and comes back."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engineroom.server.settings import Settings
from engineroom.server.stores import choose_store
from engineroom.stores.archive import ArchivedStore
from engineroom.stores.choice import ChosenStore
from engineroom.testing.stores import LINEAGE, PATIENCE_SECONDS, append, load, record, records

pytestmark = pytest.mark.anyio

# A process that serves buckets until its standard input is closed, with one bucket.
SERVER = """
import sys, boto3
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", int(sys.argv[1]), verbose=False)
server.start()
_, port = server.get_host_and_port()
boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket="rooms")
print(f"port {port}", flush=True)
sys.stdin.read()
"""
KEYS = {
    "AWS_ACCESS_KEY_ID": "key-for-tests",
    "AWS_SECRET_ACCESS_KEY": "secret-for-tests",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class S3Server:
    """A server in a process of its own; its buckets are in its memory."""

    def __init__(self) -> None:
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    def launch(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVER, str(self.port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, **KEYS},
        )  # fmt: skip
        assert self.process.stdout is not None
        match = re.match(r"port (\d+)", self.process.stdout.readline())
        assert match is not None
        self.port = int(match[1])

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    server = S3Server()
    server.launch()
    yield server
    server.kill()


def open_store(server: S3Server, data: Path) -> ChosenStore:
    """A store with its archive, as a server's settings make it."""
    settings = Settings(
        archive="s3://rooms/copies",
        archive_endpoint=f"http://127.0.0.1:{server.port}",
        archive_sweep_seconds=0.1,
    )
    data.mkdir(exist_ok=True)
    return choose_store(settings, data)


def archive_of(store: ChosenStore) -> ArchivedStore:
    (archived,) = store._stores
    assert isinstance(archived, ArchivedStore)
    return archived


async def until(condition: Callable[[], bool]) -> None:
    """Return when it holds, as what holds it comes from another process."""
    async with asyncio.timeout(2 * PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_documents_come_back_from_s3(server: S3Server, tmp_path: Path) -> None:
    """What was copied is there for a server that has lost its disk; what was deleted is not."""
    paths = ["notes/today", "Zoë \U0001f600", "x" * 255]
    async with open_store(server, tmp_path / "first") as store:
        for path in paths:
            assert await append(store, path, records(1, 5)) is None
            await store.compact(path, path.encode(), 4)
        assert await append(store, "gone", [record(1)]) is None
        await store.compact("gone", b"snapshot", 1)
        await until(lambda: archive_of(store).archive_statistics().copies >= 4)
        assert await store.delete("gone")
    async with open_store(server, tmp_path / "second") as store:
        for path in paths:
            document = await load(store, path)
            assert (document.lineage, document.snapshot) == (LINEAGE, path.encode())
            assert [one.update for one in document.records] == [record(5).update]
        assert await store.load("gone") is None


async def test_s3_that_goes_away_stops_nobody(
    server: S3Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While it is away documents are written and read; once it is back, what changed is copied."""
    async with open_store(server, tmp_path / "data") as store:
        assert await append(store, "a", [record(1)]) is None
        await store.compact("a", b"snapshot", 1)
        await until(lambda: archive_of(store).archive_statistics().copies >= 1)
        server.kill()
        assert await append(store, "a", [record(2)]) is None
        await store.compact("a", b"snapshot", 2)
        await until(lambda: archive_of(store).archive_statistics().failures >= 1)
        assert (await load(store, "a")).last_number == 2
        before = archive_of(store).archive_statistics().copies
        await asyncio.to_thread(server.launch)
        await until(lambda: archive_of(store).archive_statistics().copies > before)
    assert caplog.text.count("the archive could not be written") == 1
