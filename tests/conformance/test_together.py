"""One room, one unmodified client of every kind in it, all at the same time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

import engineroom
from engineroom.testing.node_clients import NodeClients
from engineroom.testing.server_process import ServerProcess

pytestmark = pytest.mark.anyio

Serving: TypeAlias = Callable[[Path], AbstractAsyncContextManager[str]]

TOKEN = "s3cret-token"
KINDS = [
    "y-websocket-1",
    "y-websocket-3",
    "hocuspocus-2",
    "hocuspocus-3",
    "hocuspocus-4",
    "y-sweet",
]


async def open_all(clients: NodeClients, place: str, room: str) -> None:
    """A client of each kind, named after it, that has said who it is."""
    for kind in KINDS:
        match kind.split("-")[0]:
            case "hocuspocus":
                await clients.open(kind, kind, f"ws://{place}/hocuspocus", room, token=TOKEN)
            case "y" if kind == "y-sweet":
                await clients.open(kind, kind, f"ys://{TOKEN}@{place}/y-sweet", room)
            case _:
                await clients.open(kind, kind, f"ws://{place}", room, params={"token": TOKEN})
        await clients.do("announce", kind, name=kind)


@asynccontextmanager
async def our_own(folder: Path) -> AsyncIterator[str]:
    """The host and port of our own server, whose sockets are picows'."""
    log = folder / "server.log"
    with ServerProcess(None, data=folder / "data", log=log, token=TOKEN) as server:
        yield f"127.0.0.1:{server.port}"


@asynccontextmanager
async def mounted(folder: Path) -> AsyncIterator[str]:
    """The host and port of a stock uvicorn that serves our application below `/collab`, through ASGI alone."""
    collab = engineroom.Application(data=str(folder / "data"), token=TOKEN)
    outer = Starlette(routes=[Mount("/collab", collab)], lifespan=collab.lifespan)
    config = uvicorn.Config(outer, ws="websockets-sansio", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            try:
                yield f"127.0.0.1:{listener.getsockname()[1]}/collab"
            finally:
                server.should_exit = True


transports = pytest.mark.parametrize(
    "serving", [pytest.param(our_own, id="picows"), pytest.param(mounted, id="asgi")]
)


@transports
async def test_clients_of_every_kind_type_at_once_and_converge(
    tmp_path: Path, clients: NodeClients, room: str, serving: Serving
) -> None:
    """Six clients of six kinds edit at random, see each other, and end with the same text."""
    async with serving(tmp_path) as place:
        await type_together(clients, place, room)


async def type_together(clients: NodeClients, place: str, room: str) -> None:
    await open_all(clients, place, room)
    for kind in KINDS:
        await clients.wait(kind, synced=True, names=sorted(KINDS))
    await clients.do("editAll", count=60, seed=1)
    text = await clients.do("waitAllEqual")
    assert len(text) > 500
    for kind in ("hocuspocus-2", "hocuspocus-3", "hocuspocus-4", "y-sweet"):
        await clients.wait(kind, unsaved=0)
    await clients.do("leave", "y-sweet")
    for kind in KINDS[:-1]:
        await clients.wait(kind, names=sorted(KINDS[:-1]))


async def test_they_converge_across_a_killed_server(
    tmp_path: Path, clients: NodeClients, room: str
) -> None:
    """`kill -9` in the midst of their typing: all reconnect by themselves, and nothing typed is missing."""
    log = tmp_path / "server.log"
    with ServerProcess(None, data=tmp_path / "data", log=log, token=TOKEN) as served:
        await open_all(clients, f"127.0.0.1:{served.port}", room)
        for kind in KINDS:
            await clients.wait(kind, synced=True)
        await clients.do("editAll", count=20, seed=3)
        served.kill()
        await clients.do("editAll", count=20, seed=4)
        served.launch()
        text = await clients.do("waitAllEqual")
        url = f"ws://127.0.0.1:{served.port}"
        await clients.open("newcomer", "y-websocket-3", url, room, params={"token": TOKEN})
        await clients.wait("newcomer", synced=True, text=text)
