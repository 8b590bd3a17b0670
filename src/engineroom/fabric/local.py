"""The fabric of one node: the data folder belongs to one process at a time.

It knows the folder and its lock; nothing of what is kept there. The lock is the kernel's (flock):
it ends with the process that holds it, however that ends, so there is never a stale one to remove.
What stands in the lock file is for the reader of an error alone, and is never trusted.

The descriptor is closed on exec. A child that only forks would share the lock and hold it beyond
its parent: such children close what they inherit.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from engineroom.errors import DataFolderError

LOCK_NAME = "lock"


class LocalFabric:
    """Owns `data_folder` as long as `async with` lasts; makes it (mode 0700) when it is not there."""

    def __init__(self, data_folder: Path) -> None:
        self.data_folder = data_folder.absolute()
        self._lock: int | None = None

    async def __aenter__(self) -> Self:
        """Claim the folder. This does not wait for another holder.

        Raises:
            DataFolderError: another server holds it, or it cannot be written.
        """
        try:
            self.data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._claim()
        except OSError as error:
            raise DataFolderError(
                f"the data folder {self.data_folder} cannot be written "
                f"({error.strerror or error}): choose another"
            ) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the folder. The lock file stays: removing it would let two processes in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _claim(self) -> int:
        """The descriptor that holds the lock. Writing into the file also shows that the folder
        takes writes.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(self.data_folder / LOCK_NAME, flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()} {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode(), 0)
        except BlockingIOError:
            holder = _describe_holder(os.pread(lock, 100, 0))
            os.close(lock)
            raise DataFolderError(
                f"the data folder {self.data_folder} is in use by another server{holder}: "
                "stop that one, or choose another folder"
            ) from None
        except BaseException:
            os.close(lock)
            raise
        return lock


def _describe_holder(content: bytes) -> str:
    """` (process 42, since …)`, or nothing when the holder has not written yet."""
    pid, _, since = content.decode(errors="replace").strip().partition(" ")
    return f" (process {pid}, since {since})" if pid.isdigit() and since else ""
