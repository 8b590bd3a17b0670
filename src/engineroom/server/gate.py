"""The one gate before every WebSocket: host, origin, who it is, which room, what it may do there,
and the join.

Both transports ask it before they answer the handshake, so that a refusal is a plain HTTP status,
which every client understands, and nothing is accepted from a visitor who is not known. HTTP
requests pass the same first checks (`checks`). The gate knows headers and rooms; it knows no socket.
"""

from __future__ import annotations

from typing import Protocol

from engineroom.errors import (
    AccessDenied,
    AddressError,
    LimitExceeded,
    RoomClosed,
    StoreError,
)
from engineroom.protocols.messages import Dialect
from engineroom.protocols.page import PageDialect
from engineroom.protocols.yjs import YjsDialect
from engineroom.rooms.address import Address
from engineroom.rooms.members import Access as RoomAccess
from engineroom.rooms.members import User
from engineroom.rooms.membership import Connection, Membership

from .authority import Authority
from .checks import Checks
from .doorway import Admission
from .request import Request
from .stays import Stay, Stays
from .visitors import Visitor

ROOMS_PREFIX = b"/rooms/"
OWN_PREFIX = b"/-/"
PAGE_SUBPROTOCOL = "engineroom.v1"


class OpenRooms(Protocol):
    """What the gate needs of `rooms.open_rooms.Rooms`."""

    async def join(
        self,
        address: Address,
        connection: Connection,
        *,
        user: User,
        access: RoomAccess,
        dialect: Dialect,
        source: str = "",
    ) -> Membership:
        """Makes the connection a member of the room, which is opened where it is not."""


class Gate:
    """Lets a WebSocket into a room, or says with an HTTP status why not.

    With `documents_anywhere`, a path outside `/rooms/` names a document too, as y-websocket servers
    have it.
    """

    def __init__(
        self,
        checks: Checks,
        rooms: OpenRooms,
        stays: Stays,
        authority: Authority | None = None,
        *,
        documents_anywhere: bool,
    ) -> None:
        self._checks = checks
        self._rooms = rooms
        self._stays = stays
        self._authority = authority or Authority()
        self._documents_anywhere = documents_anywhere
        self._yjs: Dialect = YjsDialect()
        self._page: Dialect = PageDialect()

    async def join(self, request: Request, connection: Connection) -> Admission:
        """Makes `connection` a member of the room that `request` names.

        The room may send through the connection before this returns. Cancelled, it leaves nothing
        behind.

        Raises:
            AccessDenied: with the status to answer: 401, 403, 404, 421, 503, or what the application says.
        """
        await self.check(request)
        visitor = await self._checks.visitor(request)
        address = self._address(request.raw_path)
        subprotocol = PAGE_SUBPROTOCOL if PAGE_SUBPROTOCOL in _offered(request) else None
        dialect = self._page if subprotocol else self._yjs
        stay = await self._enter(request, visitor, address, connection, dialect)
        return Admission(stay, subprotocol)

    async def check(self, request: Request) -> None:
        """Whether a request is meant for us, and from where it may come.

        Raises:
            AccessDenied: statuses 403, 421.
        """
        self._checks.check_host(request)
        await self._checks.check_origin(request)

    async def enter(
        self, request: Request, address: Address, connection: Connection, dialect: Dialect
    ) -> Stay:
        """Makes `connection` a member of the room at `address`, as far as `request` has rights
        there; otherwise as `join`, after `check`.
        """
        visitor = await self._checks.visitor(request)
        return await self._enter(request, visitor, address, connection, dialect)

    async def renew(self, request: Request, stay: Stay) -> None:
        """Gives a member the rights that `request` has in its room now.

        Raises:
            AccessDenied: statuses 401, 403: it has none.
        """
        asking = await self._checks.visitor(request)
        visitor, access = await self._rights(request, asking, stay.address)
        self._stays.renew(stay, visitor, access)

    async def _enter(
        self,
        request: Request,
        visitor: Visitor,
        address: Address,
        connection: Connection,
        dialect: Dialect,
    ) -> Stay:
        visitor, access = await self._rights(request, visitor, address)
        try:
            membership = await self._rooms.join(
                address,
                connection,
                user=User(visitor.user, visitor.name),
                access=access,
                dialect=dialect,
                source=self._checks.proxies.source(request),
            )
        except (LimitExceeded, RoomClosed, StoreError) as error:
            raise AccessDenied(f"This room cannot be entered now: {error}", 503) from error
        return self._stays.add(visitor, address, membership)

    async def _rights(
        self, request: Request, asking: Visitor, address: Address
    ) -> tuple[Visitor, RoomAccess]:
        """The visitor as it stands at `address`, and what it may do there; refused without the right to read."""
        visitor = await self._authority.at(request, asking, address)
        access = await self._authority.connecting(request, address, visitor.access(address))
        if not access.read:
            raise AccessDenied("You have no right to enter this room.", 403)
        return visitor, access

    def _address(self, raw_path: bytes) -> Address:
        if raw_path.startswith(ROOMS_PREFIX):
            name = raw_path[len(ROOMS_PREFIX) :]
        elif self._documents_anywhere and not raw_path.startswith(OWN_PREFIX):
            name = raw_path[1:]
        else:
            raise AccessDenied("There is no room here; rooms are at /rooms/<address>.", 404)
        try:
            return Address.from_url(name)
        except AddressError as error:
            raise AccessDenied(str(error), 404) from error


def _offered(request: Request) -> list[str]:
    """The subprotocols that the client offers. Source: RFC 6455, section 4.1."""
    values = request.values(b"sec-websocket-protocol")
    return [token.strip() for value in values for token in value.split(",")]
