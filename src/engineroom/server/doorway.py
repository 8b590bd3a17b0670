"""What a transport asks before it answers a handshake, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from engineroom.rooms.counters import Counters
from engineroom.rooms.membership import Connection

from .connection import Membership, SocketLimits
from .counts import Connections
from .request import Request


@dataclass(frozen=True, slots=True)
class Admission:
    """A visitor who was let in: its membership, and the subprotocol to answer with."""

    membership: Membership
    subprotocol: str | None


class Entry(Protocol):
    """A `Gate`, or what stands before it."""

    async def join(self, request: Request, connection: Connection) -> Admission:
        """Lets the connection in, or raises `AccessDenied` with the status to answer."""


@dataclass(frozen=True, slots=True)
class Doorway:
    """What every socket of a server shares; `app_state["doorway"]` for uvicorn's protocols."""

    gate: Entry
    limits: SocketLimits
    connections: Connections = field(default_factory=Connections)
    counters: Counters = field(default_factory=Counters)
