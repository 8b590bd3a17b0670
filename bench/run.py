"""All measurements, one after the other: quickly, or with `--full` as each script does by itself.

    make bench
    make bench ARGS="--full --json figures.json"

Figures drift with the machine: compare only what stands in one table.
"""

from __future__ import annotations

import platform

import engine_start
import evaluate
import fanout
import join
from report import Report, parser, write_json
from servers import document_servers


def quick() -> list[Report]:
    servers = document_servers()
    return [
        *fanout.run(servers, rounds=1, readers=100, rate=200, count=600),
        *join.run(servers, rounds=1, count=30),
        *evaluate.run(rounds=1, count=50),
        *engine_start.run(rounds=1, count=10),
    ]


def full(rounds: int) -> list[Report]:
    servers = document_servers()
    return [
        *fanout.run(servers, rounds, readers=100, rate=200, count=1000),
        *join.run(servers, rounds, count=50),
        *evaluate.run(rounds, count=100),
        *engine_start.run(rounds, count=20),
    ]


RATIOS = (fanout.COST, join.HOT)  # the figures in which peers are compared


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--full", action="store_true", help="all rounds, all sizes")
    asked = arguments.parse_args()
    reports = full(asked.rounds) if asked.full else quick()
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
    for report in reports:
        names = next(iter(report.medians().values()))
        compared = len(report.rounds) > 1
        ratio = next((name for name in RATIOS if compared and name in names), None)
        report.show(ratio_of=ratio)
    write_json(asked.json, reports)


if __name__ == "__main__":
    main()
