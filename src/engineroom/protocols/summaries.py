"""What an update says about clocks, as data. See `updates`, which reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

MAX_CLOCK: Final = 2**31 - 1
"""yrs keeps clocks in 32 bits and subtracts them as signed. Nobody types two billion characters."""

ClockRange: TypeAlias = tuple[int, int, int]
"""Client, first clock, and the clock after the last."""


@dataclass(frozen=True, slots=True)
class UpdateSummary:
    """What an update says about clocks. The first three are sorted and free of overlaps.

    `inserts` are the ranges that it carries, `deletes` those that it deletes. `needs` has, for a
    client, the clock that a document's state vector must have reached for the update to integrate
    wholly; what the update itself brings is not needed. `types` counts the shared types and
    subdocuments that it carries.

    The rest says what it costs to take: how many `structs` there are, whether any text is `wide`
    (past ASCII), and of how many structs the longest `run` is that yrs will melt into one. `beside`
    are the items between which the text stands, where the update is one text and nothing else.
    """

    inserts: tuple[ClockRange, ...]
    needs: tuple[tuple[int, int], ...]
    deletes: tuple[ClockRange, ...]
    types: int = 0
    structs: int = field(default=1, compare=False)
    wide: bool = field(default=False, compare=False)
    run: int = field(default=1, compare=False)
    beside: tuple[tuple[int, int], ...] = field(default=(), compare=False)
