"""Delivers what is due, and tries again what was not taken.

One task a webhook, so that a receiver that hangs keeps nobody else waiting. A delivery is taken when its receiver
answers 2xx within `SECONDS`; no redirect is followed, and of an answer no more than `MAX_ANSWER_BYTES` is read. Else
it is tried again, later and later; after `MAX_ATTEMPTS` it becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from engineroom import __version__
from engineroom.errors import StoreError

from .queue import Delivery, Queue
from .signing import signed_headers
from .subscription import Webhook

logger = logging.getLogger("engineroom.webhooks")

SECONDS = 15.0
CONNECT_SECONDS = 5.0
MAX_ANSWER_BYTES = 64 << 10
CONCURRENCY = 4
MAX_ATTEMPTS = 12
FIRST_RETRY_SECONDS = 5.0
LAST_RETRY_SECONDS = 3_600.0
STORE_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a delivery was not taken. `wait_seconds` is what the receiver asks for; `final`, it wants no more."""

    reason: str
    wait_seconds: float | None = None
    final: bool = False


class Courier:
    """Delivers for all webhooks of a server. `run` one task a webhook; `wake` them when something was queued."""

    def __init__(
        self,
        queue: Queue,
        client: httpx.AsyncClient,
        *,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`clock` gives seconds since the epoch, as the queue's; `jitter` a number from 0 to 1."""
        self._queue = queue
        self._client = client
        self._clock = clock
        self._jitter = jitter
        self._news: dict[str, asyncio.Event] = {}
        self.delivered = 0
        self.failures = 0
        self.given_up = 0

    def wake(self) -> None:
        """Something was queued."""
        for news in self._news.values():
            news.set()

    async def run(self, webhook: Webhook) -> None:
        """Deliver for one webhook until cancelled. What is under way then is delivered again after the next start."""
        news = self._news[webhook.id] = asyncio.Event()
        while True:
            news.clear()
            try:
                wait_seconds = await self._round(webhook)
            except StoreError as error:
                logger.error("webhooks cannot be delivered: %s", error)
                wait_seconds = STORE_RETRY_SECONDS
            if wait_seconds == 0:
                continue
            try:
                async with asyncio.timeout(wait_seconds):
                    await news.wait()
            except TimeoutError:
                pass

    async def _round(self, webhook: Webhook) -> float | None:
        """Deliver what is due; how long to wait then (None: for news)."""
        due, later = await self._queue.take_due(webhook.id, CONCURRENCY)
        if due:
            await asyncio.gather(*(self._deliver(webhook, each) for each in due))
            return 0
        return None if later is None else max(0.01, later - self._clock())

    async def _deliver(self, webhook: Webhook, delivery: Delivery) -> None:
        failure = await self._send(webhook, delivery)
        try:
            if failure is None:
                self.delivered += 1
                await self._queue.done(delivery)
                return
            self.failures += 1
            await self._fail(webhook, delivery, failure)
        except StoreError as error:
            logger.error("the queue of webhooks cannot be written: %s", error)

    async def _fail(self, webhook: Webhook, delivery: Delivery, failure: Failure) -> None:
        attempts = delivery.attempts + 1
        if failure.final or attempts >= MAX_ATTEMPTS:
            self.given_up += 1
            logger.error(
                "webhook %s: %s of %s is given up after %d attempts: %s",
                webhook.host, delivery.event, delivery.document, attempts, failure.reason,
                extra={"room": delivery.document},
            )  # fmt: skip
            await self._queue.give_up(delivery, error=failure.reason)
            return
        pause = failure.wait_seconds
        if pause is None:
            pause = min(FIRST_RETRY_SECONDS * 2.0 ** (attempts - 1), LAST_RETRY_SECONDS)
        # Half of the pause is left to chance: receivers that come back are not met by all at once.
        pause *= 0.75 + 0.5 * self._jitter()
        logger.info("webhook %s: %s; again in %.0f s", webhook.host, failure.reason, pause)
        await self._queue.retry(delivery, due=self._clock() + pause, error=failure.reason)

    async def _send(self, webhook: Webhook, delivery: Delivery) -> Failure | None:
        """One attempt; None when the delivery was taken."""
        headers = signed_headers(webhook.secret, delivery.id, int(self._clock()), delivery.body) | {
            "content-type": "application/json"
        }
        try:
            async with asyncio.timeout(SECONDS):
                async with self._client.stream(
                    "POST", webhook.url, content=delivery.body, headers=headers
                ) as answer:
                    await _drain(answer)
                    return _failure_of(answer, self._clock())
        except TimeoutError:
            return Failure(f"no answer within {SECONDS:g} seconds")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            return Failure(type(error).__name__)


def client() -> httpx.AsyncClient:
    """The client for deliveries: no redirects, no proxies of the environment, few connections."""
    return httpx.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
        headers={"user-agent": f"Engineroom/{__version__}", "accept-encoding": "identity"},
    )


async def _drain(answer: httpx.Response) -> None:
    """Read a short answer to its end, so that the connection can be used again; of a long one no more."""
    read = 0
    async for piece in answer.aiter_raw():
        read += len(piece)
        if read > MAX_ANSWER_BYTES:
            return


def _failure_of(answer: httpx.Response, now: float) -> Failure | None:
    if answer.is_success:
        return None
    wait = None
    if answer.status_code in (429, 503):
        wait = _retry_after(answer.headers.get("retry-after", ""), now)
    # Standard Webhooks: 410 says that the receiver is gone for good.
    return Failure(f"answered {answer.status_code}", wait, final=answer.status_code == 410)


def _retry_after(text: str, now: float) -> float | None:
    """Seconds that a receiver asks for, within bounds. Source: RFC 9110, section 10.2.3."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        seconds = float(text)
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 1.0), LAST_RETRY_SECONDS)
