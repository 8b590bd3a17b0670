"""y-sweet's HTTP surface, below `/y-sweet/`: for its SDKs, whose connection string is `ys://<token>@<host>/y-sweet`.

    POST doc/new            {docId?}                    -> {docId}            makes the document, when there is none
    POST doc/<name>/auth    {authorization?, validForSeconds?} -> {url, baseUrl, docId, token, authorization}
    POST or GET check_store                             -> {ok, error?}
    GET  ready                                          -> {ok}
    GET  d/<name>/as-update                             -> the document, one update (V1)
    POST d/<name>/update    one update (V1)             durable when it is answered

A document is the room at its name. The server's token, or any other with the rights that are asked for, makes
documents and tokens; the tokens are share tokens of that room, and end. Sockets come in at `front_doors`.

Source: @y-sweet/sdk (npm) 0.9.1; y-sweet's server, `server.rs`.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Literal, Protocol, TypeVar

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from engineroom.errors import AccessDenied, LimitExceeded, ProtocolError, RoomClosed, StoreError
from engineroom.protocols.marks import mark_of, mark_update
from engineroom.rooms.address import Address
from engineroom.rooms.handles import RoomHandle
from engineroom.rooms.members import User
from engineroom.rooms.open_room import RoomStatistics

from .access import Access
from .asgi_sockets import request_of
from .authority import Authority
from .guard import visitor_of
from .rights import Right
from .visitors import Visitor

PREFIX = "/y-sweet"
MAX_BODY_BYTES = 8 << 10
BODY_SECONDS = 30.0
MAX_VALID_SECONDS = 10 * 365 * 24 * 3600
DEFAULT_VALID_SECONDS = 3600.0
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")

Authorization = Literal["full", "read-only"]


class NewDocument(msgspec.Struct, frozen=True, rename="camel"):
    """The body of `doc/new`, and its answer."""

    doc_id: str | None = None


class TokenRequest(msgspec.Struct, frozen=True, rename="camel"):
    """The body of `doc/<name>/auth`. `userId`, which the SDK sends and y-sweet does not use, is passed over."""

    authorization: Authorization = "full"
    valid_for_seconds: Annotated[float, msgspec.Meta(gt=0, le=MAX_VALID_SECONDS)] | None = None


class ClientToken(msgspec.Struct, frozen=True, rename="camel"):
    """Its answer: where a client finds the document, and what it shows there."""

    url: str
    base_url: str
    doc_id: str
    token: str
    authorization: Authorization


class StoreState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of `check_store`."""

    ok: bool
    error: str | None = None


Body = TypeVar("Body", bound=msgspec.Struct)


class OpenRooms(Protocol):
    """What is needed of `rooms.open_rooms.Rooms`."""

    def open(
        self, address: Address | str, *, user: User | None = None
    ) -> AbstractAsyncContextManager[RoomHandle]:
        """Holds a room open."""

    def statistics(self) -> list[RoomStatistics]:
        """The open rooms."""


class YSweetRoutes:
    """The handlers. An update has at most `max_update_bytes`."""

    def __init__(
        self, access: Access, authority: Authority, rooms: OpenRooms, *, max_update_bytes: int
    ) -> None:
        self._access = access
        self._authority = authority
        self._rooms = rooms
        self._max_update_bytes = max_update_bytes

    def routes(self) -> list[Route]:
        """For the router."""
        return [
            Route(f"{PREFIX}/ready", self.ready),
            Route(f"{PREFIX}/check_store", self.check_store, methods=["GET", "POST"]),
            Route(f"{PREFIX}/doc/new", self.create, methods=["POST"]),
            Route(f"{PREFIX}/doc/{{name}}/auth", self.token, methods=["POST"]),
            Route(f"{PREFIX}/d/{{name}}/as-update", self.read),
            Route(f"{PREFIX}/d/{{name}}/update", self.update, methods=["POST"]),
        ]

    async def ready(self, _request: HttpRequest) -> Response:
        """That the server answers."""
        return _json(StoreState(ok=True))

    async def check_store(self, request: HttpRequest) -> Response:
        """Whether what is written can be stored."""
        if not visitor_of(request).everything:
            raise AccessDenied("Only the server's own token may ask for the store.", 403)
        failing = [room for room in self._rooms.statistics() if room.failing]
        if failing:
            return _json(StoreState(ok=False, error=f"{len(failing)} documents cannot be stored"))
        return _json(StoreState(ok=True))

    async def create(self, request: HttpRequest) -> Response:
        """Makes a document, unless there is one of that name."""
        asked = await _read(request, NewDocument)
        name = asked.doc_id or secrets.token_urlsafe(16)
        visitor, address = await self._entering(request, name, "write")
        async with self._open(address, visitor) as handle:
            if handle.number == 0:
                # A history without content: the document is stored from now on.
                await handle.apply(mark_update(mark_of(handle.lineage)), user=visitor.user)
        return _json(NewDocument(name))

    async def token(self, request: HttpRequest) -> Response:
        """A token for one document, with rights that its giver has there."""
        asked = await _read(request, TokenRequest)
        rights: frozenset[Right] = frozenset(
            {"read"} if asked.authorization == "read-only" else {"read", "write"}
        )
        name = request.path_params["name"]
        visitor, address = await self._entering(request, name, *rights)
        async with self._open(address, visitor) as handle:
            if handle.number == 0:
                raise AccessDenied("There is no such document; make it with doc/new.", 404)
        ends = time.time() + (asked.valid_for_seconds or DEFAULT_VALID_SECONDS)
        end = visitor.end(address, rights)
        if end is not None:  # no token outlives the one it came from
            ends = min(ends, end)
        token = self._access.share(address, rights, expires=ends, giver=visitor)
        scheme, place = _place(request)
        base = f"{place}{PREFIX}/d/{name}"
        return _json(
            ClientToken(
                url=f"{'wss' if scheme == 'https' else 'ws'}://{base}/ws",
                base_url=f"{scheme}://{base}",
                doc_id=name,
                token=token,
                authorization=asked.authorization,
            )
        )

    async def read(self, request: HttpRequest) -> Response:
        """The whole document."""
        visitor, address = await self._entering(request, request.path_params["name"], "read")
        async with self._open(address, visitor) as handle:
            encoded = handle.encoded()
        headers = {"cache-control": "no-store"}
        return Response(encoded, media_type="application/octet-stream", headers=headers)

    async def update(self, request: HttpRequest) -> Response:
        """Takes an update as a member's."""
        visitor, address = await self._entering(
            request, request.path_params["name"], "read", "write"
        )
        update = await _body(request, self._max_update_bytes)
        async with self._open(address, visitor) as handle:
            await handle.apply(update, user=visitor.user)
        return Response(headers={"cache-control": "no-store"})

    async def _entering(
        self, request: HttpRequest, name: str, *rights: Right
    ) -> tuple[Visitor, Address]:
        """Who asks, for which document; refused without these rights there."""
        if not _NAME.fullmatch(name):
            raise AccessDenied("A document's name is letters, digits, - and _.", 400)
        address = Address(None, name)
        asked = request_of(request.scope)
        visitor = await self._authority.at(asked, visitor_of(request), address)
        if not visitor.rights(address).issuperset(rights):
            raise AccessDenied("That token does not allow this.", 403)
        return visitor, address

    @asynccontextmanager
    async def _open(self, address: Address, visitor: Visitor) -> AsyncIterator[RoomHandle]:
        """The room's handle; what goes wrong with it has a status."""
        try:
            async with self._rooms.open(address, user=User(visitor.user)) as handle:
                yield handle
        except ProtocolError as error:
            raise AccessDenied(f"The update cannot be taken: {error.reason}", 400) from error
        except LimitExceeded as error:
            raise AccessDenied(str(error), 413) from error
        except (RoomClosed, StoreError) as error:
            raise AccessDenied(f"The document cannot be had now: {error}", 503) from error


def _place(request: HttpRequest) -> tuple[str, str]:
    """The scheme and the place at which the client sees this application; the guard has checked the host."""
    asked = request_of(request.scope)
    return request.url.scheme, asked.values(b"host")[0] + asked.prefix


async def _body(request: HttpRequest, max_bytes: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise AccessDenied(f"The body has at most {max_bytes} bytes.", 413)
    except TimeoutError:
        raise AccessDenied("The body took too long.", 408) from None
    return bytes(body)


async def _read(request: HttpRequest, shape: type[Body]) -> Body:
    body = await _body(request, MAX_BODY_BYTES)
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AccessDenied(f"The body is not valid: {error}", 400) from error


def _json(answer: msgspec.Struct) -> Response:
    headers = {"cache-control": "no-store"}
    body = msgspec.json.encode(answer)
    return Response(body, media_type="application/json", headers=headers)
