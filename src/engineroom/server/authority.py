"""What a visitor may do in a room: what its credentials say, or what the application says that serves us.

An application that has users of its own gives `authorize`: it is asked for every room that a visitor enters or reads,
by WebSocket and by HTTP, and has the word that counts there. `Hooks.on_connect` is asked last, for each new member.
Both may take their time, within a bound. The server's token opens what is no room (the admin page) without them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from engineroom.errors import AccessDenied
from engineroom.rooms.address import Address
from engineroom.rooms.hooks import Hooks
from engineroom.rooms.members import Access as RoomAccess
from engineroom.rooms.members import User

from .access import user_ids
from .grants import exactly
from .request import Request
from .rights import rights_of
from .visitors import Pass, Visitor


@dataclass(frozen=True, slots=True)
class Allowed:
    """What `authorize` may answer instead of an `Access` alone: also who it is, and until when (`end`, seconds since
    the epoch), which is enforced while the visitor is connected.
    """

    access: RoomAccess
    user: User | None = None
    end: float | None = None


Authorize: TypeAlias = Callable[[Request, Address], Awaitable[RoomAccess | Allowed]]
"""`async def authorize(request, address)`: what the request may do in the room at `address`.

It may raise `AccessDenied` with the status to answer: 401, 403, …. Whatever else it raises is logged, and answered 500.
"""


class Authority:
    """Asks whom there is to ask; each answer within `timeout_seconds`."""

    def __init__(
        self,
        authorize: Authorize | None = None,
        hooks: Hooks | None = None,
        *,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._authorize = authorize
        self._hooks = hooks or Hooks()
        self._timeout_seconds = timeout_seconds

    async def at(self, request: Request, visitor: Visitor, address: Address) -> Visitor:
        """The visitor with the rights that it has at `address`, as the application says where it is asked.

        Raises:
            AccessDenied: the application refuses it, or has not answered in time (503).
        """
        if self._authorize is None:
            return visitor
        async with _bounded(self._timeout_seconds):
            answer = await self._authorize(request, address)
        allowed = answer if isinstance(answer, Allowed) else Allowed(answer)
        if not isinstance(allowed.access, RoomAccess):
            raise TypeError(f"authorize returned {answer!r}; an Access or an Allowed is needed")
        user = allowed.user or User(visitor.user, visitor.name)
        grants = {exactly(address): rights_of(allowed.access)}
        one = Pass(grants, allowed.end, ids=user_ids(user.id))
        known = allowed.user is not None or visitor.is_named
        return replace(visitor, user=user.id, name=user.name, passes=(one,), is_named=known)

    async def connecting(
        self, request: Request, address: Address, access: RoomAccess
    ) -> RoomAccess:
        """What a new member may do, which would be given `access`, as `Hooks.on_connect` says.

        Raises:
            AccessDenied: it may not come in, or was not answered in time (503).
        """
        async with _bounded(self._timeout_seconds):
            given = await self._hooks.on_connect(request, address, access)
        if not isinstance(given, RoomAccess):
            raise TypeError(f"on_connect returned {given!r}; an Access is needed")
        return given


@asynccontextmanager
async def _bounded(seconds: float) -> AsyncIterator[None]:
    """A time limit whose end is an answer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise AccessDenied(
            "The application did not say in time whether you may come in; try again.", 503
        ) from None
