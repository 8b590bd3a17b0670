"""The admin page and its routes, all behind the admin right.

What changes something is a POST of JSON: the guard has checked its origin, and no form of another site can send one.
Each is logged with who did it. Deleting a document needs its address typed again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, Protocol, TypeVar, get_args

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from engineroom.errors import AddressError, CloseCode
from engineroom.rooms.address import Address
from engineroom.rooms.members import Access as RoomAccess
from engineroom.rooms.membership import Membership

from .admin_view import AdminView, Order
from .api.asked import only, query_of, read_json
from .api.documents import Documents
from .api.problems import Handler, Problem, answered
from .api.routes import json_answer
from .asgi_sockets import request_of
from .files import REVALIDATE, file_answer
from .guard import admin_of
from .webhooks.opening import Webhooks

logger = logging.getLogger("engineroom.admin")

MAX_BODY_BYTES = 8 << 10

S = TypeVar("S", bound=msgspec.Struct)


class RoomRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A room that is to be closed."""

    address: str


class MemberRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member that is to be sent away."""

    address: str
    member: int


class RightsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member's rights from now on, for as long as it stays."""

    address: str
    member: int
    rights: list[Literal["read", "write", "run"]]


class DeleteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document that is to be deleted; `confirmation` is its address, typed again."""

    address: str
    confirmation: str


class LetterRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dead letter."""

    number: int


class Done(msgspec.Struct, frozen=True):
    """Whether what was asked for had anything to do: false when the member, room or letter was gone."""

    done: bool


class AdminRooms(Protocol):
    """What is asked of `Rooms`."""

    def disconnect(self, address: Address, member: int, code: int, reason: str) -> bool:
        """Send a member away."""

    def member(self, address: Address, member: int) -> Membership | None:
        """The hold of one member on its room."""

    async def close(self, address: Address) -> bool:
        """End a room."""


class AdminRoutes:
    """The handlers; `static` is the folder with the page in it."""

    def __init__(
        self,
        view: AdminView,
        rooms: AdminRooms,
        documents: Documents,
        webhooks: Webhooks | None,
        static: Path,
    ) -> None:
        self._view = view
        self._rooms = rooms
        self._documents = documents
        self._webhooks = webhooks
        self._page = static / "admin.html"

    def routes(self) -> list[Route]:
        """For the router."""
        posts: dict[str, Handler] = {
            "close-room": self.close_room,
            "disconnect": self.disconnect,
            "change-rights": self.change_rights,
            "delete-document": self.delete_document,
            "revive-letter": self.revive_letter,
            "discard-letter": self.discard_letter,
        }
        return [
            Route("/-/admin", self.page),
            Route("/-/admin/state", _behind_admin(self.state)),
            Route("/-/admin/rooms/{address:path}", _behind_admin(self.room)),
            *(
                Route(f"/-/admin/{name}", _behind_admin(handler), methods=["POST"])
                for name, handler in posts.items()
            ),
        ]

    # --- looking -----------------------------------------------------------------------------

    async def page(self, request: HttpRequest) -> Response:
        """The page itself; it asks for everything else."""
        admin_of(request)
        answer = file_answer(self._page, request_of(request.scope), cache_control=REVALIDATE)
        assert answer is not None, "admin.html is part of the package"
        return answer

    async def state(self, request: HttpRequest) -> Response:
        """The whole server; `?order=` of the rooms, `?prefix=` of their addresses."""
        fields = only(query_of(request), "order", "prefix")
        order = _order(fields.get("order", "address"))
        return json_answer(await self._view.server(order, fields.get("prefix", "")))

    async def room(self, request: HttpRequest) -> Response:
        """One room with its members."""
        return json_answer(self._view.room(_address(request.path_params["address"])))

    # --- doing -------------------------------------------------------------------------------

    async def disconnect(self, request: HttpRequest) -> Response:
        """A member is sent away; it may come again."""
        asked = await _asked(request, MemberRequest)
        address = _address(asked.address)
        reason = "an administrator has disconnected you"
        done = self._rooms.disconnect(address, asked.member, CloseCode.FORBIDDEN, reason)
        return _did(request, f"disconnected member {asked.member}", address, done)

    async def change_rights(self, request: HttpRequest) -> Response:
        """A member has these rights while it stays; without the right to read it is sent away."""
        asked = await _asked(request, RightsRequest)
        address, rights = _address(asked.address), frozenset(asked.rights)
        membership = self._rooms.member(address, asked.member)
        if membership is not None:
            membership.change_access(
                RoomAccess("read" in rights, "write" in rights, "run" in rights)
            )
        what = f"gave member {asked.member} the rights {sorted(rights)}"
        return _did(request, what, address, membership is not None)

    async def close_room(self, request: HttpRequest) -> Response:
        """A room ends: its members are told to come again, and find it opened anew."""
        address = _address((await _asked(request, RoomRequest)).address)
        return _did(request, "closed the room", address, await self._rooms.close(address))

    async def delete_document(self, request: HttpRequest) -> Response:
        """A document is deleted, when its address was typed again."""
        asked = await _asked(request, DeleteRequest)
        address = _address(asked.address)
        if asked.confirmation != str(address):
            raise Problem("bad_body", "The confirmation is the document's address.")
        await self._documents.delete(address)
        return _did(request, "deleted the document", address, True)

    async def revive_letter(self, request: HttpRequest) -> Response:
        """A dead letter is delivered again."""
        number = (await _asked(request, LetterRequest)).number
        return json_answer(Done(await self._letters().revive(number)))

    async def discard_letter(self, request: HttpRequest) -> Response:
        """A dead letter is thrown away."""
        number = (await _asked(request, LetterRequest)).number
        return json_answer(Done(await self._letters().queue.discard(number)))

    def _letters(self) -> Webhooks:
        if self._webhooks is None:
            raise Problem("not_found", "There are no webhooks.")
        return self._webhooks


def _behind_admin(handler: Handler) -> Callable[[HttpRequest], Awaitable[Response]]:
    async def behind_admin(request: HttpRequest) -> Response:
        admin_of(request)
        return await handler(request)

    return answered(behind_admin)


async def _asked(request: HttpRequest, shape: type[S]) -> S:
    return await read_json(request, shape, MAX_BODY_BYTES)


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except AddressError as error:
        raise Problem("bad_address", str(error)) from error


def _order(text: str) -> Order:
    match text:
        case "address" | "members" | "document_bytes" | "unstored_seconds":
            return text
        case _:
            raise Problem("bad_query", f"order is one of {get_args(Order)}.")


def _did(request: HttpRequest, what: str, address: Address, done: bool) -> Response:
    if done:
        user = admin_of(request).user
        logger.info("%s: %s %s", address, user, what, extra={"room": str(address)})
    return json_answer(Done(done))
