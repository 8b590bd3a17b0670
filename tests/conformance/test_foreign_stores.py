"""Stores that pycrdt-websocket's and ypy-websocket's own packages have written are imported whole."""

import asyncio
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Text

from engineroom.stores.foreign import DECOMPRESSIONS, read_foreign

pytestmark = pytest.mark.anyio

SENTENCE = "written by the package itself"


def typed() -> list[bytes]:
    doc: Doc[Text] = Doc()
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    text = doc.get("text", type=Text)
    for character in SENTENCE:
        text += character
    return updates


def text_of(updates: Sequence[tuple[float, bytes]]) -> str:
    doc: Doc[Text] = Doc()
    for _, update in updates:
        doc.apply_update(update)
    return str(doc.get("text", type=Text))


async def test_files_of_pycrdt_store(tmp_path: Path) -> None:
    """A file store, with metadata."""
    from pycrdt.store import FileYStore

    path = tmp_path / "room.y"
    async with FileYStore(str(path), metadata_callback=lambda: b"of the application") as store:
        for update in typed():
            await store.write(update)
    (found,) = read_foreign(path)
    assert (found.name, text_of(found.updates), found.lost) == ("room.y", SENTENCE, ())


@pytest.mark.parametrize("kind", ["plain", "checkpoints", "compressed"])
async def test_databases_of_pycrdt_store(tmp_path: Path, kind: str) -> None:
    """An SQLite store with checkpoints or without, and with compression callbacks."""
    from pycrdt.store import SQLiteYStore

    path = tmp_path / "ystore.db"

    class Store(SQLiteYStore):  # type: ignore[misc, unused-ignore]
        db_path = str(path)
        checkpoint_interval = 4 if kind == "checkpoints" else 10_000

    store = Store("notes/today")
    if kind == "compressed":
        store.register_compression_callbacks(zlib.compress, zlib.decompress)
    async with store:
        for update in typed():
            await store.write(update)
    decompress = DECOMPRESSIONS["zlib"] if kind == "compressed" else None
    (found,) = read_foreign(path, decompress=decompress)
    assert (found.name, text_of(found.updates), found.lost) == ("notes/today", SENTENCE, ())


async def test_stores_of_ypy_websocket(tmp_path: Path) -> None:
    """Its file store and its SQLite store; it runs on Python 3.12 and older."""
    ystore: Any = pytest.importorskip(
        "ypy_websocket.ystore", reason="ypy-websocket needs Python 3.12 or older"
    )

    class Store(ystore.SQLiteYStore):  # type: ignore[misc]
        db_path = str(tmp_path / "ystore.db")

    database = Store("notes/today")
    running = asyncio.create_task(database.start())
    await asyncio.sleep(0)
    files = ystore.FileYStore(str(tmp_path / "room.y"))
    for update in typed():
        await files.write(update)
        await database.write(update)
    database.stop()
    await asyncio.wait([running])
    for name, path in (("room.y", tmp_path / "room.y"), ("notes/today", tmp_path / "ystore.db")):
        (found,) = read_foreign(path)
        assert (found.name, text_of(found.updates), found.lost) == (name, SENTENCE, ())
