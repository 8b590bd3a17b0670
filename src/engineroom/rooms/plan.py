"""What a room made from a page holds. Pages make plans; rooms carry them out; neither knows the other's ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class EditorPlan:
    """A shared text: the root Text `name` of the document, `text` to begin with."""

    name: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class CellPlan:
    """A code cell: an entry of the root Array `cells`. `id` is the tag's id or else its order, `cell-1`, `cell-2`…"""

    id: str
    engine: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class TerminalPlan:
    """A command in a pseudo-terminal, shared by the room. `command` is an argument vector."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ValuePlan:
    """A value's first content, as JSON text: `/speed`, `3`."""

    address: str
    json: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a page states for its rooms. An empty plan is a document alone.

    `version` changes whenever the page's content does. `network` lets its programs reach the network. `display` is
    which expressions' values a cell shows. `history` is whether its rooms keep versions by themselves (None: as the
    server has it).
    """

    page: str = ""
    version: str = ""
    editors: tuple[EditorPlan, ...] = ()
    cells: tuple[CellPlan, ...] = ()
    terminals: tuple[TerminalPlan, ...] = ()
    values: tuple[ValuePlan, ...] = ()
    network: bool = False
    display: Literal["last", "every"] = "last"
    linger_seconds: float | None = None
    history: bool | None = None

    def keeps_history(self, otherwise: bool) -> bool:
        """Whether its rooms keep versions by themselves."""
        return otherwise if self.history is None else self.history
