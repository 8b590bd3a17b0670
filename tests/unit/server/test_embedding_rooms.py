"""Documents in the hands of the program that serves them: `server.rooms.open`, through a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Text

from engineroom import Address, Connection, Hooks, MemberInfo, Server, connect
from engineroom.errors import LimitExceeded, ProtocolError, RoomClosed

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 60.0
NOTES = Address.parse("notes")


class Ears(Hooks):
    """Counts what is durable, and who said what."""

    def __init__(self) -> None:
        self.stored = 0
        self.authors: list[str | None] = []

    def on_change(self, address: Address, member: MemberInfo | None, update: bytes) -> None:
        self.authors.append(member.user.id if member is not None else None)

    def on_store(self, address: Address, number: int) -> None:
        self.stored = number


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
async def server(tmp_path: Path, ears: Ears) -> AsyncIterator[Server]:
    options = {"data": tmp_path / "data", "runtime": "local", "linger_seconds": 0.0}
    async with Server(port=0, no_auth=True, hooks=ears, **options) as running:
        yield running


def text_of(document: "Doc[Any]") -> Text:
    return document.get("text", type=Text)


def append(words: str) -> Callable[["Doc[Any]"], str]:
    """A change that adds `words`, and tells the whole text."""

    def change(document: "Doc[Any]") -> str:
        text = text_of(document)
        text += words
        return str(text)

    return change


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def in_sync(room: Connection) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await room.wait_synced()


async def test_an_edit_reaches_all_members_and_is_durable(server: Server, ears: Ears) -> None:
    """What `edit` returns for is in every member's document, and in the store."""
    url = f"{server.url}/rooms/notes"
    async with connect(url) as ada, connect(url) as bob, server.rooms.open("notes") as room:
        await in_sync(ada)
        await in_sync(bob)
        assert await room.edit(append("one ")) == "one "
        assert ears.stored == room.number
        assert await room.edit(append("two")) == "one two"
        await until(lambda: str(text_of(ada.document)) == str(text_of(bob.document)) == "one two")
    assert set(ears.authors) == {None}


async def test_the_replica_is_kept_equal_both_ways(server: Server, ears: Ears) -> None:
    """`document` shows what members write, and what is written there reaches them; `stored` means durable."""
    async with (
        connect(f"{server.url}/rooms/notes") as ada,
        server.rooms.open("notes") as room,
    ):
        await in_sync(ada)
        text_of(ada.document).insert(0, "Ada ")
        await until(lambda: str(text_of(room.document)) == "Ada ")
        text = text_of(room.document)
        text += "and the program"
        async with asyncio.timeout(PATIENCE_SECONDS):
            await room.stored()
        assert ears.stored == room.number
        await until(lambda: str(text_of(ada.document)) == "Ada and the program")


async def test_a_handle_keeps_the_room_open_and_lets_it_close(server: Server) -> None:
    """Members come and go, the handle's room stays; when both are gone, so is the room, at once without linger."""
    rooms = server.rooms
    async with rooms.open("notes") as room:
        async with connect(f"{server.url}/rooms/notes") as ada:
            await in_sync(ada)
        await until(lambda: not rooms.members(NOTES))
        await room.edit(append("still open"))
        assert [each.address for each in rooms.statistics()] == ["notes"]
    await until(lambda: not rooms.statistics())
    async with rooms.open("notes") as room:
        assert await room.edit(lambda document: str(text_of(document))) == "still open"


async def test_two_handles_of_one_room(server: Server) -> None:
    """They see one document; one that is left does not close the room under the other."""
    async with server.rooms.open("notes") as first:
        async with server.rooms.open(NOTES) as second:
            text = text_of(second.document)
            text += "from the second "
            await second.stored()
        await first.edit(append("from the first"))
        assert str(text_of(first.document)) == "from the second from the first"


async def test_an_edit_that_fails_changes_nothing(server: Server) -> None:
    """What `change` raises comes out, half of a change does not; the next one is as if nothing had been."""

    def fail(document: "Doc[Any]") -> None:
        text_of(document).insert(0, "half ")
        raise ZeroDivisionError

    async with server.rooms.open("notes") as room:
        await room.edit(append("before "))
        with pytest.raises(ZeroDivisionError):
            await room.edit(fail)
        assert await room.edit(append("after")) == "before after"


async def test_an_update_is_taken_as_a_members_is(server: Server) -> None:
    """`apply` tells whether it was new; what no member could send is refused."""
    document: Doc[Any] = Doc()
    text_of(document).insert(0, "brought")
    async with server.rooms.open("notes") as room:
        assert await room.apply(document.get_update())
        assert not await room.apply(document.get_update())
        assert str(text_of(room.document)) == "brought"
        with pytest.raises(ProtocolError):
            await room.apply(bytes.fromhex("01016101000000"))
        with pytest.raises(LimitExceeded):
            await room.apply(_large(17 << 20))
        assert str(text_of(room.document)) == "brought"


def _large(size: int) -> bytes:
    document: Doc[Any] = Doc()
    text_of(document).insert(0, "x" * size)
    return document.get_update()


async def test_what_was_edited_is_there_after_the_server(tmp_path: Path) -> None:
    """A server that is left and opened again has all of it; handles that outlive theirs say so."""
    settings: dict[str, Any] = {
        "port": 0,
        "data": tmp_path / "data",
        "runtime": "local",
        "no_auth": True,
    }
    async with Server(**settings) as server:
        opened = server.rooms.open("notes")
        room = await opened.__aenter__()
        await room.edit(append("kept"))
        await server.rooms.close(NOTES)
        with pytest.raises(RoomClosed):
            await room.edit(append("too late"))
        await opened.__aexit__(None, None, None)
    async with Server(**settings) as server, server.rooms.open("notes") as room:
        assert str(text_of(room.document)) == "kept"
