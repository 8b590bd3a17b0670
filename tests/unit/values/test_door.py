"""The door through which programs reach a room's values."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engineroom.protocols import lines
from engineroom.protocols.messages import Value, ValueKind
from engineroom.rooms.programs import ProgramAsked, ProgramGone
from engineroom.values import door as module
from engineroom.values.door import Door

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 30


def number(value: int) -> Value:
    """A JSON value."""
    return Value(ValueKind.JSON, str(value).encode())


class House:
    """A door, and what came through it."""

    def __init__(self) -> None:
        self.door = Door(self._emit, max_connections=4)
        self.came: list[Any] = []
        self._new = asyncio.Event()
        self.sockets: list[socket.socket] = []

    def _emit(self, event: Any) -> None:
        self.came.append(event)
        self._new.set()

    async def wait(self, count: int) -> list[Any]:
        """All that came, once there are so many."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.came) < count:
                self._new.clear()
                await self._new.wait()
        return self.came

    def connect(self) -> socket.socket:
        """A program's end."""
        end = self.door.connect()
        end.setblocking(False)
        self.sockets.append(end)
        return end

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Two ends that are closed after the test."""
        ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
        self.sockets += ends
        return ends


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A door that is closed after the test."""
    house = House()
    yield house
    house.door.close()
    for end in house.sockets:
        end.close()


async def read_line(end: socket.socket) -> Any:
    """The next line that a program reads."""
    loop = asyncio.get_running_loop()
    line = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not line.endswith(b"\n"):
            data = await loop.sock_recv(end, 1)
            assert data, "the connection has been closed"
            line += data
    return json.loads(line)


async def read_to_end(end: socket.socket) -> bytes:
    """All that a program reads until it is cut off."""
    loop = asyncio.get_running_loop()
    data = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while part := await loop.sock_recv(end, 65536):
            data += part
    return data


async def test_requests_in_order(house: House) -> None:
    """Requests arrive in their order, whatever parts they come in, numbered by connection."""
    first, second = house.connect(), house.connect()
    first.send(b'{"get": "/a"}\n{"set": "/b", "va')
    await house.wait(1)
    second.send(b'{"watch": "/c"}\n')
    await house.wait(2)
    first.send(b'lue": 4, "id": 7}\n')
    assert await house.wait(3) == [
        ProgramAsked(1, lines.Get("/a")),
        ProgramAsked(2, lines.Watch("/c")),
        ProgramAsked(1, lines.Set("/b", number(4), 7)),
    ]


async def test_answers(house: House) -> None:
    """An answer goes to its own connection alone."""
    first, second = house.connect(), house.connect()
    house.door.answer(2, lines.ValueIs("/a", number(3)))
    assert await read_line(second) == {"address": "/a", "value": 3}
    house.door.answer(99, lines.Ok(1))
    with pytest.raises(BlockingIOError):
        first.recv(1)


async def test_mistakes(house: House) -> None:
    """A mistake is answered and harms nothing."""
    end = house.connect()
    end.send(b'nonsense\n{"get": 5, "id": 1}\n\xff\n\n{"get": "/a"}\n')
    assert await house.wait(1) == [ProgramAsked(1, lines.Get("/a"))]
    assert "error" in await read_line(end)
    assert (await read_line(end))["id"] == 1
    assert "error" in await read_line(end)


async def test_gone(house: House) -> None:
    """The end of a connection is told, once, if it had asked anything."""
    silent, end = house.connect(), house.connect()
    end.send(b'{"get": "/a"}\n')
    await house.wait(1)
    silent.close()
    end.close()
    assert await house.wait(2) == [ProgramAsked(2, lines.Get("/a")), ProgramGone(2)]
    house.door.answer(2, lines.Ok(1))
    assert len(house.door) == 0


async def test_last_words(house: House) -> None:
    """What a program wrote before it ended is heard, also when it reads no more answers."""
    end = house.connect()
    end.send(b'{"get": "/a"}\n{"get": "/b"}\n')
    end.close()
    house.door.answer(1, lines.Ok(1))
    assert await house.wait(3) == [
        ProgramAsked(1, lines.Get("/a")),
        ProgramAsked(1, lines.Get("/b")),
        ProgramGone(1),
    ]


async def test_further_connections(house: House) -> None:
    """A socket that is sent through a connection is a connection of its own."""
    end = house.connect()
    ours, theirs = house.pair()
    socket.send_fds(end, [b"\n"], [theirs.fileno()])
    theirs.close()
    ours.send(b'{"get": "/a"}\n')
    await house.wait(1)
    house.door.answer(2, lines.Ok(5))
    assert await read_line(ours) == {"ok": True, "id": 5}
    ours.close()
    assert await house.wait(2) == [ProgramAsked(2, lines.Get("/a")), ProgramGone(2)]
    end.send(b'{"get": "/still"}\n')
    await house.wait(3)


def wait_for_descriptors(count: int) -> None:
    """Return when this process has so many: a thread closes those of no use."""
    end = time.monotonic() + PATIENCE_SECONDS
    while len(os.listdir("/proc/self/fd")) != count:
        assert time.monotonic() < end
        time.sleep(0.001)


async def test_only_sockets_of_the_right_kind(house: House, tmp_path: Path) -> None:
    """Files, pipes, datagram and network sockets are closed and do nothing."""
    end = house.connect()
    before = len(os.listdir("/proc/self/fd"))
    with (
        (tmp_path / "file").open("w") as file,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as network,
    ):
        socket.send_fds(end, [b"\n"], [file.fileno(), datagrams.fileno(), network.fileno(), 0])
        end.send(b'{"get": "/a"}\n')
        await house.wait(1)
    assert len(house.door) == 1
    await asyncio.to_thread(wait_for_descriptors, before)


async def test_connections_are_bounded(house: House) -> None:
    """Past the bound, sockets that are sent are closed; the programs that the room starts are always let in."""
    end = house.connect()
    ends = []
    for _ in range(6):
        ours, theirs = house.pair()
        socket.send_fds(end, [b"\n"], [theirs.fileno()])
        theirs.close()
        ends.append(ours)
    assert await read_to_end(ends[3]) == b""
    assert await read_to_end(ends[5]) == b""
    assert len(house.door) == 4
    house.connect()
    assert len(house.door) == 5


async def test_line_that_is_too_long(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line past the bound is answered by one error and skipped; the next one counts."""
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 100_000)
    end = house.connect()
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(end, b"x" * 1_000_000 + b'\n{"get": "/a"}\n')
    assert await house.wait(1) == [ProgramAsked(1, lines.Get("/a"))]
    assert await read_line(end) == {"error": "the line has more than 100000 bytes"}
    with pytest.raises(BlockingIOError):
        end.recv(1)


async def test_slow_reader_gets_the_latest(house: House) -> None:
    """For a program that does not read, only the latest of each value waits, and every answer."""
    end = house.connect()
    for n in range(100_000):
        house.door.answer(1, lines.ValueIs("/a", number(n)))
        if n % 1000 == 0:
            house.door.answer(1, lines.Ok(n))
    house.door.answer(1, lines.ValueIs("/b", number(1)))
    values, answers, others = [], [], []
    while not others:
        line = await read_line(end)
        if "ok" in line:
            answers.append(line["id"])
        else:
            (values if line["address"] == "/a" else others).append(line["value"])
    assert values == sorted(values)
    assert values[-1] == 99_999
    assert len(values) < 50_000
    assert answers == list(range(0, 100_000, 1000))


async def test_program_that_never_reads(house: House) -> None:
    """A program that asks without reading its answers is cut off in the end, and told gone."""
    end = house.connect()
    end.send(b'{"get": "/a"}\n')
    await house.wait(1)
    for n in range(20_000):
        house.door.answer(1, lines.Ok(n))
    assert (await house.wait(2))[1] == ProgramGone(1)
    assert await read_to_end(end)
    assert len(house.door) == 0


async def test_answers_sent_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that sends both ends of a pair makes the room hear its own answers, but no endless conversation."""
    read: list[bytes] = []
    decode = lines.decode_request

    def count(line: bytes) -> lines.FromProgram:
        read.append(line)
        return decode(line)

    monkeypatch.setattr(lines, "decode_request", count)
    end = house.connect()
    one, other = house.pair()
    one.send(b"nonsense\n")
    socket.send_fds(end, [b"\n"], [one.fileno(), other.fileno()])
    for _ in range(1000):
        await asyncio.sleep(0)
    assert len(house.door) == 3
    assert read == [b"nonsense"]


async def test_program_cannot_block_the_room(house: House) -> None:
    """A program that makes the shared socket blocking does not make the room wait."""
    end = house.connect()
    ours, theirs = house.pair()
    socket.send_fds(end, [b"\n"], [theirs.fileno()])
    ours.send(b'{"get": "/a"}\n')
    await house.wait(1)
    theirs.setblocking(True)
    for n in range(3_000):
        house.door.answer(2, lines.ValueIs(f"/{n % 100}", Value(ValueKind.BYTES, b"x" * 1000)))
    end.send(b'{"get": "/b"}\n')
    await house.wait(2)


async def test_closed(house: House) -> None:
    """A closed door has cut everybody off without a word, and may be closed again."""
    end = house.connect()
    end.send(b'{"get": "/a"}\n')
    await house.wait(1)
    house.door.close()
    house.door.close()
    house.door.answer(1, lines.Ok(1))
    assert await read_to_end(end) == b""
    assert len(house.came) == 1


async def test_descriptor_that_blocks_when_closed(house: House) -> None:
    """A TCP socket whose close waits for its reader holds up neither the door nor its programs."""
    program = house.connect()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        reader, _ = listener.accept()
    with reader:
        sender.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                sender.send(b"x" * 65536)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
        socket.send_fds(program, [b"\n"], [sender.fileno()])
        sender.close()  # not the last one: the door's is on its way
        program.send(b'{"get":"/speed"}\n')
        assert isinstance((await house.wait(1))[0], ProgramAsked)
