"""A context that a task of its own holds open, for callers that share it or come and go.

`async with` belongs to one task; requests of an ASGI server do not. Here the task enters the context when it is first
asked for, and leaves it when it is told to, or when its event loop cancels what is left at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

logger = logging.getLogger("engineroom.server")

T = TypeVar("T")


class Keeper(Generic[T]):
    """Opens what `make` makes, once for all who ask, and again after it was closed or could not be opened."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[T] | None = None
        self._stop = asyncio.Event()

    @property
    def kept(self) -> T | None:
        """What is open now."""
        ready = self._ready
        if ready is None or not ready.done() or ready.cancelled() or ready.exception() is not None:
            return None
        return ready.result()

    async def open(self) -> T:
        """What is kept open, opened when it is not. Cancelling the call does not cancel the opening.

        Raises:
            RuntimeError: it is open in another event loop.
            Whatever opening raises.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop and not self._loop.is_closed():
            raise RuntimeError(
                "this is open in another event loop: use one loop, or one object each"
            )
        if self._task is None or self._task.done() or self._loop is not loop:
            self._loop, self._stop = loop, asyncio.Event()
            self._ready = loop.create_future()
            self._task = loop.create_task(self._keep(self._ready, self._stop), name="keeper")
        assert self._ready is not None
        return await asyncio.shield(self._ready)

    async def close(self) -> None:
        """Close it, and return when it is closed. Does nothing when it is not open."""
        task = self._task
        if task is None or self._loop is not asyncio.get_running_loop():
            return
        self._stop.set()
        await asyncio.wait([task])

    async def _keep(self, ready: asyncio.Future[T], stop: asyncio.Event) -> None:
        try:
            async with self._make() as kept:
                ready.set_result(kept)
                # Cancelled by the end of the loop: then it is closed all the same, in good order.
                with contextlib.suppress(asyncio.CancelledError):
                    await stop.wait()
        except Exception as error:
            if ready.done():
                logger.exception("what was kept open has failed, or could not be closed")
            else:
                ready.set_exception(error)
                ready.exception()  # nobody may be waiting any more
        finally:
            if not ready.done():
                ready.cancel()
            if self._ready is ready:
                self._loop = self._ready = self._task = None
