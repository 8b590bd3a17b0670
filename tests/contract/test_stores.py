"""Every store passes the contract suite of stores, one case a promise."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engineroom.stores import FileStore, MemoryStore, SQLiteStore
from engineroom.stores.postgres import PostgresStore
from engineroom.stores.promises import Durability
from engineroom.testing.postgres_server import PostgresServer
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


def file_place(folder: Path) -> Place:
    """A folder of files."""
    return lambda: FileStore(folder / "documents")


def few_files_place(folder: Path) -> Place:
    """A folder of files of which two may be open, left to the operating system."""
    return lambda: FileStore(folder / "documents", durability="os", open_files=2)


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "make_place", [memory_place, disk_place, os_place, file_place, few_files_place]
)
async def test_contract(make_place: PlaceMaker, check: Check, tmp_path: Path) -> None:
    """The store keeps this promise."""
    await check(make_place(tmp_path))


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A real server; each test has a database of its own."""
    with PostgresServer(fsync=False) as server:
        yield server


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("durability", ["disk", "os"])
async def test_contract_of_postgres(
    postgres: PostgresServer, check: Check, durability: Durability
) -> None:
    """The PostgreSQL store keeps this promise."""
    url = postgres.make_database()
    await check(lambda: PostgresStore(url, durability=durability))


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
