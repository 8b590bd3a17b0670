"""The rooms that are open, by address.

The first join makes a room, the others wait for it; a join that meets a closing room waits for its end and
opens it anew. A room that fails harms no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from pycrdt import Doc

from engineroom.errors import AccessDenied, LimitExceeded, RoomClosed
from engineroom.protocols.messages import Dialect

from . import effects as e
from .address import Address
from .failures import Failures
from .limits import RoomLimits
from .members import Access, User
from .open_room import Connection, Membership, OpenRoom, RoomStatistics, Surroundings
from .plan import Plan
from .programs import Programs
from .storage import OutputKeeper, Store

logger = logging.getLogger("engineroom.rooms")

PlanOf = Callable[[Address], Plan | None]


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
        max_rooms: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._around = Surroundings(
            store, programs, outputs, limits or RoomLimits(), clock, self._room_failed
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
    ) -> Membership:
        """Come into the room at `address`, which is opened when it is not open.

        Cancelling the call leaves the room as if it had not been made.

        Raises:
            AccessDenied: there is no such page (status 404).
            LimitExceeded: too many rooms are open, or members in this one.
            StoreError: the document cannot be read.
            RoomClosed: the server is going down, or the room failed a moment ago.
        """
        while True:
            if self._draining:
                raise RoomClosed("the server is going down")
            room = self._rooms.get(address)
            if room is None:
                room = self._open(address)
            await room.wait_ready()
            if not room.closing:
                return room.join(connection, user=user, access=access, dialect=dialect)
            await room.wait_closed()

    def replan(self) -> None:
        """The site has changed: hand every open room its plan of now. Rooms whose page is gone keep theirs."""
        for address, room in self._rooms.items():
            plan = self._plan_of(address)
            if plan is not None:
                room.put(e.Replanned(plan))

    def edit(self, address: Address, change: Callable[[Doc[Any]], None]) -> None:
        """Have an open room's document changed, in the transaction of its next turn.

        Raises:
            RoomClosed: the room is not open.
        """
        room = self._rooms.get(address)
        if room is None or room.closing:
            raise RoomClosed(str(address))
        room.put(e.Edit(change))

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
                logger.error("%s: not closed within %.1f s; given up", room.address, seconds)
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
            raise LimitExceeded("rooms", self._max_rooms)
        room = self._rooms[address] = OpenRoom(self._around, address, plan)
        room.task = self._tasks.create_task(self._run(room), name=f"room {address}")
        return room

    async def _run(self, room: OpenRoom) -> None:
        try:
            await room.run()
        finally:
            del self._rooms[room.address]
            room.finished()

    def _room_failed(self, address: Address) -> None:
        self._failures.add(address, self._clock())
