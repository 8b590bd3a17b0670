"""The corpus of poisonous updates against a real server, among people who type: it stands, and loses nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import websockets
from pycrdt import Doc, Text
from tests.poison.recipes import nested, read
from websockets.asyncio.client import ClientConnection, connect

from engineroom.errors import CloseCode
from engineroom.protocols import messages as m
from engineroom.protocols.lib0 import var_uint
from engineroom.protocols.yjs import YjsDialect
from engineroom.testing.server_process import ServerProcess

pytestmark = pytest.mark.anyio

YJS = YjsDialect()
HONEST, POISON = read()
# More than a room's log holds before it is compacted.
WORDS = "typed by somebody honest. " * 2_000


def frame_of(message: m.ToMember) -> bytes:
    """A message as it is sent."""
    frame = YJS.encode(message)
    assert frame is not None
    return frame


async def until(socket: ClientConnection, wanted: bytes) -> None:
    """Hear what comes until it is this: its own update, come back, is durable."""
    async with asyncio.timeout(60):
        while await socket.recv() != wanted:
            pass


async def say(socket: ClientConnection, update: bytes) -> None:
    """Send an update, and wait until it is durable."""
    frame = frame_of(m.SyncUpdate(update))
    await socket.send(frame)
    await until(socket, frame)


async def throw(url: str, poison: bytes) -> int | None:
    """Send an update that may not be answered, then questions that are; the close code, where the server closes."""
    async with connect(url, max_size=None) as socket, asyncio.timeout(60):
        try:
            await socket.send(frame_of(m.SyncUpdate(poison)))
            for _ in range(2):  # the first may be answered in the turn that closes
                await socket.send(frame_of(m.SyncStep1(b"\x00")))
                while (await socket.recv())[:2] != b"\x00\x01":
                    pass
        except websockets.ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None
    return None


async def text_for_a_newcomer(url: str) -> str:
    """What stands in `typed` for somebody who joins now."""
    doc: Doc[Text] = Doc()
    async with connect(url, max_size=None) as socket, asyncio.timeout(60):
        await socket.send(frame_of(m.SyncStep1(b"\x00")))
        while True:
            message = YJS.decode(bytes(await socket.recv()))
            if isinstance(message, m.SyncStep2):
                doc.apply_update(message.update)
                return str(doc.get("typed", type=Text))


def address_of(name: str) -> str:
    """A poison's room."""
    return "poison/" + "".join(letter if letter.isalnum() else "-" for letter in name)


async def among_typists(server: ServerProcess, name: str) -> None:
    """Somebody types before and after the poison, and is told each time that it is durable."""
    url = server.url("/rooms/" + quote(address_of(name)), scheme="ws")
    doc: Doc[Text] = Doc()
    typed = doc.get("typed", type=Text)
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    await throw(url, HONEST)
    async with connect(url, max_size=None) as socket:
        typed.insert(0, WORDS)
        await say(socket, updates[-1])
        code = await throw(url, POISON[name][1])
        assert code in (None, CloseCode.PROTOCOL_ERROR, CloseCode.LIMIT_EXCEEDED), name
        typed.insert(0, "after ")
        await say(socket, updates[-1])
    assert await text_for_a_newcomer(url) == "after " + WORDS, name


async def as_json(server: ServerProcess, name: str) -> object:
    """The document as JSON over HTTP."""
    path = f"/api/documents/{quote(address_of(name))}?typed=Text"

    def get() -> object:
        with urlopen(server.url(path), timeout=60) as answer:
            return json.load(answer)

    return await asyncio.to_thread(get)


async def test_poison_harms_nobody(tmp_path: Path) -> None:
    """After each, the others' changes are durable, newcomers have them, and so has the server when it comes back."""
    with ServerProcess(None, data=tmp_path / "data", log=tmp_path / "log", token=None) as server:
        for name in POISON:
            await among_typists(server, name)
            assert await as_json(server, name) == {"typed": "after " + WORDS}, name
        pid = server.pid
        assert server.terminate() == 0
        server.launch()
        assert server.pid != pid
        for name in POISON:
            url = server.url("/rooms/" + quote(address_of(name)), scheme="ws")
            assert await text_for_a_newcomer(url) == "after " + WORDS, name


async def test_deep_nesting_does_not_end_the_server(tmp_path: Path) -> None:
    """Types nested as deep as allowed are taken and deleted; deeper ones are refused, by whatever limit is first."""
    delete_root = b"\x00\x01" + var_uint(9) + b"\x01\x00\x01"
    with ServerProcess(None, data=tmp_path / "data", log=tmp_path / "log", token=None) as server:
        url = server.url("/rooms/deep", scheme="ws")
        async with connect(url, max_size=None) as socket:
            await say(socket, nested(500))
            await say(socket, delete_root)
        other = server.url("/rooms/other", scheme="ws")
        assert await throw(other, nested(501)) == CloseCode.PROTOCOL_ERROR
        assert await throw(other, nested(100_001)) == CloseCode.LIMIT_EXCEEDED
        assert await throw(other, nested(2)) is None
