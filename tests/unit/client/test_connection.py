"""`connect` against a scripted server: what it does about refusals, closes and broken lines."""

import asyncio
import base64
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import islice
from typing import Any

import pytest
from pycrdt import Doc, Text
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from engineroom.client import Connection, ConnectionLost, OtherHistory, connect
from engineroom.client.connection import _delays, websocket_url
from engineroom.errors import AccessDenied, AddressError, LimitExceeded, ProtocolError
from engineroom.protocols.messages import SyncStep1, SyncStep2, SyncUpdate
from engineroom.protocols.yjs import YjsDialect

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 20.0
DIALECT = YjsDialect()


class ScriptedServer:
    """Keeps one document, echoes what it is sent, and refuses or closes as a test says."""

    def __init__(self) -> None:
        self.document: Doc[Any] = Doc()
        self.text = self.document.get("text", type=Text)
        self.echoes = True
        self.connections = 0
        self.requests: list[Request] = []
        self.refusals: list[int] = []
        self.closes: list[tuple[int, str]] = []
        self.sockets: list[ServerConnection] = []
        self.news = asyncio.Event()
        self.url = ""

    def refuse(self, _connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if not self.refusals:
            return None
        status = HTTPStatus(self.refusals.pop(0))
        return Response(status, status.phrase, Headers(), b"because\n")

    async def serve(self, socket: ServerConnection) -> None:
        self.connections += 1
        self.sockets.append(socket)
        await socket.send(DIALECT.encode(SyncStep1(self.document.get_state())) or b"")
        async for frame in socket:
            assert isinstance(frame, bytes)
            await self.receive(socket, frame)

    async def receive(self, socket: ServerConnection, frame: bytes) -> None:
        match DIALECT.decode(frame):
            case SyncStep1(state_vector):
                difference = self.document.get_update(state_vector)
                await socket.send(DIALECT.encode(SyncStep2(difference)) or b"")
            case SyncStep2(update) | SyncUpdate(update):
                self.document.apply_update(update)
                if self.echoes:
                    await socket.send(DIALECT.encode(SyncUpdate(update)) or b"")
                if self.closes:
                    await socket.close(*self.closes.pop(0))
        self.news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    script = ScriptedServer()
    async with serve(
        script.serve, "127.0.0.1", 0, process_request=script.refuse, compression=None
    ) as running:
        port = running.sockets[0].getsockname()[1]
        script.url = f"http://127.0.0.1:{port}/rooms/notes"
        yield script


def text_of(room: Connection) -> Text:
    return room.document.get("text", type=Text)


async def soon(awaitable: Awaitable[None]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await awaitable


async def test_the_document_is_kept_equal(server: ScriptedServer) -> None:
    """What is there comes in, what is changed goes out and is acknowledged; the token is in a header."""
    server.text += "theirs "
    async with connect(server.url, token="t0ken") as room:
        await soon(room.wait_synced())
        assert room.connected
        text = text_of(room)
        assert str(text) == "theirs "
        text += "ours"
        await soon(room.wait_durable())
        assert str(server.text) == "theirs ours"
        assert room.unacknowledged == 0
    assert server.requests[0].headers["Authorization"] == "Bearer t0ken"
    assert server.requests[0].path == "/rooms/notes"


async def test_a_document_that_is_given_is_offered(server: ScriptedServer) -> None:
    """What a given document holds is merged with the room's."""
    document: Doc[Any] = Doc()
    document.get("text", type=Text).insert(0, "brought")
    async with connect(server.url, document) as room:
        assert room.document is document
        await soon(room.wait_durable())
    assert str(server.text) == "brought"


async def test_a_lost_connection_is_made_again_and_changes_merge(server: ScriptedServer) -> None:
    """After a restart of the server, what was changed on both sides meanwhile is in both documents."""
    async with connect(server.url) as room:
        await soon(room.wait_synced())
        server.refusals = [503, 503]
        await server.sockets[0].close(1012, "restarting")
        await soon(room._progress.until(lambda: not room.connected))
        text = text_of(room)
        text += "offline "
        server.text += "elsewhere "
        assert (room.synced, room.unacknowledged) == (False, 1)
        await soon(room.wait_durable())
        await soon(room.wait_synced())
        assert (
            sorted(str(text).split())
            == sorted(str(server.text).split())
            == ["elsewhere", "offline"]
        )
    assert server.connections == 2


async def test_leaving_waits_until_changes_are_durable(server: ScriptedServer) -> None:
    """A change made just before the end of the block is at the server after it."""
    async with connect(server.url) as room:
        text_of(room).insert(0, "last words")
    assert str(server.text) == "last words"


async def test_leaving_without_a_server_says_what_is_not_saved(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where nobody answers the block runs all the same, its end is bounded, and the log says how much is unsaved."""
    with caplog.at_level(logging.WARNING, "engineroom.client"):
        async with connect("ws://127.0.0.1:9", patience_seconds=0.2) as room:
            text_of(room).insert(0, "alone")
            assert not room.connected
    assert "1 changes that are not known to be saved" in caplog.text
    assert str(text_of(room)) == "alone"


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refusal_ends_the_block(server: ScriptedServer, status: int) -> None:
    """The body is cancelled, and the error says what the server said."""
    server.refusals = [status]
    with pytest.raises(AccessDenied, match="because") as caught:
        async with asyncio.timeout(PATIENCE_SECONDS), connect(server.url):
            await asyncio.Event().wait()
    assert caught.value.status == status
    assert server.connections == 0


async def test_who_waits_is_told_why_it_ended(server: ScriptedServer) -> None:
    """`wait_synced` raises the very error that the block ends with; it can be caught inside."""
    server.refusals = [403]
    seen: list[AccessDenied] = []
    with pytest.raises(AccessDenied) as caught:  # noqa: PT012
        async with asyncio.timeout(PATIENCE_SECONDS), connect(server.url) as room:
            try:
                await room.wait_synced()
            except AccessDenied as error:
                seen.append(error)
                raise
    assert not seen or seen == [caught.value]


@pytest.mark.parametrize(
    ("code", "kind"),
    [(4401, AccessDenied), (4403, AccessDenied), (4400, ProtocolError), (1009, LimitExceeded)],
)
async def test_a_final_close_ends_the_block(
    server: ScriptedServer, code: int, kind: type[Exception]
) -> None:
    """A close that another connection would only meet again is raised."""
    server.closes = [(code, "for good")]
    with pytest.raises(kind, match="for good"):
        async with asyncio.timeout(PATIENCE_SECONDS), connect(server.url):
            await asyncio.Event().wait()
    assert server.connections == 1


async def test_a_document_that_was_made_anew_keeps_the_replica(server: ScriptedServer) -> None:
    """4409 raises `OtherHistory`, which holds the replica with what was changed in it and never saved."""
    server.echoes = False
    server.closes = [(4409, "")]
    document: Doc[Any] = Doc()
    document.get("text", type=Text).insert(0, "old history")
    with pytest.raises(OtherHistory) as caught:
        async with asyncio.timeout(PATIENCE_SECONDS), connect(server.url, document):
            await asyncio.Event().wait()
    assert caught.value.document is document
    assert caught.value.unacknowledged == 1
    assert str(document.get("text", type=Text)) == "old history"


async def test_an_error_of_the_body_comes_out_as_it_is(server: ScriptedServer) -> None:
    """What goes wrong in the block is not wrapped in a group."""
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with connect(server.url) as room:
            await soon(room.wait_synced())
            _ = 1 / 0


async def test_cancelling_the_block_closes_the_connection(server: ScriptedServer) -> None:
    """A cancelled task leaves no connection behind."""

    async def follow() -> None:
        async with connect(server.url) as room:
            await room.wait_synced()
            entered.set()
            await asyncio.Event().wait()

    entered = asyncio.Event()
    task = asyncio.create_task(follow())
    await soon(_waited(entered))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await soon(server.sockets[0].wait_closed())
    assert server.sockets[0].close_code == 1000


async def _waited(event: asyncio.Event) -> None:
    await event.wait()


async def test_bytes_that_are_no_message_end_the_block(server: ScriptedServer) -> None:
    """A server that does not speak the protocol is told from one that is away."""
    with pytest.raises(ProtocolError):  # noqa: PT012
        async with asyncio.timeout(PATIENCE_SECONDS), connect(server.url) as room:
            await room.wait_synced()
            await server.sockets[0].send(b"\x00\x09\x09")
            await asyncio.Event().wait()


@asynccontextmanager
async def mute_server() -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """Answers handshakes, and never says anything again, not even to pings."""
    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)
        assert key is not None
        accept = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n"
        )
        while await reader.read(1 << 16):
            pass
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", writers
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


async def test_a_peer_that_no_longer_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pings find a line that is dead without a word, and another one is made."""
    monkeypatch.setattr("engineroom.client.connection.PING_SECONDS", 0.1)
    monkeypatch.setattr("engineroom.client.connection.CLOSE_SECONDS", 0.1)
    async with (
        mute_server() as (url, writers),
        asyncio.timeout(PATIENCE_SECONDS),
        connect(url, patience_seconds=0.1) as room,
    ):
        for expected in (True, False, True):
            await room._progress.until(lambda wanted=expected: room.connected is wanted)  # type: ignore[misc]
        assert len(writers) >= 2


def test_what_is_waited_for_between_tries_grows_to_a_bound_and_is_spread() -> None:
    """From a tenth of a second to ten, never quite the same for two clients."""
    delays = list(islice(_delays(), 12))
    assert all(0.05 * 2**i <= delay <= 0.1 * 2**i for i, delay in enumerate(delays[:6]))
    assert all(5.0 <= delay <= 10.0 for delay in delays[8:])
    assert delays != list(islice(_delays(), 12))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://host/rooms/a", "ws://host/rooms/a"),
        ("https://host:8443/a%20b?token=x#top", "wss://host:8443/a%20b?token=x"),
        ("ws://[::1]:8000/a", "ws://[::1]:8000/a"),
    ],
)
def test_urls_of_pages_are_urls_of_rooms_too(given: str, expected: str) -> None:
    """`http` and `https` mean the WebSocket at the same place."""
    assert websocket_url(given) == expected


@pytest.mark.parametrize("given", ["", "notes/today", "ftp://host/a", "ws:///a", "http://[::1/a"])
def test_what_is_no_url_of_a_room_is_refused_at_once(given: str) -> None:
    """A wrong URL is an error, not a server that is away."""
    with pytest.raises(AddressError, match="wss://"):
        websocket_url(given)


def test_a_lost_connection_says_why() -> None:
    """`ConnectionLost` carries the reason and, where there is one, the code."""
    assert ConnectionLost("gone", 1006).code == 1006
