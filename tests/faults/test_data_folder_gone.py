"""A data folder that somebody moves away under a running store: nothing is written into the void."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engineroom.stores import FileStore, SQLiteStore
from engineroom.testing.stores import append, is_refused, load, record

pytestmark = pytest.mark.anyio

MakeStore = Callable[[Path], SQLiteStore | FileStore]


@pytest.mark.parametrize(
    "make",
    [lambda folder: SQLiteStore(folder / "rooms.db"), FileStore],
    ids=["sqlite", "file"],
)
async def test_appends_fail_until_the_folder_is_back(make: MakeStore, tmp_path: Path) -> None:
    """Appends and loads are refused with what to do, and go on once the folder is back."""
    folder, away = tmp_path / "data", tmp_path / "away"
    folder.mkdir()
    async with make(folder) as store:
        assert await append(store, "a", [record(1)]) is None
        folder.rename(away)
        error = await append(store, "a", [record(2)])
        assert "back" in str(error)
        assert await is_refused(store.load("a"))
        assert await append(store, "b", [record(1)]) is not None
        away.rename(folder)
        assert await append(store, "a", [record(2)]) is None
        assert await append(store, "b", [record(1)]) is None
    async with make(folder) as store:
        assert (await load(store, "a")).records == (record(1), record(2))
        assert (await load(store, "b")).records == (record(1),)


async def test_another_file_in_its_place_is_noticed(tmp_path: Path) -> None:
    """A database that was put in the place of the open one is not written beside it."""
    file = tmp_path / "rooms.db"
    async with SQLiteStore(file) as store:
        assert await append(store, "a", [record(1)]) is None
        file.rename(tmp_path / "aside.db")
        file.write_bytes(b"")
        error = await append(store, "a", [record(2)])
        assert "another file" in str(error)
        file.unlink()
        (tmp_path / "aside.db").rename(file)
        assert await append(store, "a", [record(2)]) is None
