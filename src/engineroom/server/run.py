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
import sys
import webbrowser
from collections.abc import Callable
from types import FrameType

import uvicorn

from engineroom.errors import SettingsError

from .app import application
from .hosts import is_loopback
from .http_protocol import PromptHttpProtocol
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


def serve(settings: Settings) -> None:
    """Serves until a signal ends it. Returns when everything is drained and closed.

    Raises:
        EngineroomError: it cannot start.
    """
    if settings.no_auth and not is_loopback(settings.host):
        raise SettingsError(
            f"no_auth is refused on {settings.host}: without a token only this machine may come in "
            "(use --host 127.0.0.1, or leave --no-auth out)"
        )
    configure_logging(settings.log_level)
    raise_open_files()
    raise_stack()
    with listen(settings.host, settings.port) as listener:
        asyncio.run(_serve(settings, listener))


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


def configure_logging(level: str) -> None:
    """Everything on stderr; of uvicorn, what is wrong."""
    form = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format=form, datefmt="%H:%M:%S")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)


async def _serve(settings: Settings, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    async with open_services(settings, port=port) as services:
        url = base_url(settings.host, port) + "/"
        if services.token is not None:
            url += f"?token={services.token}"

        def ready() -> None:
            print(f"Engineroom is ready at {url}", flush=True)
            if settings.open:
                asyncio.get_running_loop().run_in_executor(None, webbrowser.open, url)

        await Server(services, settings.drain_seconds, ready).serve(sockets=[listener])


class Server(uvicorn.Server):
    """uvicorn, with our sockets, our end, and a word when it is ready."""

    def __init__(self, services: Services, drain_seconds: float, ready: Callable[[], None]) -> None:
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
                forwarded_allow_ips="127.0.0.1,::1",
                backlog=BACKLOG,
                timeout_graceful_shutdown=1,
            )
        )
        self._services = services
        self._drain_seconds = drain_seconds
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections; then say so."""
        self.lifespan.state["doorway"] = self._services.doorway
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, drain the rooms, close what is left."""
        # Programs die with their guardians and the store survives any crash: so what hangs can be
        # cut off.
        asyncio.get_running_loop().call_later(self._drain_seconds + LAST_RESORT_SECONDS, _give_up)
        for server in self.servers:
            server.close()
        await self._services.rooms.drain(self._drain_seconds)
        await super().shutdown(sockets)

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
