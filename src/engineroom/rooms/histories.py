"""Whose history a member brings.

A document that is stored carries an invisible mark of its lineage (see `protocols.marks`), and so does every replica
of it. Where a document was rebuilt, from a file or after its store was lost, it has another mark: who comes back with
the old one would merge its old content into the new, and double it. Such a member is refused, or moved to a room of
its own history. A document that nobody has written to takes on the history that is brought first.
"""

from __future__ import annotations

from collections.abc import Iterable

from engineroom.errors import CloseCode
from engineroom.protocols.lib0 import MAX_INTEGER

from .address import MAX_ADDRESS_BYTES, Address
from .limits import RoomLimits
from .members import Member
from .turn import Turn

REBUILT = "this document was rebuilt since you were here; open it again"


class Histories:
    """The history of one room's document, and what becomes of others."""

    def __init__(self, address: Address, mark: int, limits: RoomLimits, *, begun: bool) -> None:
        """`mark` is the document's, or will be; `begun` tells whether it has content, so that its history is fixed."""
        self.mark = mark
        self.begun = begun
        self._may_fork = (
            limits.other_history == "fork"
            and address.page is None
            and len(fork_of(address, MAX_INTEGER).room.encode()) <= MAX_ADDRESS_BYTES
        )
        self._leaving: dict[int, int] = {}

    def is_other(
        self, marks: Iterable[int], member: Member, turn: Turn, *, adopt: bool = False
    ) -> bool:
        """Whether `marks` are not this document's alone; `member`, who brings them, is sent away then.

        A document that has not begun takes the mark on with `adopt`, and has nothing against it without.
        """
        for mark in marks:
            if not self.begun and adopt:
                self.begun, self.mark = True, mark
            if self.begun and mark != self.mark:
                self._send_away(member, mark, turn)
                return True
        return False

    def take_leaving(self) -> dict[int, int]:
        """The members to be moved, each with the mark of its history."""
        leaving, self._leaving = self._leaving, {}
        return leaving

    def _send_away(self, member: Member, mark: int, turn: Turn) -> None:
        if self._may_fork and member.id > 0:
            self._leaving.setdefault(member.id, mark)
        else:
            turn.counters.limits["other_history"] += 1
            turn.close(member.id, CloseCode.OTHER_HISTORY, REBUILT)


def fork_of(address: Address, mark: int) -> Address:
    """The room for those who bring the history with `mark`."""
    return Address(address.page, f"{address.room}~{mark:x}")
