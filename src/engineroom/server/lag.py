"""How late the event loop is: the time between when a callback was due and when it ran.

One timer. What blocks the loop (a long computation, a starved machine) shows here before anywhere else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

INTERVAL_SECONDS = 0.5
KEPT = 60  # samples: half a minute


class LoopLag:
    """`async with LoopLag() as lag`: measures until it is left."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=KEPT)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> LoopLag:
        self._schedule()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def worst_seconds(self) -> float:
        """The latest that the loop has been in the last half minute."""
        return max(self._samples, default=0.0)

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + INTERVAL_SECONDS
        self._timer = loop.call_at(due, self._ran, due)

    def _ran(self, due: float) -> None:
        self._samples.append(max(0.0, asyncio.get_running_loop().time() - due))
        self._schedule()
