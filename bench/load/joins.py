"""Newcomers: one after the other, all within a second, or at the same moment; and who writes what they join."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from report import Figures, percentile

from .members import (
    BOUND_SECONDS,
    WINDOW,
    WINDOW_BYTES,
    Progress,
    go,
    join,
    join_whole,
    pause_until,
)
from .wire import Envelope, characters_in, read_updates, update_frame


async def write(url: str, envelope: Envelope, updates: Path) -> Figures:
    """One writer sends the updates in a file; done when a reader has them all."""
    frames = [update_frame(update) for update in read_updates(updates)]
    window = min(WINDOW, WINDOW_BYTES * len(frames) // sum(map(len, frames)))
    seen = Progress(frames)
    writer = await join(url, envelope=envelope)
    await join(url, seen.take, envelope=envelope)
    await go()
    started = time.perf_counter()
    async with asyncio.timeout(BOUND_SECONDS):
        for number, frame in enumerate(frames):
            while number - seen.arrived > window:  # noqa: ASYNC110
                await asyncio.sleep(0)
            writer.send(frame)
            if number % 50 == 49:
                await asyncio.sleep(0)
        await seen.complete.wait()
    return {"updates": len(frames), "seconds": time.perf_counter() - started}


async def joins(url: str, envelope: Envelope, count: int) -> Figures:
    """One after the other: from the connection to the whole document."""
    seconds: list[float] = []
    frame = b""
    await go()
    for _ in range(count):
        started = time.perf_counter()
        member, frame = await join_whole(url, envelope=envelope)
        seconds.append(time.perf_counter() - started)
        member.leave()
    return {
        "characters": characters_in(frame),
        "bytes": len(frame),
        "p50_ms": percentile(seconds, 0.5) * 1e3,
        "p99_ms": percentile(seconds, 0.99) * 1e3,
    }


async def storm(url: str, envelope: Envelope, count: int, seconds: float) -> Figures:
    """`count` members come within `seconds` (0: at the same moment) and stay. How long each waits for the document."""
    waited: list[float] = []
    sizes: set[int] = set()

    async def come(moment: float) -> None:
        await pause_until(moment)
        _, frame = await join_whole(url, envelope=envelope)
        waited.append(time.perf_counter() - moment)
        sizes.add(len(frame))

    await go()
    started = time.perf_counter()
    async with asyncio.timeout(BOUND_SECONDS), asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(come(started + seconds * number / count))
    return {
        "served": len(waited),
        "sizes": len(sizes),
        "bytes": min(sizes),
        "seconds": time.perf_counter() - started,
        "p50_ms": percentile(waited, 0.5) * 1e3,
        "p99_ms": percentile(waited, 0.99) * 1e3,
    }
