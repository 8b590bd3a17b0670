"""A document's past over HTTP: versions, differences, authors, restoring, the log."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pycrdt import Array, Doc, Map, Text
from starlette.applications import Starlette

from engineroom.protocols.marks import marks_in
from engineroom.protocols.updates import read_state_vector
from engineroom.rooms.address import Address
from engineroom.rooms.limits import RoomLimits
from engineroom.server.api import past as past_module
from engineroom.server.api.past import Past
from engineroom.server.api.routes import DocumentRoutes
from engineroom.server.api.versions import VersionRoutes

from .conftest import BODY_BYTES, UPDATE, World, _Visited

pytestmark = pytest.mark.anyio

LIMITS = RoomLimits(versions=3)


class Client:
    """Asks for the past of one document."""

    def __init__(self, world: World, http: httpx.AsyncClient, address: str = "notes/today") -> None:
        self.world = world
        self.http = http
        self.address = address
        self.url = f"/api/documents/{address}"

    async def write(self, change: Any, client_id: int | None = None) -> None:
        """A member's change, as its own client makes it."""
        read = await self.http.get(self.url)
        doc: Doc[Any] = Doc(client_id=client_id)
        if read.status_code == 200:
            doc.apply_update(read.content)
        state = doc.get_state()
        with doc.transaction():
            change(doc)
        update = doc.get_update(state)
        method = self.http.post if read.status_code == 200 else self.http.put
        answer = await method(self.url, content=update, headers=UPDATE)
        assert answer.status_code in (200, 201), answer.text

    async def say(self, wanted: str, client_id: int | None = None) -> None:
        """The root Text becomes `wanted`, by one deletion and one insertion between what is equal."""

        def change(doc: Doc[Any]) -> None:
            root = doc.get("text", type=Text)
            now, text = str(root).encode(), wanted.encode()  # pycrdt counts bytes
            head = next((i for i, (a, b) in enumerate(zip(now, text, strict=False)) if a != b), 0)
            head = head or (min(len(now), len(text)) if text.startswith(now) else 0)
            del root[head : len(now)]
            root.insert(head, text[head:].decode())

        await self.write(change, client_id)

    async def doc(self) -> Doc[Any]:
        """The document now."""
        doc: Doc[Any] = Doc()
        doc.apply_update((await self.http.get(self.url)).content)
        return doc

    async def text(self) -> str:
        """The root Text now."""
        return str((await self.doc()).get("text", type=Text))

    async def keep(self, name: str = "Draft") -> dict[str, Any]:
        """Keep a version by hand."""
        answer = await self.http.post(f"{self.url}/versions", json={"name": name})
        assert answer.status_code == 201, answer.text
        entry: dict[str, Any] = answer.json()
        assert answer.headers["location"] == entry["url"]
        return entry

    async def get(self, path: str, status: int = 200, **headers: str) -> httpx.Response:
        """What is below the document's URL."""
        answer = await self.http.get(f"{self.url}/{path}", headers=headers)
        assert answer.status_code == status, answer.text
        return answer


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """The routes of versions, before those of documents."""
    past = Past(world.documents, world.store, LIMITS, clock=lambda: world.now[0])
    routes = [
        *VersionRoutes(past).routes(),
        *DocumentRoutes(world.documents, body_bytes=BODY_BYTES).routes(),
    ]
    transport = httpx.ASGITransport(_Visited(Starlette(routes=routes), world.visitor))
    async with httpx.AsyncClient(transport=transport, base_url="http://engineroom.test") as http:
        yield Client(world, http)


# --- versions --------------------------------------------------------------------------------


async def test_a_version_is_kept_listed_read_renamed_and_deleted(client: Client) -> None:
    """The whole life of a version that was made by hand."""
    await client.say("Hello")
    entry = await client.keep("  First \n draft ")
    assert entry["name"] == "First draft"
    assert (entry["kind"], entry["user"], entry["time"]) == ("hand", "ada", 1_000_000.0)
    await client.say("Hello world")
    listed = (await client.get("versions")).json()
    assert listed["versions"][-1] == entry
    assert "ada" in listed["users"]
    assert listed["number"] > entry["number"]

    read = await client.get(f"versions/{entry['id']}")
    doc: Doc[Any] = Doc()
    doc.apply_update(read.content)
    assert str(doc.get("text", type=Text)) == "Hello"
    assert read.headers["engineroom-number"] == str(entry["number"])
    plain = await client.get(f"versions/{entry['id']}", accept="application/json")
    assert plain.json() == {"text": "Hello"}
    known = {"if-none-match": plain.headers["etag"], "accept": "application/json"}
    assert (await client.get(f"versions/{entry['id']}", 304, **known)).content == b""

    renamed = await client.http.patch(entry["url"], json={"name": "Second"})
    assert renamed.json() == entry | {"name": "Second"}
    assert (await client.http.delete(entry["url"])).status_code == 204
    await client.get(f"versions/{entry['id']}", 404)
    assert (await client.http.delete(entry["url"])).status_code == 404
    assert (await client.http.patch(entry["url"], json={"name": "x"})).status_code == 404


async def test_the_present_is_a_version_too(client: Client) -> None:
    """Under the id `now` the document as it is can be read and compared."""
    await client.say("Hello")
    now = await client.get("versions/now", accept="application/json")
    assert now.json() == {"text": "Hello"}
    assert "etag" not in now.headers
    assert (await client.get("versions/now/diff")).json()["changes"] == []


async def test_a_room_that_empties_keeps_a_version(client: Client) -> None:
    """Versions that a room keeps by itself are in the list, of the kind `activity`."""
    await client.say("Hello")
    await client.world.rooms.close(Address.parse(client.address))
    [entry] = (await client.get("versions")).json()["versions"]
    assert entry["kind"] == "activity"
    plain = await client.get(f"versions/{entry['id']}", accept="application/json")
    assert plain.json() == {"text": "Hello"}


async def test_a_document_that_is_not_there_has_no_past(client: Client) -> None:
    """No versions, no records, nothing to keep; and looking for them makes no document."""
    assert (await client.get("versions")).json() == {
        "versions": [],
        "users": {},
        "clients": {},
        "number": 0,
        "snapshot": 0,
    }
    assert (await client.get("history")).json() == {"records": [], "next": None}
    await client.get("versions/now", 404)
    await client.get("versions/x/diff", 404)
    for path in ("versions", "versions/x/restore"):
        answer = await client.http.post(f"{client.url}/{path}", json={})
        assert answer.status_code == 404
    assert await client.world.store.list_documents() == []


async def test_versions_by_hand_are_bounded(client: Client) -> None:
    """Past the bound nothing is kept by hand until something was deleted."""
    await client.say("Hello")
    entries = [await client.keep(str(i)) for i in range(3)]
    refused = await client.http.post(f"{client.url}/versions", json={"name": "4"})
    assert (refused.status_code, refused.json()["limit"]) == (429, "versions")
    await client.http.delete(entries[0]["url"])
    await client.keep("4")


@pytest.mark.parametrize(
    "body", [{"name": "x" * 201}, {"nam": "x"}, {"name": "a\x07b"}, {"name": 1}]
)
async def test_bad_names_are_refused(client: Client, body: dict[str, Any]) -> None:
    """Names are short and printable, and nothing else is taken."""
    await client.say("Hello")
    answer = await client.http.post(f"{client.url}/versions", json=body)
    assert answer.status_code == 400
    assert (await client.get("versions")).json()["versions"] == []


# --- rights ----------------------------------------------------------------------------------


async def test_rights(client: Client) -> None:
    """To look takes read, to name and restore write, to delete admin; without read nothing is told."""
    await client.say("Hello")
    entry = await client.keep()
    reads = ["versions", "versions/now", "history"]
    reads += [f"versions/{entry['id']}{end}" for end in ("", "/diff", "/authors")]
    granted = client.world.visitor
    granted.granted = frozenset({"read"})
    for path in reads:
        await client.get(path)
    writes = [
        ("POST", f"{client.url}/versions"),
        ("PATCH", entry["url"]),
        ("POST", entry["url"] + "/restore"),
    ]
    for method, url in writes:
        assert (await client.http.request(method, url, json={"name": "x"})).status_code == 403
    granted.granted = frozenset({"read", "write"})
    for method, url in writes:
        assert (await client.http.request(method, url, json={"name": "x"})).is_success
    assert (await client.http.delete(entry["url"])).status_code == 403
    granted.granted = frozenset()
    for path in reads:
        assert (await client.http.get(f"{client.url}/{path}")).status_code == 403


# --- differences -----------------------------------------------------------------------------


async def test_differences_of_texts_are_at_words(client: Client) -> None:
    """Pieces are kept, removed and added at whole words, each with its writer."""
    await client.say("The cat sat.\nIt slept.\n", client_id=1)
    entry = await client.keep()
    await client.say("The car sat.\nIt slept.\n", client_id=2)
    answer = (await client.get(f"versions/{entry['id']}/diff")).json()
    [change] = answer["changes"]
    pieces = [(piece["op"], piece["text"]) for piece in change["pieces"]]
    assert (change["root"], change["type"]) == ("text", "text")
    old = "".join(text for op, text in pieces if op != "add")
    new = "".join(text for op, text in pieces if op != "remove")
    assert (old, new) == ("The cat sat.\nIt slept.\n", "The car sat.\nIt slept.\n")
    assert pieces[0] == ("keep", "The ")
    assert pieces[1][1].startswith("cat")
    assert {piece["client"] for piece in change["pieces"] if piece["op"] == "keep"} == {1}
    assert 2 in {piece["client"] for piece in change["pieces"] if piece["op"] == "add"}
    assert (answer["old"]["id"], answer["new"]["id"]) == (entry["id"], "now")


async def test_differences_as_text(client: Client) -> None:
    """`Accept: text/plain` gets unified diffs, at whole lines, with the versions' names."""
    await client.say("one\ntwo\nthree\n")
    entry = await client.keep("Draft")

    def change(doc: Doc[Any]) -> None:
        doc.get("text", type=Text).insert(4, "and ")
        doc.get("map", type=Map)["speed"] = 3

    await client.write(change)
    text = (await client.get(f"versions/{entry['id']}/diff", accept="text/plain")).text
    assert text == (
        "=== map\nadd /speed 3\n"
        "--- text\tDraft\n+++ text\tnow\n"
        "@@ -1,3 +1,3 @@\n one\n-two\n+and two\n three\n"
    )
    await client.get(f"versions/{entry['id']}/diff", 406, accept="image/png")


async def test_differences_of_maps_and_arrays_are_patches(client: Client) -> None:
    """Maps and arrays differ by operations of JSON Patch, also deep within."""
    first = {"a": 1, "deep": Map({"text": Text("x"), "list": Array([1, 2, 3])})}
    await client.write(lambda doc: doc.get("map", type=Map).update(first))
    entry = await client.keep()

    def change(doc: Doc[Any]) -> None:
        root = doc.get("map", type=Map)
        del root["a"]
        root["b/~"] = {"c": None}
        text = root["deep"]["text"]
        text += "y"
        del root["deep"]["list"][1]
        root["deep"]["list"].append("end")

    await client.write(change)
    [found] = (await client.get(f"versions/{entry['id']}/diff")).json()["changes"]
    assert (found["root"], found["type"]) == ("map", "map")
    assert found["operations"] == [
        {"op": "remove", "path": "/a"},
        {"op": "add", "path": "/b~1~0", "value": {"c": None}},
        {"op": "remove", "path": "/deep/list/1"},
        {"op": "add", "path": "/deep/list/2", "value": "end"},
        {"op": "replace", "path": "/deep/text", "value": "xy"},
    ]


async def test_two_versions_are_compared(client: Client) -> None:
    """`to` names the other version."""
    await client.say("one")
    first = await client.keep("1")
    await client.say("one two")
    second = await client.keep("2")
    await client.say("nothing")
    answer = (await client.get(f"versions/{first['id']}/diff?to={second['id']}")).json()
    pieces = answer["changes"][0]["pieces"]
    assert [(p["op"], p["text"]) for p in pieces] == [("keep", "one"), ("add", " two")]


async def test_what_is_too_large_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document of too many items is not read item by item: a problem names the bound."""
    await client.say("Hello")
    entry = await client.keep()
    monkeypatch.setattr("engineroom.protocols.items.MAX_ITEMS", 1)
    problem = (await client.get(f"versions/{entry['id']}/diff", 429)).json()
    assert problem["limit"] == "history_items"
    await client.get(f"versions/{entry['id']}")


# --- authors ---------------------------------------------------------------------------------


async def test_authors_of_a_version(client: Client) -> None:
    """Spans in order with their users, and what each has put in and still has there."""
    await client.say("Hello", client_id=1)
    client.world.visitor.user = "bob"
    await client.say("Hello 😀 world", client_id=2)
    entry = await client.keep()
    client.world.visitor.user = "eve"
    await client.say("", client_id=3)
    found = (await client.get(f"versions/{entry['id']}/authors")).json()
    assert [(s["user"], s["length"]) for s in found["roots"]["text"]] == [("ada", 5), ("bob", 9)]
    counts = {a["user"]: (a["standing"], a["text"]) for a in found["authors"] if a["text"]}
    assert counts == {"ada": (5, 5), "bob": (9, 9)}
    assert found["clients"]["1"] == [[0, 5, "ada"]]
    now = (await client.get("versions/now/authors")).json()
    assert all(author["text"] == 0 for author in now["authors"])
    assert {a["user"]: a["inserted"] for a in now["authors"]}["bob"] == 9


# --- restoring -------------------------------------------------------------------------------


async def test_restoring_keeps_what_is_the_same_and_the_lineage(client: Client) -> None:
    """The text is as it was; what stood in both keeps its writer; the document's mark and history stay."""
    await client.say("Keep this. Lose that.", client_id=1)
    entry = await client.keep()
    await client.say("Keep this. Win more.", client_id=2)
    before = await client.doc()
    answer = await client.http.post(entry["url"] + "/restore")
    assert answer.status_code == 200
    assert await client.text() == "Keep this. Lose that."
    spans = (await client.get("versions/now/authors")).json()["roots"]["text"]
    assert spans[0]["client"] == 1
    assert spans[0]["length"] >= len("Keep this. ")
    after = await client.doc()
    assert marks_in(read_state_vector(after.get_state())) == marks_in(
        read_state_vector(before.get_state())
    )
    # A client that was there before takes it as an ordinary update.
    before.apply_update(after.get_update(before.get_state()))
    assert str(before.get("text", type=Text)) == "Keep this. Lose that."


async def test_restoring_keeps_the_state_before(client: Client) -> None:
    """The state before is a version, by which restoring is undone; restoring what is there changes nothing."""
    await client.say("old")
    entry = await client.keep()
    await client.say("new")
    answer = (await client.http.post(entry["url"] + "/restore")).json()
    assert answer["before"]["kind"] == "restore"
    assert answer["before"]["user"] == "ada"
    again = (await client.http.post(entry["url"] + "/restore")).json()
    assert again["before"] is None
    assert (await client.http.post(answer["before"]["url"] + "/restore")).status_code == 200
    assert await client.text() == "new"


async def test_restoring_merges_with_concurrent_edits(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody writes while the difference is being found stays, beside what comes back."""
    await client.say("first line\nsecond line\n", client_id=1)
    entry = await client.keep()
    await client.say("first line\n", client_id=2)
    find = past_module._restoring
    loop = asyncio.get_running_loop()

    def slowly(*arguments: Any) -> bytes:
        update = find(*arguments)
        writing = client.say("first line, and more\n", client_id=3)
        asyncio.run_coroutine_threadsafe(writing, loop).result(20)
        return update

    monkeypatch.setattr(past_module, "_restoring", slowly)
    assert (await client.http.post(entry["url"] + "/restore")).status_code == 200
    text = await client.text()
    assert "second line\n" in text
    assert "and more" in text


async def test_a_restore_past_a_bound_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restoring is a member's update: the bounds of rooms hold for it, and nothing is changed past them."""
    await client.say("Hello")
    entry = await client.keep()
    await client.say("Bye")
    around = client.world.rooms._around
    monkeypatch.setattr(
        client.world.rooms, "_around", replace(around, limits=RoomLimits(update_bytes=4))
    )
    await client.world.rooms.close(Address.parse(client.address))
    answer = await client.http.post(entry["url"] + "/restore")
    assert (answer.status_code, answer.json()["limit"]) == (429, "update_bytes")
    assert await client.text() == "Bye"


async def test_a_page_gets_its_sources_back_not_its_outputs(client: Client) -> None:
    """Of a page's document the texts come back; outputs, counts, states, values and the room's notes stay."""
    client.address, client.url = "write@abc", "/api/documents/write@abc"

    def begin(doc: Doc[Any]) -> None:
        doc.get("notes", type=Text).insert(0, "old")
        doc.get("values", type=Map)["/speed"] = 1
        doc.get("engineroom", type=Map)["seeded"] = Map({"cell:late": True})
        cells = doc.get("cells", type=Array)
        cells.append(_cell("plot", "1 + 1", ["2"], "idle"))
        cells.append(_cell("gone", "gone", ["x"], "running"))

    await client.write(begin)
    entry = await client.keep()

    def change(doc: Doc[Any]) -> None:
        text = doc.get("notes", type=Text)
        del text[0:3]
        text += "new"
        doc.get("values", type=Map)["/speed"] = 2
        cells = doc.get("cells", type=Array)
        source = cells[0]["source"]
        del source[0 : len(source)]
        source += "2 + 2"
        cells[0]["outputs"].append("4")
        cells[0]["execution_count"] = 7
        cells[0]["execution_state"] = "running"
        cells[0]["metadata"]["evaluation"] = {"state": "running"}
        del cells[1]
        cells.append(_cell("late", "stated by the page since", [], "idle"))
        cells.append(_cell("extra", "added by somebody", [], "idle"))

    await client.write(change)
    assert (await client.http.post(entry["url"] + "/restore")).status_code == 200
    doc = await client.doc()
    assert str(doc.get("notes", type=Text)) == "old"
    assert doc.get("values", type=Map).to_py() == {"/speed": 2}
    cells = {cell["id"]: cell.to_py() for cell in doc.get("cells", type=Array)}
    assert cells["plot"] == {
        "id": "plot",
        "source": "1 + 1",
        "outputs": ["2", "4"],
        "execution_count": 7,
        "execution_state": "running",
        "metadata": {"evaluation": {"state": "running"}},
    }
    assert cells["gone"]["execution_state"] == "idle"
    assert cells["gone"]["source"] == "gone"
    assert cells["gone"]["metadata"]["evaluation"] is None
    assert cells["late"]["source"] == "stated by the page since"
    assert "extra" not in cells


def _cell(name: str, source: str, outputs: list[str], state: str) -> Map[Any]:
    return Map(
        {
            "id": name,
            "source": Text(source),
            "outputs": Array(outputs),
            "execution_count": None,
            "execution_state": state,
            "metadata": Map({"evaluation": {"state": state}}),
        }
    )


# --- the log ---------------------------------------------------------------------------------


async def test_the_log_is_read_in_pieces(client: Client) -> None:
    """Records come in order from after a number on; together they make the document."""
    for number in range(40):
        await client.say("Hello"[: number % 6])
    records: list[dict[str, Any]] = []
    after = 0
    while True:
        answer = (await client.get(f"history?after={after}&limit=7")).json()
        if answer["next"] is None:
            break
        assert len(answer["records"]) <= 7
        records += answer["records"]
        after = answer["next"]
    assert [record["number"] for record in records] == list(range(1, len(records) + 1))
    doc: Doc[Any] = Doc()
    for record in records:
        doc.apply_update(base64.b64decode(record["update"]))
    assert str(doc.get("text", type=Text)) == await client.text()
    assert records[0]["user"] == "ada"


async def test_states_between_versions_can_be_had(client: Client) -> None:
    """While the log keeps it, the state after each record is read, compared and restored like a version."""
    for word in ("one", "two", "three"):
        await client.say(word)
        if word == "two":
            await client.keep("2")
    last = (await client.get("versions")).json()["number"]
    said = []
    for number in range(1, last + 1):
        plain = await client.get(f"versions/@{number}", accept="application/json")
        said.append(plain.json().get("text", ""))
    assert [word for word in ("one", "two", "three") if word in said] == ["one", "two", "three"]
    first = said.index("one") + 1
    changes = (await client.get(f"versions/@{first}/diff?to=@{last}")).json()["changes"]
    assert "".join(p["text"] for p in changes[0]["pieces"] if p["op"] != "remove") == "three"
    assert (await client.http.post(f"{client.url}/versions/@{first}/restore")).status_code == 200
    assert await client.text() == "one"


async def test_a_state_between_versions_gets_a_name(client: Client) -> None:
    """A version by hand can be of a state that has passed; it has that state's number and time."""
    await client.say("one")
    number = (await client.get("versions")).json()["number"]
    client.world.now[0] += 50
    await client.say("two")
    answer = await client.http.post(f"{client.url}/versions", json={"name": "1", "number": number})
    assert answer.status_code == 201
    assert answer.json()["number"] == number
    plain = await client.get(f"versions/{answer.json()['id']}", accept="application/json")
    assert plain.json() == {"text": "one"}


@pytest.mark.parametrize("version", ["@0", "@", "@-1", "@99999", "@1e3", "@" + "9" * 30])
async def test_states_that_are_not_kept(client: Client, version: str) -> None:
    """Numbers that no record has, or that were removed, are not there."""
    await client.say("one")
    await client.get(f"versions/{version}", 404)


async def test_a_gap_in_the_log_is_no_state(client: Client) -> None:
    """After a compaction what lies before the snapshot is gone, and is not made up from what is left; the snapshot is
    a state, too.
    """
    for word in ("one", "two", "three"):
        await client.say(word)
    await client.world.rooms.close(Address.parse(client.address))
    last = (await client.get("versions")).json()["number"]
    for version in (await client.get("versions")).json()["versions"]:
        await client.http.delete(version["url"])
    store, path = client.world.store, client.address
    await store.compact(path, (await client.doc()).get_update(), last - 1)
    assert (await client.get("versions")).json()["snapshot"] == last - 1
    await client.get(f"versions/@{last - 2}", 404)
    await client.get(f"versions/@{last - 1}")
    await client.get(f"versions/@{last}")


@pytest.mark.parametrize(
    "query", ["after=-1", "limit=0", "limit=10001", "after=x", "more=1", "updates=no"]
)
async def test_bad_questions_about_the_log(client: Client, query: str) -> None:
    """Numbers are whole and within bounds; nothing unknown is taken."""
    await client.get(f"history?{query}", 400)


async def test_large_records_come_in_small_answers(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer ends soon after so many bytes, with one record at least."""
    monkeypatch.setattr(past_module, "MAX_RECORDS_BYTES", 100)
    monkeypatch.setattr(past_module, "FIRST_RECORDS", 1)
    for number in range(6):
        await client.say(str(number) * 200)
    answer = (await client.get("history")).json()
    assert len(answer["records"]) == 1
    assert answer["next"] == 1
    assert "update" not in (await client.get("history?updates=false")).json()["records"][0]
