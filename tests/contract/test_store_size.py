"""What a document takes on disk, after it was written one character at a time."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from pycrdt import Doc, Text

from engineroom.rooms.open_rooms import Rooms
from engineroom.rooms.plan import Plan
from engineroom.stores import FileStore, SQLiteStore

pytestmark = pytest.mark.anyio

EDITS = 50_000
AT_ONCE = 100


def typed() -> tuple[list[bytes], int]:
    """The updates of somebody who types on, and the size of the whole."""
    doc: Doc[Text] = Doc()
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    text = doc.get("text", type=Text)
    for number in range(EDITS):
        text.insert(number, "abcdefghij"[number % 10])
    return updates, len(doc.get_update())


def sqlite(folder: Path) -> SQLiteStore:
    return SQLiteStore(folder / "rooms.db", durability="os")


def files(folder: Path) -> FileStore:
    return FileStore(folder / "documents", durability="os")


@pytest.mark.parametrize("make", [sqlite, files])
async def test_fifty_thousand_edits_take_three_times_their_snapshot(
    make: Callable[[Path], SQLiteStore | FileStore], tmp_path: Path
) -> None:
    """After a clean close the store, with the version that was kept of it, is that small."""
    updates, snapshot_bytes = typed()
    async with (
        make(tmp_path) as store,
        Rooms(store, plan_of=lambda address: Plan()) as rooms,
        rooms.open("notes") as room,
    ):
        for first in range(0, EDITS, AT_ONCE):
            some = updates[first : first + AT_ONCE]
            assert all(await asyncio.gather(*map(room.apply, some)))
    assert size_of(tmp_path) <= 3 * snapshot_bytes


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
