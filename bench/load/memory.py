"""Members that cost memory: those who are only there, and those who never read."""

from __future__ import annotations

import asyncio
import time

from pycrdt import Doc, Text

from report import Figures

from .members import BOUND_SECONDS, Progress, go, join, join_silently, pause_until
from .wire import Envelope, envelope, update_frame

SMALL = 4096  # bytes that the kernel keeps for a reader that never reads


async def idle(url: str, dialect: str, connections: int, rooms: int) -> Figures:
    """`connections` members, joined and silent, spread over `rooms` rooms."""
    for number in range(connections):
        room = number % rooms
        await join(f"{url}-{room}", envelope=envelope(dialect, f"room-{room}"))
    await asyncio.sleep(1)  # what the server does after a join, it does now
    await go()
    return {"connections": connections}


async def dead(
    url: str, around: Envelope, dead_readers: int, seconds: float, size: int, rate: float
) -> Figures:
    """Two who write and read, and `dead_readers` who never read. Each update replaces the text by another."""
    held = [
        await asyncio.to_thread(join_silently, url, around, receive_buffer_bytes=SMALL)
        for _ in range(dead_readers)
    ]
    frames = list(map(update_frame, replacements(int(seconds * rate), size)))
    seen = Progress(frames)
    writer = await join(url, envelope=around)
    await join(url, seen.take, envelope=around)
    await go()
    started = time.perf_counter()
    for number, frame in enumerate(frames):
        await pause_until(started + number / rate)
        writer.send(frame)
    async with asyncio.timeout(BOUND_SECONDS):
        await seen.complete.wait()
    del held
    return {"updates": len(frames), "seconds": time.perf_counter() - started}


def replacements(count: int, size: int) -> list[bytes]:
    """Updates that each replace a text by `size` other characters."""
    document: Doc[Text] = Doc()
    text = document.get("text", type=Text)
    made: list[bytes] = []
    document.observe(lambda event: made.append(event.update))
    for number in range(count):
        with document.transaction():
            text.clear()
            text += chr(97 + number % 26) * size
    return made
