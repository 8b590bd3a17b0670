"""Calls that a store has taken and not yet reported: in order, each reported once, in the event
loop.

It knows sizes, paths and callbacks, and nothing of what the calls do.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass

from engineroom.errors import StoreError
from engineroom.rooms.storage import Stored


@dataclass(frozen=True, slots=True)
class Call:
    """A call that waits for its commit. `size_bytes` is what it holds in memory until then."""

    path: str
    size_bytes: int
    done: Stored


class Outstanding:
    """The outstanding calls, oldest first. Used in the event loop alone."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._paths: Counter[str] = Counter()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._calls)

    def concerns(self, path: str) -> bool:
        """Whether a call for the document `path` is outstanding."""
        return path in self._paths

    def add(self, call: Call) -> None:
        """Take `call` as the newest."""
        self._calls.append(call)
        self._paths[call.path] += 1
        self.size_bytes += call.size_bytes

    def report_next(self, error: StoreError | None) -> None:
        """Report the oldest call. An exception of its callback goes to the loop's handler: others
        are still told.
        """
        call = self._calls.popleft()
        self.size_bytes -= call.size_bytes
        self._paths[call.path] -= 1
        if not self._paths[call.path]:
            del self._paths[call.path]
        try:
            call.done(error)
        except Exception as problem:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a callback of the store raised", "exception": problem}
            )
