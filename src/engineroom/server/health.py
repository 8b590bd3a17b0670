"""Whether the server is well: `/healthz` says that it answers, `/readyz` whether it should be sent visitors.

Anybody may ask, since load balancers hold no token. So anybody is told which check fails, and only who has the admin
right is told of which rooms, and why.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from engineroom.errors import AccessDenied, StoreError
from engineroom.rooms.open_room import RoomStatistics

from .asgi_sockets import request_of
from .checks import Checks

PROBE_SECONDS = 5.0
MAX_ROOMS_SHOWN = 100

Verdict = Literal["ok", "failing"]


class FailingRoom(msgspec.Struct, frozen=True):
    """A room whose changes cannot be stored, and what waits there."""

    address: str
    reason: str
    unstored_bytes: int
    unstored_seconds: float


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of `/readyz`. `rooms` and `reasons` are for who has the admin right."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, Verdict]
    rooms: list[FailingRoom] = []
    reasons: dict[str, str] = {}


class Statistics(Protocol):
    """What is asked of `Rooms`."""

    def statistics(self) -> list[RoomStatistics]:
        """The open rooms."""


class Health:
    """Asks the parts of a server. `probe` writes a little to the data folder, or raises `StoreError`."""

    def __init__(
        self,
        rooms: Statistics,
        probe: Callable[[], Awaitable[object]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rooms = rooms
        self._probe = probe
        self._clock = clock
        self._probed_at: float | None = None
        self._data_failure = ""
        self.draining = False

    async def readiness(self) -> Readiness:
        """Every check, with all that is known. The data folder is written to once in `PROBE_SECONDS` at most."""
        await self._check_data()
        failing = [
            FailingRoom(each.address, each.failing, each.unstored_bytes, each.unstored_seconds)
            for each in self._rooms.statistics()
            if each.failing
        ]
        reasons = {"data": self._data_failure} if self._data_failure else {}
        checks: dict[str, Verdict] = {
            "store": "failing" if failing else "ok",
            "data": "failing" if self._data_failure else "ok",
            "draining": "failing" if self.draining else "ok",
        }
        ready = all(verdict == "ok" for verdict in checks.values())
        return Readiness(
            "ready" if ready else "not_ready", checks, failing[:MAX_ROOMS_SHOWN], reasons
        )

    async def _check_data(self) -> None:
        now = self._clock()
        if self._probed_at is not None and now - self._probed_at < PROBE_SECONDS:
            return
        self._probed_at = now
        try:
            await self._probe()
        except StoreError as error:
            self._data_failure = str(error)
        else:
            self._data_failure = ""


class HealthRoutes:
    """The routes, which the guard lets anybody ask."""

    def __init__(self, health: Health, checks: Checks) -> None:
        self._health = health
        self._checks = checks

    def routes(self) -> list[Route]:
        """For the router."""
        return [
            Route("/healthz", self.alive),
            Route("/-/health", self.alive),
            Route("/readyz", self.ready),
        ]

    async def alive(self, _request: HttpRequest) -> Response:
        """That the process answers, and nothing else."""
        return _answer(b'{"status":"ok"}', 200)

    async def ready(self, request: HttpRequest) -> Response:
        """200 or 503, and which checks hold."""
        found = await self._health.readiness()
        status = 200 if found.status == "ready" else 503
        if not await is_admin(self._checks, request):
            found = Readiness(found.status, found.checks)
        return _answer(msgspec.json.encode(found), status)


async def is_admin(checks: Checks, request: HttpRequest) -> bool:
    """Whether who asks has the admin right, on a route that anybody may ask."""
    try:
        return (await checks.visitor(request_of(request.scope))).is_admin
    except AccessDenied:
        return False


def _answer(body: bytes, status: int) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(body, status, media_type="application/json", headers=headers)
