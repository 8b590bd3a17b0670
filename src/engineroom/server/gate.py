"""The one gate before every WebSocket: host, origin, who it is, which room, what it may do there,
and the join.

Both transports ask it before they answer the handshake, so that a refusal is a plain HTTP status,
which every client understands, and nothing is accepted from a visitor who is not known. HTTP
requests pass the same first checks (`check_host`, `check_origin`, `visitor`). The gate knows
headers and rooms; it knows no socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qs

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
from engineroom.rooms.open_room import Connection

from .access import Access, Rights, Visitor
from .connection import Membership, SocketLimits
from .hosts import HostRules

ROOMS_PREFIX = b"/rooms/"
OWN_PREFIX = b"/-/"
PAGE_SUBPROTOCOL = "engineroom.v1"


@dataclass(frozen=True, slots=True)
class Request:
    """What a request says before its body. Header names are lower-case; `local_address` is this end
    of its socket.
    """

    raw_path: bytes
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    local_address: str | None = None

    def values(self, name: bytes) -> list[str]:
        """All values of a header, in order."""
        return [value.decode("latin-1") for key, value in self.headers if key == name]

    @property
    def query_token(self) -> str | None:
        """The `token` of the query, if any."""
        if b"token=" not in self.query:
            return None
        try:
            fields = parse_qs(self.query.decode("latin-1"), max_num_fields=100)
        except ValueError:  # too many: no URL of ours
            return None
        return fields.get("token", [None])[0]

    @property
    def bearer_token(self) -> str | None:
        """The token of an `Authorization: Bearer` header, if any. Source: RFC 6750, section 2.1."""
        for value in self.values(b"authorization"):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer":
                return token.strip()
        return None

    def cookie(self, name: str) -> str | None:
        """The value of a cookie, if any."""
        for header in self.values(b"cookie"):
            for part in header.split(";"):
                key, equals, value = part.strip().partition("=")
                if equals and key == name:
                    return value
        return None


class Checks:
    """What every request is asked, HTTP or WebSocket: is it meant for us, from where does it come,
    whose is it.
    """

    def __init__(self, rules: HostRules, access: Access, cookie_name: str) -> None:
        self.rules = rules
        self.access = access
        self.cookie_name = cookie_name

    def check_host(self, request: Request) -> None:
        """Refuses names that are not ours.

        Raises:
            AccessDenied: status 421 (Misdirected Request).
        """
        if not self.rules.allows_host(request.values(b"host"), request.local_address):
            raise AccessDenied(
                "This server does not answer to that host name (see --allow-host).", 421
            )

    def check_origin(self, request: Request) -> None:
        """Refuses pages of other sites. A token that is valid proves that the page is none: no
        foreign page can have it, while a browser adds a cookie by itself.

        Raises:
            AccessDenied: status 403.
        """
        tokens = (request.bearer_token, request.query_token)
        if any(token is not None and self.access.from_token(token) for token in tokens):
            return
        host = request.values(b"host")[0]
        if not self.rules.allows_origin(request.values(b"origin"), host):
            raise AccessDenied("Requests from that origin are refused (see --allow-origin).", 403)

    def visitor(self, request: Request) -> Visitor:
        """Who asks. A token in the header or the query is asked first, then the cookie.

        Raises:
            AccessDenied: status 401.
        """
        for token in (request.bearer_token, request.query_token):
            if token is not None:
                return self._holder(token)
        visitor = self.from_cookie(request) or self.access.anybody()
        if visitor is None:
            raise AccessDenied(
                "Open the URL that the server printed, or a link that was shared.", 401
            )
        return visitor

    def from_cookie(self, request: Request) -> Visitor | None:
        """The visitor whom the cookie names, if it is valid."""
        cookie = request.cookie(self.cookie_name)
        return None if cookie is None else self.access.from_cookie(cookie)

    def _holder(self, token: str) -> Visitor:
        visitor = self.access.from_token(token) or self.access.anybody()
        if visitor is None:
            raise AccessDenied("That token is not valid here.", 401)
        return visitor


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
    ) -> Membership:
        """Makes the connection a member of the room, which is opened where it is not."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A visitor who was let in: its membership, and the subprotocol to answer with."""

    membership: Membership
    subprotocol: str | None


class Gate:
    """Lets a WebSocket into a room, or says with an HTTP status why not.

    With `documents_anywhere`, a path outside `/rooms/` names a document too, as y-websocket servers
    have it.
    """

    def __init__(self, checks: Checks, rooms: OpenRooms, *, documents_anywhere: bool) -> None:
        self._checks = checks
        self._rooms = rooms
        self._documents_anywhere = documents_anywhere
        self._yjs: Dialect = YjsDialect()
        self._page: Dialect = PageDialect()

    async def join(self, request: Request, connection: Connection) -> Admission:
        """Makes `connection` a member of the room that `request` names.

        The room may send through the connection before this returns. Cancelled, it leaves nothing
        behind.

        Raises:
            AccessDenied: with the status to answer: 401, 403, 404, 421, 503.
        """
        self._checks.check_host(request)
        self._checks.check_origin(request)
        visitor = self._checks.visitor(request)
        address = self._address(request.raw_path)
        rights = visitor.rights(address)
        if "read" not in rights:
            raise AccessDenied("You have no right to enter this room.", 403)
        subprotocol = PAGE_SUBPROTOCOL if PAGE_SUBPROTOCOL in _offered(request) else None
        try:
            membership = await self._rooms.join(
                address,
                connection,
                user=User(visitor.user),
                access=_room_access(rights),
                dialect=self._page if subprotocol else self._yjs,
            )
        except (LimitExceeded, RoomClosed, StoreError) as error:
            raise AccessDenied(f"This room cannot be entered now: {error}", 503) from error
        return Admission(membership, subprotocol)

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


@dataclass(frozen=True, slots=True)
class Doorway:
    """What every socket of a server shares; `app_state["doorway"]` for uvicorn's protocols."""

    gate: Gate
    limits: SocketLimits


def _offered(request: Request) -> list[str]:
    """The subprotocols that the client offers. Source: RFC 6455, section 4.1."""
    values = request.values(b"sec-websocket-protocol")
    return [token.strip() for value in values for token in value.split(",")]


def _room_access(rights: Rights) -> RoomAccess:
    return RoomAccess(read=True, write="write" in rights, run="run" in rights)
