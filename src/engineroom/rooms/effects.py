"""What goes into a room and what comes out of it: plain data, so that every race can be written down as a test.

Inputs are what happened; effects are what the room's task has to do about it, in order. A member's mail is an
effect like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from pycrdt import Doc

from engineroom.protocols.frames import Bundle
from engineroom.protocols.messages import Dialect, FromMember

from .members import Access, MemberId, Post, User
from .plan import Plan
from .programs import Command, ProgramEvent
from .storage import Record, Version

# --- inputs ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Joined:
    """A member has come in."""

    member: MemberId
    user: User
    access: Access
    dialect: Dialect


@dataclass(frozen=True, slots=True)
class Left:
    """A member is gone; nothing can be sent to it any more."""

    member: MemberId


@dataclass(frozen=True, slots=True)
class Received:
    """What a member said; `size_bytes` is that of its frame, as far as it is known."""

    member: MemberId
    message: FromMember
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Paused:
    """The member's outbox is full."""

    member: MemberId


@dataclass(frozen=True, slots=True)
class Resumed:
    """The member's outbox has drained."""

    member: MemberId


@dataclass(frozen=True, slots=True)
class Stored:
    """All records up to `number` are durable."""

    number: int


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """The records of the append under way are not on disk; `reason` is readable."""

    reason: str


@dataclass(frozen=True, slots=True)
class AccessChanged:
    """A member may now do other things than before."""

    member: MemberId
    access: Access


@dataclass(frozen=True, slots=True)
class Edit:
    """The server itself changes the document, in a transaction of its own; `Edited` follows when there is a ticket."""

    change: Callable[[Doc[Any]], object]
    user: str = ""
    ticket: int = 0


@dataclass(frozen=True, slots=True)
class Submit:
    """An update (V1) from outside the room, as if a member had made it; `Submitted` or `Declined` follows.

    `condition` is called in the room's turn, when all that came before is in. When it raises, nothing is taken, and
    `Edited` follows with the error.
    """

    update: bytes
    user: str
    ticket: int
    condition: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Announce:
    """A stateless message for all members."""

    text: str


@dataclass(frozen=True, slots=True)
class Held:
    """So many more (or fewer) hold the room open without being its members."""

    by: int


@dataclass(frozen=True, slots=True)
class Replanned:
    """The page has another version on disk."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Woke:
    """The time that the room asked for has come."""


@dataclass(frozen=True, slots=True)
class Ending:
    """End the room: its members are told to come back, and what is to be written is written."""


Input: TypeAlias = (
    Joined
    | Left
    | Received
    | Paused
    | Resumed
    | Stored
    | StoreFailed
    | AccessChanged
    | Edit
    | Submit
    | Announce
    | Held
    | Replanned
    | Woke
    | Ending
    | ProgramEvent
)

# --- effects ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Append:
    """Hand `records` to the store; `Stored` or `StoreFailed` must come back before the room asks for the next."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Compact:
    """Put `snapshot`, whose state vector must be `state_vector`, in place of the log up to `number`."""

    snapshot: bytes
    state_vector: bytes
    number: int
    notes: bytes
    history_since: float


@dataclass(frozen=True, slots=True)
class Send:
    """One write to each member: bundles, each with those who get it. Nobody is in two of them."""

    posts: tuple[Post, ...]

    @property
    def letters(self) -> tuple[tuple[MemberId, Bundle], ...]:
        """The same by members."""
        return tuple((member, bundle) for bundle, members in self.posts for member in members)


@dataclass(frozen=True, slots=True)
class Close:
    """Close the member's connection, after what was sent; `Left` follows."""

    member: MemberId
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Move the member, which brings the history with this mark, to the room of that history; it has left this one."""

    member: MemberId
    mark: int


@dataclass(frozen=True, slots=True)
class Changed:
    """`update` was applied; `member` made it (None: the server)."""

    member: MemberId | None
    update: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """A member's stateless message."""

    member: MemberId
    text: str


@dataclass(frozen=True, slots=True)
class Edited:
    """An edit was made (`number` is the log's newest then), or has failed and was undone."""

    ticket: int
    number: int
    result: object
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submitted update is durable; whether it brought anything new, and the log's newest number with it."""

    ticket: int
    news: bool
    number: int


@dataclass(frozen=True, slots=True)
class Declined:
    """A submitted update was not taken: what a member would have been closed with."""

    ticket: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Order:
    """A command for the room's programs."""

    command: Command


@dataclass(frozen=True, slots=True)
class KeepOutput:
    """Add `text` to what is kept, beside the document, of output `index` of `evaluation`."""

    evaluation: str
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class KeepVersion:
    """Put a version into the store, and thin out those that are there."""

    version: Version
    encoding: bytes


@dataclass(frozen=True, slots=True)
class Wake:
    """Send `Woke` at `time`, unless another `Wake` comes first. None: not at all. Told when it changes."""

    time: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the server's log that something was not done, and why. Never holds contents."""

    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The room has nobody and nothing more to do, and all it had is stored: end its programs and forget it."""


Effect: TypeAlias = (
    Append
    | Compact
    | Send
    | Close
    | Fork
    | Changed
    | Heard
    | Edited
    | Submitted
    | Declined
    | Order
    | KeepOutput
    | KeepVersion
    | Wake
    | Report
    | End
)
