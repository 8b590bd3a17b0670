"""The Python providers of pycrdt-websocket 0.16.5 and ypy-websocket 0.12.4, unmodified, against a real server.

Each is used as its own documentation does: over `httpx-ws` or `websockets`, with a channel that has a `path`.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx_ws
import pytest
import websockets
from pycrdt import Channel, Doc, Provider, Text
from pycrdt.websocket.websocket import HttpxWebsocket

from engineroom.testing.node_clients import NodeClients
from engineroom.testing.server_process import ServerProcess

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 30
# y-py, which ypy-websocket is built on, has no wheels for Python 3.13 and is not developed any more.
HAS_YPY = importlib.util.find_spec("y_py") is not None


class Peer(Protocol):
    """One Python client's document, with a root Text `text`."""

    def type(self, text: str) -> None:
        """Appends `text`."""

    def text(self) -> str:
        """What stands there."""


Open = Callable[[str], AbstractAsyncContextManager[Peer]]


class WebsocketsChannel:
    """A `websockets` connection as a channel: what both packages ask of one."""

    def __init__(self, socket: websockets.ClientConnection, path: str) -> None:
        self._socket = socket
        self.path = path

    def __aiter__(self) -> WebsocketsChannel:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.recv()
        except websockets.ConnectionClosed:
            raise StopAsyncIteration from None

    async def send(self, message: bytes) -> None:
        await self._socket.send(message)

    async def recv(self) -> bytes:
        message = await self._socket.recv()
        assert isinstance(message, bytes)
        return message


class PycrdtPeer:
    """A `pycrdt.Doc`."""

    def __init__(self) -> None:
        self.doc: Doc[Any] = Doc()
        self._text = self.doc.get("text", type=Text)

    def type(self, text: str) -> None:
        self._text += text

    def text(self) -> str:
        return str(self._text)


@asynccontextmanager
async def provided(channel: Channel) -> AsyncIterator[Peer]:
    """A `pycrdt.Doc` that `pycrdt.Provider` keeps equal with the other end of `channel`."""
    peer = PycrdtPeer()
    async with Provider(peer.doc, channel) as provider:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await provider.synced.wait()
        yield peer


@asynccontextmanager
async def over_httpx(url: str) -> AsyncIterator[Peer]:
    """`pycrdt.Provider` over `HttpxWebsocket`, as pycrdt-websocket's documentation has it."""
    async with (
        httpx_ws.aconnect_ws(url.replace("ws://", "http://")) as socket,
        provided(HttpxWebsocket(socket, url)) as peer,
    ):
        yield peer


@asynccontextmanager
async def over_websockets(url: str) -> AsyncIterator[Peer]:
    """`pycrdt.Provider` over `websockets`."""
    async with (
        websockets.connect(url) as socket,
        provided(WebsocketsChannel(socket, url)) as peer,
    ):
        yield peer


@asynccontextmanager
async def with_ypy(url: str) -> AsyncIterator[Peer]:
    """ypy-websocket's `WebsocketProvider`, with a `y_py.YDoc`, over `websockets`."""
    import y_py
    from ypy_websocket import WebsocketProvider

    class YpyPeer:
        def __init__(self) -> None:
            self.doc = y_py.YDoc()
            self._text = self.doc.get_text("text")

        def type(self, text: str) -> None:
            with self.doc.begin_transaction() as transaction:
                self._text.extend(transaction, text)

        def text(self) -> str:
            return str(self._text)

    peer = YpyPeer()
    async with (
        websockets.connect(url) as socket,
        WebsocketProvider(peer.doc, WebsocketsChannel(socket, url)),
    ):
        yield peer


OPENS: list[Any] = [
    pytest.param(over_httpx, id="pycrdt.Provider-httpx-ws"),
    pytest.param(over_websockets, id="pycrdt.Provider-websockets"),
    pytest.param(
        with_ypy,
        id="ypy-websocket",
        marks=pytest.mark.skipif(not HAS_YPY, reason="y-py cannot be installed on this Python"),
    ),
]
opens = pytest.mark.parametrize("open_peer", OPENS)


@pytest.fixture
def url(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a server of documents alone, without authentication."""
    log = tmp_path / "server.log"
    with ServerProcess(None, data=tmp_path / "data", log=log, token=None) as served:
        yield f"ws://127.0.0.1:{served.port}"


async def until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - y-py tells nobody when something arrives
            await asyncio.sleep(0.01)


@opens
async def test_it_syncs_with_itself_and_with_npm_clients(
    url: str, clients: NodeClients, room: str, open_peer: Open
) -> None:
    """What one types, all show: two of the kind, and a y-websocket client."""
    await clients.open("ada", "y-websocket-3", url, room)
    await clients.wait("ada", synced=True)
    async with open_peer(f"{url}/{room}") as one, open_peer(f"{url}/{room}") as two:
        one.type("Grüße, ")
        await until(lambda: two.text() == "Grüße, ")
        two.type("🌍")
        await until(lambda: one.text() == "Grüße, 🌍")
        await clients.wait("ada", text="Grüße, 🌍")
        await clients.do("insert", "ada", at=9, text="!")
        await until(lambda: one.text() == two.text() == "Grüße, 🌍!")


@opens
async def test_what_it_wrote_is_there_for_the_next(url: str, room: str, open_peer: Open) -> None:
    """One writes and leaves; the next one, and one of another kind, find it."""
    async with open_peer(f"{url}/{room}") as one, over_websockets(f"{url}/{room}") as witness:
        one.type("written before")
        await until(lambda: witness.text() == "written before")
    async with open_peer(f"{url}/{room}") as two:
        await until(lambda: two.text() == "written before")


@opens
async def test_fifty_edits_in_a_row_arrive_in_order(url: str, room: str, open_peer: Open) -> None:
    """A burst of single edits, each a transaction: none is lost, none is doubled."""
    async with open_peer(f"{url}/{room}") as one, open_peer(f"{url}/{room}") as two:
        for number in range(50):
            one.type(f"{number} ")
        expected = "".join(f"{number} " for number in range(50))
        await until(lambda: two.text() == expected)
