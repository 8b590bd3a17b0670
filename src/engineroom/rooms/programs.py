"""What a room asks of its programs, and what it hears from them. The programs are in `programs/`; the server
injects them.

Commands never wait; whatever comes of them arrives as an event. A command for something that has ended is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from engineroom.protocols import lines
from engineroom.protocols.engine import Event as EngineEvent
from engineroom.protocols.engine import Request as EngineRequest

from .address import Address
from .plan import Plan

# --- commands --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartTerminal:
    """Run `command` in a pseudo-terminal of this size, in the room's workspace."""

    terminal: str
    command: tuple[str, ...]
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class WriteTerminal:
    """Bytes for the program's pseudo-terminal."""

    terminal: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ResizeTerminal:
    """A new size for the pseudo-terminal."""

    terminal: str
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class AskEngine:
    """A request for the room's engine of this name, which is started if it is not there. One evaluation at a time."""

    engine: str
    request: EngineRequest


@dataclass(frozen=True, slots=True)
class InterruptEngine:
    """Interrupt what runs; when that has no effect for a while, more is done."""

    engine: str


@dataclass(frozen=True, slots=True)
class RestartEngine:
    """End the engine and start it anew."""

    engine: str


@dataclass(frozen=True, slots=True)
class AnswerProgram:
    """A line for a program's connection to the room's values."""

    connection: int
    message: lines.ToProgram


Command: TypeAlias = (
    StartTerminal
    | WriteTerminal
    | ResizeTerminal
    | AskEngine
    | InterruptEngine
    | RestartEngine
    | AnswerProgram
)

# --- events ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TerminalWrote:
    """Bytes from the pseudo-terminal."""

    terminal: str
    data: bytes


@dataclass(frozen=True, slots=True)
class TerminalExited:
    """The terminal's program has ended, with all its descendants; `reason` is readable: `exit code 1`,
    `killed: out of memory`.
    """

    terminal: str
    code: int | None
    reason: str


EngineStateName: TypeAlias = Literal["starting", "idle", "busy", "restarting", "dead"]


@dataclass(frozen=True, slots=True)
class EngineChanged:
    """The engine's state; with `dead`, why. A `dead` engine has forgotten what it was running; nothing
    more comes of that.
    """

    engine: str
    state: EngineStateName
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EngineSaid:
    """An event of the engine."""

    engine: str
    event: EngineEvent


@dataclass(frozen=True, slots=True)
class ProgramAsked:
    """A request on a program's connection to the room's values. The first one makes the connection known."""

    connection: int
    request: lines.FromProgram


@dataclass(frozen=True, slots=True)
class ProgramGone:
    """A program's connection has ended."""

    connection: int


ProgramEvent: TypeAlias = (
    TerminalWrote | TerminalExited | EngineChanged | EngineSaid | ProgramAsked | ProgramGone
)

# --- what the server injects -----------------------------------------------------------------


class RoomPrograms(Protocol):
    """The programs of one room."""

    def carry_out(self, command: Command) -> None:
        """Do what the command says, and return at once."""

    async def aclose(self) -> None:
        """End every program, grandchildren too, and return when nothing is left. Safe to call twice."""


class Programs(Protocol):
    """Makes rooms' programs."""

    def open(
        self, address: Address, plan: Plan, emit: Callable[[ProgramEvent], None]
    ) -> RoomPrograms:
        """The programs of one room, none of them started. `emit` is called in the event loop and never waits."""

    async def forget(self, address: Address) -> None:
        """Remove the room's workspace, whose document is no longer kept."""
