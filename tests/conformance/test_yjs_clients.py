"""Unmodified y-websocket clients, 1.5 and 3.1, against a real server that serves documents alone.

The clients live in one node process (`js/clients.mjs`); these tests write down what is done with
them and what must then be seen. `ENGINEROOM_TEST_SERVER`, when set, is the URL of a server that
already runs, which shows that the tests hold for another server too; those that restart theirs
ignore it.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from pycrdt import Doc, Text, create_sync_message, create_update_message, handle_sync_message

from engineroom.testing.node_clients import NodeClients
from engineroom.testing.server_process import ServerProcess

pytestmark = pytest.mark.anyio

BOUND_SECONDS = 30
TOKEN = "s3cret-token"

OTHER = {"y-websocket-1": "y-websocket-3", "y-websocket-3": "y-websocket-1"}

versions = pytest.mark.parametrize("version", list(OTHER))
prefixes = pytest.mark.parametrize("prefix", ["", "/rooms"], ids=["any-path", "rooms-path"])


def serve(folder: Path, token: str | None = None) -> ServerProcess:
    """A server of documents alone; after `kill`, `launch` keeps its port and its data."""
    return ServerProcess(None, data=folder / "data", log=folder / "server.log", token=token)


def url_of(served: ServerProcess) -> str:
    """What a y-websocket client is given as its server."""
    return f"ws://127.0.0.1:{served.port}"


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a server without authentication."""
    if running := os.environ.get("ENGINEROOM_TEST_SERVER"):
        yield running
        return
    with serve(tmp_path) as served:
        yield url_of(served)


@versions
@prefixes
async def test_two_clients_see_each_others_text(
    url: str, clients: NodeClients, room: str, version: str, prefix: str
) -> None:
    """What one client types, the other shows, in both directions."""
    for name in ("ada", "bob"):
        await clients.open(name, version, url + prefix, room)
        await clients.wait(name, synced=True)
    await clients.do("insert", "ada", at=0, text="Grüße, ")
    await clients.wait("bob", text="Grüße, ")
    await clients.do("insert", "bob", at=7, text="🌍!")
    await clients.wait("ada", text="Grüße, 🌍!")


@versions
@prefixes
async def test_a_late_joiner_gets_the_document(
    url: str, clients: NodeClients, room: str, version: str, prefix: str
) -> None:
    """A client that joins when the others have left still gets what they wrote."""
    await clients.open("ada", version, url + prefix, room)
    await clients.open("bob", version, url + prefix, room)
    await clients.do("insert", "ada", at=0, text="written before")
    await clients.wait("bob", text="written before")
    await clients.do("leave", "ada")
    await clients.do("leave", "bob")
    await clients.open("cy", version, url + prefix, room)
    await clients.wait("cy", synced=True, text="written before")


@versions
async def test_both_urls_of_a_room_name_the_same_room(
    url: str, clients: NodeClients, room: str, version: str
) -> None:
    """Without a site, `/notes/today` and `/rooms/notes/today` are one room."""
    await clients.open("ada", version, url, f"notes/{room}")
    await clients.open("bob", OTHER[version], url + "/rooms", f"notes/{room}")
    await clients.wait("bob", synced=True)
    await clients.do("insert", "ada", at=0, text="one room")
    await clients.wait("bob", text="one room")


@versions
async def test_rooms_do_not_see_each_other(
    url: str, clients: NodeClients, room: str, version: str
) -> None:
    """Text and presence of one room reach no other room."""
    for name, one in (("ada", room), ("bob", f"{room}-2"), ("cy", room)):
        await clients.open(name, version, url, one)
        await clients.do("announce", name, name=name)
        await clients.wait(name, synced=True)
    await clients.do("insert", "bob", at=0, text="elsewhere")
    await clients.do("insert", "ada", at=0, text="here")
    await clients.wait("cy", text="here", names=["ada", "cy"])
    await clients.wait("bob", text="elsewhere", names=["bob"])


@versions
@prefixes
async def test_presence_is_seen_by_a_newcomer_and_ends_with_a_leave(
    url: str, clients: NodeClients, room: str, version: str, prefix: str
) -> None:
    """A newcomer sees who is here at once; one who leaves is gone for the others."""
    await clients.open("ada", version, url + prefix, room)
    await clients.do("announce", "ada", name="Ada")
    await clients.open("bob", version, url + prefix, room)
    await clients.do("announce", "bob", name="Bob")
    await clients.wait("ada", names=["Ada", "Bob"])
    await clients.wait("bob", names=["Ada", "Bob"])
    await clients.do("leave", "bob")
    await clients.wait("ada", names=["Ada"])


@versions
async def test_presence_ends_with_a_broken_line(
    url: str, clients: NodeClients, room: str, version: str
) -> None:
    """A client whose connection breaks without a word is gone for the others."""
    for name in ("Ada", "Bob"):
        await clients.open(name, version, url, room)
        await clients.do("announce", name, name=name)
    await clients.wait("Ada", names=["Ada", "Bob"])
    await clients.do("vanish", "Bob")
    await clients.wait("Ada", names=["Ada"])


@versions
async def test_presence_returns_with_a_reconnection(
    url: str, clients: NodeClients, room: str, version: str
) -> None:
    """A client that disconnects and connects again is seen again, under the same clock."""
    for name in ("Ada", "Bob"):
        await clients.open(name, version, url, room)
        await clients.do("announce", name, name=name)
    await clients.wait("Ada", names=["Ada", "Bob"])
    await clients.do("disconnect", "Bob")
    await clients.wait("Ada", names=["Ada"])
    await clients.do("connect", "Bob")
    await clients.do("announce", "Bob", name="Bob")
    await clients.wait("Ada", names=["Ada", "Bob"])


@versions
@prefixes
async def test_a_room_name_may_have_slashes_and_any_letters(
    url: str, clients: NodeClients, room: str, version: str, prefix: str
) -> None:
    """A name with `/`, spaces and letters beyond ASCII is one room for both versions."""
    room = f"häuser/küche 2/東京/{room}"
    await clients.open("ada", version, url + prefix, room)
    await clients.open("bob", OTHER[version], url + prefix, room)
    await clients.wait("bob", synced=True)
    await clients.do("insert", "ada", at=0, text="drin")
    await clients.wait("bob", text="drin")


@pytest.mark.parametrize("seed", [1, 2])
async def test_twenty_clients_of_both_versions_converge(
    url: str, clients: NodeClients, room: str, seed: int
) -> None:
    """Twenty clients that edit at random end with the same text, and so does a newcomer."""
    names = [f"client{number}" for number in range(20)]
    for number, name in enumerate(names):
        await clients.open(name, f"y-websocket-{1 if number % 2 else 3}", url, room)
    for name in names:
        await clients.wait(name, synced=True)
    await clients.do("editAll", count=40, seed=seed)
    text = await clients.do("waitAllEqual")
    assert len(text) > 1000
    await clients.open("newcomer", "y-websocket-3", url, room)
    await clients.wait("newcomer", synced=True, text=text)


@versions
@prefixes
async def test_offline_edits_and_acknowledged_text_survive_a_killed_server(
    tmp_path: Path, clients: NodeClients, version: str, prefix: str
) -> None:
    """After `kill -9` and a start, clients reconnect by themselves and lose nothing typed."""
    with serve(tmp_path) as served:
        for name in ("ada", "bob"):
            await clients.open(name, version, url_of(served) + prefix, "phoenix")
        await clients.wait("bob", synced=True)
        await clients.do("insert", "ada", at=0, text="before ")
        await clients.wait("bob", text="before ")
        served.kill()
        await clients.wait("ada", connected=False)
        await clients.wait("bob", connected=False)
        await clients.do("insert", "ada", at=7, text="ada ")
        await clients.do("insert", "bob", at=0, text="bob ")
        served.launch()
        for name in ("ada", "bob"):
            await clients.wait(name, synced=True, text="bob before ada ")
        await clients.open("cy", version, url_of(served) + prefix, "phoenix")
        await clients.wait("cy", synced=True, text="bob before ada ")


@versions
async def test_a_client_without_a_token_is_refused(
    tmp_path: Path, clients: NodeClients, version: str
) -> None:
    """The upgrade is answered with 401 unless the parameters hold the right token."""
    with serve(tmp_path, TOKEN) as served:
        await clients.open("stranger", version, url_of(served), "private")
        await clients.open("liar", version, url_of(served), "private", params={"token": "wrong"})
        await clients.open("member", version, url_of(served), "private", params={"token": TOKEN})
        for name in ("stranger", "liar"):
            assert "401" in await clients.do("waitRefused", name)
            await clients.do("leave", name)
        await clients.wait("member", synced=True)


async def _receive_until_equal(socket: websockets.ClientConnection, frame: bytes) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        while await socket.recv() != frame:
            pass


async def _joined_text(url: str) -> str:
    """The text that a newcomer is sent in Step 2."""
    document: Doc[Any] = Doc()
    text = document.get("text", type=Text)
    async with websockets.connect(url) as socket, asyncio.timeout(BOUND_SECONDS):
        await socket.send(create_sync_message(document))
        while True:
            frame = await socket.recv()
            assert isinstance(frame, bytes)
            if frame[:2] == b"\x00\x01":
                handle_sync_message(frame[1:], document)
                return str(text)


async def test_the_echo_of_an_update_is_its_bytes_and_means_durable(tmp_path: Path) -> None:
    """The sender gets its update's very bytes back; a server killed just then still has it."""
    document: Doc[Any] = Doc()
    text = document.get("text", type=Text)
    with serve(tmp_path) as served:
        for round_number in range(5):
            async with websockets.connect(f"{url_of(served)}/echo") as socket:
                await socket.send(create_sync_message(document))
                before = document.get_state()
                text += f"round {round_number}; "
                frame = create_update_message(document.get_update(before))
                await socket.send(frame)
                await _receive_until_equal(socket, frame)
                served.kill()
            served.launch()
            assert await _joined_text(f"{url_of(served)}/echo") == str(text)
