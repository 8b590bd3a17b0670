"""A member's hold on its room, between its transport and the room's task.

The transport calls it from the event loop; nothing here waits. It stands between them so that a member can be moved
to another room, and be sent away, without its transport knowing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from engineroom.errors import CloseCode, ProtocolError
from engineroom.protocols.frames import Bundle
from engineroom.protocols.messages import Dialect, FromMember

from . import effects as e
from .address import Address
from .allowance import Allowance
from .counters import Counters
from .limits import RoomLimits
from .members import Access, MemberId, MemberInfo

logger = logging.getLogger("engineroom.rooms")


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


class Inside(Protocol):
    """What a membership needs of its room."""

    address: Address

    def put(self, item: e.Input) -> None:
        """Something happened."""

    def hold_if_full(self, connection: Connection) -> None:
        """Have the connection read no further when too much waits."""

    def leave(self, member: MemberId) -> None:
        """A member is gone."""


class Membership:
    """One member in one room at a time."""

    def __init__(
        self,
        room: Inside,
        info: MemberInfo,
        connection: Connection,
        dialect: Dialect,
        *,
        limits: RoomLimits,
        counters: Counters,
        clock: Callable[[], float],
    ) -> None:
        self.info = info
        self.connection = connection
        self.dialect = dialect
        self._room = room
        self._counters = counters
        self._clock = clock
        self._limits = limits
        self._messages = Allowance(limits.messages_per_second, clock())
        self._limit_bytes(info.access)
        self._left = False
        self._moving: list[e.Input] | None = None

    @property
    def address(self) -> Address:
        """The room's address; another one after a move."""
        return self._room.address

    @property
    def member(self) -> MemberId:
        """The member's number in its room."""
        return self.info.id

    # --- the transport's side ----------------------------------------------------------------

    def receive(self, frame: bytes) -> None:
        """A whole binary message. One that does not follow the dialect closes this connection alone."""
        if self._left:
            return
        counters, now = self._counters, self._clock()
        counters.messages_received += 1
        counters.bytes_received += len(frame)
        if not self._messages.take(1, now):
            self._exceeded("messages_per_second")
            return
        if not self._bytes.take(len(frame), now):
            self._exceeded(self._bytes_limit)
            return
        try:
            message = self.dialect.decode(frame)
        except ProtocolError as error:
            room = str(self._room.address)
            bound = {"room": room, "member": self.member}
            logger.info("%s: member %d: %s", room, self.member, error.reason, extra=bound)
            self.end(CloseCode.PROTOCOL_ERROR, error.reason)
            return
        if message is not None:
            self._put(e.Received(self.info.id, message, len(frame)))
            self._room.hold_if_full(self.connection)

    def paused(self) -> None:
        """The transport's write buffer is over its high mark."""
        self._put(e.Paused(self.info.id))

    def resumed(self) -> None:
        """The transport's write buffer is under its low mark."""
        self._put(e.Resumed(self.info.id))

    def leave(self) -> None:
        """The connection is gone. Safe to call twice."""
        if not self._left:
            self._left = True
            if self._moving is None:
                self._room.leave(self.info.id)

    def say(self, message: FromMember) -> None:
        """What a member inside this process says."""
        if not self._left:
            self._put(e.Received(self.info.id, message))

    # --- the server's side -------------------------------------------------------------------

    def change_access(self, access: Access) -> None:
        """The member may do this from now on. Without the right to read it is sent away (4403)."""
        if not self._left:
            self.info = replace(self.info, access=access)
            self._limit_bytes(access)
            self._put(e.AccessChanged(self.info.id, access))

    def end(self, code: int, reason: str) -> None:
        """Send the member away: its connection is closed with `code`, after what was sent before."""
        if not self._left:
            self._counters.closes[code] += 1
            self.connection.close(code, reason)
            self.leave()

    # --- the rooms' side ---------------------------------------------------------------------

    @property
    def left(self) -> bool:
        """Whether the connection is gone."""
        return self._left

    def lift(self) -> None:
        """The room has let the member go; what its transport says waits until `settle`."""
        self._moving = []
        self.connection.hold()

    def settle(self, room: Inside, info: MemberInfo) -> None:
        """The member is in `room` now, under a number of that room."""
        self._room, self.info = room, info
        waiting, self._moving = self._moving or [], None
        for item in waiting:
            self._put(_renumbered(item, info.id))
        self.connection.release()

    def _put(self, item: e.Input) -> None:
        if self._moving is None:
            self._room.put(item)
        elif not isinstance(item, e.Received):
            self._moving.append(item)

    def _limit_bytes(self, access: Access) -> None:
        """Who may only read has little to say, and what it says takes as much time as what others say."""
        self._bytes_limit = "bytes_per_second" if access.write else "reader_bytes_per_second"
        self._bytes = Allowance(getattr(self._limits, self._bytes_limit), self._clock())

    def _exceeded(self, limit: str) -> None:
        allowed: float = getattr(self._limits, limit)
        self._counters.limits[limit] += 1
        self.end(CloseCode.LIMIT_EXCEEDED, f"limit reached: {limit} = {allowed:g}")


def _renumbered(item: e.Input, member: MemberId) -> e.Input:
    assert isinstance(item, e.Paused | e.Resumed | e.AccessChanged)
    return replace(item, member=member)
