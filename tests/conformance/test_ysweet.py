"""Unmodified y-sweet clients, @y-sweet/sdk and @y-sweet/client 0.9.1, against a real server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from pycrdt import Doc, Text, create_sync_message, create_update_message

from engineroom.testing.node_clients import NodeClients
from engineroom.testing.server_process import ServerProcess

pytestmark = pytest.mark.anyio

TOKEN = "s3cret-token"
PATIENCE_SECONDS = 30
STEP2 = b"\x00\x01\x02\x00\x00"


def serve(folder: Path) -> ServerProcess:
    """A server of documents alone, with a token."""
    return ServerProcess(None, data=folder / "data", log=folder / "server.log", token=TOKEN)


@pytest.fixture
def served(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    """That server, running."""
    with serve(tmp_path) as server:
        yield server


def connection_string(served: ServerProcess, token: str = TOKEN) -> str:
    """What the SDK is given."""
    return f"ys://{token}@127.0.0.1:{served.port}/y-sweet"


def encoded(text: str) -> bytes:
    """A document with `text` in root Text `text`, as one update."""
    doc: Doc[Any] = Doc()
    root = doc.get("text", type=Text)
    root += text
    return doc.get_update()


def text_of(update: bytes) -> str:
    """What stands in root Text `text`."""
    doc: Doc[Any] = Doc()
    doc.apply_update(update)
    return str(doc.get("text", type=Text))


class Sdk:
    """`@y-sweet/sdk`'s DocumentManager, with bytes where it has a Uint8Array."""

    def __init__(self, clients: NodeClients, url: str) -> None:
        self._clients = clients
        self._url = url

    async def do(self, method: str, *values: Any, update: bytes | None = None) -> Any:
        body = None if update is None else base64.b64encode(update).decode()
        extra = {} if body is None else {"update": body}
        return await self._clients.do(
            "manage", url=self._url, method=method, values=list(values), **extra
        )


@pytest.fixture
def sdk(served: ServerProcess, clients: NodeClients) -> Sdk:
    """The SDK with the server's token."""
    return Sdk(clients, connection_string(served))


async def test_the_sdk_makes_reads_and_updates_documents(sdk: Sdk, room: str) -> None:
    """Each method of the DocumentManager does what its documentation says."""
    assert await sdk.do("checkStore") == {"ok": True}
    assert await sdk.do("createDoc", room) == {"docId": room}
    assert await sdk.do("createDoc", room) == {"docId": room}
    await sdk.do("updateDoc", room, update=encoded("given"))
    update = base64.b64decode(await sdk.do("getDocAsUpdate", room))
    assert text_of(update) == "given"
    made = await sdk.do("createDocWithContent", update=encoded("at once"))
    assert text_of(base64.b64decode(await sdk.do("getDocAsUpdate", made["docId"]))) == "at once"


async def test_a_document_that_nobody_made_has_no_token(sdk: Sdk, served: ServerProcess) -> None:
    """404 before `doc/new`, also for a document that is asked for twice; 400 for a name that is none."""
    for _ in range(2):
        answer = await sdk.do("getClientToken", "unknown")
        assert answer["cause"]["code"] == "ServerError"
        assert answer["cause"]["status"] == 404
    for name in ("not/a/name", "ümlaut", "a b"):
        answer = await sdk.do("createDoc", name)
        assert answer["cause"]["status"] == 400


async def test_a_document_is_made_for_good(tmp_path: Path, clients: NodeClients) -> None:
    """A document that was made and never written to has its token after a crash."""
    with serve(tmp_path) as served:
        sdk = Sdk(clients, connection_string(served))
        await sdk.do("createDoc", "empty")
        served.kill()
        served.launch()
        assert (await sdk.do("getClientToken", "empty"))["docId"] == "empty"


async def test_without_the_servers_token_nothing_is_made(
    served: ServerProcess, clients: NodeClients, sdk: Sdk, room: str
) -> None:
    """The SDK's own errors: no token, a wrong one; a document's token makes no other documents."""
    nobody = Sdk(clients, f"ys://127.0.0.1:{served.port}/y-sweet")
    assert (await nobody.do("createDoc", room))["cause"] == {"code": "NoAuthProvided"}
    liar = Sdk(clients, connection_string(served, "wrong"))
    assert (await liar.do("createDoc", room))["cause"] == {"code": "InvalidAuthProvided"}
    token = (await sdk.do("getOrCreateDocAndToken", room))["token"]
    holder = Sdk(clients, connection_string(served, token))
    assert (await holder.do("createDoc", "other"))["cause"]["status"] == 403
    assert (await holder.do("checkStore"))["cause"]["status"] == 403


async def test_a_token_says_where_its_document_is(
    served: ServerProcess, sdk: Sdk, room: str
) -> None:
    """`url` and `baseUrl` are below the host that the SDK asked; a read-only token updates nothing."""
    await sdk.do("createDoc", room)
    token = await sdk.do("getClientToken", room, {"authorization": "read-only"})
    place = f"127.0.0.1:{served.port}/y-sweet/d/{room}"
    assert token["url"] == f"ws://{place}/ws"
    assert token["baseUrl"] == f"http://{place}"
    assert token["authorization"] == "read-only"
    headers = {"authorization": f"Bearer {token['token']}"}
    async with httpx.AsyncClient(base_url=token["baseUrl"], headers=headers) as http:
        assert (await http.get("/as-update")).status_code == 200
        assert (await http.post("/update", content=encoded("x"))).status_code == 403
        wrong = {"authorization": "Bearer wrong"}
        assert (await http.get("/as-update", headers=wrong)).status_code == 401


async def test_updates_that_are_none_are_refused(sdk: Sdk, room: str) -> None:
    """Malformed bytes are the client's mistake, and change nothing."""
    await sdk.do("createDoc", room)
    answer = await sdk.do("updateDoc", room, update=bytes.fromhex("01016101000000"))
    assert answer["cause"]["status"] == 400
    assert text_of(base64.b64decode(await sdk.do("getDocAsUpdate", room))) == ""


async def test_two_clients_see_each_others_text_and_presence(
    served: ServerProcess, clients: NodeClients, room: str
) -> None:
    """What one types the other shows, and it counts as saved."""
    for name in ("ada", "bob"):
        await clients.open(name, "y-sweet", connection_string(served), room)
        await clients.do("announce", name, name=name)
        await clients.wait(name, synced=True, unsaved=0)
    await clients.do("insert", "ada", at=0, text="Grüße, ")
    await clients.wait("bob", text="Grüße, ", names=["ada", "bob"])
    await clients.do("insert", "bob", at=7, text="🌍!")
    await clients.wait("ada", text="Grüße, 🌍!", unsaved=0)
    await clients.wait("bob", unsaved=0)


async def test_a_reader_reads_and_does_not_write(
    served: ServerProcess, clients: NodeClients, sdk: Sdk, room: str
) -> None:
    """With a read-only token, text comes and none goes."""
    await sdk.do("createDoc", room)
    await sdk.do("updateDoc", room, update=encoded("given"))
    url = connection_string(served)
    await clients.open("reader", "y-sweet", url, room, authorization="read-only")
    await clients.wait("reader", synced=True, text="given")
    await clients.do("insert", "reader", at=0, text="mine ")
    await clients.open("ada", "y-sweet", url, room)
    await clients.wait("ada", synced=True, text="given")


async def test_what_counts_as_saved_survives_a_killed_server(
    tmp_path: Path, clients: NodeClients
) -> None:
    """Offline edits merge after `kill -9` and a start; what was counted as saved is on the disk."""
    with serve(tmp_path) as served:
        url = connection_string(served)
        for name in ("ada", "bob"):
            await clients.open(name, "y-sweet", url, "phoenix")
            await clients.wait(name, synced=True, unsaved=0)
        for number in range(5):
            await clients.do("insert", "ada", at=0, text=f"{number}")
            await clients.wait("ada", unsaved=0)
        served.kill()
        await clients.wait("bob", connected=False)
        await clients.do("leave", "ada")
        await clients.do("insert", "bob", at=0, text="bob ")
        served.launch()
        await clients.wait("bob", synced=True, text="bob 43210", unsaved=0)
        await clients.open("cy", "y-sweet", url, "phoenix")
        await clients.wait("cy", synced=True, text="bob 43210")


async def test_the_answer_has_the_bytes_of_the_question_and_means_durable(
    tmp_path: Path, clients: NodeClients
) -> None:
    """`66` with a version comes back as it was; a server that is killed just then has what came before it."""
    document: Doc[Any] = Doc()
    text = document.get("text", type=Text)
    with serve(tmp_path) as served:
        sdk = Sdk(clients, connection_string(served))
        for number in range(3):
            token = await sdk.do("getOrCreateDocAndToken", "echo")
            async with websockets.connect(f"{token['url']}/echo?token={token['token']}") as socket:
                question = b"\x66\x02" + bytes([0xAC + number, 0x02])
                await socket.send(create_sync_message(document))
                await socket.send(question)  # as the client does on opening, before its Step 2
                before = document.get_state()
                text += f"round {number}; "
                await socket.send(create_update_message(document.get_update(before)))
                await socket.send(STEP2)
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while await socket.recv() != question:
                        pass
                served.kill()
            served.launch()
            update = base64.b64decode(await sdk.do("getDocAsUpdate", "echo"))
            assert text_of(update) == str(text)


async def test_sockets_are_at_their_documents_url(
    served: ServerProcess, sdk: Sdk, room: str
) -> None:
    """Two names that differ are 400; anything else below /y-sweet/ is 404; a token is needed."""
    base = f"ws://127.0.0.1:{served.port}/y-sweet"
    for url, status in (
        (f"{base}/d/{room}/ws/other?token={TOKEN}", 400),
        (f"{base}/d/{room}?token={TOKEN}", 404),
        (f"{base}/d/{room}/ws/{room}", 401),
    ):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with websockets.connect(url):
                pass
        assert refused.value.response.status_code == status
