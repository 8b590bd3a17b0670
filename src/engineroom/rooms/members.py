"""Members: who is in the room, what they may do, and the mail of one loop turn.

A member's transport is its outbox. When it is full (`paused`), the member is sent nothing that it can be told better
later: on `resumed` it gets one difference from the moment of the pause. Only what has no later form is held back for
it (acknowledgements, answers), within a bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from engineroom.protocols.frames import Bundle
from engineroom.protocols.messages import Dialect, ToMember

MemberId = int
Post: TypeAlias = tuple[Bundle, tuple[MemberId, ...]]
"""A bundle, and the members that get it."""


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


Frames: TypeAlias = dict[str, bytes | None]
"""One message's encoding by each dialect's name, as far as it was asked for."""


@dataclass(slots=True)
class _Letter:
    """`only` one member, or all but `skip`, of those who were here when it was written."""

    message: ToMember
    only: MemberId | None
    skip: MemberId | None
    frames: Frames


class Audiences:
    """Who hears what is said to all: the members that are not paused, by dialect. Kept up to date by the room, so that
    a turn's mail need not look at every member.
    """

    def __init__(self) -> None:
        self._audiences: dict[str, tuple[Dialect, dict[MemberId, None]]] = {}

    def enter(self, member: Member) -> None:
        """`member` hears what is said from now on."""
        dialect = member.dialect
        _, audience = self._audiences.setdefault(dialect.name, (dialect, {}))
        audience[member.id] = None

    def leave(self, member: Member) -> None:
        """`member` hears nothing more, if it did."""
        _, audience = self._audiences.get(member.dialect.name, (None, {}))
        audience.pop(member.id, None)
        if not audience:
            self._audiences.pop(member.dialect.name, None)

    def __iter__(self) -> Iterator[tuple[Dialect, Iterable[MemberId]]]:
        return iter(self._audiences.values())


class Mail:
    """What one loop turn has to say, in order. Each message is encoded once for a dialect, and framed once for all.

    Those who have mail of their own (something said to them alone, or to all but them) get it from `singly`, all the
    others from `together`.
    """

    def __init__(self) -> None:
        self._letters: list[_Letter] = []
        self._special: dict[MemberId, int] = {}

    def to(self, member: MemberId, message: ToMember, *, frames: Frames | None = None) -> None:
        """For one member. Who says the same to many, over many turns, keeps its `frames`."""
        self._special.setdefault(member, 0)
        self._letters.append(_Letter(message, member, None, {} if frames is None else frames))

    def to_all(self, message: ToMember, *, but: MemberId | None = None) -> None:
        """For everybody in the room, except `but`."""
        if but is not None:
            self._special.setdefault(but, 0)
        self._letters.append(_Letter(message, None, but, {}))

    def joined(self, member: MemberId) -> None:
        """This member has come in now: it hears nothing of what was said to all before."""
        self._special[member] = len(self._letters)

    def together(self, audiences: Audiences) -> Iterator[Post]:
        """One bundle for all members of a dialect that have no mail of their own."""
        letters = [i for i, letter in enumerate(self._letters) if letter.only is None]
        if not letters:
            return
        special = self._special
        for dialect, audience in audiences:
            bundle = self._bundle(dialect, letters)
            members = tuple([member for member in audience if member not in special])
            if bundle.payloads and members:
                yield bundle, members

    def singly(self, members: Mapping[MemberId, Member]) -> Iterator[tuple[Member, Bundle]]:
        """A bundle for each of `members` that has mail of its own."""
        for number in self._special:
            member = members.get(number)
            if member is not None:
                bundle = self._bundle(member.dialect, self._mine(member))
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

    def _bundle(self, dialect: Dialect, letters: list[int]) -> Bundle:
        name, payloads = dialect.name, []
        for i in letters:
            letter = self._letters[i]
            if name not in letter.frames:
                letter.frames[name] = dialect.encode(letter.message)
            frame = letter.frames[name]
            if frame is not None:
                payloads.append(frame)
        return Bundle(tuple(payloads))
