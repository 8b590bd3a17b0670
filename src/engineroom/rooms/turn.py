"""One turn of a room: what it has to say and to do, gathered while a batch of inputs is worked through."""

from __future__ import annotations

from dataclasses import dataclass, field

from .effects import Close, Effect, Order
from .members import Mail, MemberId
from .programs import Command


@dataclass(slots=True)
class Turn:
    """`now` is in seconds since the epoch; `asked` are the members who are asked for what they have."""

    now: float
    mail: Mail = field(default_factory=Mail)
    effects: list[Effect] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    asked: set[MemberId] = field(default_factory=set)

    def order(self, *commands: Command) -> None:
        """Have the room's programs do something."""
        self.effects.extend(Order(command) for command in commands)

    def close(self, member: MemberId, code: int, reason: str) -> None:
        """Close a member's connection, after this turn's mail."""
        self.closes.append(Close(member, code, reason))
