"""What one server holds open: data folder, store, programs, site, rooms; the gate and the checks
over them.

The composition root. Everything is opened in the order in which it is needed, and closed in the
reverse order, so that rooms drain before programs and store end, and the data folder is given up
last.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from engineroom.fabric.local import LocalFabric
from engineroom.programs.backend import Backend
from engineroom.programs.engines.types import builtin_types
from engineroom.programs.room_programs import LocalPrograms
from engineroom.programs.runtimes import Choice, choose
from engineroom.rooms.hooks import Hooks
from engineroom.rooms.open_rooms import Rooms
from engineroom.stores.outputs import OutputFiles

from .access import Access
from .api.documents import Documents
from .api.opening import documents_of, open_memory
from .api.past import Past
from .authority import Authority, Authorize
from .checks import Checks
from .counts import Connections
from .credentials import open_access
from .doorway import Doorway
from .front_doors import FrontDoors
from .gate import Gate
from .health import Health
from .lag import LoopLag
from .limits import (
    connection_limits,
    host_rules,
    lobby_limits,
    program_limits,
    room_limits,
    socket_limits,
)
from .live_site import LiveSite
from .lobby import Lobby
from .observing import Observing, observe
from .proxies import Proxies
from .settings import Settings, default_data_folder
from .stays import Stays
from .stores import choose_store
from .turnstile import Turnstile
from .webhooks.opening import hooks_of, open_webhooks, running

logger = logging.getLogger("engineroom.server")


@dataclass(frozen=True, slots=True)
class Services:
    """The open parts of a server, for the routes and the sockets. `token` is None when none is
    asked for.
    """

    rooms: Rooms
    outputs: OutputFiles
    live: LiveSite
    access: Access
    authority: Authority
    stays: Stays
    checks: Checks
    doorway: Doorway
    documents: Documents
    past: Past
    observing: Observing
    http_body_bytes: int
    token: str | None


@asynccontextmanager
async def open_services(
    settings: Settings,
    *,
    port: int,
    hooks: Hooks | None = None,
    authorize: Authorize | None = None,
) -> AsyncIterator[Services]:
    """Everything that a server on `port` needs, as the settings say; closed again at the end. `hooks`
    and `authorize` are the application's.

    Raises:
        DataFolderError: the data folder is not writable, or another server's.
        PageError: the site cannot be read.
        ProgramError: the sandbox is asked for, and does not work here.
        SettingsError: a host or an origin that is none.
        StoreError: the store cannot be opened.
    """
    site = Path(settings.site) if settings.site is not None else None
    data = Path(settings.data) if settings.data else default_data_folder(site, os.environ)
    rules = host_rules(settings, port)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(LocalFabric(data))
        access, secrets = await stack.enter_async_context(
            open_access(settings, data, strangers=authorize is not None)
        )
        # Reading the pages and trying the sandbox take most of the time, and do not need each
        # other.
        choice, live = await asyncio.gather(
            choose(settings.runtime),
            LiveSite.load(site, engines=frozenset(builtin_types()), excluded=(data,)),
        )
        backend = await stack.enter_async_context(Backend(choice.runtime))
        programs = await stack.enter_async_context(
            LocalPrograms(
                choice.runtime,
                backend,
                workspaces=data / "workspaces",
                limits=program_limits(settings),
            )
        )
        store = await stack.enter_async_context(choose_store(settings, data))
        outputs = await stack.enter_async_context(OutputFiles(data / "outputs"))
        memory = await stack.enter_async_context(open_memory(data, live.plan_of))
        webhooks = None
        if settings.webhooks:
            webhooks = await stack.enter_async_context(open_webhooks(settings.webhooks, data))
        rooms = await stack.enter_async_context(
            Rooms(
                store,
                plan_of=memory.deleted.plan_of,
                programs=programs,
                outputs=outputs,
                limits=room_limits(settings),
                hooks=hooks_of(webhooks, hooks),
                max_rooms=settings.max_rooms,
            )
        )
        documents = await stack.enter_async_context(
            documents_of(
                memory,
                rooms,
                store,
                document_bytes=settings.document_bytes,
                remains=(programs.forget, outputs.forget),
                on_delete=(lambda address: None) if webhooks is None else webhooks.watch.deleted,
            )
        )
        if webhooks is not None:
            await stack.enter_async_context(running(webhooks, store))
        lag = await stack.enter_async_context(LoopLag())
        observing = observe(
            rooms,
            lag,
            Health(rooms, memory.probe),
            store=store,
            webhooks=webhooks,
            metrics_token=settings.metrics_token,
        )
        proxies = Proxies(settings.trusted_proxies)
        checks = Checks(rules, access, f"engineroom-{port}", proxies=proxies)
        seconds = settings.handshake_timeout_seconds
        authority = Authority(authorize, hooks, timeout_seconds=seconds)
        stays = await stack.enter_async_context(Stays(access))
        anywhere = live.current is None
        gate = Gate(checks, rooms, stays, authority, documents_anywhere=anywhere)
        token = None if settings.no_auth else secrets.token
        lobby = await stack.enter_async_context(Lobby(lobby_limits(settings), rooms.counters.limits))
        counting = (connection_limits(settings), proxies, rooms.counters.limits)
        doorway = Doorway(
            Turnstile(FrontDoors(gate, lobby), *counting),
            socket_limits(settings),
            Connections(*counting),
            rooms.counters,
        )
        # At last: a server that cannot start says that alone.
        tell_runtime(choice)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(live.follow(rooms.replan), name="follow the site")
            try:
                yield Services(
                    rooms=rooms,
                    outputs=outputs,
                    live=live,
                    access=access,
                    authority=authority,
                    stays=stays,
                    checks=checks,
                    doorway=doorway,
                    documents=documents,
                    past=Past(documents, store, room_limits(settings)),
                    observing=observing,
                    http_body_bytes=settings.http_body_bytes,
                    token=token,
                )
            finally:
                following.cancel()


def tell_runtime(choice: Choice) -> None:
    """Say where programs run, and which limits hold there."""
    if choice.warning:
        logger.warning("%s", choice.warning)
    runtime = choice.runtime
    where = "in the sandbox (bubblewrap)" if runtime.contained else "as ordinary processes"
    logger.info("programs run %s; limits: %s", where, runtime.describe_limits())
