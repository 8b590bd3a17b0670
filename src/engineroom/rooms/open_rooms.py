"""The rooms that are open, by address.

The first join makes a room, the others wait for it; a join that meets a closing room waits for its end and
opens it anew. A room that fails harms no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType

from engineroom.errors import AccessDenied, CloseCode, LimitExceeded, RoomClosed, StoreError
from engineroom.protocols.messages import Dialect

from . import effects as e
from .address import Address
from .counters import Counters
from .failures import Failures
from .handles import RoomHandle
from .histories import REBUILT, fork_of
from .hooks import Hooks
from .limits import RoomLimits
from .members import Access, MemberInfo, User
from .membership import Connection, Membership
from .open_room import OpenRoom, RoomStatistics, Surroundings
from .plan import Plan
from .programs import Programs
from .storage import OutputKeeper, Store

logger = logging.getLogger("engineroom.rooms")

MAX_FORKS = 20
"""Rooms of other histories of one document that are open at a time."""

PlanOf = Callable[[Address], Plan | None]


def steady_clock() -> Callable[[], float]:
    """A clock of seconds since the epoch that never goes back.

    Rooms put off what they do to a time. Where the machine's clock is set back, that would be late by as much: so this
    one goes on as it was, and follows at the next start. Where it is set forward, this one follows at once.
    """
    ahead = time.time() - time.monotonic()

    def now() -> float:
        nonlocal ahead
        steady = time.monotonic()
        ahead = max(ahead, time.time() - steady)
        return steady + ahead

    return now


class Rooms:
    """All rooms of one server: `async with Rooms(...) as rooms`. Leaving drains."""

    def __init__(
        self,
        store: Store,
        *,
        plan_of: PlanOf = lambda address: Plan(),
        programs: Programs | None = None,
        outputs: OutputKeeper | None = None,
        limits: RoomLimits | None = None,
        hooks: Hooks | None = None,
        max_rooms: int = 10_000,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.counters = Counters()
        clock = clock or steady_clock()
        self._around = Surroundings(
            store=store,
            programs=programs,
            outputs=outputs,
            limits=limits or RoomLimits(),
            clock=clock,
            failed=self._room_failed,
            hooks=hooks or Hooks(),
            observed=hooks is not None and type(hooks).on_change is not Hooks.on_change,
            counters=self.counters,
            fork=self._fork,
        )
        self._clock = clock
        self._plan_of = plan_of
        self._max_rooms = max_rooms
        self._rooms: dict[Address, OpenRoom] = {}
        self._failures = Failures()
        self._tasks = asyncio.TaskGroup()
        self._draining = False

    async def __aenter__(self) -> Rooms:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.drain()
        await self._tasks.__aexit__(kind, error, trace)

    async def join(
        self,
        address: Address,
        connection: Connection,
        *,
        user: User,
        access: Access,
        dialect: Dialect,
        source: str = "",
    ) -> Membership:
        """Come into the room at `address`, which is opened when it is not open.

        `source` is where the connection comes from, for people. Cancelling the call leaves the room as if it had not
        been made.

        Raises:
            AccessDenied: there is no such page (status 404).
            LimitExceeded: too many rooms are open, or members in this one.
            StoreError: the document cannot be read.
            RoomClosed: the server is going down, or the room failed a moment ago.
        """
        room = await self._ready(address)
        return room.join(connection, user=user, access=access, dialect=dialect, source=source)

    @asynccontextmanager
    async def open(
        self, address: Address | str, *, user: User | None = None
    ) -> AsyncIterator[RoomHandle]:
        """Hold the room at `address` open from inside this process, to read and to change its document.

        A room that nobody else is in closes soon after. Programs are not started. `user` is who changes what is changed
        through the handle's `document`.

        Raises:
            AddressError, and what `join` raises.
        """
        if isinstance(address, str):
            address = Address.parse(address)
        room = await self._ready(address)
        room.hold(+1)
        try:
            async with RoomHandle(room, user or User("server", "Server")) as handle:
                yield handle
        finally:
            room.hold(-1)

    async def _ready(self, address: Address) -> OpenRoom:
        """The room, open; nothing has been awaited since it was."""
        while True:
            if self._draining:
                raise RoomClosed("the server is going down")
            room = self._rooms.get(address)
            if room is None:
                room = self._open(address)
            await room.wait_ready()
            if not room.closing:
                return room
            await room.wait_closed()

    def members(self, address: Address) -> list[MemberInfo]:
        """Who is in the room, in the order in which they came; nobody in a room that is not open."""
        room = self._rooms.get(address)
        return room.members() if room is not None else []

    def disconnect(self, address: Address, member: int, code: int, reason: str) -> bool:
        """Send a member away; whether there was one."""
        membership = self.member(address, member)
        if membership is not None:
            membership.end(code, reason)
        return membership is not None

    def member(self, address: Address, member: int) -> Membership | None:
        """The hold of one member on its room."""
        room = self._rooms.get(address)
        return room.member(member) if room is not None else None

    async def close(self, address: Address) -> bool:
        """End a room: members are told (1012), what is unsaved is saved, programs end. Whether it was open.

        Whoever joins meanwhile waits, and opens it anew.
        """
        room = self._rooms.get(address)
        if room is None:
            return False
        room.put(e.Ending())
        await room.wait_closed()
        return True

    def replan(self) -> None:
        """The site has changed: hand every open room its plan of now. Rooms whose page is gone keep theirs."""
        for address, room in self._rooms.items():
            plan = self._plan_of(address)
            if plan is not None:
                room.put(e.Replanned(plan))

    async def drain(self, seconds: float = 4.0) -> None:
        """End every room: members are told (1012), updates are on disk, programs are dead.

        After `seconds` what is still open is given up: with a store that fails, its last updates are lost, and logged.
        Safe to call twice; the second call returns at once.
        """
        if self._draining:
            return
        self._draining = True
        for room in self._rooms.values():
            room.put(e.Ending())
        try:
            async with asyncio.timeout(seconds):
                for room in list(self._rooms.values()):
                    await room.wait_closed()
        except TimeoutError:
            for room in list(self._rooms.values()):
                bound = {"room": str(room.address)}
                text = "%s: not closed within %.1f s; given up"
                logger.error(text, room.address, seconds, extra=bound)
                room.cancel()

    def statistics(self) -> list[RoomStatistics]:
        """The open rooms, by address."""
        rooms = (room.statistics() for room in self._rooms.values())
        return sorted((each for each in rooms if each), key=lambda each: each.address)

    def _open(self, address: Address) -> OpenRoom:
        plan = self._plan_of(address)
        if plan is None:
            raise AccessDenied("there is no such page", status=404)
        wait_seconds = self._failures.wait_seconds(address, self._clock())
        if wait_seconds:
            raise RoomClosed(f"it failed a moment ago; try again in {wait_seconds:.0f} s")
        if len(self._rooms) >= self._max_rooms:
            self.counters.limits["max_rooms"] += 1
            raise LimitExceeded("max_rooms", self._max_rooms)
        room = self._rooms[address] = OpenRoom(self._around, address, plan)
        room.task = self._tasks.create_task(self._run(room), name=f"room {address}")
        return room

    async def _run(self, room: OpenRoom) -> None:
        try:
            await room.run()
        finally:
            del self._rooms[room.address]
            room.finished()

    def _fork(self, membership: Membership, address: Address, mark: int) -> None:
        """Move a member, which its room has let go, to the room of its own history."""
        self._tasks.create_task(self._move(membership, address, mark), name="fork")

    def _forks_of(self, address: Address) -> int:
        beginning = f"{address.room}~"
        return sum(each.page is None and each.room.startswith(beginning) for each in self._rooms)

    async def _move(self, membership: Membership, origin: Address, mark: int) -> None:
        """Anybody can make up a history: so only some may be open at a time, and who brings one more is refused."""
        address = fork_of(origin, mark)
        if address not in self._rooms and self._forks_of(origin) >= MAX_FORKS:
            self.counters.limits["other_history"] += 1
            membership.end(CloseCode.OTHER_HISTORY, REBUILT)
            return
        try:
            room = await self._ready(address)
            if not membership.left:
                room.take_over(membership)
        except (LimitExceeded, RoomClosed, StoreError, AccessDenied) as error:
            membership.end(CloseCode.TRY_AGAIN_LATER, f"{address} cannot be entered: {error}")

    def _room_failed(self, address: Address) -> None:
        self._failures.add(address, self._clock())
