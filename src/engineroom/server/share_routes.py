"""Links: `POST /-/share` makes one to a room, `POST /-/share/revoke` takes one back, or all of a room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Annotated, TypeVar
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from engineroom.errors import AccessDenied, AddressError, LimitExceeded, StoreError
from engineroom.pages.names import page_url
from engineroom.rooms.address import Address

from .access import Access
from .asgi_sockets import request_of
from .authority import Authority
from .guard import visitor_of
from .live_site import SHARED_ROOM
from .rights import parse_rights
from .stays import Stays
from .visitors import Visitor

MAX_BODY_BYTES = 24 << 10
BODY_SECONDS = 10.0
MAX_SHARE_SECONDS = 10 * 365 * 24 * 3600


class ShareRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /-/share`: a room, the rights to give, and for how long (None: no end)."""

    address: str
    rights: list[str]
    seconds: Annotated[float, msgspec.Meta(gt=0, le=MAX_SHARE_SECONDS)] | None = None


class ShareAnswer(msgspec.Struct, frozen=True):
    """Its answer: the token, and the page's URL with it (path and query); None for a document
    alone.
    """

    token: str
    url: str | None


class RevokeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /-/share/revoke`: the token of a link, or the address of the room whose links all end."""

    token: str | None = None
    address: str | None = None


class RevokeAnswer(msgspec.Struct, frozen=True):
    """Its answer: how many members were sent away."""

    members: int


_Body = TypeVar("_Body", bound=msgspec.Struct)


class ShareRoutes:
    """The handlers."""

    def __init__(self, access: Access, authority: Authority, stays: Stays) -> None:
        self._access = access
        self._authority = authority
        self._stays = stays

    def routes(self) -> list[Route]:
        """For the router."""
        return [
            Route("/-/share", self.share, methods=["POST"]),
            Route("/-/share/revoke", self.revoke, methods=["POST"]),
        ]

    async def share(self, request: HttpRequest) -> Response:
        """A token for one room, with rights that its giver has there."""
        asked = await _read(request, ShareRequest)
        address = _address(asked.address)
        rights = parse_rights(asked.rights)
        visitor = await self._visitor(request, address)
        if not rights <= visitor.rights(address):
            raise AccessDenied("You can give only rights that you have in this room.", 403)
        ends = [] if asked.seconds is None else [time.time() + asked.seconds]
        if (end := visitor.end(address, rights)) is not None:
            ends.append(end)  # no link outlives the one it came from
        token = self._access.share(address, rights, expires=min(ends, default=None), giver=visitor)
        return _json(ShareAnswer(token, _shared_url(address, token)))

    async def revoke(self, request: HttpRequest) -> Response:
        """Takes links back: who came in with them is sent away, and who comes with them is not let in.

        Durable when it is answered. Who made a link may take it back, and who may do everything in its room.
        """
        asked = await _read(request, RevokeRequest)
        if (asked.token is None) == (asked.address is None):
            raise AccessDenied("Name one of token and address.", 400)
        if asked.token is not None:
            return await self._revoke_link(request, asked.token)
        address = _address(asked.address or "")
        visitor = await self._visitor(request, address)
        if not _looks_after(visitor, address):
            raise AccessDenied("Only who looks after this room may end its links.", 403)
        return await _revoked(self._stays.revoke_links(address))

    async def _revoke_link(self, request: HttpRequest, token: str) -> Response:
        share = self._access.read_share(token)
        if share is None:
            raise AccessDenied("That is no link of this server, or it has ended.", 404)
        address = _address(share.room)
        visitor = await self._visitor(request, address)
        keeper = _looks_after(visitor, address)
        if visitor.user != share.by and not keeper:
            raise AccessDenied("Only who made a link may take it back.", 403)
        if not share.jti:
            raise AccessDenied("That link is too old; end all links of its room.", 409)
        return await _revoked(
            self._stays.revoke_link(share.ids[0], until=share.exp, of_visitor=not keeper)
        )

    async def _visitor(self, request: HttpRequest, address: Address) -> Visitor:
        asked = request_of(request.scope)
        return await self._authority.at(asked, visitor_of(request), address)


async def _revoked(revoking: Awaitable[int]) -> Response:
    try:
        return _json(RevokeAnswer(await revoking))
    except (LimitExceeded, StoreError) as error:
        raise AccessDenied(str(error), 503) from error


def _looks_after(visitor: Visitor, address: Address) -> bool:
    return visitor.everything or "admin" in visitor.rights(address)


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except AddressError as error:
        raise AccessDenied(str(error), 400) from error


async def _read(request: HttpRequest, shape: type[_Body]) -> _Body:
    # A form of another site can post without asking first, but never as JSON.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise AccessDenied("Send JSON (Content-Type: application/json).", 415)
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise AccessDenied(f"The body has at most {MAX_BODY_BYTES} bytes.", 413)
    except TimeoutError:
        raise AccessDenied("The body took too long.", 408) from None
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AccessDenied(f"The body is not valid: {error}", 400) from error


def _json(answer: msgspec.Struct) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(answer), media_type="application/json", headers=headers)


def _shared_url(address: Address, token: str) -> str | None:
    if address.page is None:
        return None
    room = {} if address.room == SHARED_ROOM else {"room": address.room}
    return f"{page_url(address.page)}?{urlencode(room | {'token': token})}"
