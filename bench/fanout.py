"""Fan-out: one writer types, many readers receive. What does a delivery cost, and how long does it take?

The servers take turns, so that a noisy machine is noisy for all of them alike: read the ratios.
Engineroom is the only one that also writes every update to the disk (fsync) and acknowledges it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from measured import measure, scratch_folder
from report import OURS, Figures, Report, Target, finish, parser
from rivals import Hocuspocus, PycrdtWebsocket, Relay, YpyWebsocket, YWebsocket, with_rivals
from servers import Running, Server

COST = "CPU-s per 100k deliveries"
PACED = (
    Target(COST, 1.2, of="relay"),
    Target(COST, 0.25, of="pycrdt-websocket"),
    Target(COST, 0.9, of="y-websocket"),
    Target("p99 ms", 1.0, of="the best peer"),
)
SATURATED = (Target(COST, 0.05),)
ALL = (Relay, YWebsocket, Hocuspocus, PycrdtWebsocket, YpyWebsocket)
WARM_UP = 100  # updates
FLOOD = 5  # times as many updates, unpaced, for those who are through with them in no time


def one_round(server: Running, room: str, readers: int, rate: float, count: int) -> Figures:
    measured = measure(server, room, "fanout", readers=readers, rate=rate, count=count)
    figures = measured.figures
    return {
        COST: measured.cpu_seconds / figures["deliveries"] * 1e5,
        "p50 ms": figures["p50_ms"],
        "p99 ms": figures["p99_ms"],
        "deliveries/s": figures["deliveries"] / figures["seconds"],
        "load busy": measured.load_share,
    }


def run(
    servers: Sequence[Server], rounds: int, readers: int, rate: float, count: int
) -> list[Report]:
    """Two reports: at a steady rate, and as fast as each goes."""
    paced = Report(f"Fan-out, 1 writer, {readers} readers, {rate:.0f} updates/s", PACED, COST)
    saturated = Report(f"Fan-out, 1 writer, {readers} readers, saturated", SATURATED, COST)
    with tempfile.TemporaryDirectory(prefix="engineroom-bench-") as folder:
        for number in range(rounds):
            for server in servers:
                data = scratch_folder(Path(folder), server.name, number)
                with server.run(data) as running:
                    one_round(running, "warm", readers, rate, WARM_UP)
                    paced.add(server.name, one_round(running, "paced", readers, rate, count))
                    many = FLOOD * count if server.name == OURS else count
                    flood = one_round(running, "saturated", readers, 0, many)
                    saturated.add(server.name, flood)
    return [paced, saturated]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--readers", type=int, default=100)
    arguments.add_argument("--rate", type=float, default=200, help="updates a second")
    arguments.add_argument("--count", type=int, default=1000, help="updates")
    arguments.add_argument("--no-peers", action="store_true", help="measure Engineroom alone")
    asked = arguments.parse_args()
    servers = with_rivals(*ALL, peers=not asked.no_peers)
    finish(run(servers, asked.rounds, asked.readers, asked.rate, asked.count), asked.json)


if __name__ == "__main__":
    main()
