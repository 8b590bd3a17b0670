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
from engineroom.programs.runtimes import Choice, Limits, choose
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.open_rooms import Rooms
from engineroom.stores.outputs import OutputFiles
from engineroom.stores.sqlite import SQLiteStore

from .access import Access, load_secrets
from .connection import SocketLimits
from .gate import Checks, Doorway, Gate
from .hosts import HostRules, parse_allowed_host, parse_allowed_origin
from .live_site import LiveSite
from .settings import Settings, default_data_folder

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
    checks: Checks
    doorway: Doorway
    token: str | None


@asynccontextmanager
async def open_services(settings: Settings, *, port: int) -> AsyncIterator[Services]:
    """Everything that a server on `port` needs, as the settings say; closed again at the end.

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
        secrets = load_secrets(data, settings.token)
        access = Access(secrets, open_to_all=settings.no_auth)
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
        store = await stack.enter_async_context(
            SQLiteStore(data / "rooms.sqlite", durability=settings.durability)
        )
        outputs = await stack.enter_async_context(OutputFiles(data / "outputs"))
        rooms = await stack.enter_async_context(
            Rooms(
                store,
                plan_of=live.plan_of,
                programs=programs,
                outputs=outputs,
                limits=room_limits(settings),
                max_rooms=settings.max_rooms,
            )
        )
        checks = Checks(rules, access, f"engineroom-{port}")
        gate = Gate(checks, rooms, documents_anywhere=live.current is None)
        token = None if settings.no_auth else secrets.token
        doorway = Doorway(gate, socket_limits(settings))
        # At last: a server that cannot start says that alone.
        tell_runtime(choice)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(live.follow(rooms.replan), name="follow the site")
            try:
                yield Services(rooms, outputs, live, access, checks, doorway, token)
            finally:
                following.cancel()


def tell_runtime(choice: Choice) -> None:
    """Say where programs run, and which limits hold there."""
    if choice.warning:
        logger.warning("%s", choice.warning)
    runtime = choice.runtime
    where = "in the sandbox (bubblewrap)" if runtime.contained else "as ordinary processes"
    logger.info("programs run %s; limits: %s", where, runtime.describe_limits())


def host_rules(settings: Settings, port: int) -> HostRules:
    """Which hosts and origins the settings let in.

    Raises:
        SettingsError: one of them is none.
    """
    return HostRules(
        settings.host,
        port,
        tuple(parse_allowed_host(text) for text in settings.allow_host),
        tuple(parse_allowed_origin(text) for text in settings.allow_origin),
    )


def socket_limits(settings: Settings) -> SocketLimits:
    """The bounds of sockets, as the settings have them."""
    return SocketLimits(
        frame_bytes=settings.max_frame_bytes,
        write_high_bytes=settings.write_high_bytes,
        write_low_bytes=settings.write_low_bytes,
        handshake_timeout_seconds=settings.handshake_timeout_seconds,
        close_timeout_seconds=settings.close_timeout_seconds,
        ping_idle_seconds=settings.ping_idle_seconds,
        ping_reply_seconds=settings.ping_reply_seconds,
    )


def room_limits(settings: Settings) -> RoomLimits:
    """The bounds of rooms, as the settings have them."""
    return RoomLimits(
        members=settings.room_members,
        document_bytes=settings.document_bytes,
        linger_seconds=settings.linger_seconds,
        evaluation_seconds=settings.evaluation_seconds,
    )


def program_limits(settings: Settings) -> Limits:
    """The bounds of one program with its descendants, as the settings have them."""
    return Limits(
        memory_bytes=settings.program_memory_bytes,
        processes=settings.program_processes,
        cpu=settings.program_cpu,
        file_bytes=settings.program_file_bytes,
    )
