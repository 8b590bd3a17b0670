"""A crowd in one room, everyone moving a cursor several times a second.

First with clients that do not send back what they hear; then, fewer, with clients that do, as y-websocket's own do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from measured import measure, scratch_folder
from report import Figures, Report, Target, finish, parser
from rivals import YWebsocket, with_rivals
from servers import Running, Server

LATENCY = "p95 ms"
LOST = "undelivered"
TARGETS = (Target(LATENCY, 150), Target(LOST, 0))


def one_round(server: Running, members: int, rate: float, seconds: float, *, echo: bool) -> Figures:
    measured = measure(
        server, "crowd", "awareness", members=members, rate=rate, seconds=seconds, echo=echo
    )
    figures = measured.figures
    return {
        "p50 ms": figures["p50_ms"],
        LATENCY: figures["p95_ms"],
        LOST: figures["undelivered"],
        "states heard %": 100 * figures["heard"] / figures["states"],
        "CPU %": 100 * measured.cpu_seconds / figures["seconds"],
        "s late": figures["sending_seconds"] - seconds,
        "load busy": measured.load_share,
    }


def run(
    servers: Sequence[Server], rounds: int, members: int, echoing: int, rate: float, seconds: float
) -> list[Report]:
    quiet = Report(f"Awareness of {members} members, {rate:g} moves/s each", TARGETS, LATENCY)
    loud = Report(f"The same of {echoing} who send back what they hear", (), LATENCY)
    with tempfile.TemporaryDirectory(prefix="engineroom-bench-") as folder:
        for number in range(rounds):
            for server in servers:
                with server.run(scratch_folder(Path(folder), server.name, number)) as running:
                    quiet.add(server.name, one_round(running, members, rate, seconds, echo=False))
                with server.run(scratch_folder(Path(folder), server.name, number, 2)) as running:
                    loud.add(server.name, one_round(running, echoing, rate, seconds, echo=True))
    return [quiet, loud]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--members", type=int, default=500)
    arguments.add_argument("--echoing", type=int, default=50)
    arguments.add_argument("--rate", type=float, default=5, help="moves a second")
    arguments.add_argument("--seconds", type=float, default=5)
    arguments.add_argument("--peers", action="store_true", help="measure y-websocket's, too")
    asked = arguments.parse_args()
    servers = with_rivals(YWebsocket, peers=asked.peers)
    reports = run(servers, asked.rounds, asked.members, asked.echoing, asked.rate, asked.seconds)
    finish(reports, asked.json)


if __name__ == "__main__":
    main()
