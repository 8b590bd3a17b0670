"""What a process and its descendants use, from `/proc`. Source: proc(5)."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path

from engineroom.programs.guardian import children_of

__all__ = ["children_of", "measure"]


def measure(pid: int, *, without: Set[int] = frozenset()) -> tuple[int, int, float]:
    """Processes, resident bytes and processor seconds of `pid` and its descendants, leaving out those in `without`."""
    processes, resident, ticks = 0, 0, 0
    seen: set[int] = set()
    waiting = [pid]
    while waiting:
        process = waiting.pop()
        seen.add(process)
        waiting += children_of(process) - seen
        if process not in without and (used := use_of(process)):
            processes += 1
            resident += used[0]
            ticks += used[1]
    return processes, resident * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK")


def use_of(pid: int) -> tuple[int, int] | None:
    """Resident pages, and clock ticks of the process and of the children it waited for. None: it has gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field, the name, may hold anything; the third comes after its last parenthesis.
    fields = stat.rpartition(")")[2].split()
    return int(fields[21]), sum(int(field) for field in fields[11:15])
