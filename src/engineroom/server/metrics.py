"""`/metrics`, for Prometheus: what the server's parts count, read when it is asked for.

Nothing is counted twice: rooms, store, webhooks and HTTP keep plain numbers, and this gives them names. No label
names a room, a document or a user: their number has no bound, and who may read metrics may not know them.

Who may ask: who has the admin right, and who shows `metrics_token`.

Source: Prometheus, "Metric and label naming"; OpenMetrics 1.0.
"""

from __future__ import annotations

import hmac
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from engineroom import __version__
from engineroom.errors import AccessDenied
from engineroom.rooms.counters import Counters
from engineroom.rooms.open_room import RoomStatistics
from engineroom.stores.promises import StoreStatistics

from .asgi_sockets import request_of
from .checks import Checks
from .lag import LoopLag
from .webhooks.opening import WebhookStatistics


class RoomsToMeasure(Protocol):
    """What is asked of `Rooms`."""

    counters: Counters

    def statistics(self) -> list[RoomStatistics]:
        """The open rooms."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the numbers come from. `limits` counts the limits that are reached before a room, `http` the answers by
    method and status; what is not there is None.
    """

    rooms: RoomsToMeasure
    lag: LoopLag
    http: Counter[tuple[str, int]]
    limits: Mapping[str, int]
    store: Callable[[], StoreStatistics] | None = None
    webhooks: Callable[[], WebhookStatistics] | None = None


# Attribute of `Counters`, name, help.
_COUNTED = (
    ("messages_received", "messages_received", "Messages from members"),
    ("bytes_received", "received_bytes", "Bytes of messages from members, without their frames"),
    ("updates_applied", "updates_applied", "Updates of documents that were applied"),
    ("updates_refused", "updates_refused", "Updates of documents that were refused"),
    (
        "acknowledgements",
        "acknowledgements",
        "Acknowledgements sent, each after its update was durable",
    ),
    ("deliveries", "deliveries", "Bundles of messages handed to members"),
    ("bytes_sent", "sent_bytes", "Bytes of messages to members, without their frames"),
    ("appends", "store_appends", "Appends to the store"),
    ("append_failures", "store_append_failures", "Appends that failed; each is tried again"),
    ("compactions", "store_compactions", "Snapshots that took the place of a log"),
    ("quarantined", "quarantined_records", "Stored records that could not be read or applied"),
    ("rooms_opened", "rooms_opened", "Rooms that were opened"),
    ("rooms_failed", "rooms_failed", "Rooms that ended by a failure"),
    ("joins", "joins", "Members who came in"),
    ("leaves", "leaves", "Members who left"),
)


class ServerCollector(Collector):
    """All metrics of one server but those of its process."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._started = time.time()

    def collect(self) -> Iterator[Metric]:
        """The numbers of now."""
        rooms = self._sources.rooms
        yield from _about(self._started)
        yield from _rooms(rooms.statistics())
        yield from _counted(rooms.counters)
        limits = Counter(rooms.counters.limits)
        limits.update(self._sources.limits)
        yield _by("limits_reached", "Limits that were reached, by setting", "limit", limits)
        yield from _http(self._sources.http)
        yield _gauge("event_loop_lag_seconds", "The latest of the event loop in half a minute",
                     self._sources.lag.worst_seconds)  # fmt: skip
        if self._sources.store is not None:
            yield from _store(self._sources.store())
        if self._sources.webhooks is not None:
            yield from _webhooks(self._sources.webhooks())


def _about(started: float) -> Iterable[Metric]:
    about = GaugeMetricFamily("engineroom_info", "The server's version.", labels=["version"])
    about.add_metric([__version__], 1)
    return (
        about,
        _gauge("start_time_seconds", "When the server started, since the epoch", started),
    )


def _rooms(rooms: Sequence[RoomStatistics]) -> Iterable[Metric]:
    return (
        _gauge("rooms", "Open rooms", len(rooms)),
        _gauge("members", "Members of all rooms", sum(each.members for each in rooms)),
        _gauge("document_bytes", "Encodings of open documents", sum(r.document_bytes for r in rooms)),
        _gauge("largest_document_bytes", "The largest open document's encoding",
               max((each.document_bytes for each in rooms), default=0)),
        _gauge("rooms_failing", "Open rooms whose changes cannot be stored",
               sum(1 for each in rooms if each.failing)),
        _gauge("store_lag_seconds", "How long the oldest change that is not durable has waited",
               max((each.unstored_seconds for each in rooms), default=0.0)),
        _gauge("store_lag_bytes", "Changes that are not durable", sum(r.unstored_bytes for r in rooms)),
        _gauge("waiting_updates", "Updates that wait for others that they need",
               sum(each.waiting_updates for each in rooms)),
    )  # fmt: skip


def _counted(counters: Counters) -> Iterator[Metric]:
    for attribute, name, text in _COUNTED:
        yield _counter(name, text, getattr(counters, attribute))
    codes = {str(int(code)): count for code, count in counters.closes.items()}
    yield _by("closes", "Connections that rooms closed, by close code", "code", codes)


def _http(answers: Counter[tuple[str, int]]) -> Iterable[Metric]:
    name, text = "engineroom_http_requests", "HTTP requests that were answered."
    family = CounterMetricFamily(name, text, labels=["method", "status"])
    for (method, status), count in sorted(answers.items()):
        family.add_metric([method, str(status)], count)
    return (family,)


def _store(store: StoreStatistics) -> Iterable[Metric]:
    return (
        _gauge("store_queued_calls", "Calls that the store has not reported", store.queued_calls),
        _gauge("store_queued_bytes", "What they hold in memory", store.queued_bytes),
        _counter("store_commits", "Commits of the store", store.commits),
        _counter("store_failed_commits", "Commits that failed", store.failed_commits),
    )


def _webhooks(webhooks: WebhookStatistics) -> Iterable[Metric]:
    return (
        _gauge("webhooks_waiting", "Deliveries that wait", webhooks.waiting),
        _gauge("webhooks_dead", "Deliveries that were given up, and are kept", webhooks.dead),
        _counter("webhooks_delivered", "Deliveries that were taken", webhooks.delivered),
        _counter("webhooks_failures", "Attempts that failed", webhooks.failures),
        _counter("webhooks_given_up", "Deliveries that were given up", webhooks.given_up),
        _counter("webhooks_left_out", "Events that found no place in the queue", webhooks.left_out),
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"engineroom_{name}", text + ".", value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"engineroom_{name}", text + ".", value=value)


def _by(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"engineroom_{name}", text + ".", labels=[label])
    for key, count in sorted(counts.items()):
        family.add_metric([key], count)
    return family


class MetricsRoutes:
    """The route. `token` lets in who may read metrics and nothing else."""

    def __init__(self, sources: Sources, checks: Checks, token: str | None) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(ServerCollector(sources))
        ProcessCollector(registry=self._registry)
        self._checks = checks
        self._token = token

    def routes(self) -> list[Route]:
        """For the router."""
        return [Route("/metrics", self.metrics)]

    async def metrics(self, request: HttpRequest) -> Response:
        """All metrics, in the form that Prometheus asks for."""
        await self._check(request)
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        headers = {"content-type": content_type, "cache-control": "no-store"}
        return Response(encode(self._registry), headers=headers)

    async def _check(self, request: HttpRequest) -> None:
        asked = request_of(request.scope)
        shown = asked.bearer_token or ""
        if self._token and hmac.compare_digest(shown.encode(), self._token.encode()):
            return
        if not (await self._checks.visitor(asked)).is_admin:
            raise AccessDenied("Metrics need the admin right, or the metrics token.", 403)
