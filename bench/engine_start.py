"""From nothing to the first result: a new room each time, and a new engine for its first evaluation.

`join to result` begins with opening the connection; `evaluate to result` with the request, in a
room that is open. Both end when the member's own copy of the document says `done`. A runtime that
does not work on this machine (the sandbox inside some containers) is left out, and said to be.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from evaluate import PAGES, room_url
from page_member import PageMember
from report import Figures, Report, finish, parser, percentile
from servers import Running, ServerEnded, site

RUNTIMES = ("local", "sandbox")


async def starts(server: Running, count: int) -> Figures:
    from_join: list[float] = []
    from_request: list[float] = []
    for number in range(count):
        started = time.perf_counter()
        member = await PageMember.join(room_url(server, f"start-{number}"))
        asked = time.perf_counter()
        await member.evaluate("6 * 7")
        ended = time.perf_counter()
        from_join.append(ended - started)
        from_request.append(ended - asked)
        member.leave()
    return {
        "join to result p50 ms": percentile(from_join, 0.5) * 1e3,
        "evaluate to result p50 ms": percentile(from_request, 0.5) * 1e3,
        "p99 ms": percentile(from_request, 0.99) * 1e3,
    }


def run(rounds: int, count: int) -> list[Report]:
    report = Report("Engine start to the first result")
    for _ in range(rounds):
        for runtime in RUNTIMES:
            with tempfile.TemporaryDirectory(prefix="engineroom-bench-") as folder:
                try:
                    with site(PAGES, Path(folder), ENGINEROOM_RUNTIME=runtime) as server:
                        figures = asyncio.run(starts(server, count))
                except ServerEnded as ended:
                    print(f"left out: {runtime}: {ended}", file=sys.stderr)
                else:
                    report.add(runtime, figures)
    return [report]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--count", type=int, default=20, help="rooms")
    asked = arguments.parse_args()
    reports = run(asked.rounds, asked.count)
    finish(reports, asked.json)


if __name__ == "__main__":
    main()
