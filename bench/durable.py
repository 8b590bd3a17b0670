"""Durable updates: how many a second come back acknowledged, each on the disk (fsync) by then.

No peer is beside it: none of them acknowledges what it has written. Ours is held to its targets.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from measured import measure, scratch_folder
from report import Figures, Report, Target, finish, parser
from servers import Engineroom, Running

RATE = "durable updates/s"
ONE = (Target(RATE, 10_000, at_least=True),)
MANY = (Target(RATE, 50_000, at_least=True),)
MANY_ROOMS = 100
WINDOW = 5_000  # of one writer; of a hundred, this many for all


def one_round(server: Running, rooms: int, count: int, window: int) -> Figures:
    measured = measure(server, "durable", "durable", rooms=rooms, count=count, window=window)
    figures = measured.figures
    return {
        RATE: figures["acknowledged"] / figures["seconds"],
        "CPU µs each": measured.cpu_seconds / figures["acknowledged"] * 1e6,
        "load busy": measured.load_share,
    }


def run(rounds: int, count: int) -> list[Report]:
    one = Report("Durable updates, one writer", ONE)
    many = Report(f"Durable updates, {MANY_ROOMS} rooms with a writer each", MANY)
    server = Engineroom()
    with tempfile.TemporaryDirectory(prefix="engineroom-bench-") as folder:
        for number in range(rounds):
            with server.run(scratch_folder(Path(folder), server.name, number)) as running:
                one_round(running, 1, 1_000, WINDOW)
                one.add(server.name, one_round(running, 1, count, WINDOW))
                each, window = 3 * count // MANY_ROOMS, 10 * WINDOW // MANY_ROOMS
                many.add(server.name, one_round(running, MANY_ROOMS, each, window))
    return [one, many]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--count", type=int, default=50_000, help="updates of one writer")
    asked = arguments.parse_args()
    finish(run(asked.rounds, asked.count), asked.json)


if __name__ == "__main__":
    main()
