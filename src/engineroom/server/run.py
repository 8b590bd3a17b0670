"""One server process: bind, open the services, serve, drain.

Exit codes: 0 after SIGTERM or Ctrl-C, 2 when it cannot start (the caller turns an `EngineroomError`
into one line), 1 when draining did not end in time. On stdout stands one line, when connections are
served; all else goes to stderr.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import webbrowser
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

import uvicorn

from engineroom.errors import SettingsError
from engineroom.rooms.hooks import Hooks

from .app import application
from .authority import Authorize
from .hosts import is_loopback
from .http_protocol import PromptHttpProtocol
from .logs import configure_logging
from .loop import run
from .network import BACKLOG, base_url, listen
from .picows_sockets import PicowsSocket
from .services import Services, open_services
from .settings import Settings

logger = logging.getLogger("engineroom.server")

# What may still take its time after rooms have drained: sockets to close, the store, the
# interpreter.
LAST_RESORT_SECONDS = 1.7
MAX_OPEN_FILES = 65_536
STACK_BYTES = 112 << 20  # the kernel keeps 128 MiB free below a stack, whatever the limit was


def serve(
    settings: Settings, *, hooks: Hooks | None = None, authorize: Authorize | None = None
) -> None:
    """Serves until a signal ends it. Returns when everything is drained and closed. `hooks` and
    `authorize` are the application's that this is embedded in.

    Raises:
        EngineroomError: it cannot start.
    """
    check_access(settings)
    configure_logging(settings.log_level, settings.log_format)
    raise_open_files()
    raise_stack()
    with listen(settings.host, settings.port) as listener:
        run(_serve(settings, listener, hooks, authorize))


def check_access(settings: Settings) -> None:
    """Refuses to be open to all where others can reach it.

    Raises:
        SettingsError: it would be.
    """
    if settings.no_auth and not is_loopback(settings.host):
        raise SettingsError(
            f"no_auth is refused on {settings.host}: without a token only this machine may come in "
            "(use --host 127.0.0.1, or leave --no-auth out)"
        )


def raise_open_files() -> None:
    """Let this process open as many files as it is allowed to: each visitor's socket is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def raise_stack() -> None:
    """Let this thread's stack grow: shared types that are nested deep are freed recursively below
    pycrdt. The room limit `document_types` is what this stack holds with room to spare.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    wanted = STACK_BYTES if hard == resource.RLIM_INFINITY else min(hard, STACK_BYTES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))


async def _serve(
    settings: Settings,
    listener: socket.socket,
    hooks: Hooks | None,
    authorize: Authorize | None,
) -> None:
    port = listener.getsockname()[1]
    async with open_services(settings, port=port, hooks=hooks, authorize=authorize) as services:
        url = base_url(settings.host, port) + "/"
        if services.token is not None:
            url += f"?token={services.token}"

        def ready() -> None:
            print(f"Engineroom is ready at {url}", flush=True)
            if settings.open:
                asyncio.get_running_loop().run_in_executor(None, webbrowser.open, url)

        await Server(services, settings.drain_seconds, ready).serve(sockets=[listener])


@asynccontextmanager
async def serving(
    services: Services, listener: socket.socket, *, drain_seconds: float | None
) -> AsyncIterator[None]:
    """Serves on `listener` inside a program that goes on, until it is left: no signal is handled.

    Without `drain_seconds` the rooms stay open: they have other doors.
    """
    ready = asyncio.Event()
    server = Server(services, drain_seconds, ready.set, alone=False)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(sockets=[listener]), name="serve")
        try:
            await ready.wait()
            yield
        finally:
            server.should_exit = True


class Server(uvicorn.Server):
    """uvicorn, with our sockets, our end, and a word when it is ready.

    `alone` says that the process is ours: signals end it, and an end that hangs is cut off.
    """

    def __init__(
        self,
        services: Services,
        drain_seconds: float | None,
        ready: Callable[[], None],
        *,
        alone: bool = True,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application(services),
                http=PromptHttpProtocol,
                ws=PicowsSocket,
                loop="asyncio",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,  # it would print the token
                server_header=False,
                proxy_headers=False,  # ours decide: see `proxies`
                backlog=BACKLOG,
                timeout_graceful_shutdown=1,
            )
        )
        self._services = services
        self._drain_seconds = drain_seconds
        self._ready = ready
        self._alone = alone

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections; then say so."""
        self.lifespan.state["doorway"] = self._services.doorway
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, drain the rooms, close what is left."""
        # Programs die with their guardians and the store survives any crash: so what hangs can be
        # cut off.
        drain_seconds = self._drain_seconds
        if self._alone and drain_seconds is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(drain_seconds + LAST_RESORT_SECONDS, _give_up)
        for server in self.servers:
            server.close()
        self._services.observing.health.draining = True
        if drain_seconds is not None:
            await self._services.rooms.drain(drain_seconds)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Handles signals where the process is ours."""
        if self._alone:
            with super().capture_signals():
                yield
        else:
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM and Ctrl-C drain; Ctrl-C once more ends at once. uvicorn would raise the signal
        again at its end.
        """
        if self.should_exit and sig == signal.SIGINT:
            os._exit(128 + signal.SIGINT)
        self.should_exit = True


def _give_up() -> None:
    logger.error("the server did not end in time, and is cut off")
    os._exit(1)
