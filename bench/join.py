"""Joining a document of 100,000 characters made by 50,000 edits: hot, and first after a restart.

A join is measured from opening the connection to having the whole document. The edits are those of
one author who types two characters at a time and now and then goes elsewhere in the text. The peers
keep documents in memory here, so only Engineroom has a first join after a restart: the room is
loaded from the disk.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from load import edits, var_uint
from measured import measure, scratch_folder
from report import Figures, Report, parser, write_json
from servers import CACHE, Running, Server, document_servers

EDITS = 50_000
HOT = "join p50 ms"
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
    if path.exists():
        return path
    updates = edits(typing(random.Random(1)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(var_uint(len(update)) + update for update in updates))
    return path


def hot_joins(server: Running, updates: Path, count: int) -> Figures:
    written = measure(server, "long", "write", updates=updates)
    measured = measure(server, "long", "join", count=count)
    if measured["characters"] != 2 * EDITS:
        raise RuntimeError(f"a newcomer got {measured['characters']} characters")
    return {
        HOT: measured["p50_ms"],
        "p99 ms": measured["p99_ms"],
        "CPU ms/join": measured["cpu_seconds"] / count * 1e3,
        "edits relayed/s": written["updates"] / written["seconds"],
    }


def first_join(server: Running) -> Figures:
    measured = measure(server, "long", "join", count=1)
    if measured["characters"] != 2 * EDITS:
        raise RuntimeError(f"after the restart there were {measured['characters']} characters")
    return {"join ms": measured["p50_ms"], "CPU ms": measured["cpu_seconds"] * 1e3}


def run(servers: list[Server], rounds: int, count: int) -> list[Report]:
    hot = Report(f"Joining {2 * EDITS:,} characters from {EDITS:,} edits, hot")
    cold = Report("The first join after a restart")
    updates = edits_file()
    with tempfile.TemporaryDirectory(prefix="engineroom-bench-") as folder:
        for number in range(rounds):
            for server in servers:
                data = scratch_folder(Path(folder), server.name, number)
                with server.run(data) as running:
                    hot.add(server.name, hot_joins(running, updates, count))
                if server.name == "engineroom":
                    with server.run(data) as running:
                        cold.add(server.name, first_join(running))
    return [hot, cold]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--count", type=int, default=50, help="joins")
    arguments.add_argument("--no-peers", action="store_true", help="measure Engineroom alone")
    asked = arguments.parse_args()
    reports = run(document_servers(peers=not asked.no_peers), asked.rounds, asked.count)
    reports[0].show(ratio_of=HOT)
    reports[1].show()
    write_json(asked.json, reports)


if __name__ == "__main__":
    main()
