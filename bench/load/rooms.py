"""Many small rooms: two clients in each, both typing."""

from __future__ import annotations

import asyncio
import time
from itertools import count

from report import Figures, percentile

from .members import BOUND_SECONDS, Deliveries, Member, Take, go, join, pause_until
from .wire import envelope, inserted, typed


async def rooms(url: str, dialect: str, number: int, rate: float, seconds: float) -> Figures:
    """`rate` is updates a second of each client. Their turns are spread evenly over the time."""
    each = int(rate * seconds)
    seen = Deliveries(2 * number * each)
    writers: list[tuple[Member, int, list[bytes]]] = []
    for room in range(number):
        for _ in range(2):
            frames = typed(each)
            around = envelope(dialect, f"room-{room}")
            member = await join(f"{url}-{room}", others_only(seen, set(frames)), envelope=around)
            writers.append((member, inserted(frames[0])[0][0], frames))
    await go()
    started = time.perf_counter()
    async with asyncio.timeout(BOUND_SECONDS):
        for turn, place in zip(range(each * len(writers)), count(), strict=False):
            writer, client, frames = writers[place % len(writers)]
            await pause_until(started + turn / (rate * len(writers)))
            seen.sending(client)
            writer.send(frames[place // len(writers)])
        await seen.complete.wait()
    return {
        "deliveries": seen.count,
        "seconds": time.perf_counter() - started,
        "p50_ms": percentile(seen.latencies, 0.5) * 1e3,
        "p99_ms": percentile(seen.latencies, 0.99) * 1e3,
    }


def others_only(seen: Deliveries, own: set[bytes]) -> Take:
    """Counts what others wrote: an echo of one's own is an acknowledgement, not a delivery."""

    def take(frame: bytes) -> None:
        if frame not in own:
            seen.take(frame)

    return take
