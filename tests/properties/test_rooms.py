"""Laws of a room and its members, for any order of edits, cuts, pauses, disk writes and crashes.

A pure room, clients that speak the Yjs dialect over connections that lose what is under way, and a store that loses
what was not synced. Nothing waits, and time is a number, so each example is one history to its end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text

from engineroom.protocols import messages as m
from engineroom.protocols.updates import is_whole, read_state_vector, read_update
from engineroom.protocols.yjs import YjsDialect
from engineroom.rooms import effects as e
from engineroom.rooms.address import Address
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.loading import open_room
from engineroom.rooms.members import Access, User
from engineroom.rooms.plan import Plan
from engineroom.rooms.room import Room
from engineroom.rooms.storage import Record, StoredDocument

YJS = YjsDialect()
LIMITS = RoomLimits(compact_bytes=60, linger_seconds=1e9)
CLIENTS = 3
MAX_TURNS = 500

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["edit"] * 6 + ["up"] * 5 + ["down"] * 4 + ["store"] * 3
            + ["join", "join", "cut", "pause", "resume", "crash", "crash half-way"]
        ),
        st.integers(0, CLIENTS - 1),
        st.integers(0, 99),
    ),
    max_size=70,
)  # fmt: skip


@dataclass
class Disk:
    """A store that has lost, after a crash, some of what it had not synced."""

    snapshot: bytes | None = None
    snapshot_number: int = 0
    records: list[Record] = field(default_factory=list)
    under_way: tuple[Record, ...] = ()

    def sync(self) -> int:
        """All that was appended is durable; its newest number."""
        self.records += self.under_way
        self.under_way = ()
        return self.records[-1].number if self.records else self.snapshot_number

    def crash(self, kept: int) -> None:
        """Of what is under way, the first `kept` records are there afterwards."""
        self.records += self.under_way[:kept]
        self.under_way = ()

    def compact(self, effect: e.Compact) -> None:
        """Put the snapshot in place of what it covers."""
        assert is_whole(effect.snapshot, effect.state_vector)
        self.snapshot, self.snapshot_number = effect.snapshot, effect.number
        self.records = [each for each in self.records if each.number > effect.number]

    def stored(self) -> StoredDocument | None:
        """The document as it is on disk."""
        if self.snapshot is None and not self.records:
            return None
        number = self.records[-1].number if self.records else self.snapshot_number
        return StoredDocument(
            "lineage", self.snapshot, self.snapshot_number, tuple(self.records), number
        )


class Client:
    """An honest Yjs client, and the two directions of its connection."""

    def __init__(self, number: int) -> None:
        self.doc: Doc[Any] = Doc(client_id=2**33 + number)
        self.member: int | None = None
        self.paused = False
        self.up: deque[m.FromMember] = deque()
        self.down: deque[bytes] = deque()
        self.sent: dict[bytes, None] = {}
        self._deaf = False
        self._subscription = self.doc.observe(self._changed)

    def _changed(self, event: Any) -> None:
        if self.member is not None and not self._deaf:
            self.say(m.SyncUpdate(event.update))

    def say(self, message: m.FromMember) -> None:
        """Put a message on its way."""
        if isinstance(message, m.SyncUpdate | m.SyncStep2):
            self.sent[message.update] = None
        self.up.append(message)

    def edit(self, number: int) -> None:
        """One change."""
        text, keys = self.doc.get("text", type=Text), self.doc.get("keys", type=Map)
        items = self.doc.get("items", type=Array)
        with self.doc.transaction():
            match number % 6:
                case 0 | 1:
                    text.insert(0 if number % 5 else len(text), "aé日😀"[number % 4])
                case 2 if str(text):
                    del text[0 : len(str(text)[0].encode())]
                case 3:
                    items.append(Map({"n": number, "list": Array([number, "é"])}))
                case 4 if len(items):
                    del items[number % len(items)]
                case _:
                    keys[f"k{number % 3}"] = number

    def hear(self, frame: bytes) -> bytes | None:
        """Take a frame in; the update that it says is durable."""
        message = YJS.decode(frame)
        match message:
            case m.SyncStep1(state_vector):
                self.say(m.SyncStep2(self.doc.get_update(state_vector or b"\x00")))
            case m.SyncStep2(update) | m.SyncUpdate(update):
                if update in self.sent and isinstance(message, m.SyncUpdate):
                    return update
                self._deaf = True
                self.doc.apply_update(update)
                self._deaf = False
        return None


class World:
    """A room, its disk, its clients, and what was promised to them."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.disk = Disk()
        self.clients = [Client(number) for number in range(CLIENTS)]
        self.promised: dict[int, int] = {}
        self.openings = 0
        self.members = 0
        self.room = self._open()

    def _open(self) -> Room:
        self.openings += 1
        opened = open_room(
            Address.parse("notes"), Plan(), self.disk.stored(),
            client_id=1_000 + self.openings, lineage="lineage", limits=LIMITS,
        )  # fmt: skip
        assert opened.refused == ()
        return opened.room

    def turn(self, *batch: e.Input, only: int | None = None) -> None:
        """One turn of the room, of whose effects only so many are carried out."""
        self.now += 0.5
        for effect in self.room.receive(batch, self.now)[:only]:
            match effect:
                case e.Send():
                    for member, bundle in effect.letters:
                        for client in self.clients:
                            if client.member == member:
                                client.down += bundle.payloads
                case e.Append():
                    assert not self.disk.under_way
                    self.disk.under_way = effect.records
                case e.Compact():
                    self.disk.compact(effect)
                case e.Close():
                    raise AssertionError(f"an honest client was closed: {effect}")
                case _:
                    pass

    def do(self, kind: str, who: int, number: int) -> None:
        """One step."""
        client = self.clients[who]
        match kind:
            case "edit":
                client.edit(number)
            case "join" if client.member is None:
                self.members += 1
                client.member, client.paused = self.members, False
                access = Access(read=True, write=True, run=False)
                self.turn(e.Joined(self.members, User("u"), access, YJS))
                client.say(m.SyncStep1(client.doc.get_state()))
            case "cut" if client.member is not None:
                left = self._lose(client)
                self.turn(e.Left(left))
            case "pause" if client.member is not None and not client.paused:
                client.paused = True
                self.turn(e.Paused(client.member))
            case "resume" if client.member is not None and client.paused:
                client.paused = False
                self.turn(e.Resumed(client.member))
            case "up" if client.up and client.member is not None:
                self.turn(*self._taken(client, 1 + number % 4))
            case "down":
                for _ in range(min(len(client.down), 1 + number % 4)):
                    self._hear(client)
            case "store":
                self.turn(e.Stored(self.disk.sync()))
            case "crash":
                self._crash(number)
            case "crash half-way" if client.up and client.member is not None:
                self.turn(*self._taken(client, 4), only=number % 4)
                self._crash(number)

    def _taken(self, client: Client, count: int) -> list[e.Input]:
        assert client.member is not None
        taken = [client.up.popleft() for _ in range(min(count, len(client.up)))]
        return [e.Received(client.member, message) for message in taken]

    def _hear(self, client: Client) -> None:
        durable = client.hear(client.down.popleft())
        if durable is not None:
            for number, _, end in read_update(durable).inserts:
                self.promised[number] = max(end, self.promised.get(number, 0))

    @staticmethod
    def _lose(client: Client) -> int:
        assert client.member is not None
        left, client.member = client.member, None
        client.up.clear()
        client.down.clear()
        client.sent.clear()
        return left

    def _crash(self, number: int) -> None:
        """The process dies. What was acknowledged is there when it comes back."""
        for client in self.clients:
            if client.member is not None:
                self._lose(client)
        self.disk.crash(number % (len(self.disk.under_way) + 1))
        self.room = self._open()
        self.check_promises()

    def check_promises(self) -> None:
        """The room has all that was ever said to be durable."""
        clocks = read_state_vector(self.room.document.state_vector())
        for client, clock in self.promised.items():
            assert clocks.get(client, 0) >= clock

    def settle(self) -> None:
        """Everybody is here, and everything under way arrives."""
        for number, client in enumerate(self.clients):
            self.do("join", number, 0)
            self.do("resume", number, 0)
            client.edit(number)
        for _ in range(MAX_TURNS):
            busy = any(client.up or client.down for client in self.clients)
            for number in range(CLIENTS):
                self.do("up", number, 3)
                self.do("down", number, 3)
            self.do("store", 0, 0)
            if not busy and self.room.log.settled:
                return
        raise AssertionError("the room never comes to rest")


def shown(doc: Doc[Any]) -> tuple[Any, ...]:
    """What a user sees."""
    return (
        str(doc.get("text", type=Text)),
        doc.get("keys", type=Map).to_py(),
        doc.get("items", type=Array).to_py(),
    )


@settings(max_examples=200, deadline=None)
@given(steps)
def test_any_history_converges_and_loses_nothing(history: list[tuple[str, int, int]]) -> None:
    """Whatever order things happen in: in the end all show the same, and what was acknowledged survives every crash."""
    world = World()
    for kind, who, number in history:
        world.do(kind, who, number)
    world.settle()
    first = shown(world.room.document.doc)
    for client in world.clients:
        assert shown(client.doc) == first
    world.check_promises()
    world.do("crash", 0, 0)
    assert shown(world.room.document.doc) == first


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(0, 99))
def test_no_crash_point_loses_what_was_acknowledged(
    history: list[tuple[str, int, int]], kept: int
) -> None:
    """The server dies after every single step; each time, all that was acknowledged is there."""
    world = World()
    for kind, who, number in history:
        for each in range(CLIENTS):
            world.do("join", each, 0)
            world.do("down", each, 3)
        world.do(kind, who, number)
        world.do("up", who, number)
        world.do("down", who, number)
        world.do("crash", 0, kept)
    world.settle()
    first = shown(world.room.document.doc)
    assert all(shown(client.doc) == first for client in world.clients)
