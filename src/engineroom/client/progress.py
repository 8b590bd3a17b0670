"""How far a replica has come, and waiting for it. For asyncio and trio (anyio, which pycrdt brings)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anyio import Event
from pycrdt import Awareness, Doc

from engineroom.errors import EngineroomError

from .replica import Replica


class Progress:
    """A replica with those who wait for it. `failure` says why nothing more will come, once that is so."""

    def __init__(self, doc: Doc[Any], awareness: Awareness | None) -> None:
        self.awareness = Awareness(doc) if awareness is None else awareness
        self.replica = Replica(doc, self.awareness, self.notify)
        self.failure: EngineroomError | None = None
        self._news = Event()

    def notify(self) -> None:
        """Something has changed: whoever waits looks again."""
        self._news.set()
        self._news = Event()

    def fail(self, failure: EngineroomError) -> None:
        """Nothing more will come."""
        self.failure = failure
        self.notify()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when `holds` is true; it may raise what the waiter is to be told instead."""
        while not holds():
            await self._news.wait()

    async def until_synced(self) -> None:
        """Return when the replica is in sync; raises the failure instead."""
        await self.until(lambda: self._goes_on() and self.replica.synced)

    async def until_durable(self) -> None:
        """Return when all changes made until now are durable; raises the refusal or the failure instead."""
        ledger = self.replica.ledger
        wanted = ledger.made

        def holds() -> bool:
            if ledger.durable >= wanted:
                return True
            self.replica.check()
            return not self._goes_on()

        await self.until(holds)

    async def until_sent(self) -> None:
        """Say goodbye; return when everything is sent, or nothing more can be."""
        self.replica.goodbye()
        await self.until(lambda: self.failure is not None or self.replica.idle)

    def _goes_on(self) -> bool:
        if self.failure is not None:
            raise self.failure
        return True
