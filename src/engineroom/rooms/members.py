"""Members: who is in the room, what they may do, and the mail of one loop turn.

A member's transport is its outbox. When it is full (`paused`), the member is sent nothing that it can be told better
later: on `resumed` it gets one difference from the moment of the pause. Only what has no later form is held back for
it (acknowledgements, answers), within a bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from engineroom.protocols.frames import Bundle
from engineroom.protocols.messages import Dialect, ToMember

MemberId = int


@dataclass(frozen=True, slots=True)
class User:
    """Who a member is, as the server knows it; `name` may be empty."""

    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """What a member may do: see the room, change its document and values, run its programs."""

    read: bool = True
    write: bool = True
    run: bool = False

    @property
    def rights(self) -> list[str]:
        """The rights by name, for the wire."""
        return [right for right in ("read", "write", "run") if getattr(self, right)]


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """A member, for hooks and for people. `source` is where it connects from, as its transport knows it (may be empty);
    `since` is when it came, in seconds since the epoch.
    """

    id: MemberId
    user: User
    access: Access
    dialect: str
    source: str
    since: float


@dataclass(slots=True, eq=False)
class Member:
    """One connection in one room."""

    id: MemberId
    user: User
    access: Access
    dialect: Dialect
    paused_at: PausePoint | None = None
    held: list[bytes] = field(default_factory=list)
    held_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PausePoint:
    """The room as a member last heard of it: the document's state vector, the newest revision of a value."""

    state_vector: bytes
    revision: int


@dataclass(slots=True)
class _Letter:
    """`only` one member, or all but `skip`, of those who were here when it was written."""

    message: ToMember
    only: MemberId | None
    skip: MemberId | None


class Mail:
    """What one loop turn has to say, in order. Each message is encoded once for a dialect, and framed once for all."""

    def __init__(self) -> None:
        self._letters: list[_Letter] = []
        self._special: dict[MemberId, int] = {}

    def to(self, member: MemberId, message: ToMember) -> None:
        """For one member."""
        self._special.setdefault(member, 0)
        self._letters.append(_Letter(message, member, None))

    def to_all(self, message: ToMember, *, but: MemberId | None = None) -> None:
        """For everybody in the room, except `but`."""
        if but is not None:
            self._special.setdefault(but, 0)
        self._letters.append(_Letter(message, None, but))

    def joined(self, member: MemberId) -> None:
        """This member has come in now: it hears nothing of what was said to all before."""
        self._special[member] = len(self._letters)

    def deliver(self, members: Iterable[Member]) -> Iterator[tuple[Member, Bundle]]:
        """A bundle for each member that has mail; members with the same mail share one bundle."""
        common: dict[str, Bundle] = {}
        frames: dict[tuple[str, int], bytes | None] = {}
        for member in members:
            dialect = member.dialect
            if member.paused_at is None and member.id not in self._special:
                bundle = common.get(dialect.name)
                if bundle is None:
                    letters = [i for i, letter in enumerate(self._letters) if letter.only is None]
                    bundle = common[dialect.name] = self._bundle(dialect, letters, frames)
            else:
                bundle = self._bundle(dialect, self._mine(member), frames)
            if bundle.payloads:
                yield member, bundle

    def _mine(self, member: Member) -> list[int]:
        since = self._special.get(member.id, 0)
        paused = member.paused_at is not None
        return [
            i
            for i, letter in enumerate(self._letters)
            if letter.only == member.id
            or (letter.only is None and not paused and i >= since and letter.skip != member.id)
        ]

    def _bundle(
        self, dialect: Dialect, letters: list[int], frames: dict[tuple[str, int], bytes | None]
    ) -> Bundle:
        payloads = []
        for i in letters:
            key = (dialect.name, i)
            if key not in frames:
                frames[key] = dialect.encode(self._letters[i].message)
            frame = frames[key]
            if frame is not None:
                payloads.append(frame)
        return Bundle(tuple(payloads))
