"""The application: every route, behind the guard. Runs under our own server, and under any ASGI
server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from engineroom.errors import AccessDenied

from .asgi_sockets import AsgiSockets, request_of
from .denials import Denials
from .guard import Guard
from .own_routes import STATIC_FOLDER, OwnRoutes
from .services import Services
from .site_routes import SiteRoutes


def application(services: Services, static: Path = STATIC_FOLDER) -> ASGIApp:
    """The ASGI application over services that are open. WebSockets come in through ASGI, too.

    `static` is the folder that holds the browser's bundle.
    """
    return Guard(router(services, static), services.checks, Denials(services.live))


def router(services: Services, static: Path = STATIC_FOLDER) -> Starlette:
    """All routes, without the guard. A test walks them."""
    denials = Denials(services.live)

    async def denied(request: HttpRequest, error: Exception) -> Response:
        assert isinstance(error, AccessDenied)
        return denials.answer(request_of(request.scope), error)

    doorway = services.doorway
    routes: list[BaseRoute] = [
        *OwnRoutes(services.access, services.outputs, static).routes(),
        *SiteRoutes(services.live).routes(),
        WebSocketRoute("/{path:path}", AsgiSockets(doorway.gate, doorway.limits)),
    ]
    return Starlette(routes=routes, exception_handlers={AccessDenied: denied})


class MountedApplication:
    """The application with its own services, for a stock ASGI server: they open and close with its
    lifespan.

    `open_services` is called once, at startup.
    """

    def __init__(self, open_services: Callable[[], AbstractAsyncContextManager[Services]]) -> None:
        self._open_services = open_services
        self._application: ASGIApp | None = None
        self._lifespan = Starlette(lifespan=self._serve)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        assert self._application is not None, "the server did not run the lifespan protocol"
        await self._application(scope, receive, send)

    @asynccontextmanager
    async def _serve(self, _app: Starlette) -> AsyncIterator[Mapping[str, object]]:
        async with self._open_services() as services:
            self._application = application(services)
            yield {"doorway": services.doorway}
