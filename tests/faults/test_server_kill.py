"""SIGKILL of the whole server at random moments while clients type: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from pathlib import Path
from typing import Any

import pytest
import websockets
from pycrdt import Array, Doc

from engineroom.protocols import messages as m
from engineroom.protocols.yjs import YjsDialect
from engineroom.rooms.document import EMPTY_STATE_VECTOR
from engineroom.testing.server_process import ServerProcess

pytestmark = pytest.mark.anyio

KILLS = int(os.environ.get("KILLS", "50"))  # by hand: KILLS=1000
WRITERS = 3
IN_FLIGHT = 10  # updates that a writer sends ahead of their acknowledgements
ROOMS = ("notes/one", "notes/two")
YJS = YjsDialect()


class Writer:
    """Types numbered words into a room for as long as the server lives, and remembers which came back."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.acknowledged: set[str] = set()
        self._typed = 0

    async def type_until_cut(self, url: str, stop: asyncio.Event) -> None:
        """One connection, until it is cut; updates are in flight when it is."""
        doc: Doc[Any] = Doc()
        updates: list[bytes] = []
        subscription = doc.observe(lambda event: updates.append(event.update))
        words = doc.get("words", type=Array)
        waiting: dict[bytes, str] = {}
        with contextlib.suppress(websockets.WebSocketException, OSError):
            async with websockets.connect(url, open_timeout=30, max_size=None) as socket:
                while not stop.is_set():
                    word = f"{self.name}-{self._typed}"
                    self._typed += 1
                    words.append(word)
                    waiting[updates[-1]] = word
                    await socket.send(_frame(updates[-1]))
                    while len(waiting) > IN_FLIGHT:
                        await self._hear(socket, waiting)
                while waiting:
                    await self._hear(socket, waiting)
        doc.unobserve(subscription)

    async def _hear(self, socket: websockets.ClientConnection, waiting: dict[bytes, str]) -> None:
        frame = await socket.recv()
        assert isinstance(frame, bytes)
        message = YJS.decode(frame)
        if isinstance(message, m.SyncUpdate) and message.update in waiting:
            self.acknowledged.add(waiting.pop(message.update))


def _frame(update: bytes) -> bytes:
    frame = YJS.encode(m.SyncUpdate(update))
    assert frame is not None
    return frame


async def words_of(url: str) -> set[str]:
    """What a newcomer gets."""
    async with websockets.connect(url, open_timeout=30, max_size=None) as socket:
        question = YJS.encode(m.SyncStep1(EMPTY_STATE_VECTOR))
        assert question is not None
        await socket.send(question)
        async with asyncio.timeout(30):
            while True:
                frame = await socket.recv()
                assert isinstance(frame, bytes)
                message = YJS.decode(frame)
                if isinstance(message, m.SyncStep2):
                    doc: Doc[Any] = Doc()
                    doc.apply_update(message.update)
                    return set(doc.get("words", type=Array).to_py() or [])


async def test_no_acknowledged_update_is_lost(tmp_path: Path) -> None:
    """Fifty times the server is killed while writers type; every word that came back to its writer is still there."""
    chance = random.Random(20_261_120)
    server = ServerProcess(None, data=tmp_path / "data", log=tmp_path / "server.log", token=None)
    writers = {room: [Writer(f"{room}-{i}") for i in range(WRITERS)] for room in ROOMS}
    with server:
        for round_ in range(KILLS):
            await _type_and_kill(server, writers, chance.uniform(0.005, 0.25))
            server.launch()
            for room in ROOMS:
                there = await words_of(server.url(f"/rooms/{room}", scheme="ws"))
                wanted = set().union(*(writer.acknowledged for writer in writers[room]))
                assert wanted <= there, f"round {round_}: lost {sorted(wanted - there)[:5]}"
    total = sum(len(writer.acknowledged) for each in writers.values() for writer in each)
    assert total > KILLS, "hardly anything was acknowledged: the test shows nothing"


async def _type_and_kill(
    server: ServerProcess, writers: dict[str, list[Writer]], seconds: float
) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for room, of_room in writers.items():
            url = server.url(f"/rooms/{room}", scheme="ws")
            for writer in of_room:
                group.create_task(writer.type_until_cut(url, stop))
        await asyncio.sleep(seconds)  # the moment of the kill is random; nothing waits for it
        server.kill()
        stop.set()
