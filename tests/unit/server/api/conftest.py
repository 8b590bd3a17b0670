"""The API over real rooms and a store in memory, without the guard: visitors are set by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pycrdt import Doc, Text
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from engineroom.rooms.address import Address
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.open_rooms import Rooms
from engineroom.rooms.plan import Plan
from engineroom.server.api.deleted import Deleted
from engineroom.server.api.documents import Documents
from engineroom.server.api.keys import Keys
from engineroom.server.api.opening import SCHEMA
from engineroom.server.api.routes import DocumentRoutes
from engineroom.server.small_database import SmallDatabase
from engineroom.stores.memory import MemoryStore

ALL = frozenset({"read", "write", "run", "admin"})
UPDATE = {"content-type": "application/vnd.yjs.update"}
BODY_BYTES = 1 << 20


@dataclass
class Visitor:
    """A visitor whose rights are set by the test; `notes/` and below only, when `only` says so."""

    user: str = "ada"
    granted: frozenset[str] = ALL
    only: str = ""

    def rights(self, address: Address) -> frozenset[str]:
        """What the visitor may do there."""
        return self.granted if str(address).startswith(self.only) else frozenset()


@dataclass
class World:
    """The parts of one server's API."""

    store: MemoryStore
    rooms: Rooms
    documents: Documents
    keys: Keys
    database: SmallDatabase
    client: httpx.AsyncClient
    visitor: Visitor
    now: list[float]
    removed: list[str] = field(default_factory=list)

    async def put(self, address: str, text: str = "Hello") -> httpx.Response:
        """A new document whose root Text `text` says `text`."""
        headers = {"content-type": "text/plain"}
        answer = await self.client.put(
            f"/api/documents/{address}?root=text", content=text, headers=headers
        )
        assert answer.status_code == 201, answer.text
        return answer

    async def patch(self, address: str, *operations: Any, **headers: str) -> httpx.Response:
        """Operations on a document."""
        stated = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.patch(
            f"/api/documents/{address}", json={"operations": operations}, headers=stated
        )

    async def text(self, address: str) -> str:
        """The root Text `text` of a document."""
        answer = await self.client.get(f"/api/documents/{address}?root=text")
        assert answer.status_code == 200, answer.text
        return answer.text


class _Visited:
    """Sets the visitor, as the guard does."""

    def __init__(self, app: ASGIApp, visitor: Visitor) -> None:
        self._app = app
        self._visitor = visitor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["visitor"] = self._visitor
        await self._app(scope, receive, send)


@asynccontextmanager
async def open_world(folder: Path, store: MemoryStore | None = None) -> AsyncIterator[World]:
    """A server's API; its small database is in `folder`."""
    store = store or MemoryStore()
    now, visitor, removed = [1_000_000.0], Visitor(), []
    limits = RoomLimits(linger_seconds=0.0)

    async def remove(address: Address) -> None:
        removed.append(str(address))

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(store)
        database = SmallDatabase(folder / "server.sqlite", SCHEMA, version=1)
        await stack.enter_async_context(database)
        deleted = Deleted(database, lambda address: Plan(), clock=lambda: now[0])
        await deleted.load()
        rooms = Rooms(store, plan_of=deleted.plan_of, limits=limits)
        await stack.enter_async_context(rooms)
        keys = Keys(database, clock=lambda: now[0])
        documents = await stack.enter_async_context(
            Documents(
                rooms, store, deleted, keys, document_bytes=limits.document_bytes, remains=[remove]
            )
        )
        routes = DocumentRoutes(documents, body_bytes=BODY_BYTES).routes()
        app = _Visited(Starlette(routes=routes), visitor)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://engineroom.test")
        )
        yield World(store, rooms, documents, keys, database, client, visitor, now, removed)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A server's API, empty."""
    async with open_world(tmp_path) as world:
        yield world


def update_with(text: str, name: str = "text") -> bytes:
    """The update of a client that has written `text`."""
    doc: Doc[Any] = Doc()
    doc[name] = Text(text)
    return doc.get_update()
