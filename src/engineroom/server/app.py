"""The application: every route, behind the guard. Runs under our own server, and under any ASGI
server.
"""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp

from engineroom.errors import AccessDenied

from .api.mounting import api_routes
from .api.problems import Problem
from .asgi_sockets import AsgiSockets, request_of
from .denials import API_PREFIX, Denials
from .guard import Guard
from .http_log import HttpLog
from .own_routes import STATIC_FOLDER, OwnRoutes
from .services import Services
from .share_routes import ShareRoutes
from .site_routes import SiteRoutes
from .ysweet_routes import YSweetRoutes


def application(services: Services, static: Path = STATIC_FOLDER) -> ASGIApp:
    """The ASGI application over services that are open. WebSockets come in through ASGI, too.

    `static` is the folder that holds the browser's bundle.
    """
    guard = Guard(router(services, static), services.checks, Denials(services.live))
    return HttpLog(guard, services.observing.answers)


def router(services: Services, static: Path = STATIC_FOLDER) -> Starlette:
    """All routes, without the guard. A test walks them."""
    denials = Denials(services.live)

    async def denied(request: HttpRequest, error: Exception) -> Response:
        assert isinstance(error, AccessDenied)
        return denials.answer(request_of(request.scope), error)

    async def not_possible(request: HttpRequest, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if request_of(request.scope).raw_path.startswith(API_PREFIX) and error.status_code == 405:
            return Problem("method_not_allowed", headers=error.headers).answer()
        return PlainTextResponse(error.detail + "\n", error.status_code, error.headers)

    doorway = services.doorway
    routes: list[BaseRoute] = [
        *OwnRoutes(services.authority, services.outputs, static).routes(),
        *services.observing.routes(services.checks, services.rooms, services.documents, static),
        *api_routes(services),
        *ShareRoutes(services.access, services.authority, services.stays).routes(),
        *YSweetRoutes(
            services.access,
            services.authority,
            services.rooms,
            max_update_bytes=doorway.limits.frame_bytes,
        ).routes(),
        *SiteRoutes(
            services.live, services.authority, is_deleted=services.documents.is_deleted
        ).routes(),
        WebSocketRoute("/{path:path}", AsgiSockets(doorway.gate, doorway.limits, doorway.counters)),
    ]
    handlers = {AccessDenied: denied, HTTPException: not_possible}
    return Starlette(routes=routes, exception_handlers=handlers)
