"""The lobby: where sockets wait whose visitors nobody knows yet.

Most dialects say who they are before the handshake is answered. Where a dialect says it later, in its own messages, a
stranger has a socket and can make us keep what it sends. So there are only so many strangers at a time, they have
only so long, and what waits for their names is bounded for all of them together. The lobby also owns the tasks that
find out who they are; it knows no dialect.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from engineroom.errors import AccessDenied


@dataclass(frozen=True, slots=True)
class LobbyLimits:
    """`sockets` that nobody knows yet, `queued_bytes` that they may have waiting in all, `seconds` until each has to
    say who it is; `documents` that one socket may hold.
    """

    sockets: int = 1_000
    queued_bytes: int = 64 << 20
    seconds: float = 30.0
    documents: int = 100


class Lobby:
    """`async with Lobby(limits) as lobby`. Leaving cancels what is still being found out."""

    def __init__(
        self, limits: LobbyLimits | None = None, reached: Counter[str] | None = None
    ) -> None:
        """`reached` counts, by limit, how often one was."""
        self.limits = limits or LobbyLimits()
        self.reached: Counter[str] = Counter() if reached is None else reached
        self.queued_bytes = 0
        self._strangers: set[object] = set()
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Lobby:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._running:
            task.cancel()
        # Not `error`: no task has to do with it, and the group would wrap it.
        await self._tasks.__aexit__(None, None, None)

    @property
    def strangers(self) -> int:
        """How many sockets nobody knows yet."""
        return len(self._strangers)

    def let_in(self, stranger: object) -> None:
        """One more socket whose visitor is not known.

        Raises:
            AccessDenied: status 503: there are too many.
        """
        if len(self._strangers) >= self.limits.sockets:
            self.reached["unauthenticated_sockets"] += 1
            raise AccessDenied(
                f"Too many sockets wait to be authenticated: unauthenticated_sockets = {self.limits.sockets}.",
                503,
            )
        self._strangers.add(stranger)

    def let_out(self, stranger: object) -> None:
        """It is known now, or gone. Safe to call twice."""
        self._strangers.discard(stranger)

    def queue(self, size_bytes: int) -> bool:
        """Keep so much; False, and nothing is kept, when it is too much."""
        if self.queued_bytes + size_bytes > self.limits.queued_bytes:
            self.reached["unauthenticated_bytes"] += 1
            return False
        self.queued_bytes += size_bytes
        return True

    def unqueue(self, size_bytes: int) -> None:
        """It is not kept any longer."""
        self.queued_bytes -= size_bytes

    def run(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """A task for `work`, which raises nothing. Cancelled when the lobby closes."""
        task = self._tasks.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
