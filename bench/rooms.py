"""Two hundred rooms of two, everybody typing: what a server of small meetings spends.

Engineroom also writes every update to the disk and acknowledges it; the peers keep documents in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from measured import measure, scratch_folder
from report import Figures, Report, Target, finish, parser
from rivals import Hocuspocus, PycrdtWebsocket, YWebsocket, with_rivals
from servers import Running, Server

COST = "CPU %"
TARGETS = (Target(COST, 0.75, of="y-websocket"),)
ALL = (YWebsocket, Hocuspocus, PycrdtWebsocket)


def one_round(server: Running, number: int, rate: float, seconds: float) -> Figures:
    measured = measure(server, "small", "rooms", rooms=number, rate=rate, seconds=seconds)
    figures = measured.figures
    return {
        COST: 100 * measured.cpu_seconds / figures["seconds"],
        "p50 ms": figures["p50_ms"],
        "p99 ms": figures["p99_ms"],
        "kB a room": (measured.bytes_end - measured.bytes_before) / number / 1e3,
        "load busy": measured.load_share,
    }


def run(
    servers: Sequence[Server], rounds: int, number: int, rate: float, seconds: float
) -> list[Report]:
    title = f"{number} rooms x 2 clients x {rate:g} updates/s"
    report = Report(title, TARGETS, COST)
    with tempfile.TemporaryDirectory(prefix="engineroom-bench-") as folder:
        for turn in range(rounds):
            for server in servers:
                with server.run(scratch_folder(Path(folder), server.name, turn)) as running:
                    report.add(server.name, one_round(running, number, rate, seconds))
    return [report]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rooms", type=int, default=200)
    arguments.add_argument("--rate", type=float, default=5, help="updates a second of each client")
    arguments.add_argument("--seconds", type=float, default=8)
    arguments.add_argument("--no-peers", action="store_true", help="measure Engineroom alone")
    asked = arguments.parse_args()
    servers = with_rivals(*ALL, peers=not asked.no_peers)
    finish(run(servers, asked.rounds, asked.rooms, asked.rate, asked.seconds), asked.json)


if __name__ == "__main__":
    main()
