"""Rooms inside other people's programs: an ASGI application to be mounted, and a server to be started from code.

Both are faces of the same services: a room has one document, whichever door its members came through. Nothing of the
process is taken: no signals, no logging, no limits. `run` is for a process of our own.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from engineroom.errors import EngineroomError, SettingsError
from engineroom.rooms.hooks import Hooks
from engineroom.rooms.open_rooms import Rooms

from . import run
from .app import application
from .asgi_sockets import refuse
from .authority import Authorize
from .keeper import Keeper
from .network import base_url, listen
from .services import Services, open_services
from .settings import settings_of

logger = logging.getLogger("engineroom.server")

PAGES_BELOW = (
    "Pages are served at the root of a host, not below {}: leave `site` out, or mount this at /."
)


class Application:
    """The ASGI application: rooms, the HTTP API and, at the root of a host, pages. To be mounted, or served as it is.

        collab = engineroom.Application(data="documents", authorize=authorize)
        app = FastAPI(lifespan=collab.lifespan)
        app.mount("/collab", collab)

    It opens what it needs (data folder, store, rooms) with its own lifespan, with `lifespan` of the application that it
    is mounted in, or with `async with`; and if none of these is there, as under daphne, at the first request. It closes
    with the last of them or, opened by a request, with the event loop. Some way of its own to say who comes in is
    needed: a `token`, `authorize` or `hooks`. Settings are those of `docs/reference/settings.md`, as keywords; `host`
    and `port` only say by which name and at which port it is known.

    Raises:
        SettingsError: a setting that is none, or not valid.
    """

    def __init__(
        self,
        *,
        hooks: Hooks | None = None,
        authorize: Authorize | None = None,
        **settings: Any,
    ) -> None:
        self.settings = settings_of(settings)
        self._hooks = hooks
        self._authorize = authorize
        self._keeper = Keeper(self._open)
        self._holders = 0
        self._inner: ASGIApp | None = None

    # --- what is open ------------------------------------------------------------------------

    @property
    def services(self) -> Services:
        """The open parts.

        Raises:
            RuntimeError: it is not open.
        """
        services = self._keeper.kept
        if services is None:
            raise RuntimeError("the application is not open: use `async with`, or its lifespan")
        return services

    @property
    def rooms(self) -> Rooms:
        """The rooms: `async with application.rooms.open("notes/today") as room`.

        Raises:
            RuntimeError: the application is not open.
        """
        return self.services.rooms

    @property
    def token(self) -> str | None:
        """The token that gives all rights; None when none is asked for.

        Raises:
            RuntimeError: the application is not open.
        """
        return self.services.token

    async def __aenter__(self) -> Self:
        await self._keeper.open()
        self._holders += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._holders -= 1
        if self._holders == 0:
            await self._keeper.close()

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """The `lifespan` for an application that this one is mounted in: mounted ones hear nothing of it."""
        async with self:
            yield

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Services]:
        async with open_services(
            self.settings, port=self.settings.port, hooks=self._hooks, authorize=self._authorize
        ) as services:
            self._inner = application(services)
            try:
                yield services
            finally:
                self._inner = None

    # --- ASGI --------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, socket or lifespan."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        refusal = await self._refusal(scope)
        inner = self._inner
        if refusal is not None or inner is None:
            await _answer(scope, receive, send, *(refusal or (503, "This server is closing.")))
        else:
            await inner(scope, receive, send)

    async def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        prefix = scope.get("root_path", "")
        if prefix and self.settings.site is not None:
            return 404, PAGES_BELOW.format(prefix)
        if self._inner is None:
            try:
                await self._keeper.open()
            except (EngineroomError, RuntimeError) as error:
                logger.error("the rooms cannot be opened: %s", error)
                return 503, "The rooms cannot be opened; the server's log says why."
            if not self._holders:
                _close_with_twisted(self._keeper)
        return None

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Source: ASGI, "Lifespan Protocol"."""
        await receive()
        try:
            await self.__aenter__()
        except EngineroomError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        # For our own protocol classes, where uvicorn was given them.
        scope.setdefault("state", {})["doorway"] = self.services.doorway
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})


def serve(
    *, hooks: Hooks | None = None, authorize: Authorize | None = None, **settings: Any
) -> None:
    """Serves in a process of its own, as `engineroom serve` does, until SIGTERM or Ctrl-C. Settings are keywords.

    Raises:
        EngineroomError: it cannot start.
    """
    run.serve(settings_of(settings), hooks=hooks, authorize=authorize)


async def _answer(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        await refuse(scope, send, status, reason)
    else:
        headers = {"cache-control": "no-store"} | ({"retry-after": "2"} if status == 503 else {})
        await PlainTextResponse(reason + "\n", status, headers)(scope, receive, send)


def _close_with_twisted(keeper: Keeper[Services]) -> None:
    """Twisted's reactor (daphne's) ends its event loop without cancelling what runs in it: it tells before."""
    reactor: Any = sys.modules.get("twisted.internet.reactor")
    if reactor is None or not reactor.running:
        return
    deferred = sys.modules["twisted.internet.defer"].Deferred

    def close() -> Any:
        return deferred.fromFuture(asyncio.ensure_future(keeper.close()))

    reactor.addSystemEventTrigger("before", "shutdown", close)


class Server:
    """A server of its own port, inside a program that goes on.

        async with engineroom.Server(port=8000, data="documents") as server:
            print(server.url, server.token)
            async with server.rooms.open("notes/today") as room: ...

    Inside the block it serves; leaving ends it: members are told (1012), updates are on disk. No signal handler is
    taken. With `application`, its rooms are served, and it stays open; the settings are then `host` and `port` alone.

    Raises:
        SettingsError: a setting that is none, or not valid; on entering: a port that is taken.
        EngineroomError: on entering: it cannot start.
    """

    def __init__(
        self,
        application: Application | None = None,
        *,
        hooks: Hooks | None = None,
        authorize: Authorize | None = None,
        **settings: Any,
    ) -> None:
        if application is not None and (hooks or authorize or settings.keys() - {"host", "port"}):
            raise SettingsError("with `application`, a server takes `host` and `port` alone")
        self._given = application
        self._hooks = hooks
        self._authorize = authorize
        self._stated = settings
        self._settings = settings_of(settings)
        run.check_access(self._settings)
        self._application: Application | None = None
        self._stack = AsyncExitStack()
        self._url = ""

    @property
    def application(self) -> Application:
        """The ASGI application over the same rooms, for mounting it somewhere else too.

        Raises:
            RuntimeError: the server is not open.
        """
        if self._application is None:
            raise RuntimeError("the server is not open: use `async with`")
        return self._application

    @property
    def rooms(self) -> Rooms:
        """The rooms: `async with server.rooms.open("notes/today") as room`."""
        return self.application.rooms

    @property
    def token(self) -> str | None:
        """The token that gives all rights; None when none is asked for."""
        return self.application.token

    @property
    def url(self) -> str:
        """The server's URL, `http://127.0.0.1:8000`, without a token; empty while it is not open."""
        return self._url

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            settings = self._settings
            listener = stack.enter_context(listen(settings.host, settings.port))
            port = listener.getsockname()[1]
            self._application = self._given or self._made(port)
            await stack.enter_async_context(self._application)
            drains = settings.drain_seconds if self._given is None else None
            serving = run.serving(self._application.services, listener, drain_seconds=drains)
            keeper = Keeper(lambda: serving)
            await keeper.open()
            stack.push_async_callback(keeper.close)
            self._url = base_url(settings.host, port)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._url = ""
        await self._stack.aclose()

    def _made(self, port: int) -> Application:
        stated = self._stated | {"port": port}
        return Application(hooks=self._hooks, authorize=self._authorize, **stated)
