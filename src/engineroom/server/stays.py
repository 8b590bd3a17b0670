"""Stays: who is in which room now, with which rights, and until when.

A stay is one visitor's membership, for as long as its rights last. When one of its passes ends, or is revoked, the
member loses what that pass gave and nothing else had: with the right to read it is sent away (4401, "your access has
ended"). What an application's hook gave beyond the passes, or took from them, stays as it was. All stays share one
timer. What members say is not known here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from types import TracebackType

from engineroom.errors import CloseCode
from engineroom.rooms.address import Address
from engineroom.rooms.members import Access as RoomAccess
from engineroom.rooms.members import MemberInfo
from engineroom.rooms.membership import Membership

from .access import Access, links_of, user_ids
from .rights import Rights, rights_of, room_access
from .visitors import Visitor

ENDED = "your access has ended"
REVOKED = "your access was taken back"
MAX_SLEEP_SECONDS = 60.0
"""The wall clock may be set; no end is missed for longer than this."""


class Stay:
    """A `Membership` for its transport, of one visitor who was let in."""

    __slots__ = (
        "_has_left",
        "_membership",
        "_stays",
        "address",
        "end",
        "given",
        "paused",
        "receive",
        "resumed",
        "visitor",
    )

    def __init__(
        self, stays: Stays, visitor: Visitor, address: Address, membership: Membership
    ) -> None:
        self.visitor = visitor
        self.address = address
        self.given: Rights = visitor.rights(address)
        self.end = visitor.next_end(address)
        # Handed on as they are: every message goes this way.
        self.receive = membership.receive
        self.paused = membership.paused
        self.resumed = membership.resumed
        self._membership = membership
        self._stays = stays
        self._has_left = False

    @property
    def info(self) -> MemberInfo:
        """The member, with its rights of now."""
        return self._membership.info

    def change_access(self, access: RoomAccess) -> None:
        """The member may do this from now on; without the right to read it is sent away (4403)."""
        self._membership.change_access(access)

    def close(self, code: int, reason: str) -> None:
        """Send the member away."""
        self._membership.end(code, reason)
        self.leave()

    def leave(self) -> None:
        """The socket is gone. Safe to call twice."""
        if not self._has_left:
            self._has_left = True
            self._stays.remove(self)
            self._membership.leave()


class Stays:
    """`async with Stays(access) as stays`. Leaving stops the timer, and sends nobody away."""

    def __init__(self, access: Access, *, clock: Callable[[], float] = time.time) -> None:
        self._access = access
        self._clock = clock
        self._stays: dict[Stay, None] = {}
        self._ending: dict[float, dict[Stay, None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_end = float("inf")
        self._is_over = False

    async def __aenter__(self) -> Stays:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over = True
        self._stop_timer()

    def __len__(self) -> int:
        return len(self._stays)

    # --- the gate's side ---------------------------------------------------------------------

    def add(self, visitor: Visitor, address: Address, membership: Membership) -> Stay:
        """`visitor` has come into the room at `address`. What has ended meanwhile ends at once."""
        stay = Stay(self, visitor, address, membership)
        self._stays[stay] = None
        self._await_end(stay)
        return stay

    def remove(self, stay: Stay) -> None:
        """It is over."""
        self._stays.pop(stay, None)
        self._forget_end(stay)

    def renew(self, stay: Stay, visitor: Visitor, access: RoomAccess) -> None:
        """The same member has shown another credential: it counts instead of what it came with."""
        self._forget_end(stay)
        stay.visitor, stay.given = visitor, visitor.rights(stay.address)
        stay.end = visitor.next_end(stay.address)
        stay.change_access(access)
        if stay in self._stays:
            self._await_end(stay)

    # --- who looks after the rooms -----------------------------------------------------------

    def find(self, *, user: str | None = None, address: Address | None = None) -> list[Stay]:
        """The stays of a user, or in a room, or of both; None: any."""
        return [
            stay
            for stay in self._stays
            if (user is None or stay.visitor.user == user)
            and (address is None or stay.address == address)
        ]

    def change(
        self, access: RoomAccess, *, user: str | None = None, address: Address | None = None
    ) -> int:
        """Give these members this access while they are here; how many they are. Who comes again is given what its
        credentials say: to make it last, change those, or the application's hook.

        Without the right to read they are sent away (4403).
        """
        found = self.find(user=user, address=address)
        for stay in found:
            stay.change_access(access)
        return len(found)

    async def revoke(self, user: str) -> int:
        """Send a user away, and let in none of the credentials that it has now; how many stays that ended. Tokens and
        links that are issued later are good.

        Raises:
            LimitExceeded, StoreError: it could not be kept; the user is sent away nevertheless.
        """
        try:
            for one in user_ids(user):
                await self._access.revocations.add(one)
        finally:
            ended = self._send_away(self.find(user=user)) + self.recheck(reason=REVOKED)
        return ended

    async def revoke_link(
        self, link: str, *, until: float | None = None, of_visitor: bool = False
    ) -> int:
        """Take back one link, or one token, by its id; how many stays that ended. `until` is when it ends by itself;
        `of_visitor` says that it is asked by somebody who looks after no room.

        Raises:
            LimitExceeded, StoreError: it could not be kept; it is in force until the server ends.
        """
        try:
            await self._access.revocations.add(
                link, until=until, for_good=True, of_visitor=of_visitor
            )
        finally:
            ended = self.recheck(reason=REVOKED)
        return ended

    async def revoke_links(self, address: Address) -> int:
        """Take back all links to a room that were made until now; how many stays that ended.

        Raises:
            LimitExceeded, StoreError: it could not be kept; it is in force until the server ends.
        """
        try:
            for one in links_of(str(address)):
                await self._access.revocations.add(one)
        finally:
            ended = self.recheck(reason=REVOKED)
        return ended

    def recheck(self, stays: Iterable[Stay] | None = None, *, reason: str = ENDED) -> int:
        """Take from members what none of their passes gives any more; how many stays that ended."""
        now = self._clock()
        return sum(
            self._recheck(stay, now, reason)
            for stay in list(self._stays if stays is None else stays)
        )

    # --- within ------------------------------------------------------------------------------

    def _recheck(self, stay: Stay, now: float, reason: str) -> bool:
        """Whether the stay is over."""
        still = stay.visitor.still(now, self._access.is_void)
        if still is stay.visitor:
            return False
        self._forget_end(stay)
        had, stay.visitor, stay.given = stay.given, still, still.rights(stay.address)
        stay.end = still.next_end(stay.address)
        lost = had - stay.given
        left = rights_of(stay.info.access) - lost
        if lost and "read" not in left:
            code = CloseCode.UNAUTHORIZED if reason == ENDED else CloseCode.FORBIDDEN
            stay.close(code, reason)
            return True
        if lost:
            stay.change_access(room_access(left))
        self._await_end(stay)
        return False

    def _send_away(self, stays: list[Stay]) -> int:
        for stay in stays:
            stay.close(CloseCode.FORBIDDEN, REVOKED)
        return len(stays)

    def _await_end(self, stay: Stay) -> None:
        if stay.end is None or self._is_over:
            return
        self._ending.setdefault(stay.end, {})[stay] = None
        if stay.end < self._timer_end:
            self._start_timer(stay.end)

    def _forget_end(self, stay: Stay) -> None:
        if stay.end is None:
            return
        same = self._ending.get(stay.end, {})
        same.pop(stay, None)
        if not same:
            self._ending.pop(stay.end, None)

    def _start_timer(self, end: float) -> None:
        self._stop_timer()
        self._timer_end = end
        delay = min(max(end - self._clock(), 0.0), MAX_SLEEP_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_end = None, float("inf")

    def _tick(self) -> None:
        self._stop_timer()
        now = self._clock()
        for end in sorted(end for end in self._ending if end <= now):
            self.recheck(self._ending.get(end, ()))
        if self._ending:
            self._start_timer(min(self._ending))
