"""The ledger: which of a replica's own changes are durable at the server.

Pure counts and bytes. Changes are numbered as they are made. What is sent covers all changes up to a number, and a
server of Engineroom sends the very bytes back once they are durable. So the changes before the oldest thing that is
still awaited are durable. What was under way when a connection broke is known by nothing but the next Step 2.

An update that only deletes says nothing that names its author: another member's equal one would look like its echo.
So an empty update follows it, which servers never relay, and both must come back.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

EMPTY_UPDATE: Final = b"\x00\x00"


@dataclass(frozen=True, slots=True)
class _Sent:
    """An update that covers the changes after `before`, up to `after`."""

    update: bytes
    before: int
    after: int


class Ledger:
    """Numbers of changes: `made` by us, `durable` at the server."""

    def __init__(self) -> None:
        self.made = 0
        self.durable = 0
        self._covered = 0
        self._awaited: deque[_Sent] = deque()
        self._expected: Counter[bytes] = Counter()

    @property
    def unacknowledged(self) -> int:
        """How many changes are not known to be durable."""
        return self.made - self.durable

    def change(self) -> None:
        """One change more was made."""
        self.made += 1

    def sent(self, update: bytes) -> list[bytes]:
        """`update` covers everything up to now; returns what is to be sent for it, in order."""
        updates = [update]
        if update[:1] == b"\x00" and update != EMPTY_UPDATE:
            updates.append(EMPTY_UPDATE)
        for each in updates:
            self._awaited.append(_Sent(each, self._covered, self.made))
            self._expected[each] += 1
        self._covered = self.made
        return updates

    def echoed(self, update: bytes) -> bool:
        """Whether `update` was one of ours, come back."""
        if not self._expected.get(update):
            return False
        self._expected[update] -= 1
        if not self._expected[update]:
            del self._expected[update]
        place = next(i for i, sent in enumerate(self._awaited) if sent.update == update)
        del self._awaited[place]
        self.durable = self._awaited[0].before if self._awaited else self._covered
        return True

    def disconnected(self) -> None:
        """Nothing that is awaited will come any more."""
        self._awaited.clear()
        self._expected.clear()
        self._covered = self.durable
