"""The load, by itself; from the folder `bench`:

    python -m load fanout  ws://127.0.0.1:8000/rooms/x --readers 100 --rate 200 --count 1000
    python -m load storm   ws://127.0.0.1:8000/rooms/x --count 1000 --seconds 1
    python -m load awareness ws://127.0.0.1:8000/rooms/x --members 500 --rate 5 --seconds 5

Works with every server that speaks the protocol of y-websocket, and with Hocuspocus (`--dialect
hocuspocus`). It prints `ready` when all members have joined, waits for a line on stdin, so that
whoever measures the server can begin there, and then prints one line of JSON. Its members stay
until stdin ends.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path

from report import Figures

from .awareness import awareness
from .durable import durable
from .fanout import fanout
from .joins import joins, storm, write
from .memory import dead, idle
from .rooms import rooms
from .wire import envelope


def scenario(asked: argparse.Namespace) -> Coroutine[None, None, Figures]:
    """What was asked for, ready to run."""
    url, count, rate, seconds = asked.url, asked.count, asked.rate, asked.seconds
    around = envelope(asked.dialect, url.rpartition("/")[2])
    match asked.scenario:
        case "fanout":
            return fanout(url, around, asked.readers, rate, count)
        case "rooms":
            return rooms(url, asked.dialect, asked.rooms, rate, seconds)
        case "write":
            return write(url, around, asked.updates)
        case "join":
            return joins(url, around, count)
        case "storm":
            return storm(url, around, count, seconds)
        case "durable":
            return durable(url, asked.rooms, count, asked.window)
        case "idle":
            return idle(url, asked.dialect, asked.members, asked.rooms)
        case "dead":
            return dead(url, around, asked.readers, seconds, asked.size, rate)
        case _:
            return awareness(url, around, asked.members, rate, seconds, echo=asked.echo)


SCENARIOS = (
    "fanout", "rooms", "write", "join", "storm", "durable", "idle", "dead", "awareness"
)  # fmt: skip


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("url")
    parser.add_argument("--dialect", choices=["yjs", "hocuspocus"], default="yjs")
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--members", type=int, default=500)
    parser.add_argument("--rooms", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200, help="a second; 0: unpaced")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--count", type=int, default=1000, help="updates, or joins")
    parser.add_argument("--window", type=int, default=2000, help="updates unacknowledged")
    parser.add_argument("--size", type=int, default=10_000, help="characters of an update")
    parser.add_argument("--echo", action="store_true", help="send back what is heard")
    parser.add_argument("--updates", type=Path, help="a file of length-prefixed updates")
    return parser


async def run(asked: argparse.Namespace) -> None:
    """Prints the figures; the members stay until stdin ends."""
    logging.basicConfig(level=logging.ERROR)  # picows tells of every full buffer
    gc.disable()  # a pause of the load would be taken for the server's
    figures = await scenario(asked)
    print(json.dumps(figures), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(run(arguments().parse_args()))
