"""The load: many Yjs members in one process of its own, on sockets that cost little.

    python bench/load.py fanout ws://127.0.0.1:8000/rooms/x --readers 100 --rate 200 --count 1000
    python bench/load.py write  ws://127.0.0.1:8000/rooms/x --updates FILE
    python bench/load.py join   ws://127.0.0.1:8000/rooms/x --count 50

Works with every server that speaks the protocol of y-websocket. It prints `ready` when all members
have joined, waits for a line on stdin, so that whoever measures the server can begin there, and
then prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import picows
from pycrdt import Doc, Text

from report import percentile

STEP_1 = b"\x00\x00\x01\x00"  # asks for everything: an empty state vector
SYNC, STEP_2, UPDATE = 0, 1, 2
BOUND_SECONDS = 120
WINDOW = 500  # updates under way when the writer is not paced


def var_uint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_var_uint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def update_frame(update: bytes) -> bytes:
    return b"\x00\x02" + var_uint(len(update)) + update


def clock_of(frame: bytes) -> int:
    """The clock of the first (and only) struct of the update in a sync frame: which of the writer's it is."""
    _, position = read_var_uint(frame, 2)  # the update's length
    _, position = read_var_uint(frame, position)  # how many clients
    _, position = read_var_uint(frame, position)  # how many structs of the first
    _, position = read_var_uint(frame, position)  # the client
    return read_var_uint(frame, position)[0]


def typed(count: int) -> list[bytes]:
    """Frames of one writer who types `count` characters, one an update."""
    return list(map(update_frame, edits((number, "x") for number in range(count))))


def edits(insertions: Iterable[tuple[int, str]]) -> list[bytes]:
    """The update of each insertion (where, what) into an empty text."""
    document: Doc[Text] = Doc()
    text = document.get("text", type=Text)
    updates: list[bytes] = []
    document.observe(lambda event: updates.append(event.update))
    for at, inserted in insertions:
        text.insert(at, inserted)
    return updates


class Member(picows.WSListener):
    """One connection; `take` gets every binary frame."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self.transport: picows.WSTransport | None = None
        self.ended = False

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.BINARY:
            self._take(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.ended = True

    def send(self, frame: bytes) -> None:
        assert self.transport is not None
        self.transport.send(picows.WSMsgType.BINARY, frame)

    def leave(self) -> None:
        assert self.transport is not None
        self.transport.send_close(picows.WSCloseCode.OK)
        self.transport.disconnect()


async def connect(url: str, take: Callable[[bytes], None], *, subprotocol: str = "") -> Member:
    """A member whose socket is open; `take` gets every frame."""
    member = Member(take)
    headers = {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else {}
    await picows.ws_connect(
        lambda: member,
        url,
        extra_headers=headers,
        max_frame_size=1 << 26,
        read_buffer_init_size=4096,
    )
    return member


async def join(url: str, take: Callable[[bytes], None] = lambda frame: None) -> Member:
    """A member that has been sent Step 2; `take` gets every frame after it."""
    synced: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def receive(frame: bytes) -> None:
        if synced.done():
            take(frame)
        elif frame[:2] == b"\x00\x01":
            synced.set_result(None)

    member = await connect(url, receive)
    member.send(STEP_1)
    async with asyncio.timeout(BOUND_SECONDS):
        await synced
    return member


class Deliveries:
    """Counts what one writer's updates bring to many readers, and how long each took."""

    def __init__(self, expected: int) -> None:
        self.count = 0
        self.latencies: list[float] = []
        self.sent_at: list[float] = []
        self.complete = asyncio.Event()
        self._expected = expected
        self._clocks: dict[bytes, int] = {}

    def take(self, frame: bytes) -> None:
        clock = self._clocks.get(frame)
        if clock is None:
            if frame[:2] != b"\x00\x02":
                return
            clock = self._clocks[frame] = clock_of(frame)
        self.latencies.append(time.perf_counter() - self.sent_at[clock])
        self.count += 1
        if self.count == self._expected:
            self.complete.set()


async def go() -> None:
    """Says that all is ready, and waits for the word."""
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def send_paced(writer: Member, frames: list[bytes], rate: float, seen: Deliveries) -> None:
    """Sends `rate` frames a second, evenly; what is late is sent at once."""
    started = time.perf_counter()
    for number, frame in enumerate(frames):
        early_seconds = started + number / rate - time.perf_counter()
        if early_seconds > 0:
            await asyncio.sleep(early_seconds)
        seen.sent_at.append(time.perf_counter())
        writer.send(frame)


async def send_all(writer: Member, frames: list[bytes], seen: Deliveries, readers: int) -> None:
    """Sends as fast as the readers are served, with `WINDOW` updates under way."""
    for number, frame in enumerate(frames):
        while number - seen.count / readers > WINDOW:  # noqa: ASYNC110
            await asyncio.sleep(0)  # an event for every frame would cost more than it tells
        seen.sent_at.append(time.perf_counter())
        writer.send(frame)
        if number % 50 == 49:
            await asyncio.sleep(0)


async def fanout(url: str, readers: int, rate: float, count: int) -> dict[str, float]:
    """One writer, many readers; `rate` 0 is as fast as it goes."""
    seen = Deliveries(readers * count)
    frames = typed(count)
    writer = await join(url)
    members = [await join(url, seen.take) for _ in range(readers)]
    await go()
    started = time.perf_counter()
    async with asyncio.timeout(BOUND_SECONDS):
        if rate:
            await send_paced(writer, frames, rate, seen)
        else:
            await send_all(writer, frames, seen, readers)
        await seen.complete.wait()
    seconds = time.perf_counter() - started
    assert not any(member.ended for member in members), "a reader was disconnected"
    return {
        "deliveries": seen.count,
        "seconds": seconds,
        "p50_ms": percentile(seen.latencies, 0.5) * 1e3,
        "p99_ms": percentile(seen.latencies, 0.99) * 1e3,
    }


def read_updates(path: Path) -> Iterator[bytes]:
    """The updates in a file of length-prefixed ones."""
    data = path.read_bytes()
    position = 0
    while position < len(data):
        length, position = read_var_uint(data, position)
        yield data[position : position + length]
        position += length


async def write(url: str, updates: Path) -> dict[str, float]:
    """One writer sends the updates, one reader receives them all."""
    frames = [update_frame(update) for update in read_updates(updates)]
    seen = Deliveries(len(frames))
    arrived = 0
    complete = asyncio.Event()

    def count(frame: bytes) -> None:
        nonlocal arrived
        arrived += frame[:2] == b"\x00\x02"
        seen.count = arrived
        if arrived == len(frames):
            complete.set()

    writer = await join(url)
    await join(url, count)
    await go()
    started = time.perf_counter()
    async with asyncio.timeout(BOUND_SECONDS):
        await send_all(writer, frames, seen, 1)
        await complete.wait()
    return {"updates": len(frames), "seconds": time.perf_counter() - started}


async def joins(url: str, count: int) -> dict[str, float]:
    """Newcomers, one after the other: from the connection to the whole document."""
    seconds: list[float] = []
    characters = 0
    await go()
    for _ in range(count):
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def receive(frame: bytes, answer: asyncio.Future[bytes] = answer) -> None:
            if frame[:2] == b"\x00\x01" and not answer.done():
                answer.set_result(frame)

        started = time.perf_counter()
        member = await connect(url, receive)
        member.send(STEP_1)
        async with asyncio.timeout(BOUND_SECONDS):
            frame = await answer
        seconds.append(time.perf_counter() - started)
        characters = characters_in(frame)
        member.leave()
    return {
        "characters": characters,
        "p50_ms": percentile(seconds, 0.5) * 1e3,
        "p99_ms": percentile(seconds, 0.99) * 1e3,
    }


def characters_in(frame: bytes) -> int:
    """How long the text is that Step 2 brings."""
    length, position = read_var_uint(frame, 2)
    document: Doc[Text] = Doc()
    document.apply_update(frame[position : position + length])
    return len(str(document.get("text", type=Text)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=["fanout", "write", "join"])
    parser.add_argument("url")
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200, help="updates a second; 0: unpaced")
    parser.add_argument("--count", type=int, default=1000, help="updates, or joins")
    parser.add_argument("--updates", type=Path, help="a file of length-prefixed updates")
    asked = parser.parse_args()
    match asked.scenario:
        case "fanout":
            result = asyncio.run(fanout(asked.url, asked.readers, asked.rate, asked.count))
        case "write":
            result = asyncio.run(write(asked.url, asked.updates))
        case _:
            result = asyncio.run(joins(asked.url, asked.count))
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
