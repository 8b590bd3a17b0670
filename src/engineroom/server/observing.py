"""What is seen of a server from outside: its health, its metrics, its admin page; and where their numbers come from.

Put together when everything else is open.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from starlette.routing import Route

from engineroom.rooms.open_rooms import Rooms
from engineroom.stores.promises import StoreStatistics

from .admin import AdminRoutes
from .admin_view import AdminView
from .api.documents import Documents
from .checks import Checks
from .health import Health, HealthRoutes
from .lag import LoopLag
from .metrics import MetricsRoutes, Sources
from .webhooks.opening import Webhooks


@runtime_checkable
class Measured(Protocol):
    """A store that counts."""

    def statistics(self) -> StoreStatistics:
        """What it has to do and has done."""


@dataclass(frozen=True, slots=True)
class Observing:
    """The parts; `answers` counts HTTP's."""

    health: Health
    view: AdminView
    sources: Sources
    webhooks: Webhooks | None
    metrics_token: str | None

    @property
    def answers(self) -> Counter[tuple[str, int]]:
        """HTTP requests that were answered, by method and status."""
        return self.sources.http

    def routes(
        self, checks: Checks, rooms: Rooms, documents: Documents, static: Path
    ) -> list[Route]:
        """For the router."""
        return [
            *HealthRoutes(self.health, checks).routes(),
            *MetricsRoutes(self.sources, checks, self.metrics_token).routes(),
            *AdminRoutes(self.view, rooms, documents, self.webhooks, static).routes(),
        ]


def observe(
    rooms: Rooms,
    lag: LoopLag,
    health: Health,
    *,
    store: object,
    webhooks: Webhooks | None,
    metrics_token: str | None,
) -> Observing:
    """What can be seen of these."""
    measured: Callable[[], StoreStatistics] | None = None
    if isinstance(store, Measured):
        measured = store.statistics
    sources = Sources(
        rooms=rooms,
        lag=lag,
        http=Counter(),
        limits={},
        store=measured,
        webhooks=None if webhooks is None else webhooks.statistics,
    )
    view = AdminView(sources, health, rooms.members, webhooks, time.time())
    return Observing(health, view, sources, webhooks, metrics_token)
