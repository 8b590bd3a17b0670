"""One open room: the shell around `room.Room`, and the one place in `rooms/` where a room meets the world.

One task owns the room. It feeds it what one turn of the event loop brought, and carries its effects out in
order. It never waits while it does: appending, sending and commands to programs return at once, and what
comes of them comes back as inputs.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, assert_never

from engineroom.errors import CloseCode, LimitExceeded, ProtocolError, RoomClosed, StoreError
from engineroom.protocols.frames import Bundle
from engineroom.protocols.messages import Dialect
from engineroom.protocols.updates import is_whole

from . import effects as e
from .address import Address
from .document import survivable
from .limits import RoomLimits
from .loading import open_room
from .members import Access, MemberId, User
from .plan import Plan
from .programs import ProgramEvent, Programs, RoomPrograms
from .room import Room
from .storage import OutputKeeper, Record, Store

logger = logging.getLogger("engineroom.rooms")

# What one turn takes in. A message costs some 20 microseconds, so no room keeps the others waiting for long.
MAX_BATCH = 500
# What may wait for the next turns, before members' connections are read no further.
MAX_INBOX = 1_000


class Connection(Protocol):
    """A member's transport, as its room sees it. No call waits or raises; after `close` all do nothing."""

    def send(self, bundle: Bundle) -> None:
        """Write the bundle's payloads, each as one binary message, in one go."""

    def close(self, code: int, reason: str) -> None:
        """Close after what has been sent. `Membership.leave` follows from the transport."""

    def hold(self) -> None:
        """Read no further until `release`: the room does not keep up. What was read already still comes."""

    def release(self) -> None:
        """Read on."""


@dataclass(frozen=True, slots=True)
class RoomStatistics:
    """One open room, for people: counts, and bytes of the document's encoding."""

    address: str
    members: int
    document_bytes: int
    newest_number: int
    durable_number: int
    failing: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every room of a server shares. `failed` is told of a room that ended by a failure."""

    store: Store
    programs: Programs | None
    outputs: OutputKeeper | None
    limits: RoomLimits
    clock: Callable[[], float]
    failed: Callable[[Address], None]


class Membership:
    """A member's hold on its room. The transport calls it from the event loop; nothing here waits."""

    def __init__(
        self, room: OpenRoom, member: MemberId, connection: Connection, dialect: Dialect
    ) -> None:
        self._room = room
        self._member = member
        self._connection = connection
        self._dialect = dialect
        self._left = False

    def receive(self, frame: bytes) -> None:
        """A whole binary message. One that does not follow the dialect closes this connection alone."""
        if self._left:
            return
        try:
            message = self._dialect.decode(frame)
        except ProtocolError as error:
            logger.info("%s: member %d: %s", self._room.address, self._member, error.reason)
            self._connection.close(CloseCode.PROTOCOL_ERROR, error.reason)
            self.leave()
            return
        if message is not None:
            self._room.put(e.Received(self._member, message))
            self._room.hold_if_full(self._connection)

    def paused(self) -> None:
        """The transport's write buffer is over its high mark."""
        self._room.put(e.Paused(self._member))

    def resumed(self) -> None:
        """The transport's write buffer is under its low mark."""
        self._room.put(e.Resumed(self._member))

    def leave(self) -> None:
        """The connection is gone. Safe to call twice."""
        if not self._left:
            self._left = True
            self._room.leave(self._member)


class OpenRoom:
    """One open room and its task."""

    task: asyncio.Task[None]
    _tasks: asyncio.TaskGroup

    def __init__(self, around: Surroundings, address: Address, plan: Plan) -> None:
        self.address = address
        self.closing = False
        self._path = str(address)
        self._around = around
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._inbox: list[e.Input] = []
        self._news = asyncio.Event()
        self._held: list[Connection] = []
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._closed = asyncio.Event()
        self._connections: dict[MemberId, Connection] = {}
        self._next_member = 1
        self._programs: RoomPrograms | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._room: Room | None = None
        self._compacting: asyncio.Task[None] | None = None

    # --- from outside ------------------------------------------------------------------------

    async def wait_ready(self) -> None:
        """Return when the document is loaded; raises what went wrong."""
        await asyncio.shield(self._ready)

    async def wait_closed(self) -> None:
        """Return when nothing of the room is left."""
        await self._closed.wait()

    def put(self, item: e.Input) -> None:
        """Something happened."""
        self._inbox.append(item)
        self._news.set()

    def hold_if_full(self, connection: Connection) -> None:
        """Have the connection read no further when more waits than the next turns can take."""
        if len(self._inbox) >= MAX_INBOX and connection not in self._held:
            connection.hold()
            self._held.append(connection)

    def join(
        self, connection: Connection, *, user: User, access: Access, dialect: Dialect
    ) -> Membership:
        """A new member."""
        if len(self._connections) >= self._around.limits.members:
            raise LimitExceeded("members", self._around.limits.members)
        member, self._next_member = self._next_member, self._next_member + 1
        self._connections[member] = connection
        self.put(e.Joined(member, user, access, dialect))
        return Membership(self, member, connection, dialect)

    def leave(self, member: MemberId) -> None:
        """A member is gone."""
        if self._connections.pop(member, None) is not None:
            self.put(e.Left(member))

    def cancel(self) -> None:
        """Give the room up."""
        self.task.cancel()

    def finished(self) -> None:
        """The task has ended; whoever waits may go on."""
        if not self._ready.done():
            self._ready.set_exception(RoomClosed("the room ended while it opened"))
            self._ready.exception()  # nobody may be waiting
        self._closed.set()

    def statistics(self) -> RoomStatistics | None:
        """The room as it stands; None while it opens."""
        room = self._room
        if room is None:
            return None
        log = room.log
        size = room.document.size_bytes
        return RoomStatistics(
            self._path, len(room.members), size, log.number, log.durable, log.failing
        )

    # --- the task ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Open, serve, close. Whatever fails in here ends this room alone."""
        try:
            self._room = room = await self._load()
        except BaseException as error:
            if not survivable(error):
                raise
            self._refuse(error)
            return
        self._ready.set_result(None)
        logger.info("%s: open", self._path)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self._serve_or_fail(room)
        finally:
            await self._close()
        logger.info("%s: closed", self._path)

    def _refuse(self, error: BaseException) -> None:
        """The room cannot be opened: whoever waits for it is told."""
        if not isinstance(error, StoreError):
            logger.error("%s: the room cannot be opened", self._path, exc_info=error)
            self._around.failed(self.address)
            error = StoreError("its document cannot be opened; the server's log says why")
        else:
            logger.error("%s: %s", self._path, error)
        self._ready.set_exception(error)
        self._ready.exception()  # nobody may be waiting

    async def _serve_or_fail(self, room: Room) -> None:
        try:
            await self._serve(room)
        except BaseException as error:
            if not survivable(error):
                raise
            logger.error("%s: the room failed", self._path, exc_info=error)
            self._around.failed(self.address)
            self._part(CloseCode.INTERNAL_ERROR, "the room failed")
            self._append(room.log.take_rest(), room)
        finally:
            self.closing = True

    async def _load(self) -> Room:
        stored = await self._around.store.load(self._path)
        opened = open_room(
            self.address,
            self._plan,
            stored,
            client_id=secrets.randbits(32) or 1,
            lineage=secrets.token_hex(16),
            limits=self._around.limits,
        )
        if opened.refused or (stored and stored.damaged):
            damaged = stored.damaged if stored else 0
            logger.error(
                "%s: %d damaged records and %d that cannot be applied were left out",
                self._path, damaged, len(opened.refused),
            )  # fmt: skip
        return opened.room

    async def _serve(self, room: Room) -> None:
        while not room.ended:
            await self._news.wait()
            self._news.clear()
            # A quarter at least: programs are not held, and what they say must not gather.
            size = max(MAX_BATCH, len(self._inbox) // 4)
            batch, self._inbox = self._inbox[:size], self._inbox[size:]
            for effect in room.receive(batch, self._around.clock()):
                self._carry_out(effect, room)
            if len(self._inbox) < MAX_INBOX:
                held, self._held = self._held, []
                for connection in held:
                    connection.release()
            if self._inbox:
                self._news.set()
                await asyncio.sleep(0)  # the other rooms' turn

    def _carry_out(self, effect: e.Effect, room: Room) -> None:
        match effect:
            case e.Send():
                for member, bundle in effect.letters:
                    connection = self._connections.get(member)
                    if connection is not None:
                        connection.send(bundle)
            case e.Append():
                self._append(effect.records, room)
            case e.Close():
                connection = self._connections.get(effect.member)
                if connection is not None:
                    connection.close(effect.code, effect.reason)
            case e.Order():
                if self._programs is None and self._around.programs is not None:
                    self._programs = self._around.programs.open(
                        self.address, self._plan, self._emit
                    )
                if self._programs is not None:
                    self._programs.carry_out(effect.command)
            case e.Wake():
                self._wake_at(effect.time)
            case e.KeepOutput():
                if self._around.outputs is not None:
                    keep = self._around.outputs.keep
                    keep(self._path, effect.evaluation, effect.index, effect.text)
            case e.Compact():
                self._compact(effect)
            case e.Report():
                logger.warning("%s: %s", self._path, effect.text)
            case e.End():
                self.closing = True
            case _:
                assert_never(effect)

    def _emit(self, event: ProgramEvent) -> None:
        self.put(event)

    def _append(self, records: tuple[Record, ...], room: Room) -> None:
        if not records:
            return
        number = records[-1].number

        def stored(error: StoreError | None) -> None:
            self.put(e.Stored(number) if error is None else e.StoreFailed(str(error)))

        self._around.store.append(self._path, room.lineage, records, stored)

    def _compact(self, effect: e.Compact) -> None:
        if self._compacting is None or self._compacting.done():
            self._compacting = self._tasks.create_task(self._put_snapshot(effect), name="compact")

    async def _put_snapshot(self, effect: e.Compact) -> None:
        """A snapshot that pycrdt has not encoded as a whole must not take the place of a log that has all."""
        try:
            if not await asyncio.to_thread(is_whole, effect.snapshot, effect.state_vector):
                logger.error("%s: not compacted: the snapshot lacks what the log has", self._path)
                return
            await self._around.store.compact(self._path, effect.snapshot, effect.number)
        except StoreError as error:
            logger.warning("%s: not compacted: %s", self._path, error)
        except Exception:  # the log has all that the snapshot has
            logger.exception("%s: not compacted", self._path)

    def _wake_at(self, time: float | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if time is not None:
            delay = max(0.0, time - self._around.clock())
            self._alarm = self._loop.call_later(delay, self.put, e.Woke())

    # --- the end -----------------------------------------------------------------------------

    def _part(self, code: CloseCode, reason: str) -> None:
        for connection in self._connections.values():
            connection.close(code, reason)
        self._connections.clear()

    async def _close(self) -> None:
        self._wake_at(None)
        if self._programs is not None:
            try:
                await self._programs.aclose()
            except Exception:
                logger.exception("%s: its programs did not end as they should", self._path)
        self._part(CloseCode.SERVICE_RESTART, "the room has closed")
