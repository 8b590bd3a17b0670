"""A document of 20 MB: how much memory it takes, what joining it costs, and how soon it is there after a restart.

One author writes 40 characters at a time; every eighth time the next place is one among the text's first thousands,
so that the document is made of many pieces, as one that was edited is.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from load.wire import buf, edits
from measured import measure, scratch_folder
from report import Figures, Report, Target, finish, parser
from rivals import YWebsocket, with_rivals
from servers import CACHE, Running, Server

PIECES = 440_000
PIECE = 40  # characters
TOGETHER = 200  # pieces of one update
NEAR = 4_000  # characters, among which the next place is chosen
BYTES = "memory, x its bytes"
WRITTEN = (Target(BYTES, 15),)
RESTARTED = (Target("first join ms", 300), Target(BYTES, 15))
CROWD = 20


def writing(random_numbers: random.Random) -> Iterator[tuple[int, str]]:
    """Where and what one author writes."""
    cursor = 0
    for number in range(PIECES):
        if number % 8 == 7:
            cursor = random_numbers.randrange(NEAR)
        yield cursor, chr(97 + number % 26) * PIECE
        cursor += PIECE


def edits_file() -> Path:
    """The updates of the document, made once: the same ones for all servers."""
    path = CACHE / f"large-{PIECES}.bin"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        updates = edits(writing(random.Random(1)), together=TOGETHER)
        path.write_bytes(b"".join(map(buf, updates)))
    return path


def written(server: Running, updates: Path) -> Figures:
    measure(server, "small", "join", count=1)
    writing = measure(server, "large", "write", updates=updates)
    crowd = measure(server, "large", "storm", count=CROWD, seconds=0)
    size = crowd.figures["bytes"]
    return {
        "MB": size / 1e6,
        BYTES: (crowd.bytes_peak - writing.bytes_before) / size,
        f"{CROWD} joins s": crowd.figures["seconds"],
        "CPU ms a join": crowd.cpu_seconds / CROWD * 1e3,
    }


def restarted(server: Running) -> Figures:
    measure(server, "small", "join", count=1)
    first = measure(server, "large", "storm", count=1, seconds=0)
    crowd = measure(server, "large", "storm", count=CROWD, seconds=0)
    return {
        "first join ms": first.figures["p50_ms"],
        BYTES: (crowd.bytes_peak - first.bytes_before) / crowd.figures["bytes"],
        f"{CROWD} joins s": crowd.figures["seconds"],
    }


def run(servers: Sequence[Server], rounds: int) -> list[Report]:
    hot = Report("A document of 20 MB, just written", WRITTEN)
    cold = Report("The same after a restart", RESTARTED)
    updates = edits_file()
    with tempfile.TemporaryDirectory(prefix="engineroom-bench-") as folder:
        for number in range(rounds):
            for server in servers:
                data = scratch_folder(Path(folder), server.name, number)
                with server.run(data) as running:
                    hot.add(server.name, written(running, updates))
                if server.name == "engineroom":
                    with server.run(data) as running:
                        cold.add(server.name, restarted(running))
    return [hot, cold]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--peers", action="store_true", help="measure y-websocket's, too")
    asked = arguments.parse_args()
    finish(run(with_rivals(YWebsocket, peers=asked.peers), asked.rounds), asked.json)


if __name__ == "__main__":
    main()
