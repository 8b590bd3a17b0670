"""Every limit on sockets, connections and members, reached on a real server: what the client is told, and what is
counted. The server runs in the test's own process, behind real sockets, so that its counters can be read.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Map, Text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from engineroom.protocols.lib0 import buf, var_string, var_uint
from engineroom.rooms.address import Address
from engineroom.rooms.counters import Counters
from engineroom.server.network import listen
from engineroom.server.run import serving
from engineroom.server.services import Services, open_services
from engineroom.server.settings import Settings

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 30.0
TOKEN = "the-token"


@dataclass
class Served:
    """A server, and its clients."""

    port: int
    services: Services
    stack: AsyncExitStack

    @property
    def counters(self) -> Counters:
        return self.services.rooms.counters

    async def connect(self, path: str = "/notes", **options: Any) -> ClientConnection:
        url = f"ws://127.0.0.1:{self.port}{path}?token={TOKEN}"
        options = {"compression": None, "max_size": None, "ping_interval": None} | options
        return await self.stack.enter_async_context(connect(url, **options))

    async def refused(self, path: str = "/notes", **options: Any) -> tuple[int, str]:
        """The status and the text with which a handshake is refused."""
        with pytest.raises(InvalidStatus) as refused:
            await self.connect(path, **options)
        response = refused.value.response
        return response.status_code, (response.body or b"").decode()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.stack.callback(writer.close)
        return reader, writer

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@asynccontextmanager
async def served(tmp_path: Path, **more: Any) -> AsyncIterator[Served]:
    """A server with these settings. Loopback is no proxy here, so that its addresses count."""
    stated: dict[str, Any] = {"data": str(tmp_path / "data"), "token": TOKEN, "runtime": "local"}
    settings = Settings(**(stated | {"trusted_proxies": (), "drain_seconds": 1.0} | more))
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        async with (
            open_services(settings, port=port) as services,
            serving(services, listener, drain_seconds=1.0),
            AsyncExitStack() as stack,
        ):
            yield Served(port, services, stack)


async def closed(client: ClientConnection) -> tuple[int, str]:
    """The code and the reason with which the server closes."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await client.wait_closed()
    assert client.close_code is not None
    return client.close_code, client.close_reason or ""


# --- what a member may send ------------------------------------------------------------------


def update(data: bytes) -> bytes:
    return b"\x00\x02" + buf(data)


def text(size: int) -> bytes:
    document: Doc[Any] = Doc()
    document.get("text", type=Text).insert(0, "a" * size)
    return update(document.get_update())


def deletions(count: int) -> list[bytes]:
    document: Doc[Any] = Doc()
    text = document.get("text", type=Text)
    text.insert(0, "ab" * (count + 1))
    first, state = document.get_update(), document.get_state()
    with document.transaction():
        for index in range(count):
            del text[index + 1]
    return [update(first), update(document.get_update(state))]


def types(count: int) -> bytes:
    document: Doc[Any] = Doc()
    root = document.get("map", type=Map)
    for number in range(count):
        root[str(number)] = Map()
    return update(document.get_update())


def waiting(count: int) -> list[bytes]:
    """Updates that need one which never comes."""
    document: Doc[Any] = Doc()
    text = document.get("text", type=Text)
    text.insert(0, "a")
    frames = []
    for _ in range(count):
        state = document.get_state()
        text.insert(0, "b")
        frames.append(update(document.get_update(state)))
    return frames


def awareness(*states: tuple[int, int, object]) -> bytes:
    body = var_uint(len(states))
    for client, clock, state in states:
        body += var_uint(client) + var_uint(clock) + var_string(json.dumps(state))
    return b"\x01" + buf(body)


LIMITS: list[tuple[str, int, list[bytes]]] = [
    ("update_bytes", 1024, [text(2000)]),
    ("document_bytes", 4096, [text(1500) for _ in range(9)]),
    ("update_deletions", 3, deletions(5)),
    ("update_structs", 3, [types(5)]),
    ("document_types", 3, [types(5)]),
    ("messages_per_second", 5, [b"\x03"] * 100),
    ("bytes_per_second", 1000, [text(500)] * 10),
    ("member_awareness_clients", 2, [awareness(*((n, 1, {"a": n}) for n in range(1, 5)))]),
    ("member_awareness_bytes", 1024, [awareness((1, 1, {"a": "x" * 2000}))]),
    ("awareness_per_second", 5, [awareness((1, clock, {"a": clock})) for clock in range(1, 100)]),
]


@pytest.mark.parametrize(("limit", "allowed", "frames"), LIMITS, ids=[name for name, *_ in LIMITS])
async def test_limits_of_a_member(
    tmp_path: Path, limit: str, allowed: int, frames: list[bytes]
) -> None:
    """A member that passes a limit is closed with 4429 and the limit's name; it is counted; others stay."""
    async with served(tmp_path, **{limit: allowed}) as server:
        other = await server.connect("/other")
        client = await server.connect()
        for frame in frames:
            try:
                await client.send(frame)
            except ConnectionClosed:
                break
        code, reason = await closed(client)
        assert (code, reason) == (4429, f"limit reached: {limit} = {allowed}")
        assert server.counters.limits.keys() == {limit}
        assert server.counters.closes == {4429: 1}
        await other.send(b"\x03")
        assert len(server.services.stays) == 1
        await server.connect()  # and it may come again


async def test_updates_that_wait(tmp_path: Path) -> None:
    """Updates that wait for one which never comes are bounded."""
    async with served(tmp_path, waiting_updates=3) as server:
        client = await server.connect()
        for frame in waiting(6):
            await client.send(frame)
        code, reason = await closed(client)
        assert code == 4429
        assert "waiting_updates = 3" in reason
        assert server.counters.limits["waiting_updates"] >= 1


async def test_frame_size(tmp_path: Path) -> None:
    """A longer message than is allowed closes its socket with 1009, whole or in fragments."""
    async with served(tmp_path, max_frame_bytes=4096) as server:
        client = await server.connect()
        await client.send(b"x" * 5000)
        assert (await closed(client))[0] == 1009
        client = await server.connect()
        await client.send([b"x" * 1000] * 5)
        code, reason = await closed(client)
        assert (code, reason) == (1009, "a message has at most 4096 bytes")
        await server.until(lambda: server.counters.limits["max_frame_bytes"] == 2)
        assert server.counters.closes[1009] == 2


async def test_messages_that_are_not_binary(tmp_path: Path) -> None:
    """A text message closes its socket with 1003, and is counted."""
    async with served(tmp_path) as server:
        client = await server.connect()
        await client.send("text")
        assert await closed(client) == (1003, "messages are binary here")
        assert server.counters.closes[1003] == 1


async def test_values(tmp_path: Path) -> None:
    """A value that is too large is refused with the limit's name, and its sender stays."""
    async with served(tmp_path, value_bytes=1024) as server:
        page = await server.connect("/rooms/notes", subprotocols=[Subprotocol("engineroom.v1")])
        await page.send(set_value("/speed", b"1" * 2000))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b"value_bytes = 1024" not in (heard := await page.recv()):
                assert isinstance(heard, bytes)
        assert len(server.services.stays) == 1


def set_value(address: str, data: bytes) -> bytes:
    return bytes([101, 1]) + var_string(address) + b"\x00" + buf(data)


# --- who may come in -------------------------------------------------------------------------


async def test_members_of_a_room(tmp_path: Path) -> None:
    """A member too many is answered 503 with the limit's name; there is room elsewhere."""
    async with served(tmp_path, room_members=2) as server:
        for _ in range(2):
            await server.connect()
        status, text = await server.refused()
        assert status == 503
        assert "limit reached: room_members = 2" in text
        assert server.counters.limits == {"room_members": 1}
        await server.connect("/other")


async def test_rooms(tmp_path: Path) -> None:
    """A room too many is answered 503 with the limit's name; open rooms may be joined."""
    async with served(tmp_path, max_rooms=1) as server:
        await server.connect()
        status, text = await server.refused("/other")
        assert status == 503
        assert "limit reached: max_rooms = 1" in text
        assert server.counters.limits == {"max_rooms": 1}
        await server.connect()


async def test_sockets_per_address(tmp_path: Path) -> None:
    """A socket too many of one address is answered 429; the address may come again when one has left."""
    async with served(tmp_path, sockets_per_address=2) as server:
        first = await server.connect()
        await server.connect("/other")
        status, text = await server.refused()
        assert status == 429
        assert "limit reached: sockets_per_address = 2" in text
        assert server.counters.limits == {"sockets_per_address": 1}
        await first.close()
        await server.until(lambda: len(server.services.stays) == 1)
        await server.connect()


async def test_sockets_behind_a_proxy(tmp_path: Path) -> None:
    """Behind a trusted proxy, sockets count for the address that it names."""
    settings = {"sockets_per_address": 1, "trusted_proxies": ("127.0.0.1",)}
    async with served(tmp_path, **settings) as server:
        headers = {"X-Forwarded-For": "198.51.100.1"}
        await server.connect(additional_headers=headers)
        assert (await server.refused(additional_headers=headers))[0] == 429
        await server.connect(additional_headers={"X-Forwarded-For": "198.51.100.2"})
        await server.connect()
        sources = [member.source for member in server.services.rooms.members(address("notes"))]
        assert sources == ["198.51.100.1", "198.51.100.2", "127.0.0.1"]


def address(text: str) -> Address:
    return Address.parse(text)


async def test_sockets_in_all(tmp_path: Path) -> None:
    """A socket too many in all is answered 503."""
    async with served(tmp_path, max_sockets=1) as server:
        await server.connect()
        status, text = await server.refused()
        assert status == 503
        assert "limit reached: max_sockets = 1" in text
        assert server.counters.limits == {"max_sockets": 1}


async def test_refused_sockets_free_their_place(tmp_path: Path) -> None:
    """Handshakes that are refused, by the hundred, take no place."""
    async with served(tmp_path, sockets_per_address=1, no_auth=False) as server:
        for _ in range(20):
            reader, writer = await server.open()
            writer.write(upgrade(server.port, "/notes"))
            assert (await reader.read(20)).startswith(b"HTTP/1.1 401 ")
            writer.close()
        await server.connect()


def upgrade(port: int, path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    ).encode()


# --- who has not said who it is --------------------------------------------------------------


async def test_unauthenticated_sockets(tmp_path: Path) -> None:
    """Sockets that have entered no document are bounded: 503; one that is authenticated makes room."""
    async with served(tmp_path, unauthenticated_sockets=1) as server:
        await server.connect("/hocuspocus")
        status, text = await server.refused("/hocuspocus")
        assert status == 503
        assert "unauthenticated_sockets = 1" in text
        assert server.counters.limits == {"unauthenticated_sockets": 1}


async def test_what_waits_for_authentication(tmp_path: Path) -> None:
    """What unauthenticated sockets may have waiting is bounded for all of them together."""
    async with served(tmp_path, unauthenticated_bytes=1 << 20) as server:
        client = await server.connect("/hocuspocus")
        for _ in range(3):
            await client.send(var_string("notes") + b"\x00\x02" + buf(b"x" * (1 << 19)))
        assert (await closed(client))[0] == 4429
        assert server.counters.limits["unauthenticated_bytes"] == 1


async def test_time_to_authenticate(tmp_path: Path) -> None:
    """A socket that enters no document is closed after a while."""
    async with served(tmp_path, authentication_seconds=0.2) as server:
        client = await server.connect("/hocuspocus")
        assert (await closed(client))[0] == 4408
        assert server.counters.limits == {"authentication_seconds": 1}


async def test_documents_of_a_socket(tmp_path: Path) -> None:
    """A document too many on one socket is denied, with the limit's name, and the others stay."""
    async with served(tmp_path, socket_documents=1) as server:
        client = await server.connect("/hocuspocus")
        for name in ("notes", "more"):
            await client.send(var_string(name) + b"\x02\x00" + var_string(TOKEN))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b"socket_documents = 1" not in (heard := await client.recv()):
                assert isinstance(heard, bytes)
        assert server.counters.limits == {"socket_documents": 1}
        await server.until(lambda: len(server.services.stays) == 1)


# --- connections that are no sockets ---------------------------------------------------------


async def read_all(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE_SECONDS):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def test_connections_in_all(tmp_path: Path) -> None:
    """A connection too many is answered 503 and closed; sockets that were upgraded do not count."""
    async with served(tmp_path, max_connections=2) as server:
        for _ in range(3):
            await server.connect()
        silent = [await server.open() for _ in range(2)]
        await server.until(lambda: server.services.doorway.connections.total == 2)
        reader, _ = await server.open()
        answer = await read_all(reader)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Too many connections" in answer
        assert server.counters.limits == {"max_connections": 1}
        silent[0][1].close()
        await server.until(lambda: server.services.doorway.connections.total == 1)
        reader, writer = await server.open()
        writer.write(f"GET /-/health HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_connections_per_address(tmp_path: Path) -> None:
    """A connection too many of one address is answered 503 and closed."""
    async with served(tmp_path, connections_per_address=1) as server:
        await server.open()
        await server.until(lambda: server.services.doorway.connections.total == 1)
        reader, _ = await server.open()
        assert (await read_all(reader)).startswith(b"HTTP/1.1 503 ")
        assert server.counters.limits == {"connections_per_address": 1}


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a",
        b"POST /-/share HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx",
    ],
    ids=["silent", "half a head", "refused, with a body that does not come"],
)
async def test_who_does_not_come_to_the_point(tmp_path: Path, start: bytes) -> None:
    """Who says nothing, half a request, or goes on after it was refused, is closed after a while."""
    async with served(tmp_path, handshake_timeout_seconds=0.2, keep_alive_seconds=60) as server:
        reader, writer = await server.open()
        writer.write(start)
        answer = await read_all(reader)
        assert answer[:13] in (b"", b"HTTP/1.1 401 ")
        await server.until(lambda: server.services.doorway.connections.total == 0)


async def test_a_refused_body_that_drips(tmp_path: Path) -> None:
    """Who drips a body on after it was refused is closed all the same."""
    async with served(tmp_path, handshake_timeout_seconds=0.3, keep_alive_seconds=0.1) as server:
        reader, writer = await server.open()
        head = f"POST /-/share HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 9999\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while server.services.doorway.connections.total or not reader.at_eof():
                try:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.wait_for(reader.read(1000), 0.02)
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
        await server.until(lambda: server.services.doorway.connections.total == 0)


async def test_a_body_that_stops(tmp_path: Path) -> None:
    """Who stops in the middle of a body that is waited for is closed."""
    async with served(tmp_path, stalled_seconds=0.2) as server:
        reader, writer = await server.open()
        head = (
            f"POST /-/share?token={TOKEN} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        )
        writer.write(head.encode())
        await read_all(reader)
        await server.until(lambda: server.services.doorway.connections.total == 0)


async def test_an_answer_that_is_not_read(tmp_path: Path) -> None:
    """Who asks for much and reads nothing of it is closed, and what was to be sent is dropped."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.md").write_text("# A\n")
    (site / "large.bin").write_bytes(b"x" * (64 << 20))
    async with served(tmp_path, site=str(site), stalled_seconds=0.2) as server:
        _, writer = await server.open()
        head = (
            f"GET /large.bin HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n"
        )
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(head.encode())
        await server.until(lambda: server.services.doorway.connections.total == 1)
        await server.until(lambda: server.services.doorway.connections.total == 0)


async def test_a_connection_is_kept_and_used_again(tmp_path: Path) -> None:
    """A connection serves several requests, bodies among them, and is closed when it lies idle."""
    async with served(tmp_path, keep_alive_seconds=0.3, handshake_timeout_seconds=5) as server:
        reader, writer = await server.open()
        body = b'{"address": "notes", "rights": ["read"]}'
        head = (
            f"POST /-/share HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        for _ in range(3):
            writer.write(head.encode() + body[:10])
            await writer.drain()
            writer.write(body[10:])
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await reader.readuntil(b"\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 200 ")
                length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
        assert await read_all(reader) == b""
        await server.until(lambda: server.services.doorway.connections.total == 0)
