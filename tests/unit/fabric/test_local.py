"""The data folder belongs to one process at a time."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engineroom.errors import DataFolderError
from engineroom.fabric import LocalFabric

pytestmark = pytest.mark.anyio

HOLD = """
import asyncio, sys
from pathlib import Path
from engineroom.fabric import LocalFabric

async def main():
    async with LocalFabric(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the folder until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


def start_program() -> subprocess.Popen[bytes]:
    """A program that is given every descriptor that may be inherited, and waits."""
    return subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)


async def test_it_makes_the_folder_for_its_user_alone(tmp_path: Path) -> None:
    """A new folder has mode 0700, the lock file 0600."""
    folder = tmp_path / "data" / "site"
    async with LocalFabric(folder):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "lock").stat().st_mode & 0o777 == 0o600


async def test_a_second_server_is_told_who_holds_it(tmp_path: Path) -> None:
    """The error is one line with the folder, the holder's process and since when."""
    with holder(tmp_path) as process:
        with pytest.raises(DataFolderError) as caught:
            await LocalFabric(tmp_path).__aenter__()
        text = str(caught.value)
        assert f"{tmp_path} is in use by another server (process {process.pid}, since 20" in text
        assert "\n" not in text


async def test_a_holder_that_has_not_written_yet_is_still_respected(tmp_path: Path) -> None:
    """What stands in the lock file does not matter: the kernel's lock does."""
    with holder(tmp_path):
        (tmp_path / "lock").write_bytes(b"")
        with pytest.raises(DataFolderError, match="in use by another server: stop"):
            await LocalFabric(tmp_path).__aenter__()


async def test_it_is_free_after_the_holder_was_killed(tmp_path: Path) -> None:
    """SIGKILL of the holder releases the folder at once."""
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
        async with LocalFabric(tmp_path):
            assert (tmp_path / "lock").read_bytes().split()[0] == b"%d" % os.getpid()


async def test_it_is_free_after_leaving(tmp_path: Path) -> None:
    """The same process may claim it again after leaving, and not before."""
    async with LocalFabric(tmp_path):
        with pytest.raises(DataFolderError, match=f"process {os.getpid()},"):
            await LocalFabric(tmp_path).__aenter__()
    async with LocalFabric(tmp_path):
        pass


async def test_programs_do_not_inherit_the_lock(tmp_path: Path) -> None:
    """A program that outlives its server does not keep the folder."""
    async with LocalFabric(tmp_path):
        program = start_program()
    with program:
        async with LocalFabric(tmp_path):
            assert program.poll() is None
        program.kill()


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A path below a file is refused in one line with the reason."""
    (tmp_path / "file").touch()
    with pytest.raises(
        DataFolderError, match=r"cannot be written \(Not a directory\): choose another"
    ):
        await LocalFabric(tmp_path / "file" / "data").__aenter__()


async def test_a_folder_that_cannot_be_written() -> None:
    """A folder in which no file can be made is refused, also for root."""
    with pytest.raises(DataFolderError, match="the data folder /proc/self cannot be written"):
        await LocalFabric(Path("/proc/self")).__aenter__()


async def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link named like the lock is refused, and its target is left alone."""
    target = tmp_path / "target"
    target.write_text("precious")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "lock").symlink_to(target)
    with pytest.raises(DataFolderError):
        await LocalFabric(folder).__aenter__()
    assert target.read_text() == "precious"
