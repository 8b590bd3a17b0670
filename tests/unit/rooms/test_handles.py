"""Rooms from inside the process: handles, hooks, moves, rights that change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from pycrdt import Array, Doc, Text

from engineroom.errors import AccessDenied, CloseCode, LimitExceeded, ProtocolError, RoomClosed
from engineroom.protocols import messages as m
from engineroom.protocols.frames import Bundle
from engineroom.protocols.marks import mark_of, mark_update
from engineroom.protocols.page import PageDialect
from engineroom.rooms.address import Address
from engineroom.rooms.hooks import Hooks
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.members import Access, MemberInfo, User
from engineroom.rooms.membership import Membership
from engineroom.rooms.open_rooms import Rooms
from engineroom.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

PAGE = PageDialect()
HERE = Address.parse("notes/today")


class Wire:
    """A member's transport, with the document that its client would have."""

    def __init__(self) -> None:
        self.doc: Doc[Any] = Doc()
        self.heard: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self._news = asyncio.Event()

    def send(self, bundle: Bundle) -> None:
        for payload in bundle.payloads:
            message = PAGE.decode_to_member(payload)
            self.heard.append(message)
            if isinstance(message, m.SyncUpdate | m.SyncStep2):
                self.doc.apply_update(message.update)
        self._news.set()

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self._news.set()

    def hold(self) -> None:
        pass

    def release(self) -> None:
        pass

    @property
    def text(self) -> str:
        return str(self.doc.get("text", type=Text))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._news.clear()
                await self._news.wait()


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; nothing tells of it."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def join(rooms: Rooms, wire: Wire, address: Address = HERE, **access: bool) -> Membership:
    rights = Access(**({"run": True} | access))
    member = await rooms.join(address, wire, user=User("u"), access=rights, dialect=PAGE)
    member.say(m.SyncStep1(wire.doc.get_state()))
    return member


def write(text: str) -> Callable[[Doc[Any]], int]:
    def change(doc: Doc[Any]) -> int:
        root = doc.get("text", type=Text)
        root.insert(len(str(root).encode()), text)
        return len(str(root))

    return change


async def test_edit_reaches_members_and_is_durable() -> None:
    """What an edit returns comes when it is stored; members have it then."""
    store = MemoryStore()
    async with store, Rooms(store) as rooms:
        wire = Wire()
        await join(rooms, wire)
        async with rooms.open("notes/today") as room:
            assert await room.edit(write("hello"), user="me") == 5
            stored = await store.load("notes/today")
        assert stored is not None
        assert stored.records[0].user == "me"
        await wire.until(lambda: wire.text == "hello")


async def test_edit_that_raises_changes_nothing() -> None:
    """The caller gets its own exception, and the document is as it was."""

    def fail(doc: Doc[Any]) -> None:
        doc.get("text", type=Text).insert(0, "half of it")
        raise ZeroDivisionError

    store = MemoryStore()
    async with store, Rooms(store) as rooms, rooms.open(HERE) as room:
        with pytest.raises(ZeroDivisionError):
            await room.edit(fail)
        await room.edit(write("whole"))
        doc: Doc[Any] = Doc()
        doc.apply_update(room.encoded())
    assert str(doc.get("text", type=Text)) == "whole"


async def test_document_is_a_replica_that_is_kept_equal_both_ways() -> None:
    """What is changed on it reaches members, and what they change reaches it."""
    store = MemoryStore()
    async with store, Rooms(store) as rooms:
        wire = Wire()
        member = await join(rooms, wire)
        async with rooms.open("notes/today") as room:
            text = room.document.get("text", type=Text)
            text += "one"
            await room.stored()
            await wire.until(lambda: wire.text == "one")
            typist: Doc[Any] = Doc()
            typist.apply_update(wire.doc.get_update())
            before = typist.get_state()
            theirs = typist.get("text", type=Text)
            theirs += " two"
            member.say(m.SyncUpdate(typist.get_update(before)))
            await wire.until(lambda: any(isinstance(each, m.SyncUpdate) for each in wire.heard))
            await eventually(lambda: str(text) == "one two")


async def test_replica_misses_nothing_that_is_under_way() -> None:
    """An update that the room has heard of, and not yet taken in, when the replica is made is in it, too."""
    store = MemoryStore()
    async with store, Rooms(store) as rooms:
        member = await join(rooms, Wire())
        async with rooms.open("notes/today") as room:
            typist: Doc[Any] = Doc()
            typist.get("text", type=Text).insert(0, "under way")
            member.say(m.SyncUpdate(typist.get_update()))
            document = room.document
            await eventually(lambda: str(document.get("text", type=Text)) == "under way")


async def test_burst_of_70000_edits_on_the_replica_all_arrive() -> None:
    """No change is dropped, however many there are at once (fault 5 of pycrdt-websocket)."""
    store = MemoryStore()
    limits = RoomLimits(unstored_bytes=1 << 30)
    async with store, Rooms(store, limits=limits) as rooms:
        wire = Wire()
        await join(rooms, wire)
        async with rooms.open("notes/today") as room:
            array = room.document.get("list", type=Array)
            for number in range(70_000):
                array.append(number)
            async with asyncio.timeout(120):
                await room.stored()
        await wire.until(lambda: len(wire.doc.get("list", type=Array)) == 70_000)


async def test_handle_keeps_the_room_open_and_lets_it_close() -> None:
    """A room that is only visited closes soon after, and nothing of it is stored when nothing was written."""
    store = MemoryStore()
    async with store, Rooms(store, limits=RoomLimits(linger_seconds=0)) as rooms:
        async with rooms.open(HERE) as room:
            assert room.number == 0
            await asyncio.sleep(0.01)
            assert rooms.statistics()
        await eventually(lambda: not rooms.statistics())
        assert await store.load("notes/today") is None


async def test_apply_takes_an_update_as_a_members() -> None:
    """It tells whether it brought anything new, and refuses what a member would be closed for."""
    typist: Doc[Any] = Doc()
    typist.get("text", type=Text).insert(0, "x")
    update = typist.get_update()
    before = typist.get_state()
    typist.get("text", type=Text).insert(1, "y")
    later = typist.get_update(before)
    typist.get("text", type=Text).insert(2, "z" * 100)
    store = MemoryStore()
    limits = RoomLimits(update_bytes=100)
    async with store, Rooms(store, limits=limits) as rooms, rooms.open(HERE) as room:
        with pytest.raises(ProtocolError, match="needs others"):
            await room.apply(later)
        assert await room.apply(update, user="me") is True
        assert await room.apply(update) is False
        with pytest.raises(ProtocolError):
            await room.apply(b"nonsense")
        with pytest.raises(LimitExceeded) as caught:
            await room.apply(typist.get_update())
        assert caught.value.limit == "update_bytes"
        with pytest.raises(AccessDenied) as refused:
            await room.apply(mark_update(mark_of("another history")))
        assert refused.value.status == 409


async def test_whoever_waits_hears_that_the_room_has_ended() -> None:
    """An edit that is under way when its room is closed is made, or its caller is told."""
    store = MemoryStore()
    async with store, Rooms(store) as rooms, rooms.open(HERE) as room:
        await rooms.close(HERE)
        with pytest.raises(RoomClosed):
            await room.edit(write("late"))
        with pytest.raises(RoomClosed):
            room.encoded()


class Listening(Hooks):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.begin: bytes | None = None

    async def on_load(self, address: Address) -> bytes | None:
        self.heard.append(("load", str(address)))
        return self.begin

    def on_join(self, address: Address, member: MemberInfo) -> None:
        self.heard.append(("join", member.user.id))

    def on_change(self, address: Address, member: MemberInfo | None, update: bytes) -> None:
        self.heard.append(("change", member and member.user.id))

    def on_store(self, address: Address, number: int) -> None:
        self.heard.append(("store", number))

    def on_message(self, address: Address, member: MemberInfo, text: str) -> None:
        self.heard.append(("message", member.user.id, text))

    def on_leave(self, address: Address, member: MemberInfo) -> None:
        self.heard.append(("leave", member.user.id))
        raise RuntimeError("a bug of the application")


async def test_hooks_hear_of_everything_with_the_member_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Load, join, change, store, message and leave; a hook that fails is logged, and harms nobody."""
    hooks, store = Listening(), MemoryStore()
    typist: Doc[Any] = Doc()
    typist.get("text", type=Text).insert(0, "x")
    async with store, Rooms(store, hooks=hooks) as rooms:
        wire = Wire()
        member = await join(rooms, wire)
        member.say(m.Stateless("hello"))
        member.say(m.SyncUpdate(typist.get_update()))
        await eventually(lambda: ("store", 2) in hooks.heard)
        member.leave()
    assert hooks.heard == [
        ("load", "notes/today"),
        ("join", "u"),
        ("message", "u", "hello"),
        ("change", "u"),
        ("change", None),  # the mark
        ("store", 2),
        ("leave", "u"),
    ]
    assert "on_leave failed" in caplog.text


async def test_document_begins_with_what_the_hook_loads() -> None:
    """It is stored at once as a history of its own, and the hook is not asked again."""
    hooks, store = Listening(), MemoryStore()
    source: Doc[Any] = Doc()
    source.get("text", type=Text).insert(0, "from elsewhere")
    hooks.begin = source.get_update()
    async with store:
        for _ in range(2):
            async with Rooms(store, hooks=hooks) as rooms:
                wire = Wire()
                await join(rooms, wire)
                await wire.until(lambda wire=wire: wire.text == "from elsewhere")
    assert hooks.heard.count(("load", "notes/today")) == 1


async def test_member_of_another_history_is_moved_to_its_own_room() -> None:
    """By setting, who returns to a rebuilt document goes on in a fork; both contents are there, neither doubled."""
    hooks, store = Listening(), MemoryStore()
    source: Doc[Any] = Doc()
    source.get("text", type=Text).insert(0, "from the file")
    hooks.begin = source.get_update()
    old: Doc[Any] = Doc()
    old.get("text", type=Text).insert(0, "from the file, and more")
    old.apply_update(mark_update(mark_of("the old history")))
    limits = RoomLimits(other_history="fork")
    fork = Address.parse(f"notes/today~{mark_of('the old history'):x}")
    async with store, Rooms(store, hooks=hooks, limits=limits) as rooms:
        there = Wire()
        await join(rooms, there)
        hooks.begin = None
        wire = Wire()
        wire.doc.apply_update(old.get_update())
        member = await join(rooms, wire)
        await wire.until(lambda: len(rooms.members(fork)) == 1)
        assert member.address == fork
        member.say(m.SyncStep2(old.get_update()))
        await wire.until(lambda: any(isinstance(each, m.SyncStep2) for each in wire.heard))
        async with rooms.open(fork) as room:
            await room.edit(lambda doc: None)
            assert str(room.document.get("text", type=Text)) == "from the file, and more"
        assert wire.closed is None
        assert there.text == "from the file"
        assert [info.id for info in rooms.members(HERE)] == [1]


async def test_rights_change_while_connected() -> None:
    """A demoted member is told, and its later updates are refused; without the right to read it is sent away."""
    typist: Doc[Any] = Doc()
    typist.get("text", type=Text).insert(0, "x")
    store = MemoryStore()
    async with store, Rooms(store) as rooms:
        wire = Wire()
        member = await join(rooms, wire)
        member.change_access(Access(write=False, run=False))
        member.say(m.SyncUpdate(typist.get_update()))
        await wire.until(lambda: any(isinstance(each, m.Refused) for each in wire.heard))
        assert m.RightsChanged(("read",)) in wire.heard
        assert rooms.members(HERE)[0].access == Access(write=False, run=False)
        member.change_access(Access(read=False, write=False))
        await wire.until(lambda: wire.closed is not None)
        assert wire.closed is not None
        assert wire.closed[0] == CloseCode.FORBIDDEN


async def test_who_says_too_much_is_closed_and_counted() -> None:
    """Messages a second, bytes a second: the limit is named to the member, and counted."""
    store = MemoryStore()
    limits = RoomLimits(messages_per_second=10, bytes_per_second=1000)
    async with store, Rooms(store, limits=limits, clock=lambda: 1.0) as rooms:
        often, much = Wire(), Wire()
        member = await join(rooms, often)
        for _ in range(21):
            member.receive(b"\x03")
        assert often.closed == (4429, "limit reached: messages_per_second = 10")
        member = await join(rooms, much)
        member.receive(b"\x00\x02" + m_buf(1990))
        member.receive(b"\x00\x02" + m_buf(50))
        assert much.closed == (4429, "limit reached: bytes_per_second = 1000")
        assert rooms.counters.limits == {"messages_per_second": 1, "bytes_per_second": 1}


def m_buf(size: int) -> bytes:
    """A buffer of so many zero bytes; the room refuses it later, the transport does not know."""
    length = bytes([size & 127 | 128, size >> 7]) if size > 127 else bytes([size])
    return length + bytes(size)


async def test_clock_that_is_set_back_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the clock is set back by an hour, presence is told at once, records stay in order, nothing is lost."""
    store = MemoryStore()
    async with store, Rooms(store) as rooms:
        wire = Wire()
        member = await join(rooms, wire)
        state = m.AwarenessState(1, 1, '{"user":{}}')
        member.say(m.AwarenessUpdate((state,)))
        await wire.until(lambda: m.AwarenessUpdate((state,)) in wire.heard)
        async with rooms.open(HERE) as room:
            await room.edit(write("before"))
            real = time.time
            monkeypatch.setattr(time, "time", lambda: real() - 3600)
            later = m.AwarenessState(1, 2, '{"user":{}}')
            member.say(m.AwarenessUpdate((later,)))
            await wire.until(lambda: m.AwarenessUpdate((later,)) in wire.heard)
            await room.edit(write(", after"))
        stored = await store.load("notes/today")
    assert stored is not None
    times = [record.time for record in stored.records]
    assert times == sorted(times)
    assert wire.text == "before, after"


async def test_disconnect_and_close() -> None:
    """The server can send one member away, and end a room; who comes next opens it anew."""
    store = MemoryStore()
    async with store, Rooms(store) as rooms:
        one, two = Wire(), Wire()
        first = await join(rooms, one)
        await join(rooms, two)
        assert rooms.disconnect(HERE, first.member, 4403, "go away")
        assert one.closed == (4403, "go away")
        assert not rooms.disconnect(HERE, first.member, 4403, "go away")
        assert await rooms.close(HERE)
        assert two.closed is not None
        assert two.closed[0] == CloseCode.SERVICE_RESTART
        await join(rooms, Wire())
        assert len(rooms.members(HERE)) == 1
