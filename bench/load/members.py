"""Members on picows: connecting, joining, sending at a rate, and what they have heard."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from urllib.parse import urlsplit

import picows

from .wire import STEP_1, STEP_2_KIND, UPDATE_KIND, Envelope, inserted

BOUND_SECONDS = 60
WINDOW = 500  # updates under way when a writer is not paced
WINDOW_BYTES = 500_000  # and no more than this: acknowledgements repeat what they acknowledge
MAX_FRAME_BYTES = 1 << 27

Take = Callable[[bytes], None]


def ignore(frame: bytes) -> None:
    """Takes a frame that does not matter."""


class Member(picows.WSListener):
    """One connection; `take` gets every binary frame, out of its envelope."""

    def __init__(self, take: Take, envelope: Envelope) -> None:
        self.take = take
        self.transport: picows.WSTransport | None = None
        self.ended = False
        self._prefix = envelope.prefix
        self._greeting = envelope.greeting

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport
        for message in self._greeting:
            transport.send(picows.WSMsgType.BINARY, message)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.BINARY:
            self.take(frame.get_payload_as_bytes()[len(self._prefix) :])

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.ended = True

    def send(self, frame: bytes) -> None:
        assert self.transport is not None
        self.transport.send(picows.WSMsgType.BINARY, self._prefix + frame)

    def send_wire(self, frames: bytes) -> None:
        """Writes frames that `on_wire` has made: many at the price of one."""
        assert self.transport is not None
        self.transport.underlying_transport.write(frames)

    def leave(self) -> None:
        assert self.transport is not None
        self.transport.send_close(picows.WSCloseCode.OK)
        self.transport.disconnect()


def on_wire(message: bytes) -> bytes:
    """A whole binary frame of a client's: masked with zeros, which leaves the payload as it is."""
    length = len(message)
    if length < 126:
        return struct.pack("!BBI", 0x82, 0x80 | length, 0) + message
    if length < 1 << 16:
        return struct.pack("!BBHI", 0x82, 0xFE, length, 0) + message
    return struct.pack("!BBQI", 0x82, 0xFF, length, 0) + message


async def connect(
    url: str, take: Take, *, envelope: Envelope | None = None, subprotocol: str = ""
) -> Member:
    """A member whose socket is open; `take` gets every frame."""
    member = Member(take, envelope or Envelope())
    headers = {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else {}
    await picows.ws_connect(
        lambda: member,
        url,
        extra_headers=headers,
        max_frame_size=MAX_FRAME_BYTES,
        read_buffer_init_size=2048,
    )
    return member


async def join(url: str, take: Take = ignore, *, envelope: Envelope | None = None) -> Member:
    """A member that has been sent Step 2; `take` gets every frame after it."""
    member, _ = await join_whole(url, take, envelope=envelope)
    return member


async def join_whole(
    url: str, take: Take = ignore, *, envelope: Envelope | None = None
) -> tuple[Member, bytes]:
    """A member, and the Step 2 that it was sent."""
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def receive(frame: bytes) -> None:
        if frame[:2] == STEP_2_KIND and not answer.done():
            answer.set_result(frame)
            member.take = take

    member = await connect(url, receive, envelope=envelope)
    member.send(STEP_1)
    async with asyncio.timeout(BOUND_SECONDS):
        return member, await answer


class Drain(asyncio.BufferedProtocol):
    """A joined member that reads and forgets: a call for each read, none for each frame. `bytes` is what came."""

    def __init__(self) -> None:
        self.bytes = 0
        self._buffer = bytearray(1 << 18)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.bytes += nbytes


async def drain(url: str, envelope: Envelope) -> Drain:
    """A `Drain` that has joined."""
    upgraded = await asyncio.to_thread(join_silently, url, envelope)
    upgraded.setblocking(False)
    reader = Drain()
    await asyncio.get_running_loop().create_connection(lambda: reader, sock=upgraded)
    return reader


def join_silently(url: str, envelope: Envelope, *, receive_buffer_bytes: int = 0) -> socket.socket:
    """A socket that has joined a room, for those who do not want to know what comes."""
    parts = urlsplit(url)
    connection = socket.socket()
    if receive_buffer_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    connection.connect((parts.hostname, parts.port))
    connection.sendall(
        f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    if b"101" not in connection.recv(16):
        raise RuntimeError("the server refused a reader")
    for message in (*envelope.greeting, envelope.prefix + STEP_1):
        connection.sendall(on_wire(message))
    return connection


class Deliveries:
    """Counts what writers' updates bring to readers, and how long each took. One update has one clock.

    Many readers get the same bytes, and a server may have merged several updates into them: a frame is read once.
    """

    def __init__(self, expected: int) -> None:
        self.count = 0
        self.latencies: list[float] = []
        self.sent_at: dict[int, list[float]] = {}
        self.complete = asyncio.Event()
        self._expected = expected
        self._known: dict[bytes, list[float]] = {}

    def sending(self, client: int) -> None:
        """The next update of `client` is sent now."""
        self.sent_at.setdefault(client, []).append(time.perf_counter())

    def take(self, frame: bytes) -> None:
        times = self._known.get(frame)
        if times is None:
            if frame[:2] != UPDATE_KIND:
                return
            times = self._known[frame] = self._times(frame)
        now = time.perf_counter()
        for sent in times:
            self.latencies.append(now - sent)
        self.count += len(times)
        if self.count >= self._expected:
            self.complete.set()

    def _times(self, frame: bytes) -> list[float]:
        clocks = inserted(frame)
        return [
            self.sent_at[client][clock]
            for client, start, end in clocks
            if client in self.sent_at
            for clock in range(start, end)
        ]


class Progress:
    """How far one writer's updates have come to one reader; a server may have merged some of them."""

    def __init__(self, frames: list[bytes]) -> None:
        self.complete = asyncio.Event()
        self._ends = [inserted(frame)[-1][2] for frame in frames]
        self._client = inserted(frames[-1])[-1][0]
        self.arrived = 0

    def take(self, frame: bytes) -> None:
        if frame[:2] != UPDATE_KIND:
            return
        for client, _, end in inserted(frame):
            if client == self._client:
                self.arrived = bisect_right(self._ends, end)
        if self.arrived == len(self._ends):
            self.complete.set()


async def go() -> None:
    """Says that all is ready, and waits for the word."""
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def pause_until(moment: float) -> None:
    """Returns at `moment` of the performance counter; at once when it is past."""
    early_seconds = moment - time.perf_counter()
    if early_seconds > 0:
        await asyncio.sleep(early_seconds)
