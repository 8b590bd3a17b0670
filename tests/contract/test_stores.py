"""Every store passes the contract suite of stores, one case a promise."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engineroom.stores import MemoryStore, SQLiteStore
from engineroom.testing.stores import STORE_CHECKS, Check, Place, check_store

pytestmark = pytest.mark.anyio

PlaceMaker = Callable[[Path], Place]


def memory_place(folder: Path) -> Place:
    """A memory store keeps its documents as long as the object lives."""
    store = MemoryStore()
    return lambda: store


def disk_place(folder: Path) -> Place:
    """A file, synchronised at every commit."""
    return lambda: SQLiteStore(folder / "rooms.db")


def os_place(folder: Path) -> Place:
    """A file, left to the operating system."""
    return lambda: SQLiteStore(folder / "rooms.db", durability="os")


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("make_place", [memory_place, disk_place, os_place])
async def test_contract(make_place: PlaceMaker, check: Check, tmp_path: Path) -> None:
    """The store keeps this promise."""
    await check(make_place(tmp_path))


async def test_check_store_names_what_fails() -> None:
    """The whole suite in one call passes a sound store and names the broken promises of another."""
    await check_store(lambda: memory_place(Path()))

    class Forgetful(MemoryStore):
        async def delete(self, path: str) -> bool:
            return False

    def make_place() -> Place:
        store = Forgetful()
        return lambda: store

    with pytest.raises(ExceptionGroup) as caught:
        await check_store(make_place)
    notes = [failure.__notes__[0].split(":")[0] for failure in caught.value.exceptions]
    assert notes == [
        "delete_removes_a_document_alone",
        "delete_keeps_its_turn",
        "a_closed_store_refuses",
    ]
