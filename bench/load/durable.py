"""Writers that count what came back to them: acknowledgements, each of one update that is on the disk."""

from __future__ import annotations

import asyncio
import time

from report import Figures

from .members import BOUND_SECONDS, Member, go, join, on_wire
from .wire import UPDATE_KIND, typed

WRITE = 50  # updates in one write: what a fast program's loop turn brings


class Writer:
    """One member that types `count` characters, at most `window` of them unacknowledged."""

    def __init__(self, count: int, window: int) -> None:
        frames = [on_wire(frame) for frame in typed(count)]
        self._writes = [b"".join(frames[at : at + WRITE]) for at in range(0, count, WRITE)]
        self._written = 0
        self._count = count
        self._window = window
        self._member: Member | None = None
        self.acknowledged = 0
        self.complete = asyncio.Event()

    async def join(self, url: str) -> None:
        self._member = await join(url, self._take)

    def write(self) -> None:
        """Writes as much as the window lets through."""
        assert self._member is not None
        while (
            self._written < len(self._writes)
            and self._written * WRITE - self.acknowledged < self._window
        ):
            self._member.send_wire(self._writes[self._written])
            self._written += 1

    def _take(self, frame: bytes) -> None:
        if frame[:2] != UPDATE_KIND:
            return
        self.acknowledged += 1
        if self.acknowledged == self._count:
            self.complete.set()
        elif self.acknowledged % WRITE == 0:
            self.write()


async def durable(url: str, rooms: int, count: int, window: int) -> Figures:
    """One writer in each room, alone: all that comes to it is its own acknowledgement."""
    writers = [Writer(count, window) for _ in range(rooms)]
    for number, writer in enumerate(writers):
        await writer.join(f"{url}-{number}")
    await go()
    started = time.perf_counter()
    for writer in writers:
        writer.write()
    async with asyncio.timeout(BOUND_SECONDS):
        for writer in writers:
            await writer.complete.wait()
    return {
        "acknowledged": sum(writer.acknowledged for writer in writers),
        "seconds": time.perf_counter() - started,
    }
