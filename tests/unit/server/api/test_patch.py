"""PATCH: operations made into one transaction, all or none, once for an idempotency key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text

from engineroom.errors import StoreError
from engineroom.rooms.address import Address
from engineroom.server.api.keys import KEEP_SECONDS

from .conftest import UPDATE, World, open_world

pytestmark = pytest.mark.anyio

QUERY = "text=Text&list=Array&map=Map"


async def contents(world: World, address: str = "a") -> Any:
    return (await world.client.get(f"/api/documents/{address}?{QUERY}")).json()


async def begin(world: World, text: str = "Hello") -> None:
    """A document with a text, a list, and a map that holds types."""
    roots = {
        "text": {"$text": text},
        "list": {"$array": ["a", "b", {"$map": {"n": {"$text": "deep"}}}]},
        "map": {"$map": {"k": 1, "inner": {"$array": [1, 2]}}},
    }
    answer = await world.client.put("/api/documents/a", json={"roots": roots})
    assert answer.status_code == 201, answer.text


def op(name: str, *path: str | int, **fields: Any) -> dict[str, Any]:
    return {"op": name, "path": list(path), **fields}


async def test_every_operation(world: World) -> None:
    """Each operation does what its name says, in order, in one transaction."""
    await begin(world)
    before = (await world.client.get("/api/documents/a")).headers["engineroom-number"]
    answer = await world.patch(
        "a",
        op("text.insert", "text", index=0, text=">"),
        op("text.append", "text", text=" world"),
        op("text.delete", "text", index=0, length=1),
        op("text.replace", "text", index=0, length=5, text="HELLO"),
        op("map.set", "map", key="new", value={"$map": {"t": {"$text": "x"}}}),
        op("text.append", "map", "new", "t", text="y"),
        op("map.set", "map", key="plain", value={"a": [1, {"b": None}]}),
        op("map.set", "map", key="literal", value={"$json": {"$text": 1}}),
        op("map.delete", "map", key="k"),
        op("array.insert", "list", index=1, values=["x", {"$array": []}]),
        op("array.append", "list", 2, values=[7]),
        op("array.append", "list", values=["end"]),
        op("array.delete", "list", index=0),
        op("array.delete", "map", "inner", index=0, length=2),
        op("text.insert", "list", 3, "n", index=4, text="er"),
        op("map.set", "list", 3, key="m", value=True),
    )
    assert answer.status_code == 200, answer.text
    assert await contents(world) == {
        "text": "HELLO world",
        "list": ["x", [7], "b", {"n": "deeper", "m": True}, "end"],
        "map": {
            "new": {"t": "xy"},
            "plain": {"a": [1, {"b": None}]},
            "literal": {"$text": 1},
            "inner": [],
        },
    }
    assert answer.json()["number"] == int(before) + 1
    assert answer.headers["etag"] == answer.json()["etag"]
    stored = await world.store.load("a")
    assert stored is not None
    assert stored.last_number == int(before) + 1
    assert stored.records[-1].user == "ada"


@pytest.mark.parametrize(
    ("index", "expected"), [(0, "!a😀é"), (1, "a!😀é"), (3, "a😀!é"), (4, "a😀é!")]
)
async def test_positions_are_utf16_units(world: World, index: int, expected: str) -> None:
    """A position counts as Yjs and JavaScript count; one inside a character is refused."""
    await begin(world, "a😀é")
    await world.patch("a", op("text.insert", "text", index=index, text="!"))
    assert (await contents(world))["text"] == expected


async def test_positions_inside_a_character(world: World) -> None:
    """Half a surrogate pair is no position, and no end of a range."""
    await begin(world, "a😀é")
    for operation in (
        op("text.insert", "text", index=2, text="!"),
        op("text.delete", "text", index=0, length=2),
        op("text.replace", "text", index=2, length=1, text=""),
    ):
        answer = await world.patch("a", operation)
        assert (answer.status_code, answer.json()["code"]) == (422, "operation_failed")
    assert (await contents(world))["text"] == "a😀é"


async def test_formats_and_embeds(world: World) -> None:
    """Formatting is kept, and an embedded object counts one unit."""
    doc: Doc[Any] = Doc()
    doc["text"] = text = Text("é")
    text.insert_embed(2, {"image": "x"})
    await world.client.put("/api/documents/a", content=doc.get_update(), headers=UPDATE)
    answer = await world.patch(
        "a",
        op("text.insert", "text", index=2, text="bold", attributes={"bold": True}),
        op("text.format", "text", index=0, length=1, attributes={"italic": True}),
        op("text.delete", "text", index=1, length=1),
    )
    assert answer.status_code == 200, answer.text
    loaded: Doc[Any] = Doc()
    loaded.apply_update((await world.client.get("/api/documents/a")).content)
    pieces = loaded.get("text", type=Text).diff()
    assert pieces == [("é", {"italic": True}), ("bold", {"bold": True})]


BAD_OPERATIONS = [
    op("text.insert", "text", index=7, text="x"),
    op("text.delete", "text", index=5, length=2),
    op("text.replace", "text", index=0, length=7, text=""),
    op("map.delete", "map", key="none"),
    op("map.set", "map", key="x", value={"$text": 1}),
    op("map.set", "map", key="x", value={"$nothing": 1}),
    op("map.set", "map", key="x", value={"$text": "", "more": 1}),
    op("map.set", "map", key="x", value={"a": {"$text": ""}}),
    op("map.set", "map", key="x", value=2**53),
    op("map.set", "map", "k", key="x", value=1),
    op("map.set", "map", "none", key="x", value=1),
    op("map.set", "list", 2, "n", key="x", value=1),
    op("array.insert", "list", index=4, values=[1]),
    op("array.delete", "list", index=2, length=2),
    op("array.append", "list", 9, values=[1]),
    op("array.append", "list", "x", values=[1]),
    op("array.append", "map", values=[1]),
    op("text.append", "map", text="x"),
    op("text.append", "list", text="x"),
    op("text.append", 0, text="x"),
    op("map.set", "map", key="deep", value=eval("[" * 40 + "]" * 40)),
]


@pytest.mark.parametrize("bad", BAD_OPERATIONS, ids=lambda each: str(each)[:60])
async def test_all_or_none(world: World, bad: dict[str, Any]) -> None:
    """An operation that cannot be made is named by its index, and nothing is made."""
    await begin(world)
    before = await world.client.get("/api/documents/a")
    answer = await world.patch("a", op("text.append", "text", text="!"), bad)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] in ("operation_failed", "unreadable_root")
    assert answer.json()["operation"] == 1
    after = await world.client.get("/api/documents/a")
    assert after.headers["etag"] == before.headers["etag"]
    assert after.content == before.content


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b'{"operations": []}', b'{"operations": [{"op": "x", "path": ["t"]}]}',
        b'{"operations": [{"op": "text.append", "path": [], "text": "x"}]}',
        b'{"operations": [{"op": "text.append", "path": ["t"], "text": "x", "more": 1}]}',
        b'{"operations": [{"op": "text.insert", "path": ["t"], "index": -1, "text": "x"}]}',
        b'{"operations": [{"op": "text.append", "path": ["t"], "text": "\\ud800"}]}',
        b'{"operations": [{"op": "map.set", "path": ["t"], "key": "k", "value": 1e999}]}',
        b'{"operations": [{"op": "text.append", "path": ' + b"[" * 5000 + b"]" * 5000 + b"}]}",
        b'{"operations": [' + b",".join([b'{"op": "text.append", "path": ["t"], "text": "x"}'] * 1001) + b"]}",
    ],
    ids=range(12),
)  # fmt: skip
async def test_bodies_that_are_no_patch(world: World, body: bytes) -> None:
    """A body that is no list of operations is refused, with the place of its fault."""
    await begin(world)
    headers = {"content-type": "application/json"}
    answer = await world.client.patch("/api/documents/a", content=body, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "bad_body"
    answer = await world.client.patch("/api/documents/a", content=body)
    assert answer.json()["code"] == "unsupported_media_type"


async def test_if_match(world: World) -> None:
    """Of two who change what they both have seen, the second is told, with the ETag of now."""
    await begin(world)
    etag = (await world.client.get("/api/documents/a?text=Text")).headers["etag"]
    append = op("text.append", "text", text="!")
    first = await world.patch("a", append, If_Match=etag)
    second = await world.patch("a", append, If_Match=etag)
    assert (first.status_code, second.status_code) == (200, 412)
    assert second.json()["code"] == "changed"
    assert second.headers["etag"] == first.headers["etag"]
    assert (await world.patch("a", append, If_Match=second.headers["etag"])).status_code == 200
    assert (await world.patch("a", append, If_Match='"other"')).status_code == 412
    assert (await world.patch("a", append, If_Match="*")).status_code == 200
    assert (await contents(world))["text"] == "Hello!!!"


async def test_if_match_at_once(world: World) -> None:
    """Of many who change the same state at once, one does."""
    await begin(world)
    etag = (await world.client.get("/api/documents/a")).headers["etag"]
    append = op("text.append", "text", text="!")
    answers = await asyncio.gather(*(world.patch("a", append, If_Match=etag) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + 7 * [412]
    assert (await contents(world))["text"] == "Hello!"


# --- idempotency -----------------------------------------------------------------------------


async def test_a_key_does_it_once(world: World) -> None:
    """The same request with the same key is answered the same, and done once; also many at once."""
    await begin(world)
    append = op("text.append", "text", text="!")
    answers = await asyncio.gather(
        *(world.patch("a", append, Idempotency_Key='"k-1"') for _ in range(5))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["replayed"] for answer in answers) == [False] + 4 * [True]
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert (await contents(world))["text"] == "Hello!"
    assert (await world.patch("a", append, Idempotency_Key="k-2")).json()["replayed"] is False
    assert (await contents(world))["text"] == "Hello!!"


async def test_a_key_stands_for_one_request(world: World) -> None:
    """The same key with another body, or another condition, is refused."""
    await begin(world)
    append = op("text.append", "text", text="!")
    await world.patch("a", append, Idempotency_Key="k")
    for operation, headers in (
        (op("text.append", "text", text="?"), {}),
        (append, {"If_Match": "*"}),
    ):
        answer = await world.patch("a", operation, Idempotency_Key="k", **headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")
    assert (await contents(world))["text"] == "Hello!"
    for wrong in ("", "a b", "x" * 256):
        answer = await world.patch("a", append, Idempotency_Key=wrong)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_key"), wrong


async def test_keys_survive_a_restart(tmp_path: Path) -> None:
    """A key is kept on disk for a day, and no longer."""
    append = op("text.append", "text", text="!")
    async with open_world(tmp_path) as world:
        await begin(world)
        first = await world.patch("a", append, Idempotency_Key="k")
        whole = (await world.client.get("/api/documents/a")).content
    async with open_world(tmp_path) as world:
        await world.client.put("/api/documents/a", content=whole, headers=UPDATE)
        lineage = first.headers["etag"].strip('"').partition(".")[0]
        state = await world.keys.find("a", "k")
        assert state is not None
        assert (state.lineage, state.done) == (lineage, True)
        world.now[0] += KEEP_SECONDS + 1
        assert await world.keys.find("a", "k") is None


async def test_a_request_that_ended_in_the_dark(world: World) -> None:
    """A request whose first try died after it was applied, or before, is done once in all when it is sent again."""
    await begin(world)
    append = op("text.append", "text", text="!")
    finish = world.keys.finish

    async def die(document: str, key: str, number: int) -> None:
        raise StoreError("the process died here")

    world.keys.finish = die  # type: ignore[method-assign]
    assert (await world.patch("a", append, Idempotency_Key="k")).status_code == 503
    assert (await contents(world))["text"] == "Hello!"
    world.keys.finish = finish  # type: ignore[method-assign]
    again = await world.patch("a", append, Idempotency_Key="k")
    assert again.status_code == 200
    assert (await contents(world))["text"] == "Hello!"
    etag = (await world.client.get("/api/documents/a")).headers["etag"]
    apply, bring = world.documents._bring, []

    async def die_before(*arguments: Any) -> Any:
        bring.append(arguments)
        raise StoreError("the process died here")

    world.documents._bring = die_before  # type: ignore[method-assign]
    sent = {"Idempotency_Key": "k2", "If_Match": etag}
    assert (await world.patch("a", append, **sent)).status_code == 503
    world.documents._bring = apply  # type: ignore[method-assign]
    assert bring
    assert (await world.patch("a", append, **sent)).status_code == 200
    assert (await contents(world))["text"] == "Hello!!"


async def test_a_refused_request_frees_its_key(world: World) -> None:
    """A key whose request was refused can be used for the request that is right."""
    await begin(world)
    append = op("text.append", "text", text="!")
    await world.patch("a", append, Idempotency_Key="k", If_Match='"0.0"')
    await world.patch("a", op("text.append", "list", text="!"), Idempotency_Key="k")
    answer = await world.patch("a", append, Idempotency_Key="k")
    assert (answer.status_code, answer.json()["replayed"]) == (200, False)


async def test_a_new_document_knows_no_old_keys(world: World) -> None:
    """After a document was deleted and made anew, its keys begin anew too."""
    await begin(world)
    append = op("text.append", "text", text="!")
    await world.patch("a", append, Idempotency_Key="k")
    await world.client.delete("/api/documents/a")
    assert (await world.patch("a", append, Idempotency_Key="k")).status_code == 404
    await begin(world)
    assert (await world.patch("a", append, Idempotency_Key="k")).json()["replayed"] is False
    assert (await contents(world))["text"] == "Hello!"


async def test_members_edits_meanwhile(world: World) -> None:
    """What a member changes while operations are worked out is merged, not lost."""
    await begin(world)
    async with world.rooms.open(Address.parse("a")) as room:
        patching = asyncio.ensure_future(world.patch("a", op("text.append", "text", text=" world")))

        def change(doc: Doc[Any]) -> None:
            doc.get("text", type=Text).insert(0, ">")
            doc.get("list", type=Array).append(1)
            doc.get("map", type=Map)["x"] = 1

        await room.edit(change)
        assert (await patching).status_code == 200
    assert (await contents(world))["text"] == ">Hello world"
