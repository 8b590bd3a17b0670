"""How files are changed so that a crash leaves the old state or the new one, and what an error of
the operating system asks of the reader. It knows nothing of what stands in the files.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

NEW = ".new"  # ends the name of a file that is not yet in its place
WRITE_PARTS = 512  # pieces of one write; the system takes 1024 (IOV_MAX)

_ADVICE = {
    errno.ENOSPC: "free some space on its disk",
    errno.EDQUOT: "free some space on its disk, or raise the quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EROFS: "make the file system writable",
    errno.EACCES: "make the folder and its files writable",
    errno.EPERM: "make the folder and its files writable",
    errno.EIO: "look at its disk, and at the system's log",
    errno.ENOENT: "bring the data folder back",
    errno.ENOTDIR: "bring the data folder back",
    errno.EMFILE: "raise the limit on open files",
    errno.ENFILE: "raise the limit on open files",
}


def explain_os_error(error: OSError) -> str:
    """The system's error, with the file where it is known and what to do where that is known."""
    text = error.strerror or str(error)
    if error.filename is not None:
        text = f"{error.filename}: {text}"
    advice = _ADVICE.get(error.errno or 0)
    return f"{text}: {advice}" if advice else text


def write_all(descriptor: int, content: Sequence[bytes], offset: int = 0) -> int:
    """Write all pieces from `offset` on; how many bytes that was.

    Raises:
        OSError: a part may have been written.
    """
    start = offset
    for first in range(0, len(content), WRITE_PARTS):
        pieces = content[first : first + WRITE_PARTS]
        size = sum(map(len, pieces))
        written = os.pwritev(descriptor, pieces, offset)
        if written < size:  # a signal, or a disk that is nearly full
            rest = memoryview(b"".join(pieces))
            while written < size:
                written += os.pwrite(descriptor, rest[written:], offset + written)
        offset += size
    return offset - start


def replace_file(file: Path, content: Sequence[bytes], *, durable: bool) -> None:
    """Put a new file in the place of `file`; when `durable`, its content is on disk before. For its
    name to be so, synchronise the folder afterwards.

    Raises:
        OSError: `file` is as it was.
    """
    new = file.with_name(file.name + NEW)
    try:
        with created(new, os.O_TRUNC) as descriptor:
            write_all(descriptor, content)
            if durable:
                os.fsync(descriptor)
        new.replace(file)
    except BaseException:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def add_to_file(
    file: Path, content: Sequence[bytes], end: int | None = None, *, durable: bool
) -> None:
    """Write `content` at `end` (None: at the end of the file) and cut off what stands behind it.

    Raises:
        OSError: the file ends where it did, or at `end`; unless it cannot even be cut.
    """
    with created(file) as descriptor:
        length = os.fstat(descriptor).st_size if end is None else end
        os.ftruncate(descriptor, length)
        try:
            write_all(descriptor, content, length)
            if durable:
                os.fdatasync(descriptor)
        except BaseException:
            os.ftruncate(descriptor, length)
            raise


@contextmanager
def created(file: Path, flags: int = 0) -> Iterator[int]:
    """The file to write to, made for this user alone when it is not there."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
