"""Fan-out: one writer types, many readers receive. What does a delivery cost, and how long does it take?

The servers take turns, so that a noisy machine is noisy for all of them alike: read the ratios.
Engineroom is the only one that also writes every update to the disk (fsync) and acknowledges it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from measured import measure, scratch_folder
from report import Figures, Report, parser, write_json
from servers import Running, Server, document_servers

COST = "CPU-s/100k deliveries"


def one_round(server: Running, room: str, readers: int, rate: float, count: int) -> Figures:
    measured = measure(server, room, "fanout", readers=readers, rate=rate, count=count)
    return {
        COST: measured["cpu_seconds"] / measured["deliveries"] * 1e5,
        "p50 ms": measured["p50_ms"],
        "p99 ms": measured["p99_ms"],
        "deliveries/s": measured["deliveries"] / measured["seconds"],
    }


def run(servers: list[Server], rounds: int, readers: int, rate: float, count: int) -> list[Report]:
    """Two reports: at a steady rate, and as fast as each goes."""
    paced = Report(f"Fan-out, 1 writer, {readers} readers, {rate:.0f} updates/s")
    saturated = Report(f"Fan-out, 1 writer, {readers} readers, as fast as it goes")
    with tempfile.TemporaryDirectory(prefix="engineroom-bench-") as folder:
        for number in range(rounds):
            for server in servers:
                data = scratch_folder(Path(folder), server.name, number)
                with server.run(data) as running:
                    paced.add(server.name, one_round(running, "paced", readers, rate, count))
                    saturated.add(server.name, one_round(running, "saturated", readers, 0, count))
    return [paced, saturated]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--readers", type=int, default=100)
    arguments.add_argument("--rate", type=float, default=200, help="updates a second")
    arguments.add_argument("--count", type=int, default=1000, help="updates")
    arguments.add_argument("--no-peers", action="store_true", help="measure Engineroom alone")
    asked = arguments.parse_args()
    servers = document_servers(peers=not asked.no_peers)
    reports = run(servers, asked.rounds, asked.readers, asked.rate, asked.count)
    for report in reports:
        report.show(ratio_of=COST)
    write_json(asked.json, reports)


if __name__ == "__main__":
    main()
