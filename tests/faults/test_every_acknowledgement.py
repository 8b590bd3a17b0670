"""SIGKILL while every kind of client types at once: whatever was acknowledged, in whatever way, is there.

One document, one process, one writer for each way of `docs/topics/durability.md`: y-websocket's echo, Hocuspocus'
SyncStatus, y-sweet's `66`, `POST` and `PATCH` of the HTTP API, y-sweet's `POST`, and both ways of a room's handle.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx
import pytest
import websockets
from pycrdt import Array, Doc

from engineroom.protocols import messages as m
from engineroom.protocols.hocuspocus import HocuspocusDialect
from engineroom.protocols.lib0 import buf, var_string, var_uint
from engineroom.protocols.yjs import YjsDialect

pytestmark = pytest.mark.anyio

KILLS: Final = int(os.environ.get("KILLS", "10"))
CHILD: Final = Path(__file__).with_name("every_acknowledgement_child.py")
NAME: Final = "together"
PATIENCE_SECONDS: Final = 60.0
ENDING: Final = 503
UPDATE_TYPE: Final = {"content-type": "application/octet-stream"}
YJS: Final = YjsDialect()
HOCUSPOCUS: Final = HocuspocusDialect(NAME.encode())

Tell: TypeAlias = Callable[[str], None]
Way: TypeAlias = Callable[[str, str, Tell], Coroutine[Any, Any, None]]


class Words:
    """A document of one writer's own, which makes one update of each word."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._doc: Doc[Any] = Doc()
        self._words = self._doc.get("words", type=Array)
        self._updates: list[bytes] = []
        self._subscription = self._doc.observe(lambda event: self._updates.append(event.update))

    def next(self) -> tuple[str, bytes]:
        """A word, and the update that appends it."""
        word = f"{self._prefix}-{len(self._updates)}"
        self._words.append(word)
        return word, self._updates[-1]


def connected(url: str, path: str) -> websockets.connect:
    """A socket of the server at `url`."""
    return websockets.connect(url.replace("http", "ws", 1) + path, max_size=None)


async def by_echo(url: str, name: str, tell: Tell) -> None:
    """y-websocket: the update comes back."""
    async with connected(url, f"/rooms/{NAME}") as socket:
        words = Words(name)
        while True:
            word, update = words.next()
            frame = YJS.encode(m.SyncUpdate(update))
            assert frame is not None
            await socket.send(frame)
            while await socket.recv() != frame:
                pass
            tell(word)


async def by_sync_status(url: str, name: str, tell: Tell) -> None:
    """Hocuspocus: one SyncStatus 1 for each update, in their order; three updates are ahead of it."""
    key = buf(NAME.encode())
    async with connected(url, "/hocuspocus") as socket:
        await socket.send(key + b"\x02\x00" + var_string("") + var_string("4.8.0"))
        while await socket.recv() != key + b"\x02\x02" + var_string("read-write"):
            pass
        words = Words(name)
        ahead: list[str] = []
        while True:
            while len(ahead) < 3:
                word, update = words.next()
                frame = HOCUSPOCUS.encode(m.SyncUpdate(update))
                assert frame is not None
                await socket.send(frame)
                ahead.append(word)
            if await socket.recv() == key + b"\x08\x01":
                tell(ahead.pop(0))


async def by_version(url: str, name: str, tell: Tell) -> None:
    """y-sweet: the client's version comes back, for all that it sent before."""
    async with connected(url, f"/y-sweet/d/{NAME}/ws/{NAME}") as socket:
        await socket.send(b"\x00\x01" + buf(b"\x00\x00"))
        words = Words(name)
        version = 0
        while True:
            both = words.next(), words.next()
            for _, update in both:
                frame = YJS.encode(m.SyncUpdate(update))
                assert frame is not None
                await socket.send(frame)
            version += 1
            question = b"\x66" + buf(var_uint(version))
            await socket.send(question)
            while await socket.recv() != question:
                pass
            for word, _ in both:
                tell(word)


async def by_post(url: str, name: str, tell: Tell) -> None:
    """The HTTP API takes an update."""
    await _post(f"{url}/api/documents/{NAME}", name, tell)


async def by_ysweet_post(url: str, name: str, tell: Tell) -> None:
    """y-sweet's HTTP surface takes an update."""
    await _post(f"{url}/y-sweet/d/{NAME}/update", name, tell)


async def _post(url: str, name: str, tell: Tell) -> None:
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        words = Words(name)
        while True:
            word, update = words.next()
            answer = await client.post(url, content=update, headers=UPDATE_TYPE)
            if answer.status_code == ENDING:
                return
            assert answer.status_code == 200, answer.text
            tell(word)


async def by_patch(url: str, name: str, tell: Tell) -> None:
    """The HTTP API makes operations; every other request has an idempotency key."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        number = 0
        while True:
            word = f"{name}-{number}"
            operation = {"op": "array.append", "path": ["words"], "values": [word]}
            headers = {"idempotency-key": word} if number % 2 else {}
            answer = await client.patch(
                f"{url}/api/documents/{NAME}", json={"operations": [operation]}, headers=headers
            )
            if answer.status_code == ENDING:
                return
            assert answer.status_code == 200, answer.text
            tell(word)
            number += 1


WAYS: Final[tuple[Way, ...]] = (
    by_echo,
    by_sync_status,
    by_version,
    by_post,
    by_ysweet_post,
    by_patch,
)


async def type_until_cut(way: Way, url: str, name: str, tell: Tell) -> None:
    """One writer, until its server is gone."""
    with contextlib.suppress(websockets.WebSocketException, httpx.TransportError, OSError):
        await way(url, name, tell)


async def launch(data: Path, log: Path, port: int, life: int, store: str) -> tuple[Process, str]:
    """The process, and its URL when it is ready."""
    arguments = [str(data), str(port), NAME, str(life), store]
    with log.open("a") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), *arguments, stdout=PIPE, stderr=errors
        )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        line = await process.stdout.readline()
    assert line, "it did not start; see server.log"
    return process, line.decode().strip()


async def told_inside(process: Process, tell: Tell) -> None:
    """What the process says of its own edits, to its end."""
    assert process.stdout is not None
    while (line := await process.stdout.readline()).endswith(b"\n"):
        tell(line.decode().strip())


async def words_at(url: str) -> set[str]:
    """What is in the document."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        answer = await client.get(f"{url}/y-sweet/d/{NAME}/as-update")
    assert answer.status_code == 200, answer.text
    doc: Doc[Any] = Doc()
    doc.apply_update(answer.content)
    return set(doc.get("words", type=Array).to_py() or [])


async def type_and_end(
    process: Process, url: str, life: int, *, seconds: float, how: signal.Signals, tell: Tell
) -> int:
    """All write, and after `seconds` the process is sent the signal `how`; its exit code."""
    async with asyncio.TaskGroup() as group:
        group.create_task(told_inside(process, tell))
        for way in WAYS:
            group.create_task(type_until_cut(way, url, f"{way.__name__}-{life}", tell))
        await asyncio.sleep(seconds)  # the moment of the end is random; nothing waits for it
        process.send_signal(how)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await process.wait()


@pytest.mark.parametrize("store", ["sqlite", "file"])
async def test_whatever_was_acknowledged_is_there(tmp_path: Path, store: str) -> None:
    """After each of ten kills, and after a SIGTERM under the same load, which exits with 0, the document has every word
    that was acknowledged in any way.
    """
    chance = random.Random(20_261_121)
    acknowledged: set[str] = set()
    data, log = tmp_path / "data", tmp_path / "server.log"
    process, url = await launch(data, log, 0, 0, store)
    port = int(url.rpartition(":")[2])
    for life in range(KILLS + 1):
        how = signal.SIGKILL if life < KILLS else signal.SIGTERM
        seconds = chance.uniform(0.05, 0.6)
        code = await type_and_end(
            process, url, life, seconds=seconds, how=how, tell=acknowledged.add
        )
        assert code == (-how if how is signal.SIGKILL else 0), log.read_text()
        process, url = await launch(data, log, port, life + 1, store)
        missing = acknowledged - await words_at(url)
        assert not missing, f"end {life}: lost {sorted(missing)[:5]}"
    process.kill()
    await process.wait()
    ways = {word.rpartition("-")[0].rpartition("-")[0] for word in acknowledged}
    assert ways == {"edit", "replica", *(way.__name__ for way in WAYS)}
    assert "Traceback" not in log.read_text()
