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
from engineroom.rooms.storage import Store
from engineroom.stores.outputs import OutputFiles

from .access import Access
from .api.documents import Documents
from .api.opening import ApiMemory, documents_of, open_memory
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
from .unfinished import CommonPurse
from .webhooks.opening import Webhooks, hooks_of, open_webhooks, running

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
        SettingsError: a host, an origin or a proxy that is none.
        StoreError: the store cannot be opened.
    """
    site = Path(settings.site) if settings.site is not None else None
    data = Path(settings.data) if settings.data else default_data_folder(site, os.environ)
    rules = host_rules(settings, port)
    proxies = Proxies(settings.trusted_proxies)
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
        programs = await _open_programs(stack, settings, data, choice)
        kept = await _open_rooms(stack, settings, data, live, programs, hooks)
        observing = await _open_observing(stack, settings, kept)
        checks = Checks(rules, access, f"engineroom-{port}", proxies=proxies)
        seconds = settings.handshake_timeout_seconds
        authority = Authority(authorize, hooks, timeout_seconds=seconds)
        stays = await stack.enter_async_context(Stays(access))
        anywhere = live.current is None
        gate = Gate(checks, kept.rooms, stays, authority, documents_anywhere=anywhere)
        doorway = await _open_doorway(stack, settings, gate, kept.rooms, proxies)
        # At last: a server that cannot start says that alone.
        tell_runtime(choice)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(live.follow(kept.rooms.replan), name="follow the site")
            try:
                yield Services(
                    rooms=kept.rooms,
                    outputs=kept.outputs,
                    live=live,
                    access=access,
                    authority=authority,
                    stays=stays,
                    checks=checks,
                    doorway=doorway,
                    documents=kept.documents,
                    past=Past(kept.documents, kept.store, room_limits(settings)),
                    observing=observing,
                    http_body_bytes=settings.http_body_bytes,
                    token=None if settings.no_auth else secrets.token,
                )
            finally:
                following.cancel()


@dataclass(frozen=True, slots=True)
class _Kept:
    """The rooms, and what keeps what they hold."""

    rooms: Rooms
    store: Store
    outputs: OutputFiles
    memory: ApiMemory
    documents: Documents
    webhooks: Webhooks | None


async def _open_programs(
    stack: AsyncExitStack, settings: Settings, data: Path, choice: Choice
) -> LocalPrograms:
    backend = await stack.enter_async_context(Backend(choice.runtime))
    programs = LocalPrograms(
        choice.runtime, backend, workspaces=data / "workspaces", limits=program_limits(settings)
    )
    return await stack.enter_async_context(programs)


async def _open_rooms(
    stack: AsyncExitStack,
    settings: Settings,
    data: Path,
    live: LiveSite,
    programs: LocalPrograms,
    hooks: Hooks | None,
) -> _Kept:
    enter = stack.enter_async_context
    store = await enter(choose_store(settings, data))
    outputs = await enter(OutputFiles(data / "outputs"))
    memory = await enter(open_memory(data, live.plan_of))
    webhooks = await enter(open_webhooks(settings.webhooks, data)) if settings.webhooks else None
    rooms = await enter(
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
    documents = await enter(
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
        await enter(running(webhooks, store))
    return _Kept(rooms, store, outputs, memory, documents, webhooks)


async def _open_observing(stack: AsyncExitStack, settings: Settings, kept: _Kept) -> Observing:
    lag = await stack.enter_async_context(LoopLag())
    return observe(
        kept.rooms,
        lag,
        Health(kept.rooms, kept.memory.probe),
        store=kept.store,
        webhooks=kept.webhooks,
        metrics_token=settings.metrics_token,
    )


async def _open_doorway(
    stack: AsyncExitStack, settings: Settings, gate: Gate, rooms: Rooms, proxies: Proxies
) -> Doorway:
    counters = rooms.counters
    lobby = await stack.enter_async_context(Lobby(lobby_limits(settings), counters.limits))
    counting = (connection_limits(settings), proxies, counters.limits)
    turnstile = Turnstile(FrontDoors(gate, lobby), *counting)
    limits = socket_limits(settings)
    purse = CommonPurse(limits.unfinished_bytes, counters.limits)
    return Doorway(turnstile, limits, Connections(*counting), counters, purse)


def tell_runtime(choice: Choice) -> None:
    """Say where programs run, and which limits hold there."""
    if choice.warning:
        logger.warning("%s", choice.warning)
    runtime = choice.runtime
    where = "in the sandbox (bubblewrap)" if runtime.contained else "as ordinary processes"
    logger.info("programs run %s; limits: %s", where, runtime.describe_limits())
