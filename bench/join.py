"""Joining a document of 100,000 characters made by 50,000 edits: hot, a thousand at once, and first after a restart.

A join is measured from opening the connection to having the whole document. The edits are those of
one author who types two characters at a time and now and then goes elsewhere in the text. The peers
keep documents in memory here, so only Engineroom has a first join after a restart: the room is
loaded from the disk.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from load.wire import buf, edits
from measured import measure, scratch_folder
from report import Figures, Report, Target, finish, parser
from rivals import Hocuspocus, PycrdtWebsocket, YWebsocket, with_rivals
from servers import CACHE, Running, Server

EDITS = 50_000
HOT = "CPU ms a join"
HOT_TARGETS = (Target(HOT, 0.25),)
COLD_TARGETS = (Target("join ms", 10),)
STORM_TARGETS = (Target("served", 1_000, at_least=True),)
STORM, STORM_SECONDS = 1_000, 1.0
ALL = (YWebsocket, Hocuspocus, PycrdtWebsocket)
JUMP_SHARE = 0.02  # of the edits; the others go on where the last one ended


def typing(random_numbers: random.Random) -> Iterator[tuple[int, str]]:
    """Where and what one author types."""
    cursor = 0
    for number in range(EDITS):
        if random_numbers.random() < JUMP_SHARE:
            cursor = random_numbers.randrange(2 * number + 1)
        yield cursor, random_numbers.choice(("ab", "c ", "de", "f\n"))
        cursor += 2


def edits_file() -> Path:
    """The updates of the document, made once: the same ones for all servers."""
    path = CACHE / f"edits-{EDITS}.bin"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(map(buf, edits(typing(random.Random(1))))))
    return path


def hot_joins(server: Running, updates: Path, count: int) -> Figures:
    written = measure(server, "long", "write", updates=updates)
    measure(server, "long", "join", count=10)
    measured = measure(server, "long", "join", count=count)
    check_whole(measured.figures)
    return {
        HOT: measured.cpu_seconds / count * 1e3,
        "p50 ms": measured.figures["p50_ms"],
        "p99 ms": measured.figures["p99_ms"],
        "edits relayed/s": written.figures["updates"] / written.figures["seconds"],
    }


def stormy_joins(server: Running) -> Figures:
    measured = measure(server, "long", "storm", count=STORM, seconds=STORM_SECONDS)
    figures = measured.figures
    return {
        "served": figures["served"],
        "p50 ms": figures["p50_ms"],
        "p99 ms": figures["p99_ms"],
        "all within s": figures["seconds"],
        "CPU s": measured.cpu_seconds,
        "load busy": measured.load_share,
    }


def first_join(server: Running) -> Figures:
    measured = measure(server, "long", "join", count=1)
    check_whole(measured.figures)
    return {"join ms": measured.figures["p50_ms"], "CPU ms": measured.cpu_seconds * 1e3}


def check_whole(figures: Figures) -> None:
    if figures["characters"] != 2 * EDITS:
        raise RuntimeError(f"a newcomer got {figures['characters']} characters")


def run(servers: Sequence[Server], rounds: int, count: int) -> list[Report]:
    hot = Report(f"Joining {2 * EDITS:,} characters from {EDITS:,} edits, hot", HOT_TARGETS, HOT)
    storm = Report(f"{STORM:,} join it within {STORM_SECONDS:g} s", STORM_TARGETS, "CPU s")
    cold = Report("The first join after a restart", COLD_TARGETS)
    updates = edits_file()
    with tempfile.TemporaryDirectory(prefix="engineroom-bench-") as folder:
        for number in range(rounds):
            for server in servers:
                data = scratch_folder(Path(folder), server.name, number)
                with server.run(data) as running:
                    hot.add(server.name, hot_joins(running, updates, count))
                    storm.add(server.name, stormy_joins(running))
                if server.name == "engineroom":
                    with server.run(data) as running:
                        measure(running, "another", "join", count=1)  # the first of any room
                        cold.add(server.name, first_join(running))
    return [hot, storm, cold]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--count", type=int, default=200, help="joins")
    arguments.add_argument("--no-peers", action="store_true", help="measure Engineroom alone")
    asked = arguments.parse_args()
    servers = with_rivals(*ALL, peers=not asked.no_peers)
    finish(run(servers, asked.rounds, asked.count), asked.json)


if __name__ == "__main__":
    main()
