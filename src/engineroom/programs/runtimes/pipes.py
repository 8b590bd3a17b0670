"""One end of a pipe or of a pseudo-terminal, read and written without a buffer of ours.

Knows a descriptor and the event loop. What nobody reads stays in the kernel, whose own bound then makes the writer
wait: so a program that floods its output costs this process nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Callable

CHUNK_BYTES = 64 * 1024


class Descriptor:
    """A non-blocking descriptor, closed with `close()`. At most one reader and one writer at a time."""

    def __init__(self, number: int) -> None:
        os.set_blocking(number, False)
        self._number = number
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def closed(self) -> bool:
        """Has it been closed on our side?"""
        return self._number < 0

    async def read(self) -> bytes:
        """The next 1 to `CHUNK_BYTES` bytes, b"" at the end. Cancelled, it has taken nothing."""
        # One turn of the loop for others, before and not after: what has been taken is never lost to a cancellation.
        await asyncio.sleep(0)
        while not self.closed:
            try:
                return os.read(self._number, CHUNK_BYTES)
            except BlockingIOError:
                loop = asyncio.get_running_loop()
                await self._wait(loop.add_reader, loop.remove_reader)
            except OSError:
                return b""  # EIO: the last process on the other side of a pseudo-terminal has gone.
        return b""

    async def write(self, data: bytes) -> None:
        """Write all of `data`, waiting while the other side does not read. When it has gone, nothing happens."""
        left = memoryview(data)
        while left and not self.closed:
            try:
                left = left[os.write(self._number, left) :]
            except BlockingIOError:
                loop = asyncio.get_running_loop()
                await self._wait(loop.add_writer, loop.remove_writer)
            except OSError:
                return

    def resize(self, columns: int, rows: int) -> None:
        """Set a pseudo-terminal's size."""
        if not self.closed:
            set_size(self._number, columns, rows)

    def close(self) -> None:
        """Close it; who waits in `read` or `write` returns. Safe to call twice."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        # The waiting ones take themselves out of the loop only later, when the number may be another file's.
        if not self.closed:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._number)
            loop.remove_writer(self._number)
            os.close(self._number)
        self._number = -1

    async def _wait(
        self, add: Callable[[int, Callable[[], None]], None], remove: Callable[[int], bool]
    ) -> None:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(ready)
        add(self._number, lambda: None if ready.done() else ready.set_result(None))
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if not self.closed:
                remove(self._number)


def set_size(number: int, columns: int, rows: int) -> None:
    """Set the size of the pseudo-terminal `number`, in characters; each is held between 1 and 10000."""
    columns, rows = (min(max(1, length), 10_000) for length in (columns, rows))
    fcntl.ioctl(number, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
