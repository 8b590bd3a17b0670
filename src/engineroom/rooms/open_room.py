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
from typing import Any, TypeVar, assert_never, cast

from pycrdt import Doc

from engineroom.errors import CloseCode, LimitExceeded, RoomClosed, StoreError
from engineroom.protocols.frames import Bundle
from engineroom.protocols.messages import Dialect, SyncStep1
from engineroom.protocols.updates import is_whole

from . import effects as e
from .address import Address
from .counters import Counters
from .document import survivable
from .history import thinned_out
from .hooks import Hooks
from .limits import RoomLimits
from .loading import open_room
from .members import Access, MemberId, MemberInfo, Post, User
from .membership import Connection, Membership
from .orders import Orders
from .plan import Plan
from .programs import ProgramEvent, Programs, RoomPrograms
from .room import Room
from .storage import OutputKeeper, Record, Store

T = TypeVar("T")

logger = logging.getLogger("engineroom.rooms")

# What one turn takes in. A message costs some 20 microseconds, so no room keeps the others waiting for long.
MAX_BATCH = 500
# What may wait for the next turns, before members' connections are read no further.
MAX_INBOX = 1_000
# What one turn reads of large messages: reading may take a microsecond for two bytes.
MAX_BATCH_BYTES = 128 << 10
LARGE_BYTES = 4 << 10


@dataclass(frozen=True, slots=True)
class RoomStatistics:
    """One open room, for people: counts, and bytes of the document's encoding.

    `failing` is why the last append failed, empty when it did not; `unstored_seconds` is how long the oldest record
    that is not durable has waited.
    """

    address: str
    members: int
    document_bytes: int
    newest_number: int
    durable_number: int
    failing: str
    unstored_bytes: int
    unstored_seconds: float
    waiting_updates: int
    opened: float


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every room of a server shares. `failed` is told of a room that ended by a failure."""

    store: Store
    programs: Programs | None
    outputs: OutputKeeper | None
    limits: RoomLimits
    clock: Callable[[], float]
    failed: Callable[[Address], None]
    hooks: Hooks
    observed: bool
    counters: Counters
    fork: Callable[[Membership, Address, int], None]


class OpenRoom:
    """One open room and its task."""

    task: asyncio.Task[None]
    _tasks: asyncio.TaskGroup

    def __init__(self, around: Surroundings, address: Address, plan: Plan) -> None:
        self.address = address
        self.closing = False
        self._path = str(address)
        self._logger = logging.LoggerAdapter(logger, {"room": self._path})
        self._around = around
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._inbox: list[e.Input] = []
        self._news = asyncio.Event()
        self._held: list[Connection] = []
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._closed = asyncio.Event()
        self._members: dict[MemberId, Membership] = {}
        # Beside the members: to find each member's connection would cost a delivery as much as its write.
        self._sends: dict[MemberId, Callable[[Bundle], None]] = {}
        self._orders = Orders()
        self._opened = around.clock()
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
        self,
        connection: Connection,
        *,
        user: User,
        access: Access,
        dialect: Dialect,
        source: str = "",
    ) -> Membership:
        """A new member."""
        around = self._around
        info = self._newcomer(user, access, dialect, source)
        membership = Membership(
            self, info, connection, dialect,
            limits=around.limits, counters=around.counters, clock=around.clock,
        )  # fmt: skip
        self._enter(membership, dialect)
        return membership

    def take_over(self, membership: Membership) -> None:
        """A member from another room, which has let it go."""
        old, dialect = membership.info, membership.dialect
        info = self._newcomer(old.user, old.access, dialect, old.source)
        membership.settle(self, info)
        self._enter(membership, dialect)
        # What it asked in the other room is still open.
        self.put(e.Received(info.id, SyncStep1(b"")))

    def _newcomer(self, user: User, access: Access, dialect: Dialect, source: str) -> MemberInfo:
        if len(self._members) >= self._around.limits.room_members:
            self._around.counters.limits["room_members"] += 1
            raise LimitExceeded("room_members", self._around.limits.room_members)
        member, self._next_member = self._next_member, self._next_member + 1
        now = self._around.clock()
        return MemberInfo(member, user, access, dialect.name, source, now)

    def _enter(self, membership: Membership, dialect: Dialect) -> None:
        info = membership.info
        self._members[info.id] = membership
        self._sends[info.id] = membership.connection.send
        self._around.counters.joins += 1
        self.put(e.Joined(info.id, info.user, info.access, dialect))
        self._tell(self._around.hooks.on_join, info)

    def leave(self, member: MemberId) -> None:
        """A member is gone."""
        membership = self._members.pop(member, None)
        if membership is not None:
            self.put(e.Left(member))
            self._gone(membership)

    def _gone(self, membership: Membership) -> None:
        self._sends.pop(membership.info.id, None)
        self._around.counters.leaves += 1
        self._tell(self._around.hooks.on_leave, membership.info)

    def members(self) -> list[MemberInfo]:
        """Who is here, in the order in which they came."""
        return [each.info for each in self._members.values()]

    def member(self, number: MemberId) -> Membership | None:
        """The member with this number."""
        return self._members.get(number)

    # --- for those who are no members -------------------------------------------------------------

    @property
    def room(self) -> Room:
        """The room itself, to read between its turns.

        Raises:
            RoomClosed: it has not opened, or has ended.
        """
        if self._room is None or self._closed.is_set():
            raise RoomClosed(self._path)
        return self._room

    def hold(self, by: int) -> None:
        """So many more (or fewer) need the room open without being its members."""
        self.put(e.Held(by))

    async def edit(self, change: Callable[[Doc[Any]], T], *, user: str = "") -> T:
        """Have the document changed in one transaction, and wait until that is durable; what `change` returned.

        A call that is cancelled may have been carried out. `change` is called in the room's turn, and returns at once.

        Raises:
            RoomClosed: the room ended before.
            Exception: what `change` raised; nothing is changed then.
        """
        ticket, answer = self._order()
        self.put(e.Edit(change, user, ticket))
        return cast(T, await answer)

    async def submit(
        self, update: bytes, *, user: str = "", condition: Callable[[], None] | None = None
    ) -> tuple[bool, int]:
        """Have an update (V1) taken as a member's is, and wait until it is durable; whether it brought anything new,
        and the log's newest number with it. `condition` is asked in the room's turn, before.

        Raises:
            Exception: what `condition` raised; nothing is taken then.
            ProtocolError: it is malformed, or needs others that the document does not have.
            LimitExceeded: it is past a bound.
            AccessDenied: it brings the history of another document (status 409).
            RoomClosed: the room ended before, or cannot save fast enough.
        """
        ticket, answer = self._order()
        self.put(e.Submit(update, user, ticket, condition))
        return cast(tuple[bool, int], await answer)

    def _order(self) -> tuple[int, asyncio.Future[object]]:
        if self.closing:
            raise RoomClosed(self._path)
        return self._orders.new()

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
        log, document = room.log, room.document
        oldest = log.oldest_unstored
        return RoomStatistics(
            address=self._path,
            members=len(self._members),
            document_bytes=document.size_bytes,
            newest_number=log.number,
            durable_number=log.durable,
            failing=log.failing,
            unstored_bytes=0 if log.settled else log.unstored_bytes,
            unstored_seconds=0.0 if oldest is None else max(0.0, self._around.clock() - oldest),
            waiting_updates=document.waiting,
            opened=self._opened,
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
        room.observed, room.counters = self._around.observed, self._around.counters
        room.counters.rooms_opened += 1
        self._ready.set_result(None)
        self._logger.info("%s: open", self._path)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self._serve_or_fail(room)
        finally:
            await self._close()
        self._logger.info("%s: closed", self._path)

    def _refuse(self, error: BaseException) -> None:
        """The room cannot be opened: whoever waits for it is told."""
        if not isinstance(error, StoreError):
            self._logger.error("%s: the room cannot be opened", self._path, exc_info=error)
            self._around.failed(self.address)
            error = StoreError("its document cannot be opened; the server's log says why")
        else:
            self._logger.error("%s: %s", self._path, error)
        self._ready.set_exception(error)
        self._ready.exception()  # nobody may be waiting

    async def _serve_or_fail(self, room: Room) -> None:
        try:
            await self._serve(room)
        except BaseException as error:
            if not survivable(error):
                raise
            self._logger.error("%s: the room failed", self._path, exc_info=error)
            self._around.failed(self.address)
            self._around.counters.rooms_failed += 1
            self._part(CloseCode.INTERNAL_ERROR, "the room failed")
            self._append(room.log.take_rest(), room)
        finally:
            self.closing = True

    async def _load(self) -> Room:
        stored = await self._around.store.load(self._path)
        begin = None if stored else await self._around.hooks.on_load(self.address)
        opened = open_room(
            self.address,
            self._plan,
            stored,
            client_id=secrets.randbits(32) or 1,
            lineage=secrets.token_hex(16),
            limits=self._around.limits,
            begin=begin,
        )
        if opened.refused or (stored and stored.damaged):
            damaged = stored.damaged if stored else 0
            self._around.counters.quarantined += damaged + len(opened.refused)
            self._logger.error(
                "%s: %d damaged records and %d that cannot be applied were left out",
                self._path, damaged, len(opened.refused),
            )  # fmt: skip
        return opened.room

    async def _serve(self, room: Room) -> None:
        while not room.ended:
            await self._news.wait()
            self._news.clear()
            for effect in room.receive(self._take_batch(), self._around.clock()):
                self._carry_out(effect, room)
            if self._held and len(self._inbox) < MAX_INBOX:
                held, self._held = self._held, []
                for connection in held:
                    connection.release()
            if self._inbox:
                self._news.set()
                await asyncio.sleep(0)  # the other rooms' turn

    def _take_batch(self) -> list[e.Input]:
        """What the next turn takes in: all there is, as a rule."""
        inbox = self._inbox
        # A quarter at least: programs are not held, and what they say must not gather.
        size = min(max(MAX_BATCH, len(inbox) // 4), _light(inbox))
        self._inbox = inbox[size:]
        return inbox[:size] if self._inbox else inbox

    def _carry_out(self, effect: e.Effect, room: Room) -> None:
        match effect:
            case e.Send():
                self._send(effect.posts)
            case e.Append():
                self._append(effect.records, room)
            case e.Close():
                leaving = self._members.get(effect.member)
                if leaving is not None:
                    leaving.end(effect.code, effect.reason)
            case e.Fork():
                moving = self._members.pop(effect.member, None)
                if moving is not None:
                    moving.lift()
                    self._gone(moving)
                    self._around.fork(moving, self.address, effect.mark)
            case e.Changed():
                author = self._members.get(effect.member or 0)
                self._tell(self._around.hooks.on_change, author and author.info, effect.update)
            case e.Heard():
                speaker = self._members.get(effect.member)
                if speaker is not None:
                    self._tell(self._around.hooks.on_message, speaker.info, effect.text)
            case e.Edited() | e.Submitted() | e.Declined():
                self._orders.answer(effect, room.log.durable)
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
            case e.KeepVersion():
                self._tasks.create_task(self._keep_version(effect), name="keep a version")
            case e.Report():
                self._logger.warning("%s: %s", self._path, effect.text)
            case e.End():
                self.closing = True
            case _:
                assert_never(effect)

    def _send(self, posts: tuple[Post, ...]) -> None:
        counters, sends = self._around.counters, self._sends
        for bundle, members in posts:
            counters.deliveries += len(members)
            counters.bytes_sent += len(members) * bundle.size_bytes
            for member in members:
                send = sends.get(member)
                if send is not None:
                    send(bundle)

    def _tell(self, hook: Callable[..., None], *arguments: object) -> None:
        """Call a hook of the application's; what fails in it is its own trouble."""
        try:
            hook(self.address, *arguments)
        except Exception:
            self._logger.exception("%s: the hook %s failed", self._path, hook.__name__)

    def _emit(self, event: ProgramEvent) -> None:
        self.put(event)

    def _append(self, records: tuple[Record, ...], room: Room) -> None:
        if not records:
            return
        number = records[-1].number

        self._around.counters.appends += 1

        def stored(error: StoreError | None) -> None:
            if error is None:
                self.put(e.Stored(number))
                self._orders.stored(number)
                self._tell(self._around.hooks.on_store, number)
            else:
                self._around.counters.append_failures += 1
                self.put(e.StoreFailed(str(error)))

        self._around.store.append(self._path, room.lineage, records, stored)

    def _compact(self, effect: e.Compact) -> None:
        if self._compacting is None or self._compacting.done():
            self._compacting = self._tasks.create_task(self._put_snapshot(effect), name="compact")

    async def _put_snapshot(self, effect: e.Compact) -> None:
        """A snapshot that pycrdt has not encoded as a whole must not take the place of a log that has all."""
        try:
            if not await asyncio.to_thread(is_whole, effect.snapshot, effect.state_vector):
                self._logger.error(
                    "%s: not compacted: the snapshot lacks what the log has", self._path
                )
                return
            await self._around.store.compact(
                self._path, effect.snapshot, effect.number,
                notes=effect.notes, history_since=effect.history_since,
            )  # fmt: skip
            self._around.counters.compactions += 1
        except StoreError as error:
            self._logger.warning("%s: not compacted: %s", self._path, error)
        except Exception:  # the log has all that the snapshot has
            self._logger.exception("%s: not compacted", self._path)

    async def _keep_version(self, effect: e.KeepVersion) -> None:
        """Automatic versions are a convenience: one that cannot be kept is logged, and harms nothing."""
        store, limits = self._around.store, self._around.limits
        try:
            await store.put_version(self._path, effect.version, effect.encoding)
            versions = await store.list_versions(self._path)
            for version in thinned_out(versions, self._around.clock(), limits):
                await store.delete_version(self._path, version)
        except StoreError as error:
            self._logger.warning("%s: a version was not kept: %s", self._path, error)
        except Exception:
            self._logger.exception("%s: a version was not kept", self._path)

    def _wake_at(self, time: float | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if time is not None:
            delay = max(0.0, time - self._around.clock())
            self._alarm = self._loop.call_later(delay, self.put, e.Woke())

    # --- the end -----------------------------------------------------------------------------

    def _part(self, code: CloseCode, reason: str) -> None:
        members, self._members = self._members, {}
        for member in members.values():
            self._around.counters.closes[code] += 1
            member.connection.close(code, reason)
            self._gone(member)

    async def _close(self) -> None:
        self._wake_at(None)
        self._orders.close(RoomClosed(f"{self._path}: the room has closed"))
        if self._programs is not None:
            try:
                await self._programs.aclose()
            except Exception:
                self._logger.exception("%s: its programs did not end as they should", self._path)
        self._part(CloseCode.SERVICE_RESTART, "the room has closed")


def _light(inbox: list[e.Input]) -> int:
    """How many of these one turn may take, at least one, before the other rooms have theirs."""
    large_bytes = 0
    for place, item in enumerate(inbox):
        if type(item) is e.Received and item.size_bytes > LARGE_BYTES:
            large_bytes += item.size_bytes
            if large_bytes > MAX_BATCH_BYTES:
                return max(place, 1)
    return len(inbox)
