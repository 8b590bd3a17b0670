"""All measurements, one after the other: quickly, or with `--full` with more rounds and all peers.

    make bench
    make bench ARGS="--only fanout,rooms"
    make bench ARGS="--full --json figures.json"

Prints Markdown. Figures drift with the machine: compare only what stands in one table, and read the
ratios. What an update costs the server is its processor time; see `docs/performance.md`.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass

import awareness
import durable
import engine_start
import evaluate
import fanout
import join
import large
import memory
import rooms
from report import Report, finish, parser
from rivals import Hocuspocus, PycrdtWebsocket, Relay, YWebsocket, with_rivals

QUICK_RIVALS = (Relay, YWebsocket, Hocuspocus, PycrdtWebsocket)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One measurement, quick and full."""

    quick: Callable[[], list[Report]]
    full: Callable[[int], list[Report]]


SCENARIOS: dict[str, Scenario] = {
    "fanout": Scenario(
        lambda: fanout.run(with_rivals(*QUICK_RIVALS), 3, readers=100, rate=200, count=400),
        lambda n: fanout.run(with_rivals(*fanout.ALL), n, readers=100, rate=200, count=1000),
    ),
    "rooms": Scenario(
        lambda: rooms.run(with_rivals(YWebsocket, Hocuspocus), 1, number=200, rate=5, seconds=5),
        lambda n: rooms.run(with_rivals(*rooms.ALL), n, number=200, rate=5, seconds=10),
    ),
    "join": Scenario(
        lambda: join.run(with_rivals(YWebsocket), 1, count=100),
        lambda n: join.run(with_rivals(*join.ALL), n, count=200),
    ),
    "durable": Scenario(
        lambda: durable.run(1, count=50_000),
        lambda n: durable.run(n, count=100_000),
    ),
    "memory": Scenario(
        lambda: memory.run(with_rivals(YWebsocket), 1, connections=2_000, readers=20),
        lambda n: memory.run(with_rivals(*memory.ALL), n, connections=2_000, readers=20),
    ),
    "awareness": Scenario(
        lambda: awareness.run(with_rivals(), 1, members=500, echoing=50, rate=5, seconds=5),
        lambda n: awareness.run(
            with_rivals(YWebsocket), n, members=500, echoing=50, rate=5, seconds=10
        ),
    ),
    "large": Scenario(
        lambda: large.run(with_rivals(), 1),
        lambda n: large.run(with_rivals(YWebsocket), n),
    ),
    "evaluate": Scenario(
        lambda: evaluate.run(rounds=1, count=50),
        lambda n: evaluate.run(n, count=100),
    ),
    "engine_start": Scenario(
        lambda: engine_start.run(rounds=1, count=10),
        lambda n: engine_start.run(n, count=20),
    ),
}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--full", action="store_true", help="all rounds, all sizes, all peers")
    arguments.add_argument(
        "--only", metavar="NAMES", help=f"some of {','.join(SCENARIOS)}, with commas between"
    )
    asked = arguments.parse_args()
    names = asked.only.split(",") if asked.only else list(SCENARIOS)
    if unknown := set(names) - set(SCENARIOS):
        arguments.error(f"there is no scenario {', '.join(sorted(unknown))}")
    reports: list[Report] = []
    for name in names:
        print(f"measuring: {name}", file=sys.stderr)
        scenario = SCENARIOS[name]
        reports += scenario.full(asked.rounds) if asked.full else scenario.quick()
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, ", end="")
    print(f"{os.cpu_count()} cores; load averages at the end: {load}")
    finish(reports, asked.json)


if __name__ == "__main__":
    main()
