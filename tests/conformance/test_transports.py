"""Both transports, picows and ASGI, on real sockets: what a client may rely on is the same on both.

The rooms behind them are a small fake, so that each test can make its room refuse, hang, flood or
close.
"""

import asyncio
import base64
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from engineroom.errors import AccessDenied, LimitExceeded, StoreError
from engineroom.protocols.frames import Bundle
from engineroom.protocols.messages import Dialect
from engineroom.rooms.address import Address
from engineroom.rooms.members import Access as RoomAccess
from engineroom.rooms.members import User
from engineroom.rooms.open_room import Connection
from engineroom.server.access import Access
from engineroom.server.asgi_sockets import AsgiSockets
from engineroom.server.checks import Checks
from engineroom.server.connection import SocketLimits
from engineroom.server.doorway import Doorway
from engineroom.server.gate import Gate
from engineroom.server.hosts import HostRules
from engineroom.server.http_protocol import PromptHttpProtocol
from engineroom.server.picows_sockets import PicowsSocket
from engineroom.server.secret_files import Secrets
from engineroom.server.stays import Stays

pytestmark = pytest.mark.anyio

TOKEN = "t0ken"
PATIENCE_SECONDS = 10.0
LIMITS = SocketLimits(
    frame_bytes=64 << 10,
    write_high_bytes=32 << 10,
    write_low_bytes=8 << 10,
    handshake_timeout_seconds=0.5,
    close_timeout_seconds=1.0,
)


# --- the fake rooms --------------------------------------------------------------------------


@dataclass(eq=False)
class FakeMember:
    """A member that echoes, and does what a few words ask of it."""

    connection: Connection
    user: User
    access: RoomAccess
    dialect: Dialect
    received: list[bytes] = field(default_factory=list)
    is_paused: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    left: int = 0
    flood_frames: int = 0

    def receive(self, frame: bytes) -> None:
        self.received.append(frame)
        if frame == b"flood":
            self._flood()
        elif frame.startswith(b"close "):
            self.connection.send(Bundle((b"last words",)))
            self.connection.close(int(frame[6:]), "as you wish")
        elif frame == b"fail":
            raise RuntimeError("the room failed")
        else:
            self.connection.send(Bundle((frame,)))

    def _flood(self) -> None:
        while not self.is_paused.is_set() and self.flood_frames < 10_000:
            self.connection.send(Bundle((b"f" * 4096,) * 4))
            self.flood_frames += 4

    def paused(self) -> None:
        self.is_paused.set()

    def resumed(self) -> None:
        self.is_paused.clear()
        self.connection.send(Bundle((b"caught up",)))

    def leave(self) -> None:
        self.left += 1
        self.gone.set()


class FakeRooms:
    """Rooms whose names say what becomes of a join."""

    def __init__(self) -> None:
        self.members: list[FakeMember] = []
        self.cancelled = asyncio.Event()
        self.awaited = asyncio.Event()
        self.opened = asyncio.Event()

    async def join(
        self,
        address: Address,
        connection: Connection,
        *,
        user: User,
        access: RoomAccess,
        dialect: Dialect,
        source: str = "",
    ) -> FakeMember:
        match address.room:
            case "missing":
                raise AccessDenied("there is no such page", 404)
            case "full":
                raise LimitExceeded("members", 1)
            case "broken":
                raise StoreError("the disk is gone")
            case "hangs":
                try:
                    await asyncio.Event().wait()
                finally:
                    self.cancelled.set()
            case "slow":
                self.awaited.set()
                await self.opened.wait()
            case "fails":
                raise RuntimeError("a bug")
            case "greets":
                connection.send(Bundle((b"hello", b"how are you")))
                await asyncio.sleep(0)
                connection.send(Bundle((b"well?",)))
            case "bounces":
                connection.send(Bundle((b"hello",)))
                connection.close(4410, "closed at once")
        member = FakeMember(connection, user, access, dialect)
        self.members.append(member)
        return member

    @property
    def last(self) -> FakeMember:
        return self.members[-1]


# --- the servers -----------------------------------------------------------------------------


@dataclass
class Served:
    """A server that runs in this test's event loop."""

    port: int
    rooms: FakeRooms
    access: Access
    server: uvicorn.Server

    def url(self, path: str = "/rooms/notes") -> str:
        return f"ws://127.0.0.1:{self.port}{path}?token={TOKEN}"

    def connect(self, path: str = "/rooms/notes", **options: Any) -> connect:
        return connect(self.url(path), compression=None, **options)


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts servers, and ends them after the test."""
    running: list[tuple[uvicorn.Server, list[socket.socket]]] = []

    async def start(transport: str, limits: SocketLimits = LIMITS) -> Served:
        listener = socket.create_server(("127.0.0.1", 0))
        rooms = FakeRooms()
        access = Access(Secrets(TOKEN, b"k" * 32))
        rules = HostRules("127.0.0.1", listener.getsockname()[1])
        checks = Checks(rules, access, "engineroom")
        gate = Gate(checks, rooms, Stays(access), documents_anywhere=False)
        server = await _start(transport, gate, limits, listener)
        running.append((server, [listener]))
        return Served(rules.port, rooms, access, server)

    yield start
    for server, sockets in running:
        await server.shutdown(sockets)


TRANSPORTS = ["picows", "asgi"]


@pytest.fixture(params=TRANSPORTS)
async def served(request: pytest.FixtureRequest, serve: Serve) -> Served:
    """One server with this suite's limits, over each of the transports."""
    return await serve(request.param)


async def _start(
    transport: str, gate: Gate, limits: SocketLimits, listener: socket.socket
) -> uvicorn.Server:
    sockets = AsgiSockets(gate, limits)

    async def application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["doorway"] = Doorway(gate, limits)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await sockets(scope, receive, send)

    config = uvicorn.Config(
        application,
        lifespan="on",
        http=PromptHttpProtocol,
        ws=PicowsSocket if transport == "picows" else "websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=limits.ping_idle_seconds,
        ws_ping_timeout=limits.ping_reply_seconds,
        log_config=None,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    return server


# --- raw sockets -----------------------------------------------------------------------------


class RawClient:
    """A client that sends what it is told, right or wrong."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.was_reset = False

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    def at_eof(self) -> bool:
        return self._reader.at_eof()

    def write_frame(self, first_byte: int, payload: bytes, *, masked: bool = True) -> None:
        """One frame with this first byte (FIN, reserved bits, opcode)."""
        header = bytes([first_byte])
        size = len(payload)
        bit = 0x80 if masked else 0
        if size < 126:
            header += bytes([bit | size])
        elif size < 65536:
            header += bytes([bit | 126]) + struct.pack("!H", size)
        else:
            header += bytes([bit | 127]) + struct.pack("!Q", size)
        # A mask of zeros leaves the payload as it is.
        self._writer.write(header + (bytes(4) if masked else b"") + payload)

    async def read_frame(self) -> tuple[int, bytes]:
        """The opcode and the payload of the next frame."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            first, second = await self._reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", await self._reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
            return first & 0x0F, await self._reader.readexactly(size)

    async def read_close_code(self) -> int:
        """The code of the close frame, which is to come after data frames at most."""
        while True:
            opcode, payload = await self.read_frame()
            if opcode == 8:
                return int(struct.unpack("!H", payload[:2])[0])

    async def read_head(self) -> bytes:
        """The head of an HTTP response."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def read_to_end(self) -> bytes:
        """All that comes before the server hangs up."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self._reader.read()
            except ConnectionError:
                self.was_reset = True
                return b""


@asynccontextmanager
async def raw(served: Served) -> AsyncIterator[RawClient]:
    """A TCP connection to the server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            pass


def upgrade_lines(served: Served, path: str = "/rooms/notes") -> list[str]:
    """A proper handshake, as lines."""
    return [
        f"GET {path}?token={TOKEN} HTTP/1.1",
        f"Host: 127.0.0.1:{served.port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
    ]


def request_bytes(lines: list[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def raw_socket(served: Served) -> AsyncIterator[RawClient]:
    """A raw client whose handshake is done."""
    async with raw(served) as client:
        client.write(request_bytes(upgrade_lines(served)))
        assert (await client.read_head()).startswith(b"HTTP/1.1 101 ")
        yield client


async def receive(client: ClientConnection) -> bytes:
    """The next message, soon."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        message = await client.recv()
    assert isinstance(message, bytes)
    return message


async def closed(client: ClientConnection) -> tuple[int | None, str | None]:
    """The code and the reason with which the server closed."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await client.wait_closed()
    return client.close_code, client.close_reason


async def happens(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await event.wait()


# --- handshakes ------------------------------------------------------------------------------


async def refused_status(url: str, **options: Any) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(url, compression=None, **options):
            pass
    assert refusal.value.response.body
    return refusal.value.response.status_code


async def test_no_token_is_401(served: Served) -> None:
    """Without a token a handshake is answered 401, and no room hears of it."""
    url = f"ws://127.0.0.1:{served.port}/rooms/notes"
    assert await refused_status(url) == 401
    assert await refused_status(url + "?token=wrong") == 401
    assert served.rooms.members == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/rooms/missing", 404),
        ("/elsewhere", 404),
        ("/rooms/a/../b", 404),
        ("/rooms/%ff", 404),
        ("/rooms/full", 503),
        ("/rooms/broken", 503),
    ],
)
async def test_refused_join_is_a_status(served: Served, path: str, status: int) -> None:
    """What a room refuses is answered with a plain HTTP status before the handshake."""
    assert await refused_status(served.url(path)) == status


async def test_share_token_opens_its_room_alone(served: Served) -> None:
    """A share token lets its holder into one room with its rights, and into no other."""
    token = served.access.share(Address.parse("write@abc"), frozenset({"read"}))
    base = f"ws://127.0.0.1:{served.port}/rooms/"
    async with connect(base + f"write@abc?token={token}"):
        assert served.rooms.last.access == RoomAccess(read=True, write=False, run=False)
    assert await refused_status(base + f"write@other?token={token}") == 403


async def test_foreign_host_is_421(served: Served) -> None:
    """A handshake for another host's name is answered 421, even with the token."""
    async with raw(served) as client:
        lines = upgrade_lines(served)
        lines[1] = "Host: evil.example"
        client.write(request_bytes(lines))
        assert (await client.read_head()).startswith(b"HTTP/1.1 421 ")


async def test_foreign_origin_with_cookie_is_403(served: Served) -> None:
    """A page of another site cannot use the visitor's cookie; a page of ours can."""
    holder = served.access.from_token(TOKEN)
    assert holder is not None
    cookie = served.access.cookie_for(holder, now=2e9)
    url = f"ws://127.0.0.1:{served.port}/rooms/notes"
    headers = {"Cookie": f"engineroom={cookie}"}
    foreign = "http://127.0.0.1:1"
    assert await refused_status(url, additional_headers=headers, origin=foreign) == 403
    own = f"http://127.0.0.1:{served.port}"
    async with connect(url, additional_headers=headers, origin=own):  # type: ignore[arg-type]
        assert served.rooms.last.user == User(holder.user)


async def test_subprotocol_is_echoed_and_chooses_the_dialect(served: Served) -> None:
    """`engineroom.v1` is answered where it is offered, and nothing else ever is."""
    offered = [Subprotocol("other"), Subprotocol("engineroom.v1")]
    async with served.connect(subprotocols=offered) as client:
        assert client.subprotocol == "engineroom.v1"
        assert served.rooms.last.dialect.name == "page"
    async with served.connect(subprotocols=[Subprotocol("other")]) as client:
        assert client.subprotocol is None
        assert served.rooms.last.dialect.name == "yjs"


async def test_firefox_handshake(served: Served) -> None:
    """`Connection: keep-alive, Upgrade` is an upgrade, as Firefox sends it."""
    async with raw(served) as client:
        lines = upgrade_lines(served)
        lines[3] = "Connection: keep-alive, Upgrade"
        client.write(request_bytes(lines))
        assert (await client.read_head()).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("line", "text"),
    [(4, "Sec-WebSocket-Version: 8"), (5, "Sec-WebSocket-Key: short"), (5, "X-Nothing: 1")],
)
async def test_bad_handshake_is_a_4xx(served: Served, line: int, text: str) -> None:
    """A handshake that is none is answered with a client error."""
    async with raw(served) as client:
        lines = upgrade_lines(served)
        lines[line] = text
        client.write(request_bytes(lines))
        assert (await client.read_head()).startswith(b"HTTP/1.1 4")


async def test_a_gate_that_hangs_is_503(served: Served) -> None:
    """A room that does not open in time is answered 503, and its join is cancelled."""
    assert await refused_status(served.url("/rooms/hangs")) == 503
    await happens(served.rooms.cancelled)


@pytest.mark.parametrize("sent_bytes", [0, 1, 60])
async def test_half_a_handshake_is_given_up(served: Served, sent_bytes: int) -> None:
    """A client that stops in the middle of its request is hung up on."""
    async with raw(served) as client:
        client.write(request_bytes(upgrade_lines(served))[:sent_bytes])
        assert await client.read_to_end() == b""


async def test_endless_headers_are_given_up(served: Served) -> None:
    """A client whose headers do not end is hung up on before they take memory."""
    async with raw(served) as client:
        client.write(b"GET / HTTP/1.1\r\n")
        sent_bytes = 0
        with suppress(ConnectionError):
            while sent_bytes < 16 << 20 and not client.at_eof():
                client.write(b"X-Header: " + b"x" * 8182 + b"\r\n")
                await client.drain()
                sent_bytes += 8194
        assert sent_bytes < 16 << 20


async def test_a_gate_that_fails_is_500(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """A failure of ours is answered 500, and logged."""
    assert await refused_status(served.url("/rooms/fails")) == 500
    assert "a bug" in caplog.text


async def test_no_software_is_named(served: Served) -> None:
    """The answer to a handshake does not say which software gave it."""
    async with raw(served) as client:
        client.write(request_bytes(upgrade_lines(served)))
        assert b"server:" not in (await client.read_head()).lower()


# --- messages --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
async def test_messages_of_every_length_form(served: Served, size: int) -> None:
    """A message reaches the room and comes back as it was, whatever form its length has."""
    message = os.urandom(size)
    async with served.connect() as client:
        await client.send(message)
        assert await receive(client) == message


async def test_what_the_room_says_first_is_heard_first(served: Served) -> None:
    """What a room sends while it is being joined arrives after the handshake, in order."""
    async with served.connect("/rooms/greets") as client:
        heard = [await receive(client) for _ in range(3)]
    assert heard == [b"hello", b"how are you", b"well?"]


async def test_what_comes_before_the_answer_waits(serve: Serve) -> None:
    """Frames that a hasty client sends before its handshake is answered are read after it."""
    served = await serve("picows")
    async with raw(served) as client:
        client.write(request_bytes(upgrade_lines(served, "/rooms/slow")))
        await happens(served.rooms.awaited)
        client.write_frame(0x82, b"hasty")
        await client.drain()
        for _ in range(10):
            await asyncio.sleep(0)
        served.rooms.opened.set()
        assert (await client.read_head()).startswith(b"HTTP/1.1 101 ")
        assert await client.read_frame() == (2, b"hasty")


async def test_fragments_are_assembled(served: Served) -> None:
    """A fragmented message reaches the room whole, also with a ping between its fragments."""
    async with raw_socket(served) as client:
        client.write_frame(0x02, b"one ")
        client.write_frame(0x00, b"two ")
        client.write_frame(0x89, b"still there?")
        client.write_frame(0x80, b"three")
        assert await client.read_frame() == (10, b"still there?")
        assert await client.read_frame() == (2, b"one two three")
    assert served.rooms.last.received == [b"one two three"]


async def test_one_byte_at_a_time(served: Served) -> None:
    """A handshake and a message may arrive in any pieces."""
    async with raw(served) as client:
        for byte in request_bytes(upgrade_lines(served)):
            client.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.read_head()).startswith(b"HTTP/1.1 101 ")
        for byte in b"\x82\x84\0\0\0\0four":
            client.write(bytes([byte]))
            await asyncio.sleep(0)
        assert await client.read_frame() == (2, b"four")


async def test_ping_is_answered(served: Served) -> None:
    """A ping comes back as a pong with the same payload."""
    async with served.connect() as client, asyncio.timeout(PATIENCE_SECONDS):
        await (await client.ping(b"are you there"))


# --- endings ---------------------------------------------------------------------------------


async def test_room_closes_with_its_code(served: Served) -> None:
    """What a room sends before it closes arrives, then its code and reason."""
    async with served.connect() as client:
        await client.send(b"close 4410")
        assert await receive(client) == b"last words"
        assert await closed(client) == (4410, "as you wish")
    await happens(served.rooms.last.gone)


async def test_room_closes_while_it_is_joined(served: Served) -> None:
    """A room that closes a connection before the handshake is answered closes it right after."""
    async with served.connect("/rooms/bounces") as client:
        assert await receive(client) == b"hello"
        assert await closed(client) == (4410, "closed at once")


@pytest.mark.parametrize("code", [1000, 1001, 4000])
async def test_client_closes(served: Served, code: int) -> None:
    """A client that closes is answered, and has left the room."""
    async with served.connect() as client:
        await client.close(code, "good bye")
    await happens(served.rooms.last.gone)


async def test_client_vanishes(served: Served) -> None:
    """A client that hangs up without a word has left the room."""
    async with raw_socket(served):
        pass
    await happens(served.rooms.last.gone)


async def test_text_is_closed_with_1003(served: Served) -> None:
    """Messages are binary: a text message closes the socket with 1003."""
    async with served.connect() as client:
        await client.send("text")
        assert (await closed(client))[0] == 1003
    assert served.rooms.last.received == []


async def test_oversized_message_is_closed_with_1009(served: Served) -> None:
    """A message longer than allowed closes the socket with 1009, which the client gets to see."""
    async with raw_socket(served) as client:
        client.write_frame(0x82, bytes(LIMITS.frame_bytes + 1))
        assert await client.read_close_code() == 1009
    assert served.rooms.last.received == []


async def test_a_client_that_goes_on_sending_is_ended_in_order(serve: Serve) -> None:
    """A client still sending when it is closed sees the close frame and the end, and no reset."""
    served = await serve("picows")
    async with raw_socket(served) as client:
        client.write_frame(0x82, bytes(4 << 20))
        assert await client.read_close_code() == 1009
        await happens(served.rooms.last.gone)
        for _ in range(16):
            client.write(bytes(64 << 10))
            await client.drain()
        assert await client.read_to_end() == b""
        assert not client.was_reset


async def test_oversized_fragments_are_closed_with_1009(served: Served) -> None:
    """The bound holds for all fragments of a message together."""
    async with raw_socket(served) as client:
        client.write_frame(0x02, bytes(40 << 10))
        client.write_frame(0x80, bytes(40 << 10))
        assert await client.read_close_code() == 1009
    assert served.rooms.last.received == []


@pytest.mark.parametrize(
    ("first_byte", "masked"),
    [
        pytest.param(0x80, True, id="a continuation of nothing"),
        pytest.param(0xC2, True, id="a reserved bit"),
        pytest.param(0x83, True, id="an unknown opcode"),
        pytest.param(0x82, False, id="no mask"),
        pytest.param(0x09, True, id="a fragmented ping"),
    ],
)
async def test_garbage_closes_that_client_alone(
    served: Served, first_byte: int, masked: bool
) -> None:
    """Bytes that are no frame close the socket they came on with 1002, and no other."""
    async with served.connect() as other:
        async with raw_socket(served) as client:
            client.write_frame(first_byte, b"garbage", masked=masked)
            client.write_frame(0x82, b"never heard")
            assert await client.read_close_code() == 1002
        offender = served.rooms.last
        await happens(offender.gone)
        assert offender.received == []
        await other.send(b"well")
        assert await receive(other) == b"well"


async def test_a_failing_room_closes_that_client_alone(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure while a message is received is logged, and closes that socket with 1011."""
    async with served.connect() as other, served.connect() as client:
        await client.send(b"fail")
        assert (await closed(client))[0] == 1011
        await other.send(b"well")
        assert await receive(other) == b"well"
    assert "the room failed" in caplog.text


async def test_shutdown_closes_with_1012(served: Served) -> None:
    """When the server ends, every socket is closed with 1012."""
    async with served.connect() as client:
        for connection in list(served.server.server_state.connections):
            connection.shutdown()
        assert (await closed(client))[0] == 1012


# --- slow and dead clients -------------------------------------------------------------------


async def test_a_slow_reader_is_paused_and_caught_up(served: Served) -> None:
    """A client that does not read pauses its membership after bounded writes, and is resumed when
    it reads on.
    """
    async with raw_socket(served) as client:
        client.write_frame(0x82, b"flood")
        member = served.rooms.last
        await happens(member.is_paused)
        sent = member.flood_frames
        assert sent < 10_000
        for _ in range(sent):
            opcode, payload = await client.read_frame()
            assert (opcode, len(payload)) == (2, 4096)
        assert await client.read_frame() == (2, b"caught up")
        assert not client.at_eof()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_dead_peer_is_noticed(serve: Serve, transport: str) -> None:
    """A client that answers no ping is given up, and has left the room."""
    limits = replace(LIMITS, ping_idle_seconds=0.1, ping_reply_seconds=0.1)
    served = await serve(transport, limits)
    async with raw_socket(served) as client:
        opcode, _ = await client.read_frame()
        assert opcode == 9
        await happens(served.rooms.last.gone)


async def test_an_unread_close_does_not_keep_the_socket(serve: Serve) -> None:
    """A client that neither answers nor hangs up is cut off some time after the room has closed it.

    Through ASGI this is the server's affair: uvicorn waits ten seconds.
    """
    served = await serve("picows")
    async with raw_socket(served) as client:
        client.write_frame(0x82, b"close 4410")
        await happens(served.rooms.last.gone)
        assert await client.read_close_code() == 4410
        assert await client.read_to_end() == b""
