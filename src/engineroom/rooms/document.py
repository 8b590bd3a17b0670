"""The document: a `pycrdt.Doc`, what it has, and what waits for a dependency.

Applying is not validating: pycrdt takes some bytes that make every later `get_update()` panic. So updates
come here with the summary that `protocols.updates` has read from them. One that needs what the document lacks
is kept aside, so the document never holds half of anything; and if applying panics all the same, the document
is rebuilt without the offender.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Any

from pycrdt import Doc, TransactionEvent

from engineroom.protocols.marks import marks_in
from engineroom.protocols.updates import UpdateSummary, read_state_vector, read_update

EMPTY_UPDATE = b"\x00\x00"
EMPTY_STATE_VECTOR = b"\x00"
MAX_TAIL_BYTES = 1 << 20


class EditFailed(Exception):
    """An edit of the room's own could not be made; the document is as it was."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An update that needs what the document lacks; `token` is its receiver's."""

    update: bytes
    summary: UpdateSummary
    token: object


class Document:
    """One CRDT document. Nobody but its room touches it."""

    def __init__(self, client_id: int) -> None:
        """An empty document; the server's own edits carry `client_id`, which must be new at every opening."""
        self._client_id = client_id
        self._doc: Doc[Any] = Doc(client_id=client_id)
        self._clocks: dict[int, int] = {}
        self._encoded = EMPTY_UPDATE
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        # What waits, below the client of the first clock that it lacks: heaps of that clock, a number, the update.
        self._lacking: defaultdict[int, list[tuple[int, int, Waiting]]] = defaultdict(list)
        self._reached: set[int] = set()
        self._turns = count()
        self.waiting = 0
        self.waiting_bytes = 0

    # --- reading -----------------------------------------------------------------------------

    @property
    def doc(self) -> Doc[Any]:
        """The document itself, to read; to change it, `edit`."""
        return self._doc

    @property
    def size_bytes(self) -> int:
        """About how large the document's encoding is."""
        return len(self._encoded) + self._tail_bytes

    def state_vector(self) -> bytes:
        """What the document has (V1)."""
        return self._doc.get_state()

    def encoded(self) -> bytes:
        """The whole document as one update (V1); cached until the next change."""
        if self._tail:
            self._encoded = self._doc.get_update()
            self._tail.clear()
            self._tail_bytes = 0
        return self._encoded

    def difference(self, state_vector: bytes) -> bytes:
        """What somebody with `state_vector` lacks, as one update (V1).

        Raises:
            ProtocolError: `state_vector` is malformed.
        """
        if state_vector == EMPTY_STATE_VECTOR or not state_vector:
            return self.encoded()
        read_state_vector(state_vector)
        return self._doc.get_update(state_vector)

    def lacks(self, summary: UpdateSummary) -> bool:
        """Whether an update so summarised must wait for a dependency."""
        clocks = self._clocks
        return any(clocks.get(client, 0) < clock for client, clock in summary.needs)

    def knows(self, summary: UpdateSummary) -> bool:
        """Whether the document has all that the update inserts (what it deletes is another question)."""
        clocks = self._clocks
        return all(clocks.get(client, 0) >= end for client, _, end in summary.inserts)

    @property
    def empty(self) -> bool:
        """Whether nothing was ever written into the document."""
        return not self._clocks

    @property
    def mark(self) -> int | None:
        """The mark of the document's history, once it is there."""
        return next(iter(marks_in(self._clocks)), None)

    def forges(self, summary: UpdateSummary) -> bool:
        """Whether an update speaks for this opening's own client: it would take the numbers of edits to come."""
        mine, known = self._client_id, self._clocks.get(self._client_id, 0)
        return any(client == mine and end > known for client, _, end in summary.inserts)

    # --- updates -----------------------------------------------------------------------------

    def load(self, snapshot: bytes) -> bool:
        """Begin with a snapshot that an earlier opening made of this document; whether it could be applied."""
        try:
            self._doc.apply_update(snapshot)
            self._clocks = read_state_vector(self._doc.get_state())
        except BaseException as error:
            if not survivable(error):
                raise
            self._rebuild()
            return False
        self._encoded = snapshot
        return True

    def apply(self, updates: Sequence[tuple[bytes, UpdateSummary]]) -> list[bool]:
        """Apply updates of which none `lacks` anything once those before it are in; for each, whether it could be."""
        try:
            self._apply_all([update for update, _ in updates])
        except BaseException as error:
            if not survivable(error):
                raise
            return self._apply_singly(updates)
        for update, summary in updates:
            self._took(update, summary)
        return [True] * len(updates)

    def changes(self, update: bytes, summary: UpdateSummary) -> bool | None:
        """Apply one update and tell whether it changed anything; None when it could not be applied."""
        seen: list[bool] = []
        subscription = self._doc.observe(lambda event: seen.append(True))
        try:
            applied = self.apply([(update, summary)])[0]
        finally:
            self._doc.unobserve(subscription)
        return bool(seen) if applied else None

    def expect(self, summary: UpdateSummary) -> None:
        """Count what an update brings as known, ahead of `apply` in the same turn."""
        for client, _, end in summary.inserts:
            if self._clocks.get(client, 0) < end:
                self._clocks[client] = end
                if client in self._lacking:
                    self._reached.add(client)

    def wait(self, update: bytes, summary: UpdateSummary, token: object) -> None:
        """Keep `update`, which `lacks` something, aside until that is there."""
        if self._shelve(Waiting(update, summary, token)):
            self.waiting += 1
            self.waiting_bytes += len(update)

    def take_ready(self) -> list[Waiting]:
        """The waiting updates that lack nothing any more, in the order in which they can be applied.

        Looks at those alone whose clock has been reached: thousands may wait, and a room calls this every turn.
        """
        ready: list[Waiting] = []
        while self._reached:
            client = self._reached.pop()
            heap = self._lacking[client]
            while heap and heap[0][0] <= self._clocks.get(client, 0):
                item = heappop(heap)[2]
                if not self._shelve(item):
                    self.expect(item.summary)
                    ready.append(item)
            if not heap:
                del self._lacking[client]
        self.waiting -= len(ready)
        self.waiting_bytes -= sum(len(item.update) for item in ready)
        return ready

    def edit(self, change: Callable[[Doc[Any]], None]) -> bytes | None:
        """Make `change` in one transaction; the update it makes (V1), None when it changed nothing.

        Members can have written anything where `change` writes, and pycrdt panics easily. Nobody has
        seen what a failed edit had done by then, so it is undone, and the client id may go on.

        Raises:
            EditFailed: it failed half-way, and was undone.
        """
        try:
            update = self._transact(change)
            summary = read_update(update) if update is not None else None
        except BaseException as error:
            if not survivable(error):
                raise
            self._rebuild()
            raise EditFailed(type(error).__name__) from error
        if update is not None and summary is not None:
            self._took(update, summary)
        return update

    # --- inside ------------------------------------------------------------------------------

    def _shelve(self, item: Waiting) -> bool:
        """Put `item` below the first clock that it lacks; False when it lacks none."""
        for client, clock in item.summary.needs:
            if self._clocks.get(client, 0) < clock:
                heappush(self._lacking[client], (clock, next(self._turns), item))
                return True
        return False

    def _transact(self, change: Callable[[Doc[Any]], None]) -> bytes | None:
        updates: list[bytes] = []

        def observe(event: TransactionEvent) -> None:
            updates.append(event.update)

        subscription = self._doc.observe(observe)
        try:
            with self._doc.transaction():
                change(self._doc)
        finally:
            self._doc.unobserve(subscription)
        return updates[0] if updates else None

    def _apply_all(self, updates: Sequence[bytes]) -> None:
        if len(updates) == 1:
            self._doc.apply_update(updates[0])
        elif updates:
            with self._doc.transaction():
                for update in updates:
                    self._doc.apply_update(update)

    def _took(self, update: bytes, summary: UpdateSummary) -> None:
        self.expect(summary)
        self._tail.append(update)
        self._tail_bytes += len(update)
        if self._tail_bytes > max(MAX_TAIL_BYTES, len(self._encoded)):
            self.encoded()

    def _apply_singly(self, updates: Sequence[tuple[bytes, UpdateSummary]]) -> list[bool]:
        self._rebuild()
        applied = []
        for update, summary in updates:
            try:
                self._apply_all([update])
                self._doc.get_update(self._doc.get_state())
            except BaseException as error:
                if not survivable(error):
                    raise
                self._rebuild()
                applied.append(False)
            else:
                self._took(update, summary)
                applied.append(True)
        return applied

    def _rebuild(self) -> None:
        self._doc = Doc(client_id=self._client_id)
        self._apply_all([self._encoded, *self._tail])
        self._clocks = read_state_vector(self._doc.get_state())


def survivable(error: BaseException) -> bool:
    """Whether it is an error like any other, or a panic of the Rust below pycrdt.

    A panic is a BaseException without a name to import. After either, a document may be half changed.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
