"""Rooms whose store fails for a while: they keep what was written, say so, and catch up."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pycrdt import Doc, Text

from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.open_rooms import Rooms
from engineroom.rooms.plan import Plan
from engineroom.stores import FileStore, SQLiteStore
from engineroom.stores.choice import OpenableStore
from engineroom.stores.postgres import PostgresStore
from engineroom.testing.postgres_server import PostgresServer
from engineroom.testing.stores import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio


@dataclass
class Faulty:
    """A store and what can happen to it."""

    open: Callable[[], OpenableStore]
    fail: Callable[[], Awaitable[object]]
    mend: Callable[[], Awaitable[object]]


def moved_away(folder: Path, open_store: Callable[[], OpenableStore]) -> Faulty:
    """A store whose folder is moved away, and back."""
    away = folder.with_name("away")
    return Faulty(
        open_store,
        lambda: asyncio.to_thread(folder.rename, away),
        lambda: asyncio.to_thread(away.rename, folder),
    )


@pytest.fixture(params=["sqlite", "file", "postgres"])
def faulty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Faulty]:
    folder = tmp_path / "data"
    folder.mkdir()
    if request.param == "sqlite":
        yield moved_away(folder, lambda: SQLiteStore(folder / "rooms.db"))
    elif request.param == "file":
        yield moved_away(folder, lambda: FileStore(folder / "documents"))
    else:
        with PostgresServer() as server:
            url = server.make_database()
            yield Faulty(
                lambda: PostgresStore(url),
                lambda: asyncio.to_thread(server.kill),
                lambda: asyncio.to_thread(server.launch),
            )


def open_rooms(store: OpenableStore) -> Rooms:
    limits = RoomLimits(linger_seconds=0.0)
    return Rooms(store, plan_of=lambda address: Plan(), limits=limits)


def typed(text: str) -> list[bytes]:
    doc: Doc[Text] = Doc()
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    root = doc.get("text", type=Text)
    for character in text:
        root += character
    return updates


async def text_in(store: OpenableStore) -> str:
    """What a fresh opening of the room has."""
    async with store, open_rooms(store) as rooms, rooms.open("notes") as room:
        doc: Doc[Text] = Doc()
        doc.apply_update(room.encoded())
        return str(doc.get("text", type=Text))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_nothing_is_acknowledged_while_it_fails_and_all_is_caught_up(faulty: Faulty) -> None:
    """What is written meanwhile is not told as stored, the room says why, and once the store is back
    everything is stored, each update once.
    """
    first, *rest = typed("written while it failed")
    store = faulty.open()
    async with store, open_rooms(store) as rooms, rooms.open("notes") as room:
        assert await room.apply(first)
        await faulty.fail()
        waiting = [asyncio.ensure_future(room.apply(update)) for update in rest]
        await until(lambda: bool(rooms.statistics()[0].failing))
        assert not any(task.done() for task in waiting)
        await faulty.mend()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert all(await asyncio.gather(*waiting))
        assert not rooms.statistics()[0].failing
    assert await text_in(faulty.open()) == "written while it failed"


async def test_an_empty_room_stays_until_it_is_stored(faulty: Faulty) -> None:
    """When the last one has left, the room keeps what the store would not take, and closes with
    everything on disk.
    """
    updates = typed("left behind")
    store = faulty.open()
    async with store, open_rooms(store) as rooms:
        async with rooms.open("notes") as room:
            assert await room.apply(updates[0])
            await faulty.fail()
            waiting = [asyncio.ensure_future(room.apply(update)) for update in updates[1:]]
            await until(lambda: bool(rooms.statistics()[0].failing))
        for task in waiting:
            task.cancel()
        assert len(rooms.statistics()) == 1
        await faulty.mend()
        await until(lambda: not rooms.statistics())
    assert await text_in(faulty.open()) == "left behind"
