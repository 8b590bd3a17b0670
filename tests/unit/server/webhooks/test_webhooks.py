"""Webhooks: what is told, how it is signed, tried again, kept on disk and found after a crash."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pycrdt import Doc, Text

from engineroom.rooms.address import Address
from engineroom.rooms.hooks import Hooks
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.members import Access, MemberInfo, User
from engineroom.rooms.open_rooms import Rooms
from engineroom.server.small_database import SmallDatabase
from engineroom.server.webhooks import queue as queue_module
from engineroom.server.webhooks.courier import (
    LAST_RETRY_SECONDS,
    MAX_ANSWER_BYTES,
    MAX_ATTEMPTS,
    Courier,
    client,
)
from engineroom.server.webhooks.opening import Webhooks, open_webhooks, running
from engineroom.server.webhooks.queue import SCHEMA, VERSION, Letter, Queue
from engineroom.server.webhooks.signing import signed_headers
from engineroom.server.webhooks.subscription import Webhook
from engineroom.server.webhooks.watching import JoinedHooks, Watch
from engineroom.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
PATIENCE_SECONDS = 20.0
ADA = MemberInfo(1, User("ada", "Ada"), Access(), "yjs", "", 0.0)


def webhook(**more: Any) -> Webhook:
    """A webhook to a receiver on this machine, at once."""
    stated = {"url": "http://127.0.0.1:9/hook", "secret": SECRET, "debounce_seconds": 0.0} | more
    return Webhook(**stated)


def answer(status: int, headers: dict[str, str] | None = None) -> httpx.Response:
    """An answer as the network brings it: its body is still to be read."""

    async def body() -> AsyncIterator[bytes]:
        yield b"{}"

    return httpx.Response(status, headers=headers, content=body())


class Receiver:
    """Takes deliveries, or answers what a test says."""

    def __init__(self) -> None:
        self.heard: list[httpx.Request] = []
        self.answers: list[Callable[[], httpx.Response]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """One delivery."""
        self.heard.append(request)
        return self.answers.pop(0)() if self.answers else answer(204)

    def bodies(self) -> list[Any]:
        """What was said."""
        return [json.loads(request.content) for request in self.heard]

    async def wait(self, count: int) -> None:
        """Until so many deliveries were heard."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.heard) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    @property
    def client(self) -> httpx.AsyncClient:
        """A client that reaches this receiver alone."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self))


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    """A queue on disk, with a clock that is set by hand."""
    database = SmallDatabase(tmp_path / "webhooks.sqlite", SCHEMA, version=VERSION)
    async with Queue(database, clock=lambda: NOW[0]) as queue:
        NOW[0] = 1_000_000.0
        yield queue


NOW = [1_000_000.0]


def letter(document: str = "a", event: str = "change", hook: str = "", **more: Any) -> Letter:
    """An event for a webhook."""
    number = more.pop("number", 1)
    body = json.dumps({"n": number}).encode()
    return Letter(
        hook or webhook().id, f"msg_{document}_{event}_{number}", event, document, body, **more
    )


# --- settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://a/b"},
        {"url": "https://"},
        {"url": "https://user@a/"},
        {"url": "https://a/ b"},
        {"max_wait_seconds": 1.0, "debounce_seconds": 2.0},
    ],
)
def test_webhooks_that_cannot_be(wrong: dict[str, Any]) -> None:
    """A URL that is none, or a wait that cannot be, is refused."""
    with pytest.raises(ValueError):
        webhook(**wrong)


def test_patterns() -> None:
    """A star stands for anything, slashes too; without one a pattern is an address."""
    notes = webhook(rooms="notes/*", events=("change", "delete"))
    assert notes.wants("change", "notes/a/b")
    assert not notes.wants("join", "notes/a")
    assert not notes.wants("change", "other/a")
    assert not webhook(rooms="notes").wants("change", "notes/a")


def test_the_signature() -> None:
    """A delivery is signed over id, time and body, as Standard Webhooks says."""
    headers = signed_headers(SECRET, "msg_1", 1_700_000_000, b'{"a":1}')
    content = b'msg_1.1700000000.{"a":1}'
    expected = base64.b64encode(hmac.digest(b"k" * 24, content, hashlib.sha256)).decode()
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": f"v1,{expected}",
    }
    plain = signed_headers("plain-secret-of-16", "msg_1", 1, b"")
    key = b"plain-secret-of-16"
    assert plain["webhook-signature"] == (
        "v1," + base64.b64encode(hmac.digest(key, b"msg_1.1.", hashlib.sha256)).decode()
    )


# --- watching --------------------------------------------------------------------------------


def watch_of(*hooks: Webhook) -> tuple[Watch, list[float]]:
    clock = [0.0]
    return Watch(hooks, clock=lambda: clock[0], now=lambda: 1_700_000_000.0), clock


def told(letters: list[Letter]) -> list[tuple[str, str, Any]]:
    return [(each.event, each.document, json.loads(each.body)["data"]) for each in letters]


async def test_changes_are_gathered() -> None:
    """Changes of one document become one event when it is quiet, and after a while at the latest."""
    watch, clock = watch_of(webhook(debounce_seconds=2.0, max_wait_seconds=5.0))
    address = Address.parse("a")
    for second in range(8):
        clock[0] = float(second)
        watch.on_change(address, ADA, b"\x00\x00")
        watch.on_store(address, second + 1)
        letters, wait = watch.take()
        if second == 5:
            assert told(letters) == [
                ("change", "a", {"address": "a", "number": 6, "users": ["ada"]})
            ]
            assert letters[0].mark == 6
        else:
            assert letters == []
            assert wait is not None
            assert 0 < wait <= 2.0
    clock[0] = 9.0
    letters, wait = watch.take()
    assert [each.mark for each in letters] == [8]
    assert wait is None


async def test_what_is_not_durable_is_not_told() -> None:
    """A change is an event when it is stored, not before."""
    watch, clock = watch_of(webhook())
    watch.on_change(Address.parse("a"), ADA, b"\x00\x00")
    clock[0] = 100.0
    assert watch.take() == ([], None)


async def test_events_by_kind() -> None:
    """Creation, deletion, joins and leaves are told to those who want them, without any contents."""
    everything = ("change", "create", "delete", "join", "leave")
    watch, clock = watch_of(webhook(events=everything), webhook(url="http://b/", rooms="b"))
    address = Address.parse("a")
    await watch.on_load(address)
    watch.on_join(address, ADA)
    watch.on_change(address, ADA, b"secret contents")
    watch.on_store(address, 1)
    watch.on_leave(address, ADA)
    clock[0] = 1.0
    letters, _ = watch.take()
    watch.deleted(address)
    letters += watch.take()[0]
    events = [event for event, _, _ in told(letters)]
    assert sorted(events) == sorted(["join", "leave", "create", "change", "delete"])
    assert all(b"secret" not in each.body for each in letters)
    member = next(data for event, _, data in told(letters) if event == "join")["member"]
    assert member == {"id": 1, "user": "ada", "name": "Ada", "dialect": "yjs"}


async def test_hooks_of_the_application() -> None:
    """The application's hooks hear all that the webhooks' hear, and have their say."""
    heard: list[str] = []

    class Application(Hooks):
        async def on_connect(self, request: Any, address: Address, access: Access) -> Access:
            return Access(read=True, write=False)

        async def on_load(self, address: Address) -> bytes | None:
            return b"\x00\x00"

        def on_join(self, address: Address, member: MemberInfo) -> None:
            heard.append("join")

        def on_change(self, address: Address, member: MemberInfo | None, update: bytes) -> None:
            heard.append("change")

        def on_store(self, address: Address, number: int) -> None:
            heard.append("store")

        def on_message(self, address: Address, member: MemberInfo, text: str) -> None:
            heard.append(text)

        def on_leave(self, address: Address, member: MemberInfo) -> None:
            heard.append("leave")

    joined, address = JoinedHooks(watch_of(webhook())[0], Application()), Address.parse("a")
    assert not (await joined.on_connect(None, address, Access())).write
    assert await joined.on_load(address) == b"\x00\x00"
    joined.on_join(address, ADA)
    joined.on_change(address, ADA, b"")
    joined.on_store(address, 1)
    joined.on_message(address, ADA, "message")
    joined.on_leave(address, ADA)
    assert heard == ["join", "change", "store", "message", "leave"]


# --- the queue -------------------------------------------------------------------------------


async def test_the_queue_survives(tmp_path: Path) -> None:
    """What was queued is there after a crash, also what was under way."""
    for attempt in range(2):
        database = SmallDatabase(tmp_path / "webhooks.sqlite", SCHEMA, version=VERSION)
        async with Queue(database, clock=lambda: NOW[0]) as queue:
            if not attempt:
                await queue.put([letter("a"), letter("b", "join")])
            due, _ = await queue.take_due(webhook().id, 10)
            assert [(each.document, each.event) for each in due] == [("a", "change"), ("b", "join")]
            assert queue.waiting == 2
            assert (await queue.take_due(webhook().id, 10))[0] == [], "under way: taken once"


async def test_a_newer_change_takes_the_place_of_an_older(queue: Queue) -> None:
    """Of a document's changes that wait, the newest is kept; one that is under way stays as it is."""
    await queue.put([letter(number=1, mark=1)])
    await queue.put([letter(number=2, mark=2), letter("b", number=1)])
    (first, other), _ = await queue.take_due(webhook().id, 2)
    assert (first.id, other.document) == ("msg_a_change_2", "b")
    await queue.put([letter(number=3, mark=3)])
    (second,), _ = await queue.take_due(webhook().id, 2)
    assert second.id == "msg_a_change_3"
    for delivery in (first, second, other):
        await queue.done(delivery)
    assert queue.waiting == 0


async def test_the_queue_is_bounded(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past its bound nothing more is queued, and that is counted; the mark stays behind."""
    monkeypatch.setattr(queue_module, "MAX_WAITING", 2)
    assert await queue.put([letter(name, mark=5) for name in "abcd"]) == 2
    assert queue.waiting == 2
    documents = dict.fromkeys("abcd", 5)
    await queue._database.run(
        lambda c: c.execute("INSERT INTO webhooks VALUES (?, 0)", (webhook().id,))
    )
    newer, _ = await queue.reconcile(webhook().id, documents, forget=False)
    assert newer == {"c": 0, "d": 0}


async def test_dead_letters(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given up can be seen, tried again and thrown away; the oldest go first."""
    monkeypatch.setattr(queue_module, "MAX_DEAD", 2)
    await queue.put([letter(name) for name in "abc"])
    for delivery in (await queue.take_due(webhook().id, 3))[0]:
        await queue.give_up(delivery, error="answered 500")
    dead = await queue.dead_letters()
    assert [(each.document, each.error) for each in dead] == [
        ("c", "answered 500"),
        ("b", "answered 500"),
    ]
    assert (queue.waiting, queue.dead) == (0, 2)
    assert await queue.revive(dead[0].number)
    assert not await queue.revive(dead[0].number)
    assert [each.document for each in (await queue.take_due(webhook().id, 3))[0]] == ["c"]
    assert await queue.discard(dead[1].number)
    assert (queue.waiting, queue.dead) == (1, 0)


async def test_what_was_missed(queue: Queue) -> None:
    """A webhook that is new is told of nothing that was there; later, of what is newer than its marks, and gone."""
    there = {"a": 3, "b": 7}
    assert await queue.reconcile("w", there, forget=False) == ({}, [])
    assert await queue.reconcile("w", there, forget=False) == ({}, [])
    there |= {"a": 4, "c": 1}
    del there["b"]
    assert await queue.reconcile("w", there, forget=False) == ({"a": 3, "c": 0}, ["b"])
    await queue.put([letter("a", hook="w", mark=4), letter("b", "delete", hook="w", mark=0)])
    assert await queue.reconcile("w", there, forget=True) == ({"c": 0}, [])


# --- the courier -----------------------------------------------------------------------------


@asynccontextmanager
async def courier_of(queue: Queue, receiver: Receiver, hook: Webhook) -> AsyncIterator[Courier]:
    async with receiver.client as sender, asyncio.TaskGroup() as tasks:
        courier = Courier(queue, sender, clock=lambda: NOW[0], jitter=lambda: 0.5)
        task = tasks.create_task(courier.run(hook))
        yield courier
        task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_delivery(queue: Queue) -> None:
    """A delivery is a signed POST of JSON; a 2xx answer ends it."""
    receiver = Receiver()
    await queue.put([letter()])
    async with courier_of(queue, receiver, webhook()) as courier:
        await until(lambda: queue.waiting == 0)
        assert courier.delivered == 1
    (request,) = receiver.heard
    assert (request.method, str(request.url)) == ("POST", "http://127.0.0.1:9/hook")
    assert request.headers["content-type"] == "application/json"
    expected = signed_headers(SECRET, "msg_a_change_1", int(NOW[0]), request.content)
    assert {name: request.headers[name] for name in expected} == expected


async def test_trying_again(queue: Queue) -> None:
    """What is not taken is tried again later and later, under the same id, and given up in the end."""
    receiver = Receiver()
    receiver.answers = [lambda: answer(500)] * MAX_ATTEMPTS
    await queue.put([letter()])
    pauses: list[float] = []
    async with courier_of(queue, receiver, webhook()) as courier:
        for attempt in range(1, MAX_ATTEMPTS):
            await until(lambda attempt=attempt: courier.failures == attempt)
            _, due = await _settled(queue)
            pauses.append(due - NOW[0])
            NOW[0] = due
            courier.wake()
        await until(lambda: queue.dead == 1)
    assert pauses[:4] == [5.0, 10.0, 20.0, 40.0]
    assert max(pauses) == LAST_RETRY_SECONDS
    assert len({request.headers["webhook-id"] for request in receiver.heard}) == 1
    assert courier.given_up == 1


async def _settled(queue: Queue) -> tuple[list[Any], float]:
    """When the one delivery that waits is due, once its failure is written down."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while queue._under_way:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    rows = await queue._database.run(lambda c: c.execute("SELECT due FROM deliveries").fetchall())
    return [], float(rows[0][0])


@pytest.mark.parametrize(
    ("status", "headers", "pause"),
    [
        (429, {"retry-after": "77"}, 77.0),
        (503, {"retry-after": "999999"}, LAST_RETRY_SECONDS),
        (503, {"retry-after": "soon"}, 5.0),
        (503, {"retry-after": "Mon, 01 Jan 2024 00:00:00 +99999999999999999"}, 5.0),
        (503, {"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, 5.0),
        (302, {"location": "http://127.0.0.1:1/"}, 5.0),
        (404, {}, 5.0),
    ],
)
async def test_answers_that_are_no(
    queue: Queue, status: int, headers: dict[str, str], pause: float
) -> None:
    """Any answer but 2xx is a failure; no redirect is followed; a receiver may ask for a pause."""
    receiver = Receiver()
    receiver.answers = [lambda: answer(status, headers)]
    await queue.put([letter()])
    async with courier_of(queue, receiver, webhook()) as courier:
        await until(lambda: courier.failures == 1)
        _, due = await _settled(queue)
    assert due - NOW[0] == pause
    assert len(receiver.heard) == 1


async def test_gone_is_gone(queue: Queue) -> None:
    """A receiver that answers 410 is not asked again."""
    receiver = Receiver()
    receiver.answers = [lambda: answer(410)]
    await queue.put([letter()])
    async with courier_of(queue, receiver, webhook()):
        await until(lambda: queue.dead == 1)


async def test_a_receiver_that_talks(queue: Queue) -> None:
    """Of a long answer no more is read than the bound."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * MAX_ANSWER_BYTES:
            sent += 1_024
            yield b"x" * 1_024

    receiver = Receiver()
    receiver.answers = [lambda: httpx.Response(200, content=endless())]
    await queue.put([letter()])
    async with courier_of(queue, receiver, webhook()):
        await until(lambda: queue.waiting == 0)
    assert sent <= MAX_ANSWER_BYTES + 2_048


def test_the_client_stays_where_it_is_sent() -> None:
    """The client for deliveries follows no redirect and no proxy of the environment."""
    sender = client()
    assert not sender.follow_redirects
    assert not sender.trust_env


# --- with rooms ------------------------------------------------------------------------------


@asynccontextmanager
async def opened(
    folder: Path, store: MemoryStore, receiver: Receiver, *hooks: Webhook
) -> AsyncIterator[tuple[Webhooks, Rooms]]:
    """Rooms with webhooks; a `MemoryStore` that outlives them stands for the disk."""
    async with open_webhooks(hooks, folder, http=receiver.client) as webhooks:
        limits = RoomLimits(linger_seconds=0.0)
        async with (
            Rooms(store, hooks=webhooks.watch, limits=limits) as rooms,
            running(webhooks, store),
        ):
            yield webhooks, rooms


async def write(rooms: Rooms, address: str, text: str) -> None:
    def change(doc: Doc[Any]) -> None:
        doc.get("text", type=Text).insert(0, text)

    async with rooms.open(address) as room:
        await room.edit(change)


async def test_from_a_room_to_its_receiver(tmp_path: Path) -> None:
    """A document that is made and changed is told of, once it is durable."""
    receiver = Receiver()
    async with MemoryStore() as store:
        hook = webhook(rooms="notes/*", events=("create", "change"))
        async with opened(tmp_path, store, receiver, hook) as (webhooks, rooms):
            await write(rooms, "notes/a", "x")
            await write(rooms, "other", "x")
            await receiver.wait(2)
            await until(lambda: webhooks.statistics().waiting == 0)
            assert webhooks.statistics().delivered == 2
    assert sorted(body["type"] for body in receiver.bodies()) == ["change", "create"]
    assert {body["data"]["address"] for body in receiver.bodies()} == {"notes/a"}


async def test_what_a_crash_kept_from_being_told(tmp_path: Path) -> None:
    """Changes that were stored while nobody told of them are found at the next start; each once."""
    async with MemoryStore() as store:
        quiet = Receiver()
        hook = webhook(events=("change", "create", "delete"))
        async with opened(tmp_path, store, quiet, hook) as (webhooks, rooms):
            await write(rooms, "a", "x")
            await write(rooms, "gone", "x")
            await quiet.wait(4)
            await until(lambda: webhooks.statistics().waiting == 0)
        async with Rooms(store) as rooms:  # as after a crash: nothing was queued
            await write(rooms, "a", "y")
            await write(rooms, "new", "y")
        await store.delete("gone")
        receiver = Receiver()
        hooks = webhook(events=("change", "create", "delete"))
        async with opened(tmp_path, store, receiver, hooks) as (webhooks, _):
            await receiver.wait(4)
            await until(lambda: webhooks.statistics().waiting == 0)
        heard = sorted((body["type"], body["data"]["address"]) for body in receiver.bodies())
        assert heard == [("change", "a"), ("change", "new"), ("create", "new"), ("delete", "gone")]
        again = Receiver()
        async with opened(tmp_path, store, again, hooks):
            pass
        assert again.heard == []


async def test_a_clean_end_loses_nothing(tmp_path: Path) -> None:
    """Changes that are still gathered when the server ends are queued, and delivered after its next start."""
    hook = webhook(debounce_seconds=60.0, max_wait_seconds=60.0, events=("change", "leave"))
    async with MemoryStore() as store:
        receiver = Receiver()
        async with opened(tmp_path, store, receiver, hook) as (webhooks, rooms):
            await write(rooms, "a", "x")
            webhooks.watch.on_leave(Address.parse("a"), ADA)
        assert receiver.heard == []
        async with opened(tmp_path, store, receiver, hook):
            await receiver.wait(2)
    assert sorted(body["type"] for body in receiver.bodies()) == ["change", "leave"]
