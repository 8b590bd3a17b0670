"""One turn of a room: what it has to say and to do, gathered while a batch of inputs is worked through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pycrdt import Doc

from .effects import Close, Effect, Order
from .members import Mail, MemberId
from .programs import Command


@dataclass(slots=True)
class Turn:
    """`now` is in seconds since the epoch."""

    now: float
    mail: Mail = field(default_factory=Mail)
    effects: list[Effect] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    edits: list[Callable[[Doc[Any]], None]] = field(default_factory=list)

    def order(self, *commands: Command) -> None:
        """Have the room's programs do something."""
        self.effects.extend(Order(command) for command in commands)

    def close(self, member: MemberId, code: int, reason: str) -> None:
        """Close a member's connection, after this turn's mail."""
        self.closes.append(Close(member, code, reason))
