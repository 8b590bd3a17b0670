"""Documents over HTTP: read, created, changed by updates, listed, deleted."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from engineroom.errors import AccessDenied, CloseCode
from engineroom.protocols.frames import Bundle
from engineroom.protocols.marks import mark_of, mark_update, marks_in
from engineroom.protocols.updates import read_state_vector
from engineroom.protocols.yjs import YjsDialect
from engineroom.rooms.address import Address
from engineroom.rooms.members import Access, User
from engineroom.server.api import keys
from engineroom.server.api.asked import read_body
from engineroom.server.api.documents import Order
from engineroom.server.api.problems import Problem
from engineroom.server.api.representing import Condition, State

from .conftest import BODY_BYTES, UPDATE, World, update_with

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 20.0


class Connection:
    """A member's transport that remembers."""

    def __init__(self) -> None:
        self.closed: list[tuple[int, str]] = []
        self.sent: list[bytes] = []

    def send(self, bundle: Bundle) -> None:
        """What the room says."""
        self.sent += bundle.payloads

    def close(self, code: int, reason: str) -> None:
        """The room sends the member away."""
        self.closed.append((code, reason))

    def hold(self) -> None:
        """Nothing is read here."""

    def release(self) -> None:
        """Nothing is read here."""


async def join(world: World, address: str) -> Connection:
    """A member of a room, over y-websocket's dialect."""
    connection = Connection()
    await world.rooms.join(
        Address.parse(address),
        connection,
        user=User("eve"),
        access=Access(),
        dialect=YjsDialect(),
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (connection.sent or connection.closed):  # noqa: ASYNC110
            await asyncio.sleep(0)
    return connection


def loaded(*updates: bytes) -> Doc[Any]:
    doc: Doc[Any] = Doc()
    for update in updates:
        doc.apply_update(update)
    return doc


def code_of(answer: Any) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"].endswith(body["code"])
    return str(body["code"])


# --- reading ---------------------------------------------------------------------------------


async def test_a_missing_document(world: World) -> None:
    """What is not there is 404, and looking does not make it."""
    for _ in range(2):
        answer = await world.client.get("/api/documents/notes/today")
        assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert await world.store.list_documents() == []


async def test_updates_by_default(world: World) -> None:
    """Without an Accept header a document is one update, with its ETag; the same ETag answers 304."""
    await world.put("notes/today")
    answer = await world.client.get("/api/documents/notes/today")
    assert answer.headers["content-type"] == "application/vnd.yjs.update"
    assert str(loaded(answer.content).get("text", type=Text)) == "Hello"
    known = {"if-none-match": f'W/"other", {answer.headers["etag"]}'}
    again = await world.client.get("/api/documents/notes/today", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == answer.headers["etag"]
    octets = await world.client.get(
        "/api/documents/notes/today", headers={"accept": "application/octet-stream"}
    )
    assert octets.headers["content-type"] == "application/octet-stream"
    head = await world.client.head("/api/documents/notes/today")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == answer.headers["etag"]


async def test_the_difference(world: World) -> None:
    """With a state vector, only what it lacks is sent."""
    await world.put("a")
    first = (await world.client.get("/api/documents/a")).content
    await world.patch("a", {"op": "text.append", "path": ["text"], "text": " world"})
    vector = base64.urlsafe_b64encode(loaded(first).get_state()).decode().rstrip("=")
    answer = await world.client.get(f"/api/documents/a?state_vector={vector}")
    assert len(answer.content) < len(first) + 6
    assert str(loaded(first, answer.content).get("text", type=Text)) == "Hello world"
    for wrong in ("*", "_w", "a"):
        answer = await world.client.get(f"/api/documents/a?state_vector={wrong}")
        assert (answer.status_code, code_of(answer)) == (400, "bad_state_vector"), wrong


async def test_json_and_text(world: World) -> None:
    """Roots are read as what the query says they are, numbers as JSON has them."""
    doc: Doc[Any] = Doc()
    doc["text"] = Text("Grüße 😀")
    doc["list"] = Array([1, 2.5, "x", None, True, {"a": [1]}, b"\x00\xff", Text("in")])
    doc["map"] = Map({"deep": Map({"list": Array([Map({})])})})
    doc["xml"] = xml = XmlFragment()
    xml.children.append(XmlElement("p", {"class": '"<'}, [XmlText("a < b")]))
    doc["root"] = Map({"k": 1})
    await world.client.put("/api/documents/a", content=doc.get_update(), headers=UPDATE)
    query = "text=Text&list=Array&map=Map&xml=XmlFragment&none=Map&root.root=Map"
    answer = await world.client.get(f"/api/documents/a?{query}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "text": "Grüße 😀",
        "list": [1, 2.5, "x", None, True, {"a": [1]}, "AP8=", "in"],
        "map": {"deep": {"list": [{}]}},
        "xml": "<p class='\"&lt;'>a &lt; b</p>",
        "none": {},
        "root": {"k": 1},
    }
    assert b"2.5" in answer.content
    assert b"1.0" not in answer.content
    text = await world.client.get("/api/documents/a?root=text")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.content.decode() == "Grüße 😀"
    tags = {answer.headers["etag"], text.headers["etag"]}
    assert len(tags) == 2, "each form has an ETag of its own"
    known = {"if-none-match": text.headers["etag"]}
    again = await world.client.get("/api/documents/a?root=text", headers=known)
    assert again.status_code == 304


async def test_a_root_is_never_read_as_what_it_is_not(world: World) -> None:
    """A root that holds something else is refused by name; the others can be read."""
    doc: Doc[Any] = Doc()
    doc["text"], doc["list"], doc["map"] = Text("x"), Array([1]), Map({"a": 1})
    doc["xml"] = xml = XmlFragment()
    xml.children.append(XmlElement("p"))
    await world.client.put("/api/documents/a", content=doc.get_update(), headers=UPDATE)
    kinds = {"text": "Text", "list": "Array", "map": "Map", "xml": "XmlFragment"}
    for name, own in kinds.items():
        for kind in kinds.values():
            answer = await world.client.get(f"/api/documents/a?{name}={kind}")
            if kind == own or (name, kind) in (("text", "XmlFragment"), ("xml", "Array")):
                assert answer.status_code == 200, (name, kind)
            else:
                assert (answer.status_code, code_of(answer)) == (422, "unreadable_root")
                assert name in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "accept", "status", "code"),
    [
        ("", "application/json", 400, "roots_missing"),
        ("", "text/html", 406, "not_acceptable"),
        ("?text=Text", "application/vnd.yjs.update", 406, "not_acceptable"),
        ("?text=Text", "application/json;q=0", 406, "not_acceptable"),
        ("?text=Tex", "*/*", 400, "bad_query"),
        ("?text=Text&text=Text", "*/*", 400, "bad_query"),
        ("?text=Text&root=x", "*/*", 400, "bad_query"),
        ("?root=x&root=y", "*/*", 400, "bad_query"),
        ("?" + "&".join(f"r{i}=Text" for i in range(60)), "*/*", 400, "bad_query"),
        ("?" + "&".join(f"r{i}=Text" for i in range(200)), "*/*", 400, "bad_query"),
    ],
)
async def test_queries_that_cannot_be_answered(
    world: World, query: str, accept: str, status: int, code: str
) -> None:
    """A form that there is not, or a query that says nothing sensible, is told with its code."""
    await world.put("a")
    answer = await world.client.get(f"/api/documents/a{query}", headers={"accept": accept})
    assert (answer.status_code, code_of(answer)) == (status, code)


async def test_reading_leaves_no_room_open(world: World) -> None:
    """A room that was opened for a request closes when nobody else is in it."""
    await world.put("a")
    await world.text("a")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while world.rooms.statistics():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# --- creating --------------------------------------------------------------------------------


async def test_creating(world: World) -> None:
    """PUT makes a document once, from an update, JSON or text; then it exists."""
    answer = await world.put("notes/today")
    assert answer.headers["location"] == "/api/documents/notes/today"
    assert answer.json()["number"] >= 1
    assert answer.json()["etag"] == answer.headers["etag"]
    again = await world.client.put("/api/documents/notes/today", content=b"", headers=UPDATE)
    assert (again.status_code, code_of(again)) == (409, "exists")
    roots = {
        "text": {"$text": "T"},
        "list": {"$array": [1, {"$map": {"a": 2}}]},
        "map": {"$map": {}},
    }
    answer = await world.client.put("/api/documents/b", json={"roots": roots})
    assert answer.status_code == 201
    answer = await world.client.get("/api/documents/b?text=Text&list=Array&map=Map")
    assert answer.json() == {"text": "T", "list": [1, {"a": 2}], "map": {}}
    answer = await world.client.put("/api/documents/c", content=update_with("U"), headers=UPDATE)
    assert await world.text("c") == "U"


async def test_an_empty_document(world: World) -> None:
    """A document without content exists all the same, also after its room has closed."""
    for path, extra in (("a", {}), ("b", {"json": {}}), ("c", {"headers": UPDATE})):
        answer = await world.client.put(f"/api/documents/{path}", **extra)
        assert answer.status_code == 201, answer.text
        assert (await world.client.get(f"/api/documents/{path}?text=Text")).json() == {"text": ""}
        again = await world.client.put(f"/api/documents/{path}", **extra)
        assert again.status_code == 409


async def test_a_document_without_an_address(world: World) -> None:
    """POST makes a document up an address, or takes the one in the body."""
    answer = await world.client.post("/api/documents", json={"roots": {"t": {"$text": "x"}}})
    assert answer.status_code == 201
    location = answer.headers["location"]
    assert (await world.client.get(f"{location}?t=Text")).json() == {"t": "x"}
    answer = await world.client.post("/api/documents", json={"address": "a/ü"})
    assert answer.headers["location"] == "/api/documents/a/%C3%BC"
    assert (await world.client.post("/api/documents", json={"address": "a/ü"})).status_code == 409
    answer = await world.client.post("/api/documents", json={"address": "../a"})
    assert code_of(answer) == "bad_address"


async def test_two_who_create_at_once(world: World) -> None:
    """Of several who create the same document, one does."""
    answers = await asyncio.gather(
        *(
            world.client.put("/api/documents/a", content=update_with(str(i)), headers=UPDATE)
            for i in range(5)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert len(await world.text("a")) == 1


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"\xff", UPDATE, 400, "bad_update"),
        (b"{", {"content-type": "application/json"}, 400, "bad_body"),
        (b'{"rots": {}}', {"content-type": "application/json"}, 400, "bad_body"),
        (b'{"roots": {"t": "x"}}', {"content-type": "application/json"}, 422, "operation_failed"),
        (b'{"roots": {"t": {"$text": 1}}}', {"content-type": "application/json"}, 422, "operation_failed"),
        (b'{"address": "b"}', {"content-type": "application/json"}, 400, "bad_body"),
        (b"[" * 100_000, {"content-type": "application/json"}, 400, "bad_body"),
        (b"x", {"content-type": "text/plain"}, 400, "bad_query"),
        (b"x", {"content-type": "text/html"}, 415, "unsupported_media_type"),
        (b"x", {}, 413, "too_large"),
        (b"\0" * (BODY_BYTES + 1), UPDATE, 413, "too_large"),
    ],
)  # fmt: skip
async def test_bodies_that_make_nothing(
    world: World, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """A body that cannot be taken is refused with its reason, and there is no document after it."""
    answer = await world.client.put("/api/documents/a", content=body, headers=headers)
    assert (answer.status_code, code_of(answer)) == (status, code), answer.text
    assert (await world.client.get("/api/documents/a")).status_code == 404


async def test_a_body_without_a_length(world: World) -> None:
    """A body that does not say how long it is is read no further than the bound."""
    read = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 10 * BODY_BYTES:
            read += 64 << 10
            yield b"\0" * (64 << 10)

    answer = await world.client.put("/api/documents/a", content=pieces(), headers=UPDATE)
    assert (answer.status_code, code_of(answer)) == (413, "too_large")


async def test_a_body_that_does_not_come(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that stops half-way is waited for only so long."""
    monkeypatch.setattr("engineroom.server.api.routes.read_body", partial(read_body, seconds=0.01))

    async def pieces() -> AsyncIterator[bytes]:
        yield b"\0"
        await asyncio.Event().wait()

    transport, sent = world.client._transport, []
    body = pieces()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(body), "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "PUT", "path": "/api/documents/a", "query_string": b"",
        "headers": [(b"content-type", b"application/octet-stream")],
    }  # fmt: skip
    assert isinstance(transport, httpx.ASGITransport)
    await transport.app(scope, receive, send)
    assert sent[0]["status"] == 408


# --- updates ---------------------------------------------------------------------------------


async def test_an_update_is_durable_and_told(world: World) -> None:
    """An update that is answered is in the store, members hear of it, and sending it again changes nothing."""
    await world.put("a")
    member = await join(world, "a")
    update = update_with("more", "other")
    answer = await world.client.post("/api/documents/a", content=update, headers=UPDATE)
    assert (answer.status_code, answer.json()["changed"]) == (200, True)
    stored = await world.store.load("a")
    assert stored is not None
    assert stored.last_number == answer.json()["number"]
    assert any(record.update == update and record.user == "ada" for record in stored.records)
    assert any(update in payload for payload in member.sent)
    again = await world.client.post("/api/documents/a", content=update, headers=UPDATE)
    assert (again.json()["changed"], again.headers["etag"]) == (False, answer.headers["etag"])


async def test_updates_that_are_refused(world: World) -> None:
    """A malformed update, one that lacks others, one of another type, a missing document: each with its code."""
    await world.put("a")
    post = world.client.post
    answer = await post("/api/documents/a", content=b"\x01\x01", headers=UPDATE)
    assert (answer.status_code, code_of(answer)) == (400, "bad_update")
    doc = loaded(update_with("xyz"))
    vector = doc.get_state()
    doc.get("text", type=Text).insert(1, "!")
    answer = await post("/api/documents/a", content=doc.get_update(vector), headers=UPDATE)
    assert (answer.status_code, code_of(answer)) == (400, "bad_update")
    answer = await post("/api/documents/a", content=b"x", headers={"content-type": "text/plain"})
    assert (answer.status_code, code_of(answer)) == (415, "unsupported_media_type")
    answer = await post("/api/documents/b", content=update_with("x"), headers=UPDATE)
    assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert await world.text("a") == "Hello"


async def test_an_update_under_a_condition(world: World) -> None:
    """With If-Match an update goes in only while the document is as its sender has seen it."""
    etag = (await world.put("a")).headers["etag"]
    update, other = update_with("1", "x"), update_with("2", "y")
    send = world.client.post
    first = await send("/api/documents/a", content=update, headers=UPDATE | {"if-match": etag})
    assert first.status_code == 200
    answer = await send("/api/documents/a", content=other, headers=UPDATE | {"if-match": etag})
    assert (answer.status_code, code_of(answer)) == (412, "changed")
    assert answer.headers["etag"] == first.headers["etag"]
    headers = UPDATE | {"if-match": first.headers["etag"]}
    assert (await send("/api/documents/a", content=other, headers=headers)).status_code == 200


async def test_a_condition_opens_no_other_way_in(world: World) -> None:
    """With If-Match an update is judged as without: one of another history, or that lacks what it needs, is refused."""
    etag = (await world.put("a")).headers["etag"]
    other = mark_update(mark_of("another history"))
    lacking = b"\x01\x01\x09\x05\x84\x09\x04\x01x\x00"
    for update, status in ((other, 409), (lacking, 400)):
        headers = UPDATE | {"if-match": etag}
        answer = await world.client.post("/api/documents/a", content=update, headers=headers)
        assert answer.status_code == status, answer.text
    now = await world.client.get("/api/documents/a")
    assert now.headers["etag"] == etag
    assert len(marks_in(read_state_vector(loaded(now.content).get_state()))) == 1


async def test_a_key_of_one_document_bars_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever uses up the idempotency keys of one document leaves those of others."""
    monkeypatch.setattr(keys, "MAX_KEYS_OF_DOCUMENT", 2)
    await world.put("a")
    await world.put("b")
    operation = {"op": "text.append", "path": ["text"], "text": "!"}
    statuses = [
        (await world.patch("a", operation, Idempotency_Key=f"{number}")).status_code
        for number in range(3)
    ]
    assert statuses == [200, 200, 503]
    assert (await world.patch("b", operation, Idempotency_Key="0")).status_code == 200


async def test_check_and_change_are_one_turn(world: World) -> None:
    """A member's change that the room has before it, when a conditional change comes, is seen by the condition."""
    await world.put("a")

    def change(doc: Doc[Any]) -> None:
        doc.get("text", type=Text).insert(0, ">")

    async with world.rooms.open(Address.parse("a")) as room:
        seen = State(room.lineage, room.number)
        order = Order("ada", Condition(states=frozenset({seen})))
        update = update_with("x", "other")
        # Both stand in the room's inbox before its next turn.
        first = asyncio.ensure_future(room.edit(change))
        second = asyncio.ensure_future(world.documents._bring(room, update, order))
        await first
        with pytest.raises(Problem, match="another ETag"):
            await second
    assert await world.text("a") == ">Hello"
    answer = await world.client.get("/api/documents/a?other=Text")
    assert answer.json() == {"other": ""}


# --- rights ----------------------------------------------------------------------------------


async def test_rights(world: World) -> None:
    """Reading needs read, changing and creating write, deleting admin; nothing is told to who lacks them."""
    await world.put("notes/a")
    requests = {
        ("GET", "/api/documents/notes/a"): "read",
        ("GET", "/api/documents/notes/none"): "read",
        ("PUT", "/api/documents/notes/b"): "write",
        ("POST", "/api/documents/notes/a"): "write",
        ("PATCH", "/api/documents/notes/a"): "write",
        ("DELETE", "/api/documents/notes/a"): "admin",
    }
    for granted in ({"read"}, {"read", "write"}, {"read", "write", "run"}, set()):
        world.visitor.granted = frozenset(granted)
        for (method, path), right in requests.items():
            if right not in granted:
                answer = await world.client.request(method, path)
                assert (answer.status_code, code_of(answer)) == (403, "forbidden"), (method, path)
        answer = await world.client.post("/api/documents", json={"address": "notes/x"})
        assert answer.status_code == (201 if "write" in granted else 403) or granted >= {"run"}
    assert await world.store.load("notes/b") is None


# --- list and delete -------------------------------------------------------------------------


async def test_the_list(world: World) -> None:
    """Documents are listed by address, a page at a time, those alone that the visitor has the right admin in."""
    for name in ("b/1", "a/3", "a/1", "a/2"):
        await world.put(name)
    answer = await world.client.get("/api/documents?limit=3")
    assert [each["address"] for each in answer.json()["documents"]] == ["a/1", "a/2", "a/3"]
    entry = answer.json()["documents"][0]
    whole = await world.client.get(entry["url"])
    assert entry["etag"] == whole.headers["etag"]
    assert answer.headers["link"] == f'<{answer.json()["next"]}>; rel="next"'
    rest = (await world.client.get(answer.json()["next"])).json()
    assert [each["address"] for each in rest["documents"]] == ["b/1"]
    assert rest["next"] is None
    below = (await world.client.get("/api/documents?prefix=a/&after=a/1")).json()
    assert [each["address"] for each in below["documents"]] == ["a/2", "a/3"]
    world.visitor.only = "b/"
    assert len((await world.client.get("/api/documents")).json()["documents"]) == 1
    for wrong in ("limit=0", "limit=x", "limit=1001", "limt=1", "after=a&after=b"):
        answer = await world.client.get(f"/api/documents?{wrong}")
        assert (answer.status_code, code_of(answer)) == (400, "bad_query"), wrong


async def test_deleting(world: World) -> None:
    """Members are sent away with 4410, the document and all that belongs to it go, and nobody brings it back."""
    await world.put("a")
    member = await join(world, "a")
    answer = await world.client.delete("/api/documents/a")
    assert (answer.status_code, answer.content) == (204, b"")
    assert [code for code, _ in member.closed] == [CloseCode.ROOM_CLOSED]
    assert await world.store.load("a") is None
    assert world.removed == ["a"]
    assert (await world.client.get("/api/documents/a")).status_code == 404
    assert (await world.client.delete("/api/documents/a")).status_code == 404
    with pytest.raises(AccessDenied, match="no such page"):
        await join(world, "a")
    await world.put("a", "New")
    assert await world.text("a") == "New"
    await join(world, "a")


async def test_nobody_joins_while_a_document_is_deleted(world: World) -> None:
    """Who comes back during the deletion is refused; the document is gone for good."""
    await world.put("a")
    await join(world, "a")
    deleting = asyncio.ensure_future(world.client.delete("/api/documents/a"))
    refused = 0
    while not deleting.done():
        try:
            await join(world, "a")
        except AccessDenied:
            refused += 1
        await asyncio.sleep(0)
    assert refused
    assert (await deleting).status_code == 204
    assert await world.store.load("a") is None
    assert world.rooms.statistics() == []
