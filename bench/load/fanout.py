"""One writer types, many readers receive."""

from __future__ import annotations

import asyncio
import time

from report import Figures, percentile

from .members import BOUND_SECONDS, WINDOW, Deliveries, Member, drain, go, join, pause_until
from .wire import Envelope, inserted, typed

LOOKING = 5  # readers that measure, where the others only drain


async def send_paced(writer: Member, frames: list[bytes], rate: float, seen: Deliveries) -> None:
    """Sends `rate` frames a second, evenly; what is late is sent at once."""
    client = inserted(frames[0])[0][0]
    started = time.perf_counter()
    for number, frame in enumerate(frames):
        await pause_until(started + number / rate)
        seen.sending(client)
        writer.send(frame)


async def send_all(writer: Member, frames: list[bytes], seen: Deliveries, readers: int) -> None:
    """Sends as fast as `readers` are served, with `WINDOW` updates under way."""
    client = inserted(frames[0])[0][0]
    for number, frame in enumerate(frames):
        while number - seen.count / readers > WINDOW:  # noqa: ASYNC110
            await asyncio.sleep(0)  # an event for every frame would cost more than it tells
        seen.sending(client)
        writer.send(frame)


async def fanout(url: str, envelope: Envelope, readers: int, rate: float, count: int) -> Figures:
    """`rate` 0 is as fast as it goes; then most of the readers only drain, or the load would be slower than the
    server.
    """
    looking = readers if rate else min(readers, LOOKING)
    seen = Deliveries(looking * count)
    frames = typed(count)
    writer = await join(url, envelope=envelope)
    members = [await join(url, seen.take, envelope=envelope) for _ in range(looking)]
    drains = [await drain(url, envelope) for _ in range(readers - looking)]
    await go()
    before = [reader.bytes for reader in drains]
    started = time.perf_counter()
    async with asyncio.timeout(BOUND_SECONDS):
        if rate:
            await send_paced(writer, frames, rate, seen)
        else:
            await send_all(writer, frames, seen, looking)
        await seen.complete.wait()
    seconds = time.perf_counter() - started
    await asyncio.sleep(0.05)  # what is in the sockets of those who only drain
    assert not any(member.ended for member in members), "a reader was disconnected"
    assert all(now.bytes > then for now, then in zip(drains, before, strict=True)), (
        "one got nothing"
    )
    return {
        "deliveries": readers * count,
        "seconds": seconds,
        "p50_ms": percentile(seen.latencies, 0.5) * 1e3,
        "p99_ms": percentile(seen.latencies, 0.99) * 1e3,
    }
