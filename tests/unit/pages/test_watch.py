import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from importlib import import_module
from pathlib import Path

import pytest

from engineroom.pages import Folder, watch

pytestmark = pytest.mark.anyio

BOUND_SECONDS = 20


class Changes:
    """What a watch says, awaited with a bound."""

    def __init__(self, changes: AsyncIterator[frozenset[Path]]) -> None:
        self._changes = changes

    async def until_new(self) -> None:
        """Waits until the folder is watched (anew)."""
        while await self._next():
            pass

    async def until(self, path: Path) -> set[Path]:
        """Waits until `path` has changed; all that changed up to then."""
        seen: set[Path] = set()
        while path not in seen:
            seen |= await self._next()
        return seen

    async def _next(self) -> frozenset[Path]:
        async with asyncio.timeout(BOUND_SECONDS):
            return await anext(self._changes)


def replace(root: Path, *, removed: bool) -> None:
    """An empty folder in the place of `root`, which is removed or moved away."""
    if removed:
        shutil.rmtree(root)
    else:
        root.rename(root.with_name("away"))
    root.mkdir()


@asynccontextmanager
async def watching(root: Path) -> AsyncIterator[Changes]:
    async with aclosing(watch(Folder.open(root))) as changes:
        watched = Changes(changes)
        await watched.until_new()
        yield watched


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one page."""
    root = tmp_path.resolve() / "site"
    root.mkdir()
    (root / "a.md").write_text("a")
    return root


async def test_a_write_and_a_rename_are_changes(root: Path) -> None:
    """Editors that write in place and those that rename over the file are both heard."""
    async with watching(root) as changes:
        (root / "a.md").write_text("b")
        await changes.until(root / "a.md")
        (root / "a.md~").write_text("c")
        os.replace(root / "a.md~", root / "a.md")
        await changes.until(root / "a.md")


async def test_new_folders_are_watched(root: Path) -> None:
    """A file in a folder made later is heard."""
    async with watching(root) as changes:
        (root / "sub").mkdir()
        await changes.until(root / "sub")
        (root / "sub" / "b.md").write_text("b")
        await changes.until(root / "sub" / "b.md")


async def test_hidden_files_do_not_count(root: Path) -> None:
    """A change of a hidden or generated file is not heard."""
    async with watching(root) as changes:
        (root / ".git").mkdir()
        (root / ".git" / "index").write_text("x")
        (root / "__pycache__").mkdir()
        (root / "last.md").write_text("x")
        assert await changes.until(root / "last.md") == {root / "last.md"}


@pytest.mark.parametrize("removed", [True, False])
async def test_a_folder_that_is_replaced_is_watched_anew(root: Path, removed: bool) -> None:
    """A folder that is removed or moved away, and is there again, is heard and watched."""
    async with watching(root) as changes:
        replace(root, removed=removed)
        await changes.until_new()
        (root / "b.md").write_text("b")
        await changes.until(root / "b.md")


async def test_a_watch_waits_for_its_folder(root: Path) -> None:
    """A folder that is away at first is watched as soon as it is there."""
    folder = Folder.open(root)
    shutil.rmtree(root)
    async with aclosing(watch(folder)) as changes, asyncio.timeout(BOUND_SECONDS):
        first = asyncio.ensure_future(anext(changes))
        await asyncio.wait([first], timeout=0)
        assert not first.done()
        os.mkdir(root)
        assert await first == frozenset()


async def test_without_watches_the_folder_is_polled(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the system has no watches left, changes are found by looking, and the log says so."""
    module = import_module("engineroom.pages.watch")
    real = module.awatch

    def scarce(*paths: Path, force_polling: bool, **options: object) -> object:
        if not force_polling:
            raise OSError("OS file watch limit reached.")
        return real(*paths, force_polling=True, **{**options, "poll_delay_ms": 50})

    monkeypatch.setattr(module, "awatch", scarce)
    async with watching(root) as changes:
        os.utime(root / "a.md", (2**31, 2**31))  # looking tells times apart by whole seconds
        await changes.until(root / "a.md")
    assert "polled for changes: OS file watch limit reached." in caplog.text
