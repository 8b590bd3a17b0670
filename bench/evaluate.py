"""Evaluations as a page sees them: a small one there and back, and 20,000 prints.

The round trip is from sending the request to the moment when the member's own copy of the document
holds the result and says `done`. `edit + evaluate` also changes the cell's source first, and waits
until the server says that this edit is on the disk.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from page_member import PageMember
from report import Figures, Report, finish, parser, percentile
from servers import TOKEN, Running, site

PAGES = {"index": "# Bench\n\n```python cell\n1\n```\n"}
PRINTS = 20_000
PRINTING = f"for number in range({PRINTS}): print(number, flush=True)"


def room_url(server: Running, room: str) -> str:
    return f"{server.url}/index@{room}?token={TOKEN}"


async def round_trips(server: Running, count: int) -> Figures:
    member = await PageMember.join(room_url(server, "trips"))
    await member.evaluate("1")  # starts the engine
    plain: list[float] = []
    with_edit: list[float] = []
    for number in range(count):
        started = time.perf_counter()
        await member.evaluate("1")
        plain.append(time.perf_counter() - started)
        started = time.perf_counter()
        update = member.write_source(f"1 + {number}")
        await member.evaluate(f"1 + {number}")
        await member.wait_durable(update)
        with_edit.append(time.perf_counter() - started)
    member.leave()
    return {
        "p50 ms": percentile(plain, 0.5) * 1e3,
        "p99 ms": percentile(plain, 0.99) * 1e3,
        "edit + evaluate p50 ms": percentile(with_edit, 0.5) * 1e3,
        "p99 ms ": percentile(with_edit, 0.99) * 1e3,
    }


async def prints(server: Running) -> Figures:
    member = await PageMember.join(room_url(server, "prints"))
    await member.evaluate("1")
    frames, received, cpu_seconds = member.frames, member.bytes, server.cpu_seconds()
    started = time.perf_counter()
    await member.evaluate(PRINTING)
    seconds = time.perf_counter() - started
    streams = [one for one in member.outputs() if one["output_type"] == "stream"]
    lines = sum(one["text"].count("\n") for one in streams)
    omitted = sum(one.get("omitted", 0) for one in streams)
    if lines != PRINTS and not omitted:
        raise RuntimeError(f"{lines} of {PRINTS} lines arrived")
    member.leave()
    return {
        "seconds": seconds,
        "lines shown": lines,
        "frames": member.frames - frames,
        "kB received": (member.bytes - received) / 1e3,
        "server CPU s": server.cpu_seconds() - cpu_seconds,
    }


def run(rounds: int, count: int) -> list[Report]:
    trips = Report("An evaluation of `1`, there and back")
    many = Report(f"{PRINTS:,} flushed prints, all in the document")
    for _ in range(rounds):
        with (
            tempfile.TemporaryDirectory(prefix="engineroom-bench-") as folder,
            site(PAGES, Path(folder)) as server,
        ):
            trips.add("engineroom", asyncio.run(round_trips(server, count)))
            many.add("engineroom", asyncio.run(prints(server)))
    return [trips, many]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--count", type=int, default=100, help="round trips")
    asked = arguments.parse_args()
    reports = run(asked.rounds, asked.count)
    finish(reports, asked.json)


if __name__ == "__main__":
    main()
