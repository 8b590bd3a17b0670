"""The webhooks of a server, opened and closed with it.

In two steps, since rooms stand between them: the watch is among the hooks that rooms are made with; what was missed
while no server ran is found once the store is open. Without webhooks nothing of this is there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from engineroom.errors import StoreError
from engineroom.rooms.hooks import Hooks
from engineroom.rooms.storage import Store
from engineroom.server.small_database import SmallDatabase

from .courier import STORE_RETRY_SECONDS, Courier, client
from .queue import FILE_NAME, SCHEMA, VERSION, Queue
from .subscription import Webhook
from .watching import JoinedHooks, Watch

logger = logging.getLogger("engineroom.webhooks")

SOONEST_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class WebhookStatistics:
    """Deliveries: waiting and dead now; delivered, failed attempts, given up and left out since the start."""

    waiting: int
    dead: int
    delivered: int
    failures: int
    given_up: int
    left_out: int


class Webhooks:
    """The webhooks of a server, while it runs."""

    def __init__(
        self, webhooks: Sequence[Webhook], watch: Watch, queue: Queue, courier: Courier
    ) -> None:
        self.subscriptions = webhooks
        self.watch = watch
        self.queue = queue
        self._courier = courier
        self._left_out = 0

    def statistics(self) -> WebhookStatistics:
        """What waits, and what was done."""
        courier = self._courier
        return WebhookStatistics(
            waiting=self.queue.waiting,
            dead=self.queue.dead,
            delivered=courier.delivered,
            failures=courier.failures,
            given_up=courier.given_up,
            left_out=self._left_out,
        )

    async def revive(self, number: int) -> bool:
        """Try a dead letter again; whether there was one.

        Raises:
            StoreError: it stays dead.
        """
        revived = await self.queue.revive(number)
        self._courier.wake()
        return revived

    async def find_missed(self, store: Store) -> None:
        """Queue what a crash kept from being told.

        Raises:
            StoreError: documents or marks cannot be read.
        """
        infos = await store.list_documents()
        for webhook in self.subscriptions:
            mine = {info.path: info.last_number for info in infos if webhook.covers(info.path)}
            forget = "delete" not in webhook.events
            newer, gone = await self.queue.reconcile(webhook.id, mine, forget=forget)
            for path, mark in newer.items():
                self.watch.missed(webhook, path, number=mine[path], mark=mark)
            for path in gone:
                self.watch.missed_deletion(webhook, path)
        self.watch.news.set()

    async def run(self) -> None:
        """Queue and deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queue_all(), name="queue webhooks")
            for webhook in self.subscriptions:
                tasks.create_task(self._courier.run(webhook), name=f"webhook {webhook.host}")

    async def flush(self) -> None:
        """Queue what is still gathered: it is delivered after the next start."""
        try:
            await self._queue_ready(everything=True)
        except StoreError as error:
            logger.error("events of webhooks were not queued: %s", error)

    async def _queue_all(self) -> None:
        while True:
            self.watch.news.clear()
            try:
                wait_seconds = await self._queue_ready()
            except StoreError as error:
                logger.error("events of webhooks cannot be queued: %s", error)
                wait_seconds = STORE_RETRY_SECONDS
            try:
                # News come with every change; what is gathered is due later.
                async with asyncio.timeout(wait_seconds):
                    await self.watch.news.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(SOONEST_SECONDS)

    async def _queue_ready(self, *, everything: bool = False) -> float | None:
        letters, soonest = self.watch.take(everything=everything)
        if letters:
            try:
                left_out = await self.queue.put(letters)
            except StoreError:
                self._left_out += self.watch.give_back(letters)
                raise
            if left_out:
                self._left_out += left_out
                logger.error("%d events of webhooks found no place in the queue", left_out)
            self._courier.wake()
        return soonest


@asynccontextmanager
async def open_webhooks(
    webhooks: Sequence[Webhook], data: Path, *, http: httpx.AsyncClient | None = None
) -> AsyncIterator[Webhooks]:
    """The webhooks over a queue in the data folder; rooms are to be made with its `watch`, then `running` entered.

    Raises:
        StoreError: the queue cannot be opened.
    """
    watch = Watch(webhooks, clock=time.monotonic, now=time.time)
    database = SmallDatabase(data / FILE_NAME, SCHEMA, version=VERSION)
    async with Queue(database) as queue, http or client() as sender:
        opened = Webhooks(webhooks, watch, queue, Courier(queue, sender))
        yield opened
        await opened.flush()


@asynccontextmanager
async def running(webhooks: Webhooks, store: Store) -> AsyncIterator[None]:
    """Finds what was missed, then queues and delivers until the end.

    Raises:
        StoreError: documents or marks cannot be read.
    """
    await webhooks.find_missed(store)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_run_apart(webhooks), name="webhooks")
        try:
            yield
        finally:
            task.cancel()


def hooks_of(webhooks: Webhooks | None, application: Hooks | None) -> Hooks | None:
    """The hooks that rooms are made with; None when nobody listens."""
    if webhooks is None:
        return application
    return webhooks.watch if application is None else JoinedHooks(webhooks.watch, application)


async def _run_apart(webhooks: Webhooks) -> None:
    """A fault of ours ends the webhooks, not the server: what they missed is found at its next start."""
    try:
        await webhooks.run()
    except Exception:
        logger.exception("webhooks have failed; nothing is delivered until the next start")
