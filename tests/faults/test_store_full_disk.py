"""A disk that is full: appends are refused and told, nothing is half there, and it goes on once there is room."""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from engineroom.errors import StoreError
from engineroom.stores import FileStore, SQLiteStore
from engineroom.testing.stores import append, load, record

pytestmark = pytest.mark.anyio


class Disk(Protocol):
    """A folder whose disk can be filled."""

    folder: Path

    def fill(self) -> None: ...
    def empty(self) -> None: ...


class SmallDisk:
    """A file system of its own, filled by a ballast file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        free_bytes = shutil.disk_usage(self.folder).free
        with open(self.folder / "ballast", "wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, free_bytes)

    def empty(self) -> None:
        (self.folder / "ballast").unlink()


class LimitedFiles:
    """A bound on the size of every file, for those who may not mount."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        largest = max(each.stat().st_size for each in self.folder.rglob("*") if each.is_file())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, self._limits[1]))

    def empty(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def limited_files(folder: Path) -> Iterator[Disk]:
    """Beyond the limit a write fails, once the signal that comes with it is ignored (as Python does)."""
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
    disk = LimitedFiles(folder)
    try:
        yield disk
    finally:
        disk.empty()


def may_mount() -> bool:
    """Whether this process may mount: root outside of a container that forbids it."""
    with open("/proc/self/status", encoding="ascii") as status:
        (capabilities,) = (int(line.split()[1], 16) for line in status if line.startswith("CapEff"))
    return bool(capabilities >> 21 & 1)  # CAP_SYS_ADMIN


@pytest.fixture(params=["disk", "files"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A full disk where it may be mounted, and a bound on files everywhere."""
    make = small_disk if request.param == "disk" and may_mount() else limited_files
    with make(tmp_path) as disk:
        yield disk


@pytest.fixture(params=["sqlite", "file"])
def make_store(request: pytest.FixtureRequest, disk: Disk) -> Callable[[], SQLiteStore | FileStore]:
    """A store on that disk."""
    if request.param == "sqlite":
        return lambda: SQLiteStore(disk.folder / "rooms.db")
    return lambda: FileStore(disk.folder / "documents")


async def test_a_full_disk_refuses_and_recovers(
    disk: Disk,
    make_store: Callable[[], SQLiteStore | FileStore],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was reported as stored is there, what was refused is not; with room, the same record is taken."""
    async with make_store() as store:
        assert await append(store, "a", [record(1)]) is None
        disk.fill()
        number = 1
        error: StoreError | None = None
        while error is None:
            number += 1
            assert number < 1000
            error = await append(store, "a", [record(number, bytes(4000))])
        assert "the store could not be written" in str(error)
        reports: list[StoreError | None] = []
        store.append("a", "lineage-1", [record(number, bytes(4000))], reports.append)
        store.append("b", "lineage-1", [record(1, bytes(4000))], reports.append)
        assert (await load(store, "a")).last_number == number - 1
        assert await store.load("b") is None
        assert [type(report) for report in reports] == [StoreError, StoreError]
        with pytest.raises(StoreError):
            await store.compact("a", bytes(100_000), number - 1)
        disk.empty()
        assert await append(store, "a", [record(number, bytes(4000))]) is None
        assert await append(store, "b", [record(1)]) is None
    levels = [entry.levelname for entry in caplog.records]
    assert levels == ["ERROR", "WARNING"], "the failure and its end are logged once, not every try"
    async with make_store() as store:
        document = await load(store, "a")
        assert (document.last_number, len(document.records), document.damaged) == (
            number,
            number,
            0,
        )


async def test_closing_on_a_full_disk_loses_nothing(disk: Disk) -> None:
    """A store that cannot copy its log into its file leaves the log, and the next opening has all."""
    async with SQLiteStore(disk.folder / "rooms.db") as store:
        number = 0
        while number < 50:
            number += 1
            assert await append(store, "a", [record(number, bytes(4000))]) is None
        disk.fill()
    disk.empty()
    async with SQLiteStore(disk.folder / "rooms.db") as store:
        document = await load(store, "a")
        assert (document.last_number, len(document.records)) == (50, 50)
