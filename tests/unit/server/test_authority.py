"""What an application says of its visitors."""

import asyncio
from typing import Any

import pytest

from engineroom.errors import AccessDenied
from engineroom.rooms.address import Address
from engineroom.rooms.hooks import Hooks
from engineroom.rooms.members import Access as RoomAccess
from engineroom.rooms.members import User
from engineroom.server.authority import Allowed, Authority
from engineroom.server.request import Request
from engineroom.server.visitors import Visitor, everything

pytestmark = pytest.mark.anyio

NOTES = Address.parse("notes/*")
REQUEST = Request(b"/notes", b"", [])
READ = RoomAccess(read=True, write=False, run=False)


async def test_without_an_application() -> None:
    """Without an application, the visitor has what its credentials give."""
    visitor = Visitor("v", (everything(),))
    authority = Authority()
    assert await authority.at(REQUEST, visitor, NOTES) is visitor
    assert await authority.connecting(REQUEST, NOTES, READ) == READ


async def test_the_application_decides() -> None:
    """The application's word counts, in this one room, for everybody."""
    asked: list[tuple[Request, Address]] = []

    async def authorize(request: Request, address: Address) -> RoomAccess:
        asked.append((request, address))
        return READ

    visitor = await Authority(authorize).at(REQUEST, Visitor("v", (everything(),)), NOTES)
    assert asked == [(REQUEST, NOTES)]
    assert (visitor.user, visitor.is_named) == ("v", False)
    assert visitor.rights(NOTES) == {"read"}
    assert visitor.rights(Address.parse("notes/other")) == frozenset()


async def test_the_application_names_the_visitor() -> None:
    """The application may also say who it is, and until when."""

    async def authorize(request: Request, address: Address) -> Allowed:
        return Allowed(READ, User("ada", "Ada"), end=500.0)

    visitor = await Authority(authorize).at(REQUEST, Visitor("v"), NOTES)
    assert (visitor.user, visitor.name, visitor.is_named) == ("ada", "Ada", True)
    assert visitor.next_end(NOTES) == 500.0


async def test_the_hook_has_the_last_word() -> None:
    """`on_connect` is asked with the access that would be given, and says which is."""

    class Own(Hooks):
        async def on_connect(
            self, request: Any, address: Address, access: RoomAccess
        ) -> RoomAccess:
            assert (request, address) == (REQUEST, NOTES)
            return RoomAccess(read=access.read, write=True, run=False)

    given = await Authority(hooks=Own()).connecting(REQUEST, NOTES, READ)
    assert given == RoomAccess(read=True, write=True, run=False)


async def test_refusals_and_failures_pass_through() -> None:
    """A refusal keeps its status; another exception is the application's failure."""

    async def refuse(request: Request, address: Address) -> RoomAccess:
        raise AccessDenied("log in first", 401)

    async def fail(request: Request, address: Address) -> RoomAccess:
        raise KeyError("a bug")

    with pytest.raises(AccessDenied) as denied:
        await Authority(refuse).at(REQUEST, Visitor("v"), NOTES)
    assert denied.value.status == 401
    with pytest.raises(KeyError):
        await Authority(fail).at(REQUEST, Visitor("v"), NOTES)


async def test_an_application_that_does_not_answer() -> None:
    """An application has only so long to answer; then the visitor is asked to try again."""

    async def hang(request: Request, address: Address) -> RoomAccess:
        await asyncio.Event().wait()
        raise AssertionError

    class Own(Hooks):
        async def on_connect(
            self, request: Any, address: Address, access: RoomAccess
        ) -> RoomAccess:
            return await hang(request, address)

    authority = Authority(hang, Own(), timeout_seconds=0.01)
    for asking in (
        authority.at(REQUEST, Visitor("v"), NOTES),
        authority.connecting(REQUEST, NOTES, READ),
    ):
        with pytest.raises(AccessDenied) as denied:
            await asking
        assert denied.value.status == 503


async def test_an_answer_that_is_none() -> None:
    """An application that forgets to answer lets nobody in."""

    async def forget(request: Request, address: Address) -> Any:
        return None

    class Own(Hooks):
        async def on_connect(self, request: Any, address: Address, access: RoomAccess) -> Any:
            return True

    with pytest.raises(TypeError, match="authorize returned None"):
        await Authority(forget).at(REQUEST, Visitor("v"), NOTES)
    with pytest.raises(TypeError, match="on_connect returned True"):
        await Authority(hooks=Own()).connecting(REQUEST, NOTES, READ)
