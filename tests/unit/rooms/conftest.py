"""A room without I/O: what is put in, and what comes out, as plain data."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from pycrdt import Doc, Text

from engineroom.protocols import messages as m
from engineroom.protocols.messages import Dialect
from engineroom.protocols.page import PageDialect
from engineroom.protocols.yjs import YjsDialect
from engineroom.rooms import effects as e
from engineroom.rooms.address import Address
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.loading import open_room
from engineroom.rooms.members import Access, User
from engineroom.rooms.plan import Plan
from engineroom.rooms.storage import Record, StoredDocument

PAGE = PageDialect()
YJS = YjsDialect()
# One client with one struct, a GC of length 1 at clock 0; a client id of eight bytes; nothing deleted.
MARK = re.compile(rb"\x01\x01[\x80-\xff]{7}[\x00-\x7f]\x00\x00\x01\x00", re.DOTALL)


class Typist:
    """An honest client's document: every change gives the update that its client would send."""

    def __init__(self, client_id: int | None = None) -> None:
        self.doc: Doc[Any] = Doc(client_id=client_id)
        self.updates: list[bytes] = []
        self._subscription = self.doc.observe(lambda event: self.updates.append(event.update))

    def type(self, text: str, name: str = "text") -> bytes:
        """Append `text` to root Text `name`; the update."""
        root = self.doc.get(name, type=Text)
        root.insert(len(root), text)
        return self.updates[-1]

    def text(self, name: str = "text") -> str:
        """What stands there."""
        return str(self.doc.get(name, type=Text))


def is_mark(message: m.ToMember) -> bool:
    """Whether a message brings the mark of the document's history, which tests of other things leave aside."""
    return isinstance(message, m.SyncUpdate) and bool(MARK.fullmatch(message.update))


class Bench:
    """A room on the bench: a clock that is set by hand, and everything that came out (but for the document's mark)."""

    def __init__(self, plan: Plan | None = None, **options: Any) -> None:
        self.now = 1_000.0
        self.plan = plan or Plan()
        self.limits = options.pop("limits", RoomLimits())
        self.stored: StoredDocument | None = options.pop("stored", None)
        opened = open_room(
            Address.parse(options.pop("address", "write@abc")),
            self.plan,
            self.stored,
            client_id=options.pop("client_id", 4_242),
            lineage="lineage",
            limits=self.limits,
        )
        assert not options
        self.refused = opened.refused
        self.room = opened.room
        self.appended: list[Record] = []
        self.last: list[e.Effect] = []
        self.heard: dict[int, list[m.ToMember]] = {}
        self.orders: list[Any] = []
        self.kept: list[e.KeepOutput] = []
        self.closed: dict[int, tuple[int, str]] = {}
        self.ended = False
        self.wake: float | None = None

    def put(self, *batch: e.Input) -> list[e.Effect]:
        """One turn; appends stay under way until `store`."""
        self.last = self.room.receive(batch, self.now)
        for effect in self.last:
            match effect:
                case e.Send():
                    for member, bundle in effect.letters:
                        frames = [PAGE.decode_to_member(frame) for frame in bundle.payloads]
                        told = [f for f in frames if f is not None and not is_mark(f)]
                        self.heard.setdefault(member, []).extend(told)
                case e.Append():
                    self.appended.extend(effect.records)
                case e.Order():
                    self.orders.append(effect.command)
                case e.Close():
                    self.closed[effect.member] = (effect.code, effect.reason)
                case e.KeepOutput():
                    self.kept.append(effect)
                case e.Wake():
                    self.wake = effect.time
                case e.End():
                    self.ended, self.wake = True, None
                case _:
                    pass
        return self.last

    def join(self, member: int, dialect: Dialect = PAGE, **access: bool) -> None:
        """A member with all rights, unless `access` says otherwise."""
        rights = Access(**({"run": True} | access))
        self.put(e.Joined(member, User(f"user-{member}"), rights, dialect))

    def say(self, member: int, *messages: m.FromMember) -> list[e.Effect]:
        """What a member sends, in one turn."""
        return self.put(*(e.Received(member, message) for message in messages))

    @property
    def records(self) -> list[Record]:
        """What was appended, but for the mark."""
        return [record for record in self.appended if not MARK.fullmatch(record.update)]

    def store(self) -> None:
        """The append under way, and those that follow it, become durable."""
        done = -1
        while self.appended and done < self.appended[-1].number:
            done = self.appended[-1].number
            self.put(e.Stored(done))

    def wait(self, seconds: float) -> None:
        """Time passes, and the room is woken when it asked to be."""
        end = self.now + seconds
        while self.wake is not None and self.wake <= end:
            self.now = max(self.now, self.wake)
            self.put(e.Woke())
        self.now = end

    def take(self, member: int) -> list[m.ToMember]:
        """What a member has heard since the last call."""
        return self.heard.pop(member, [])

    def reopened(self, **options: Any) -> Bench:
        """The room after a crash: opened again from what was appended."""
        number = self.appended[-1].number if self.appended else 0
        stored = StoredDocument("lineage", None, 0, tuple(self.appended), number)
        return Bench(self.plan, stored=stored if number else None, client_id=777, **options)


@pytest.fixture
def bench() -> Bench:
    """A document alone, without a page."""
    return Bench()


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    """A room with a plan, limits or a stored document of one's own."""
    return Bench


@pytest.fixture
def typist() -> Typist:
    """An honest client."""
    return Typist()


@pytest.fixture
def make_typist() -> Callable[..., Typist]:
    """More honest clients."""
    return Typist
