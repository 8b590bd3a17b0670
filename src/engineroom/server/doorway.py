"""What a transport asks before it answers a handshake, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from engineroom.rooms.counters import Counters
from engineroom.rooms.membership import Connection

from .connection import Membership, SocketLimits
from .counts import Connections
from .request import Request
from .unfinished import CommonPurse, Purse


@dataclass(frozen=True, slots=True)
class Admission:
    """A visitor who was let in: its membership, the subprotocol to answer with, and the stranger in it, if any."""

    membership: Membership
    subprotocol: str | None
    stranger: Stranger | None = None


class Stranger(Protocol):
    """Somebody who says later who they are."""

    @property
    def purse(self) -> Purse:
        """What their unfinished messages are held against meanwhile."""

    @property
    def is_known(self) -> bool:
        """Whether they have."""


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
    purse: Purse = field(default_factory=lambda: CommonPurse(SocketLimits().unfinished_bytes))
