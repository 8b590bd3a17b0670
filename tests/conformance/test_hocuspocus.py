"""Unmodified Hocuspocus providers, 2.15, 3.4 and 4.8, against a real server.

What they do is written down here and done in one node process (`js/clients.mjs`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from engineroom.testing.node_clients import NodeClients
from engineroom.testing.server_process import ServerProcess

pytestmark = pytest.mark.anyio

TOKEN = "s3cret-token"
KINDS = ["hocuspocus-2", "hocuspocus-3", "hocuspocus-4"]

kinds = pytest.mark.parametrize("kind", KINDS)


def serve(folder: Path, *options: str) -> ServerProcess:
    """A server of documents alone, with a token; after `kill`, `launch` keeps its port and its data."""
    return ServerProcess(
        None, *options, data=folder / "data", log=folder / "server.log", token=TOKEN
    )


def share(served: ServerProcess, room: str, *rights: str) -> str:
    """A token for that room alone, as `POST /-/share` gives it."""
    body = {"address": room, "rights": list(rights)}
    answer = httpx.post(
        f"http://127.0.0.1:{served.port}/-/share",
        json=body,
        headers={"authorization": f"Bearer {TOKEN}"},
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def url_of(served: ServerProcess) -> str:
    """Where Hocuspocus is on that server."""
    return f"ws://127.0.0.1:{served.port}/hocuspocus"


@pytest.fixture
def served(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    """A server of documents alone, with a token."""
    with serve(tmp_path) as server:
        yield server


@kinds
async def test_two_clients_see_each_others_text_and_presence(
    served: ServerProcess, clients: NodeClients, room: str, kind: str
) -> None:
    """What one types the other shows, and nothing stays unsaved."""
    for name in ("ada", "bob"):
        await clients.open(name, kind, url_of(served), room, token=TOKEN)
        await clients.do("announce", name, name=name)
        await clients.wait(name, synced=True, scope="read-write", unsaved=0)
    await clients.do("insert", "ada", at=0, text="Grüße, ")
    await clients.wait("bob", text="Grüße, ", names=["ada", "bob"])
    await clients.do("insert", "bob", at=7, text="🌍!")
    await clients.wait("ada", text="Grüße, 🌍!", unsaved=0)
    await clients.wait("bob", unsaved=0)
    await clients.do("leave", "bob")
    await clients.wait("ada", names=["ada"])


@kinds
async def test_many_documents_share_one_socket(
    served: ServerProcess, clients: NodeClients, room: str, kind: str
) -> None:
    """Three documents on one socket, each with its own room; one that is closed leaves the others as they are."""
    await clients.do("openSocket", socket="shared", kind=kind, url=url_of(served))
    for name in ("one", "two", "three"):
        options = {"socket": "shared", "token": TOKEN}
        await clients.open(name, kind, url_of(served), f"{room}/{name}", **options)
    for name in ("one", "two", "three"):
        await clients.wait(name, synced=True, unsaved=0)
        await clients.do("insert", name, at=0, text=name)
        await clients.wait(name, unsaved=0)
    await clients.do("leave", "two")
    await clients.open("witness", kind, url_of(served), f"{room}/one", token=TOKEN)
    await clients.wait("witness", text="one")
    await clients.do("insert", "one", at=3, text="!")
    await clients.wait("witness", text="one!")
    await clients.open("again", kind, url_of(served), f"{room}/two", socket="shared", token=TOKEN)
    await clients.wait("again", synced=True, text="two", unsaved=0)


async def test_one_document_twice_on_one_socket(
    served: ServerProcess, clients: NodeClients, room: str
) -> None:
    """With session awareness, two providers of one document share a socket, and see each other."""
    kind = "hocuspocus-4"
    await clients.do("openSocket", socket="shared", kind=kind, url=url_of(served))
    for name in ("ada", "bob"):
        await clients.open(
            name, kind, url_of(served), room, socket="shared", token=TOKEN, sessionAwareness=True
        )
        await clients.do("announce", name, name=name)
    for name in ("ada", "bob"):
        await clients.wait(name, synced=True, unsaved=0, names=["ada", "bob"])
    await clients.do("insert", "ada", at=0, text="hello")
    await clients.wait("bob", text="hello")
    await clients.wait("ada", unsaved=0)


@kinds
async def test_a_wrong_token_is_denied(
    served: ServerProcess, clients: NodeClients, room: str, kind: str
) -> None:
    """The provider hears why, and a document with the right token on the same socket is served."""
    await clients.do("openSocket", socket="shared", kind=kind, url=url_of(served))
    await clients.open("liar", kind, url_of(served), room, socket="shared", token="wrong")
    await clients.wait("liar", denied="That token is not valid here.", synced=False)
    await clients.open("honest", kind, url_of(served), f"{room}-2", socket="shared", token=TOKEN)
    await clients.wait("honest", synced=True, scope="read-write", unsaved=0)


@kinds
async def test_a_reader_reads_and_is_seen_but_does_not_write(
    served: ServerProcess, clients: NodeClients, room: str, kind: str
) -> None:
    """`readonly`: its presence is shown, its text stays its own and counts as unsaved."""
    await clients.open("ada", kind, url_of(served), room, token=TOKEN)
    await clients.wait("ada", synced=True)
    await clients.do("insert", "ada", at=0, text="given")
    reader = share(served, room, "read")
    await clients.open("reader", kind, url_of(served), room, token=reader)
    await clients.do("announce", "reader", name="reader")
    await clients.wait("reader", synced=True, scope="readonly", text="given", unsaved=0)
    await clients.wait("ada", names=["reader"])
    await clients.do("insert", "reader", at=0, text="mine ")
    await clients.do("insert", "ada", at=5, text="!")
    await clients.wait("reader", text="mine given!", unsaved=1)
    assert (await clients.do("facts", "ada"))["text"] == "given!"


@kinds
async def test_a_provider_without_a_token_uses_the_url_s(
    served: ServerProcess, clients: NodeClients, room: str, kind: str
) -> None:
    """The token may stand in the URL, as y-websocket's does."""
    url = f"{url_of(served)}?token={TOKEN}"
    await clients.open("ada", kind, url, room)
    await clients.wait("ada", synced=True, unsaved=0)
    await clients.open("bob", kind, url_of(served), room)
    await clients.do("insert", "ada", at=0, text="x")
    await clients.wait("ada", unsaved=0)
    assert not (await clients.do("facts", "bob"))["synced"]


@kinds
async def test_a_forced_sync_leaves_nothing_unsaved(
    served: ServerProcess, clients: NodeClients, room: str, kind: str
) -> None:
    """After `forceSync` the provider is told once more that all is saved."""
    await clients.open("ada", kind, url_of(served), room, token=TOKEN)
    await clients.do("insert", "ada", at=0, text="x")
    await clients.wait("ada", synced=True, unsaved=0)
    for _ in range(3):
        await clients.do("forceSync", "ada")
        await clients.wait("ada", unsaved=0)


@kinds
async def test_what_counts_as_saved_survives_a_killed_server(
    tmp_path: Path, clients: NodeClients, kind: str
) -> None:
    """Offline edits merge after `kill -9` and a start; what was counted as saved is on the disk."""
    with serve(tmp_path) as served:
        for name in ("ada", "bob"):
            await clients.open(name, kind, url_of(served), "phoenix", token=TOKEN)
            await clients.wait(name, synced=True, unsaved=0)
        for number in range(5):
            await clients.do("insert", "ada", at=0, text=f"{number}")
            await clients.wait("ada", unsaved=0)
        served.kill()
        await clients.wait("ada", connected=False)
        await clients.wait("bob", connected=False)
        await clients.do("leave", "ada")
        await clients.do("insert", "bob", at=0, text="bob ")
        served.launch()
        await clients.wait("bob", synced=True, text="bob 43210", unsaved=0)
        await clients.open("cy", kind, url_of(served), "phoenix", token=TOKEN)
        await clients.wait("cy", synced=True, text="bob 43210")


@kinds
async def test_a_server_that_restarts_is_found_again(
    tmp_path: Path, clients: NodeClients, kind: str
) -> None:
    """A server that ends in order closes the sockets, and the providers enter their documents anew."""
    with serve(tmp_path) as served:
        await clients.do("openSocket", socket="shared", kind=kind, url=url_of(served))
        for name in ("one", "two"):
            options = {"socket": "shared", "token": TOKEN}
            await clients.open(name, kind, url_of(served), name, **options)
            await clients.wait(name, synced=True, unsaved=0)
        assert served.terminate() == 0
        await clients.wait("one", connected=False)
        await clients.do("insert", "one", at=0, text="meanwhile")
        served.launch()
        await clients.wait("one", synced=True, unsaved=0)
        await clients.wait("two", synced=True, unsaved=0)
        await clients.open("witness", kind, url_of(served), "one", token=TOKEN)
        await clients.wait("witness", text="meanwhile")
