"""Visitors: who comes, and the passes that it holds. Pure over times that are passed in.

A **pass** is what one credential gives: the server's token, a shared link, a token of an issuer. A visitor may hold
several, as somebody does who followed two links; its rights are the union of theirs. Each has its own end, and stands
and falls with the ids in it (see `revocations`). How credentials are read is not known here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from engineroom.rooms.address import Address
from engineroom.rooms.members import Access as RoomAccess

from .grants import EVERYWHERE, Grants, granted
from .rights import ALL_RIGHTS, MEMBER_RIGHTS, NO_RIGHTS, Right, Rights, room_access

MAX_PASSES = 8
"""Passes of one visitor. They go into a cookie, which has 4096 bytes at most (RFC 6265, section 6.1)."""

MAX_PASS_IDS = 16
"""Ids of one pass. Each hand that passes a link on adds some."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What one credential gives: `grants`, until `end` (seconds since the epoch; None: no end).

    `ids` are what it stands and falls with, its own first; `issued` is when it was made (0: not known).
    """

    grants: Grants
    end: float | None = None
    issued: float = 0
    ids: tuple[str, ...] = ()

    def rights(self, address: Address) -> Rights:
        """What it gives at `address`, before its end."""
        return granted(self.grants, address)

    @property
    def is_whole(self) -> bool:
        """Whether it gives everything that members can do, in every room."""
        return self.grants.get(EVERYWHERE, NO_RIGHTS) >= MEMBER_RIGHTS

    def replaces(self, other: Pass) -> bool:
        """Whether it is the same credential again."""
        return self.ids[:1] == other.ids[:1] and self.grants == other.grants


@dataclass(frozen=True, slots=True)
class Visitor:
    """One visitor: a stable id, a name (may be empty), and its passes, the newest last.

    `is_named`: the id is a name that an issuer stands for. Otherwise it is one that we made up for a browser.
    """

    user: str
    passes: tuple[Pass, ...] = ()
    name: str = ""
    is_named: bool = False

    def rights(self, address: Address) -> Rights:
        """What the visitor may do at `address`."""
        return _united(each.rights(address) for each in self.passes)

    def access(self, address: Address) -> RoomAccess:
        """The same, as rooms know it."""
        return room_access(self.rights(address))

    @property
    def everything(self) -> bool:
        """Whether it may do all that members can do, in every room."""
        return self._everywhere() >= MEMBER_RIGHTS

    @property
    def reads_everything(self) -> bool:
        """Whether it may see every room, and so all that lies beside them."""
        return "read" in self._everywhere()

    @property
    def is_admin(self) -> bool:
        """Whether it has the admin right everywhere: over the server, not over some rooms of it."""
        return "admin" in self._everywhere()

    def end(self, address: Address, rights: Rights) -> float | None:
        """How long the visitor has all these rights at `address`, which it has now; None: without end."""
        ends = [self._end(address, right) for right in rights]
        return min((end for end in ends if end is not None), default=None)

    def next_end(self, address: Address) -> float | None:
        """When one of the passes ends that give something at `address`; None: none of them does."""
        ends = (each.end for each in self.passes if each.end is not None and each.rights(address))
        return min(ends, default=None)

    def ids(self, address: Address, rights: Rights) -> tuple[str, ...]:
        """What these rights at `address` stand and fall with: the ids of the passes that give them."""
        found = (each.ids for each in self.passes if each.rights(address) & rights)
        return tuple(dict.fromkeys(one for ids in found for one in ids))

    def still(self, now: float, is_revoked: Callable[[Pass], bool]) -> Visitor:
        """The visitor with those of its passes that are good at `now`."""
        good = tuple(
            each
            for each in self.passes
            if (each.end is None or each.end > now) and not is_revoked(each)
        )
        return self if len(good) == len(self.passes) else replace(self, passes=good)

    def joined(self, other: Visitor) -> Visitor:
        """This visitor with the other's passes in addition; the newest ones are kept.

        One whom an issuer names does not inherit what somebody else held.
        """
        if other.is_named and other.user != self.user:
            return other
        older = [old for old in self.passes if not any(new.replaces(old) for new in other.passes)]
        passes = [*older, *other.passes]
        whole = [each for each in passes if each.is_whole][-1:]
        others = [each for each in passes if each not in whole]
        kept = (*whole, *others[-(MAX_PASSES - len(whole)) :])
        return Visitor(self.user, kept, other.name or self.name, self.is_named or other.is_named)

    def rooms(self, page: str) -> list[str]:
        """The names of rooms of `page` that the visitor was let into one by one, the newest last."""
        parts = (name.rpartition("@") for each in self.passes for name in each.grants)
        return [room for path, at, room in parts if at and path == "=" + page]

    def _everywhere(self) -> Rights:
        return _united(each.grants.get(EVERYWHERE, NO_RIGHTS) for each in self.passes)

    def _end(self, address: Address, right: Right) -> float | None:
        ends = [each.end for each in self.passes if right in each.rights(address)]
        return None if None in ends else max((end for end in ends if end is not None), default=0.0)


def _united(many: Iterable[Rights]) -> Rights:
    return NO_RIGHTS.union(*many)


def everything(*ids: str) -> Pass:
    """A pass that gives all rights everywhere."""
    return Pass({EVERYWHERE: ALL_RIGHTS}, ids=ids)


def new_user_id() -> str:
    """An id for a visitor who has none yet."""
    return "v-" + secrets.token_hex(6)
