"""Memory: members who are only there, and members who never read.

The dead readers' cost is the growth with them less the growth without them, in a server of its own each time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from measured import Measured, measure, scratch_folder
from report import Figures, Report, Target, finish, parser
from rivals import Hocuspocus, PycrdtWebsocket, YWebsocket, with_rivals
from servers import Running, Server

EACH = "kB a connection"
IDLE = (Target(EACH, 18),)
COST = "MB for all"
DEAD = (Target(COST, 20),)
ALL = (YWebsocket, Hocuspocus, PycrdtWebsocket)
SIZE, RATE, SECONDS = 20_000, 150.0, 6.0  # 18 MB, of which the kernel takes up to 4 for each reader


def idle(server: Running, connections: int, rooms: int) -> Figures:
    measure(server, "warm", "idle", members=20, rooms=10)
    measured = measure(server, "idle", "idle", members=connections, rooms=rooms)
    grown = measured.bytes_ready - measured.bytes_before
    return {EACH: grown / connections / 1e3, "MB in all": measured.bytes_ready / 1e6}


def dead(server: Running, readers: int) -> Measured:
    measure(server, "warm", "dead", readers=0, size=SIZE, rate=RATE, seconds=0.5)
    return measure(server, "dead", "dead", readers=readers, size=SIZE, rate=RATE, seconds=SECONDS)


def dead_readers(server: Server, folder: Path, readers: int) -> Figures:
    grown: list[int] = []
    for number in (0, readers):
        with server.run(scratch_folder(folder, server.name, number)) as running:
            measured = dead(running, number)
            grown.append(measured.bytes_peak - measured.bytes_before)
    return {COST: (grown[1] - grown[0]) / 1e6, "MB without them": grown[0] / 1e6}


def run(servers: Sequence[Server], rounds: int, connections: int, readers: int) -> list[Report]:
    rooms = connections // 2
    still = Report(f"{connections:,} idle connections in {rooms:,} rooms", IDLE, EACH)
    stuck = Report(f"{readers} readers that never read, for {SECONDS:g} s", DEAD)
    with tempfile.TemporaryDirectory(prefix="engineroom-bench-") as folder:
        for number in range(rounds):
            for server in servers:
                place = scratch_folder(Path(folder), server.name, number)
                with server.run(scratch_folder(place, "idle")) as running:
                    still.add(server.name, idle(running, connections, rooms))
                stuck.add(server.name, dead_readers(server, place, readers))
    return [still, stuck]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--connections", type=int, default=2_000)
    arguments.add_argument("--readers", type=int, default=20)
    arguments.add_argument("--no-peers", action="store_true", help="measure Engineroom alone")
    asked = arguments.parse_args()
    servers = with_rivals(*ALL, peers=not asked.no_peers)
    finish(run(servers, asked.rounds, asked.connections, asked.readers), asked.json)


if __name__ == "__main__":
    main()
