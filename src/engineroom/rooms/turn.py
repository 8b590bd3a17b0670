"""One turn of a room: what it has to say and to do, gathered while a batch of inputs is worked through."""

from __future__ import annotations

from dataclasses import dataclass, field

from engineroom.errors import CloseCode

from .counters import Counters
from .effects import Changed, Close, Declined, Effect, Order
from .members import Mail, MemberId
from .programs import Command


@dataclass(slots=True)
class Turn:
    """`now` is in seconds since the epoch; `asked` are the members who are asked for what they have. `changes` is
    None where nobody listens to changes.
    """

    now: float
    counters: Counters = field(default_factory=Counters)
    changes: list[Changed] | None = None
    mail: Mail = field(default_factory=Mail)
    effects: list[Effect] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    asked: set[MemberId] = field(default_factory=set)

    def order(self, *commands: Command) -> None:
        """Have the room's programs do something."""
        self.effects.extend(Order(command) for command in commands)

    def close(self, member: MemberId, code: int, reason: str) -> None:
        """Close a member's connection, after this turn's mail. Below 0 it is no member but a submission's ticket."""
        if member < 0:
            self.effects.append(Declined(-member, code, reason))
        else:
            self.closes.append(Close(member, code, reason))

    def exceed(self, member: MemberId, limit: str, allowed: float) -> None:
        """Close a member that has reached a limit."""
        self.counters.limits[limit] += 1
        self.close(member, CloseCode.LIMIT_EXCEEDED, f"limit reached: {limit} = {allowed:g}")

    def changed(self, member: MemberId | None, update: bytes) -> None:
        """Tell whoever listens of an update that was applied."""
        self.counters.updates_applied += 1
        if self.changes is not None:
            self.changes.append(Changed(member, update))
