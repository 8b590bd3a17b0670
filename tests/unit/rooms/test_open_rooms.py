"""Rooms on a running loop: single flight, isolation, the end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from pycrdt import Doc, Text

from engineroom.errors import AccessDenied, CloseCode, LimitExceeded, RoomClosed, StoreError
from engineroom.protocols import messages as m
from engineroom.protocols.frames import Bundle
from engineroom.protocols.lib0 import var_uint
from engineroom.protocols.marks import mark_of
from engineroom.protocols.page import PageDialect
from engineroom.rooms import open_room as shell
from engineroom.rooms.address import Address
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.loading import open_room
from engineroom.rooms.members import Access, User
from engineroom.rooms.open_room import Membership
from engineroom.rooms.open_rooms import MAX_FORKS, Rooms
from engineroom.rooms.plan import EditorPlan, Plan
from engineroom.rooms.room import Room
from engineroom.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

PAGE = PageDialect()
HERE = Address.parse("notes/today")


class Wire:
    """A member's transport that remembers."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self.held = 0
        self._news = asyncio.Event()

    def send(self, bundle: Bundle) -> None:
        self.heard += [PAGE.decode_to_member(payload) for payload in bundle.payloads]
        self._news.set()

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self._news.set()

    def hold(self) -> None:
        self.held += 1

    def release(self) -> None:
        self.held -= 1

    async def until(self, condition: Callable[[Wire], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition(self):
                self._news.clear()
                await self._news.wait()

    def has(self, kind: type) -> bool:
        return any(isinstance(each, kind) for each in self.heard)


async def join(rooms: Rooms, wire: Wire, address: Address = HERE) -> Membership:
    access = Access(run=True)
    return await rooms.join(address, wire, user=User("u"), access=access, dialect=PAGE)


def text_of(answer: m.SyncStep2) -> str:
    doc: Doc[Any] = Doc()
    doc.apply_update(answer.update)
    return str(doc.get("text", type=Text))


def update_frame(typist: Any, text: str) -> bytes:
    return b"\x00\x02" + bytes([len(typist.type(text))]) + typist.updates[-1]


async def test_simultaneous_first_joins_make_one_room(typist: Any) -> None:
    """A hundred joins at once load the document once, and all of them are served."""
    store = MemoryStore()
    loads = []
    real = store.load

    async def load(path: str) -> Any:
        loads.append(path)
        await asyncio.sleep(0)
        return await real(path)

    store.load = load  # type: ignore[method-assign]
    async with store, Rooms(store) as rooms:
        wires = [Wire() for _ in range(100)]
        members = await asyncio.gather(*(join(rooms, wire) for wire in wires))
        members[0].receive(update_frame(typist, "x"))
        for wire in wires:
            await wire.until(lambda wire: wire.has(m.SyncUpdate))
    assert loads == ["notes/today"]


async def test_what_was_written_is_there_after_the_close(typist: Any) -> None:
    """Fifty updates and an immediate leave: all fifty are in the store when the room has closed."""
    store = MemoryStore()
    async with store:
        async with Rooms(store, limits=RoomLimits(linger_seconds=0)) as rooms:
            wire = Wire()
            member = await join(rooms, wire)
            for _ in range(50):
                member.receive(update_frame(typist, "x"))
            member.leave()
        async with Rooms(store) as rooms:
            wire = Wire()
            member = await join(rooms, wire)
            member.receive(b"\x00\x00\x01\x00")
            await wire.until(lambda wire: wire.has(m.SyncStep2))
            (answer,) = (each for each in wire.heard if isinstance(each, m.SyncStep2))
    assert text_of(answer) == "x" * 50


async def test_garbage_closes_its_sender_alone() -> None:
    """A frame that does not follow the dialect closes that connection, and the room goes on."""
    store = MemoryStore()
    async with store, Rooms(store) as rooms:
        bad, good = Wire(), Wire()
        culprit, member = await join(rooms, bad), await join(rooms, good)
        culprit.receive(b"\xff\xff\xff")
        await bad.until(lambda wire: wire.closed is not None)
        member.receive(b"\x00\x00\x01\x00")
        await good.until(lambda wire: wire.has(m.SyncStep2))
    assert bad.closed is not None
    assert bad.closed[0] == 4400


async def test_join_while_the_room_closes_gets_it_opened_anew(typist: Any) -> None:
    """Leaving and coming back at once never meets a dead room, and loses nothing."""
    store = MemoryStore()
    async with store, Rooms(store, limits=RoomLimits(linger_seconds=0)) as rooms:
        for _ in range(30):
            wire = Wire()
            member = await join(rooms, wire)
            member.receive(update_frame(typist, "x"))
            await wire.until(lambda wire: wire.has(m.SyncUpdate))
            member.leave()
            await asyncio.sleep(0)
        wire = Wire()
        member = await join(rooms, wire)
        member.receive(b"\x00\x00\x01\x00")
        await wire.until(lambda wire: wire.has(m.SyncStep2))
        (answer,) = (each for each in wire.heard if isinstance(each, m.SyncStep2))
    assert text_of(answer) == "x" * 30


async def test_nothing_crosses_rooms(typist: Any) -> None:
    """What happens in one room is heard in no other."""
    store = MemoryStore()
    async with store, Rooms(store) as rooms:
        here, there = Wire(), Wire()
        member = await join(rooms, here)
        other = await join(rooms, there, Address.parse("notes/tomorrow"))
        member.receive(update_frame(typist, "x"))
        await here.until(lambda wire: wire.has(m.SyncUpdate))
        other.receive(b"\x00\x00\x01\x00")
        await there.until(lambda wire: wire.has(m.SyncStep2))
        answers = [each.update for each in there.heard if isinstance(each, m.SyncStep2)]
    assert answers == [b"\x00\x00"]
    assert not there.has(m.SyncUpdate)


async def test_room_that_fails_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in one room closes its members with 1011 and is logged; the others go on, and it can be opened again."""
    store = MemoryStore()
    real = Room.receive

    def receive(self: Room, batch: Any, now: float) -> Any:
        if str(self.address) == "bad" and any(
            isinstance(getattr(i, "message", 0), m.SyncStep1) for i in batch
        ):
            raise RuntimeError("a bug")
        return real(self, batch, now)

    monkeypatch.setattr(Room, "receive", receive)
    async with store, Rooms(store) as rooms:
        wire, fine = Wire(), Wire()
        member = await join(rooms, wire, Address.parse("bad"))
        good = await join(rooms, fine)
        member.receive(b"\x00\x00\x01\x00")
        await wire.until(lambda wire: wire.closed is not None)
        good.receive(b"\x00\x00\x01\x00")
        await fine.until(lambda wire: wire.has(m.SyncStep2))
        await join(rooms, Wire(), Address.parse("bad"))
    assert wire.closed is not None
    assert wire.closed[0] == 1011
    assert "a bug" in caplog.text


async def test_store_that_cannot_load_refuses_the_join() -> None:
    """A document that cannot be read is an error to whoever joins, and the next join tries again."""
    store = MemoryStore()
    real = store.load

    async def load(path: str) -> Any:
        raise StoreError("the disk is gone")

    store.load = load  # type: ignore[method-assign]
    async with store, Rooms(store) as rooms:
        with pytest.raises(StoreError, match="gone"):
            await join(rooms, Wire())
        store.load = real  # type: ignore[method-assign]
        await join(rooms, Wire())


async def test_no_such_page() -> None:
    """An address whose page does not exist is denied with status 404."""
    store = MemoryStore()
    async with store, Rooms(store, plan_of=lambda address: None) as rooms:
        with pytest.raises(AccessDenied) as denied:
            await join(rooms, Wire())
    assert denied.value.status == 404


async def test_rooms_are_bounded() -> None:
    """Past `max_rooms` a join of a further room is refused with the limit's name."""
    store = MemoryStore()
    async with store, Rooms(store, max_rooms=1) as rooms:
        await join(rooms, Wire())
        await join(rooms, Wire())
        with pytest.raises(LimitExceeded, match="rooms = 1"):
            await join(rooms, Wire(), Address.parse("other"))


async def test_a_page_s_seed_waits_for_no_disk(typist: Any) -> None:
    """A room that holds its page's seed alone has nothing that is not stored; with the first change it has."""
    store = MemoryStore()
    plan = Plan("notes", "1", editors=(EditorPlan("text", "Hello"),))
    async with store, Rooms(store, plan_of=lambda address: plan) as rooms:
        wire = Wire()
        member = await join(rooms, wire)
        [seeded] = rooms.statistics()
        assert (seeded.document_bytes > 10, seeded.unstored_bytes) == (True, 0)
        held: list[tuple[Any, ...]] = []
        real = store.append
        store.append = lambda *given: held.append(given)  # type: ignore[assignment, method-assign]
        second = Wire()
        await join(rooms, second)
        await second.until(lambda wire: wire.has(m.SyncStep1))
        member.receive(update_frame(typist, "x"))
        await second.until(lambda wire: wire.has(m.SyncUpdate))
        assert rooms.statistics()[0].unstored_bytes > 0
        store.append = real  # type: ignore[method-assign]
        for given in held:
            real(*given)
        durable = m.SyncUpdate(typist.updates[-1])
        await wire.until(lambda wire: durable in wire.heard)
        assert rooms.statistics()[0].unstored_bytes == 0


async def test_drain_tells_members_and_takes_no_more() -> None:
    """Draining closes members with 1012; a join after that is refused."""
    store = MemoryStore()
    async with store, Rooms(store, plan_of=lambda address: Plan()) as rooms:
        wire = Wire()
        await join(rooms, wire)
        await rooms.drain()
        assert wire.closed is not None
        assert wire.closed[0] == 1012
        with pytest.raises(RoomClosed):
            await join(rooms, Wire())
        assert rooms.statistics() == []


class PanicException(BaseException):
    """Named as the one of the Rust below pycrdt, which is no Exception either."""


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), PanicException("a panic")])
async def test_document_that_cannot_be_opened_harms_no_other_room(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    """Whatever goes wrong at an opening is an error to whoever joins, and to nobody else."""

    def fail(*arguments: Any, **options: Any) -> Any:
        if str(arguments[0]) == "bad":
            raise failure
        return open_room(*arguments, **options)

    monkeypatch.setattr(shell, "open_room", fail)
    store = MemoryStore()
    async with store, Rooms(store) as rooms:
        fine = Wire()
        good = await join(rooms, fine)
        with pytest.raises(StoreError, match="cannot be opened"):
            await join(rooms, Wire(), Address.parse("bad"))
        good.receive(b"\x00\x00\x01\x00")
        await fine.until(lambda wire: wire.has(m.SyncStep2))


async def test_panic_in_a_room_ends_that_room_alone_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, typist: Any
) -> None:
    """A panic closes the room's members with 1011; what it had taken in and not handed over is stored all the same."""
    store = MemoryStore()
    real = Room.receive

    def receive(self: Room, batch: Any, now: float) -> Any:
        effects = real(self, batch, now)
        if str(self.address) == "bad" and self.log.number:
            monkeypatch.setattr(Room, "receive", real)
            self.log.add(typist.type(" later"), "u", now)
            self.log._under_way, self.log._waiting = (
                (),
                deque([*self.log._under_way, *self.log._waiting]),
            )
            raise PanicException("a panic")
        return effects

    monkeypatch.setattr(Room, "receive", receive)
    async with store, Rooms(store) as rooms:
        wire, fine = Wire(), Wire()
        member = await join(rooms, wire, Address.parse("bad"))
        good = await join(rooms, fine)
        member.receive(update_frame(typist, "first"))
        await wire.until(lambda wire: wire.closed is not None)
        assert wire.closed is not None
        assert wire.closed[0] == 1011
        good.receive(b"\x00\x00\x01\x00")
        await fine.until(lambda wire: wire.has(m.SyncStep2))
    async with store:
        stored = await store.load("bad")
    assert stored is not None
    assert [record.update for record in stored.records if record.user] == typist.updates


async def test_room_that_fails_again_and_again_stays_shut_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A room that failed may be opened at once; after the second time only after a pause, which doubles."""

    def fail(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(shell, "open_room", fail)
    now = 1_000.0
    store = MemoryStore()
    async with store, Rooms(store, clock=lambda: now) as rooms:
        for pause in (0.0, 1.0, 2.0, 4.0):
            with pytest.raises(StoreError):
                await join(rooms, Wire())
            if pause:
                with pytest.raises(RoomClosed, match="try again"):
                    await join(rooms, Wire())
            now += pause


async def test_drain_that_gave_up_is_not_waited_for_again(caplog: pytest.LogCaptureFixture) -> None:
    """With a store that never answers, leaving waits `seconds` once, not twice."""
    store = MemoryStore()
    store.append = lambda *arguments: None  # type: ignore[method-assign]
    async with store, Rooms(store) as rooms:
        member = await join(rooms, Wire())
        member.receive(b"\x00\x02\x0b\x01\x01\x05\x00\x04\x01\x01t\x01x\x00")
        await asyncio.sleep(0)
        await rooms.drain(0.05)
    assert caplog.text.count("given up") == 1


async def test_compaction_ends_with_its_room(typist: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compaction that fails is logged; one that is under way is waited for, and no task is left behind."""
    store = MemoryStore()
    compacted = []

    async def compact(path: str, snapshot: bytes, number: int, **_options: Any) -> None:
        await asyncio.sleep(0.01)
        compacted.append(number)
        raise RuntimeError("a bug in the store")

    store.compact = compact  # type: ignore[method-assign]
    limits = RoomLimits(compact_bytes=1, linger_seconds=0)
    async with store, Rooms(store, limits=limits) as rooms:
        wire = Wire()
        member = await join(rooms, wire)
        member.receive(update_frame(typist, "x" * 100))
        await wire.until(lambda wire: wire.has(m.SyncUpdate))
        member.leave()
    assert compacted


async def test_member_that_floods_its_room_is_read_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a flood a turn takes a part, the other rooms have their turns between, and its sender is held meanwhile."""
    batches = []
    real = Room.receive

    def receive(self: Room, batch: Any, now: float) -> Any:
        batches.append((str(self.address), len(batch)))
        return real(self, batch, now)

    monkeypatch.setattr(Room, "receive", receive)
    store = MemoryStore()
    async with store, Rooms(store) as rooms:
        loud, quiet = Wire(), Wire()
        member = await join(rooms, loud)
        other = await join(rooms, quiet, Address.parse("quiet"))
        await quiet.until(lambda wire: wire.has(m.Welcome))
        batches.clear()
        for _ in range(3_000):
            member.receive(b"\x03")
        other.receive(b"\x03")
        assert loud.held == 1
        await quiet.until(lambda wire: wire.has(m.AwarenessUpdate))
        assert batches.index(("quiet", 1)) <= 2
        assert loud.held == 1, "most of it still waits"
        await loud.until(lambda wire: sum(n for at, n in batches if at != "quiet") >= 3_000)
    assert loud.held == 0
    assert max(size for _, size in batches) <= 3_000 // 4 + 1


async def test_histories_that_are_made_up_open_few_rooms() -> None:
    """Of those who bring ever other histories, some get rooms; the next is refused, and the server goes on."""
    limits = RoomLimits(other_history="fork", linger_seconds=0)
    async with MemoryStore() as store, Rooms(store, limits=limits) as rooms:
        async with rooms.open(HERE) as room:
            await room.edit(lambda doc: doc.get("text", type=Text).insert(0, "hello"))
        wires = [Wire() for _ in range(MAX_FORKS + 5)]
        for number, wire in enumerate(wires):
            membership = await join(rooms, wire)
            vector = b"\x01" + var_uint(mark_of(f"{number}")) + b"\x01"
            membership.say(m.SyncStep1(vector))
        for wire in wires:
            await wire.until(
                lambda each: each.closed is not None or each.has(m.SyncStep2) or each.has(m.Welcome)
            )
        await wires[-1].until(lambda each: each.closed is not None)
        assert {wire.closed[0] for wire in wires if wire.closed} == {CloseCode.OTHER_HISTORY}
        assert sum(wire.closed is None for wire in wires) == MAX_FORKS
        assert rooms.counters.limits["other_history"] == 5
