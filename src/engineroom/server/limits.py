"""From settings to the bounds of each part: the one place where they meet.

A bound has its default where it is explained, in the part that it bounds; its setting takes the default from there.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from engineroom.programs.runtimes import Limits
from engineroom.rooms.limits import RoomLimits

from .connection import SocketLimits
from .counts import ConnectionLimits
from .hosts import HostRules, parse_allowed_host, parse_allowed_origin
from .lobby import LobbyLimits
from .settings import FIELDS, Settings

_T = TypeVar("_T")


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
    """The bounds of one socket."""
    return _stated(settings, SocketLimits, {"frame_bytes": "max_frame_bytes"})


def connection_limits(settings: Settings) -> ConnectionLimits:
    """How many connections and sockets there may be."""
    names = {"connections": "max_connections", "sockets": "max_sockets"}
    return _stated(settings, ConnectionLimits, names)


def lobby_limits(settings: Settings) -> LobbyLimits:
    """The bounds of sockets whose visitors say later who they are."""
    return LobbyLimits(
        sockets=settings.unauthenticated_sockets,
        queued_bytes=settings.unauthenticated_bytes,
        seconds=settings.authentication_seconds,
        documents=settings.socket_documents,
    )


def room_limits(settings: Settings) -> RoomLimits:
    """The bounds of rooms."""
    return _stated(settings, RoomLimits, {})


def program_limits(settings: Settings) -> Limits:
    """The bounds of one program with its descendants."""
    return Limits(
        memory_bytes=settings.program_memory_bytes,
        processes=settings.program_processes,
        cpu=settings.program_cpu,
        file_bytes=settings.program_file_bytes,
    )


def _stated(settings: Settings, kind: type[_T], names: dict[str, str]) -> _T:
    """The bounds of this kind; each is its setting's, of the same name or the one in `names`, where there is one."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        setting = names.get(field.name, field.name)
        if setting in FIELDS:
            values[field.name] = getattr(settings, setting)
    return kind(**values)
