"""What members and rooms say to each other, whatever the dialect that carries it.

Plain data. The codecs are in `yjs` (the Yjs framing) and `page` (the same framing plus types from 100 up). Offsets
into code are UTF-16 units, as browsers and Yjs count; terminals are measured in character cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeAlias

# --- documents and presence (y-protocols) ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class SyncStep1:
    """Asks for what the sender lacks: its state vector (V1)."""

    state_vector: bytes


@dataclass(frozen=True, slots=True)
class SyncStep2:
    """Answers Step 1: one update (V1)."""

    update: bytes


@dataclass(frozen=True, slots=True)
class SyncUpdate:
    """An update (V1), as its author made it. Sent back to its author it says: durable."""

    update: bytes


@dataclass(frozen=True, slots=True)
class AwarenessState:
    """One client's presence. `state` is JSON text; `"null"` means gone. A higher `clock` wins."""

    client: int
    clock: int
    state: str


@dataclass(frozen=True, slots=True)
class AwarenessUpdate:
    """Presence that changed."""

    states: tuple[AwarenessState, ...]


@dataclass(frozen=True, slots=True)
class QueryAwareness:
    """Asks for everybody's presence."""


# --- what some dialects add ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """What became of one update or Step 2 of the member's: durable (`applied`), or refused."""

    applied: bool


@dataclass(frozen=True, slots=True)
class Stateless:
    """Text that is no part of the document: from a member to the server's hooks, or from the server to members."""

    text: str


@dataclass(frozen=True, slots=True)
class CheckDurable:
    """Asks to be told `Durable` with the same token, once all that came before is durable."""

    token: bytes


@dataclass(frozen=True, slots=True)
class Durable:
    """All that came before the `CheckDurable` with this token is durable."""

    token: bytes


@dataclass(frozen=True, slots=True)
class RightsChanged:
    """The member may now do this: some of `read`, `write`, `run`."""

    rights: tuple[str, ...]


# --- the page dialect: values ----------------------------------------------------------------


class ValueKind(IntEnum):
    """How a value's bytes are to be read."""

    JSON = 0
    BYTES = 1


@dataclass(frozen=True, slots=True)
class Value:
    """JSON text (UTF-8) or bytes, as `kind` says."""

    kind: ValueKind
    data: bytes


@dataclass(frozen=True, slots=True)
class Welcome:
    """The room's first word to a page's member: JSON text (see `docs/reference/page-protocol.md`)."""

    json: str


@dataclass(frozen=True, slots=True)
class SetValue:
    """Sets the value at `address`; answered by `Done` or `Refused` with the same `request`."""

    request: int
    address: str
    value: Value


@dataclass(frozen=True, slots=True)
class ValueChanged:
    """The value at `address` is now this. `revision` grows with every change in the room."""

    address: str
    revision: int
    value: Value


@dataclass(frozen=True, slots=True)
class Done:
    """What was asked in `request` has been done."""

    request: int


@dataclass(frozen=True, slots=True)
class Refused:
    """What was asked in `request` (0: nothing in particular) is refused: a stable `code`, a readable `reason`."""

    request: int
    code: str
    reason: str


# --- the page dialect: evaluations -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Runs `code` as cell `cell` on the cell's engine. `evaluation` is an id the client made up: asked
    twice, run once.
    """

    request: int
    evaluation: str
    cell: str
    code: str


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Interrupts what runs on `engine`, and forgets what is queued there."""

    request: int
    engine: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Ends `engine` and starts it anew."""

    request: int
    engine: str


@dataclass(frozen=True, slots=True)
class Complete:
    """Asks how `code` may go on at `cursor` (UTF-16 units); answered by `Completions` or `Refused`."""

    request: int
    cell: str
    code: str
    cursor: int


@dataclass(frozen=True, slots=True)
class Completions:
    """Each match may stand in place of the code from `start` to `end` (UTF-16 units)."""

    request: int
    start: int
    end: int
    matches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnswerInput:
    """A line for the program that asked for input in `evaluation`."""

    request: int
    evaluation: str
    text: str


@dataclass(frozen=True, slots=True)
class EngineState:
    """An engine's state, for the page: `absent | starting | idle | busy | restarting | dead`; `reason` for `dead`."""

    engine: str
    state: str
    reason: str


# --- the page dialect: terminals -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TerminalInput:
    """What a member typed into `terminal`; it reaches that program alone."""

    terminal: str
    data: bytes


@dataclass(frozen=True, slots=True)
class TerminalResize:
    """The size at which this member shows `terminal`; the room takes the smallest of its members' sizes."""

    terminal: str
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class TerminalOutput:
    """What the program in `terminal` wrote."""

    terminal: str
    data: bytes


@dataclass(frozen=True, slots=True)
class TerminalScreen:
    """Reset `terminal` to this size, then write `data`: the screen so far."""

    terminal: str
    columns: int
    rows: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """`terminal` now has this size for everybody."""

    terminal: str
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class TerminalEnded:
    """The program in `terminal` has ended; `reason` is readable. Input starts it again."""

    terminal: str
    reason: str


# --- the page dialect: the page itself -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PageChanged:
    """The page has another version on disk: load it again."""

    version: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something the member should know, without its having asked: `not_saved`, `saved`, … `code` is stable."""

    code: str
    text: str


DocumentMessage: TypeAlias = SyncStep1 | SyncStep2 | SyncUpdate | AwarenessUpdate | QueryAwareness
FromMember: TypeAlias = (
    DocumentMessage
    | Stateless
    | CheckDurable
    | SetValue
    | Evaluate
    | Interrupt
    | Restart
    | Complete
    | AnswerInput
    | TerminalInput
    | TerminalResize
)
ToMember: TypeAlias = (
    DocumentMessage
    | SyncStatus
    | Stateless
    | Durable
    | RightsChanged
    | Welcome
    | ValueChanged
    | Done
    | Refused
    | Completions
    | EngineState
    | TerminalOutput
    | TerminalScreen
    | TerminalSize
    | TerminalEnded
    | PageChanged
    | Trouble
)


class Dialect(Protocol):
    """One wire protocol that clients speak. Stateless: one object serves every member."""

    name: str

    def decode(self, frame: bytes) -> FromMember | None:
        """The message in one binary frame; None for a message that this dialect tells servers to ignore.

        Raises:
            ProtocolError: the bytes do not follow the dialect.
        """

    def encode(self, message: ToMember) -> bytes | None:
        """The frame that carries `message`; None when this dialect has no word for it."""
