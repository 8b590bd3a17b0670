"""How many bodies are read at a time: in all, of one user, and for one document.

A body takes memory until it is done with, and may come slowly; so there are only so many places. Nobody may have them
all: a visitor with a link has another user id each time, and rights in one document alone; a user of an issuer may
have rights in many, and one id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

MAX_BODIES = 16
MAX_OF_ONE = 4


@dataclass(slots=True)
class _Queue:
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_OF_ONE))
    users: int = 0


class Bodies:
    """The places for bodies of one server."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MAX_BODIES)
        self._queues: dict[tuple[str, str], _Queue] = {}

    @asynccontextmanager
    async def place(self, user: str, document: str | None = None) -> AsyncIterator[None]:
        """A place, once there is one in all, for the user, and for the document."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._queued(("user", user)))
            if document is not None:
                await stack.enter_async_context(self._queued(("document", document)))
            await stack.enter_async_context(self._places)
            yield

    @asynccontextmanager
    async def _queued(self, key: tuple[str, str]) -> AsyncIterator[None]:
        queue = self._queues.setdefault(key, _Queue())
        queue.users += 1
        try:
            async with queue.places:
                yield
        finally:
            queue.users -= 1
            if not queue.users:
                del self._queues[key]
