"""Who wrote what: which user each client was, stretch by stretch of its clocks.

The law: a stretch belongs to the user whose connection brought it first, as the server knows that user. A client id is
a member's own claim, so another who uses the same one later gets stretches of its own, and never those before. What is
past the bound has no author, rather than another's.

Kept in the document's notes at each compaction, and made anew from the records of the log after it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from engineroom.protocols.updates import ClockRange

MAX_NAME_CHARACTERS = 80


class Stretch(msgspec.Struct, array_like=True):
    """The clocks `start` to `end` of a client, which `user` brought (empty: the server itself)."""

    start: int
    end: int
    user: str


class Author(msgspec.Struct, array_like=True):
    """One user: its latest name (may be empty), and when it wrote first and last, in seconds since the epoch."""

    name: str
    first: float
    last: float


class AuthorNotes(msgspec.Struct, array_like=True):
    """What is kept of authors: stretches by client, in order of their clocks, and users by id."""

    clients: dict[int, list[Stretch]] = {}
    users: dict[str, Author] = {}

    def whose(self, client: int, start: int, end: int) -> Iterator[tuple[int, int, str | None]]:
        """The clocks `start` to `end` of a client, cut where its user changes; None where that is not known."""
        stretches = self.clients.get(client, [])
        index = max(0, bisect_right(stretches, start, key=lambda each: each.start) - 1)
        for stretch in stretches[index:]:
            if start >= end or stretch.start >= end:
                break
            if stretch.end <= start:
                continue
            if stretch.start > start:
                yield start, stretch.start, None
                start = stretch.start
            stop = min(end, stretch.end)
            yield start, stop, stretch.user
            start = stop
        if start < end:
            yield start, end, None


class Authors:
    """The authors of one document; `limit` bounds its stretches."""

    def __init__(self, limit: int, notes: AuthorNotes | None = None) -> None:
        notes = notes or AuthorNotes()
        self._clients = notes.clients
        self._users = notes.users
        # The newest stretch of each client: nearly every update continues one.
        self._tips = {
            client: _Tip(stretches[-1], self._author(stretches[-1].user, 0.0))
            for client, stretches in notes.clients.items()
        }
        self._left = limit - sum(map(len, notes.clients.values()))
        self.unkept = False
        """Whether a name has come since the notes were last kept, which no record of the log tells."""

    def wrote(self, inserts: Iterable[ClockRange], user: str, now: float) -> None:
        """`user` has brought these clocks; those that were known stay with whom they were."""
        for client, start, end in inserts:
            tip = self._tips.get(client)
            if tip is None:
                self._begin(client, start, end, user, now)
                continue
            stretch = tip.stretch
            if stretch.user == user and stretch.end >= start:
                if stretch.end < end:
                    stretch.end = end
                    tip.author.last = now
            elif stretch.end < end:
                self._begin(client, max(start, stretch.end), end, user, now)

    def name(self, user: str, name: str) -> None:
        """What `user` is called now, if it has written anything and has a name."""
        author = self._users.get(user)
        name = name[:MAX_NAME_CHARACTERS]
        if author is not None and name and author.name != name:
            author.name = name
            self.unkept = True

    def is_nameless(self, user: str) -> bool:
        """Whether `user` has written something, and nobody knows its name."""
        author = self._users.get(user)
        return author is not None and not author.name

    def notes(self) -> AuthorNotes:
        """A copy, to be kept or shown."""
        clients = {
            client: [Stretch(each.start, each.end, each.user) for each in stretches]
            for client, stretches in self._clients.items()
        }
        users = {user: Author(a.name, a.first, a.last) for user, a in self._users.items()}
        return AuthorNotes(clients, users)

    def _begin(self, client: int, start: int, end: int, user: str, now: float) -> None:
        if self._left <= 0:
            return
        self._left -= 1
        stretch = Stretch(start, end, user)
        author = self._author(user, now)
        author.last = now
        self._tips[client] = _Tip(stretch, author)
        self._clients.setdefault(client, []).append(stretch)

    def _author(self, user: str, now: float) -> Author:
        return self._users.setdefault(user, Author("", now, now))


@dataclass(slots=True)
class _Tip:
    """A client's newest stretch, and the user who brought it."""

    stretch: Stretch
    author: Author
