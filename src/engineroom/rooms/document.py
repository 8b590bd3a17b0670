"""The document: a `pycrdt.Doc`, what it has, and what waits for a dependency.

Applying is not validating: pycrdt takes some bytes that make every later `get_update()` panic. So updates
come here with the summary that `protocols.updates` has read from them. One that needs what the document lacks
is kept aside, so the document never holds half of anything. One that the document could not be read with
afterwards, which only shows against what the document holds, is refused. And if applying panics all the same,
the document is rebuilt without the offender.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import chain, count
from typing import Any

from pycrdt import Array, Doc, Map, Text, TransactionEvent

from engineroom.errors import ProtocolError
from engineroom.protocols.condense import deletions, in_pieces
from engineroom.protocols.marks import marks_in
from engineroom.protocols.pairs import Pairs, may_hold_pairs, without_own_splits
from engineroom.protocols.shapes import Shapes
from engineroom.protocols.trim import trimmed
from engineroom.protocols.updates import UpdateSummary, read_state_vector, read_update

EMPTY_UPDATE = b"\x00\x00"
EMPTY_STATE_VECTOR = b"\x00"
MAX_TAIL_BYTES = 1 << 20
# yrs melts what one transaction brings at a cost that grows with the square of its structs.
TRANSACTION_UPDATES = 250


class EditFailed(Exception):
    """An edit of the room's own could not be made; the document is as it was."""


class DocumentBroken(Exception):
    """The document is half changed and its encoding does not have all of it; its log has. The room must open anew."""


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
        # The clocks that are reached with what has come, and with what is applied or about to be.
        self._clocks: dict[int, int] = {}
        self._begun: dict[int, int] = {}
        self._encoded = EMPTY_UPDATE
        self._encoded_state = EMPTY_STATE_VECTOR
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        # What waits, below the client of the first clock that it lacks: heaps of that clock, a number, the update.
        self._lacking: defaultdict[int, list[tuple[int, int, Waiting]]] = defaultdict(list)
        self._reached: set[int] = set()
        self._turns = count()
        # What stands where; looked up only when something has come that must be judged, since it takes a walk.
        self._shapes: Shapes | None = None
        # The same for characters of two clocks; whether there may be any; and what was deleted lest one be split.
        self._pairs: Pairs | None = None
        self._astral = False
        self._repairs: list[bytes] = []
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
            self._encoded_state = self._doc.get_state()
            self._tail.clear()
            self._tail_bytes = 0
        return self._encoded

    def difference(self, state_vector: bytes) -> bytes:
        """What somebody with `state_vector` lacks, as one update (V1).

        Raises:
            ProtocolError: `state_vector` is malformed.
        """
        if lacks_all(state_vector):
            return self.encoded()
        read_state_vector(state_vector)
        try:
            return self._doc.get_update(state_vector)
        except BaseException as error:
            # A text that was split inside a character: yrs finds no struct for the clock of the second half.
            if not survivable(error):
                raise
            return self.encoded()

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

    @property
    def own(self) -> tuple[int, int]:
        """The client of the server's own edits, and the clock that it has reached."""
        return self._client_id, self._clocks.get(self._client_id, 0)

    def forges(self, summary: UpdateSummary) -> bool:
        """Whether an update speaks for this opening's own client: it would take the numbers of edits to come."""
        mine, known = self._client_id, self._clocks.get(self._client_id, 0)
        return any(client == mine and end > known for client, _, end in summary.inserts)

    def may_read_as(self, name: str, kind: type) -> bool:
        """Whether pycrdt may be asked for the root `name` as an Array or an XML fragment: with text there, it would
        panic, or never return from reading or changing it. As a Text or a Map, anything may be read.

        Nested Arrays are judged when something comes into them; see `cure` for those that nobody judged.
        """
        return (
            kind in (Text, Map)
            or name not in set(self._doc.keys())
            or not holds_text(self._doc, name)
        )

    def cure(self) -> bytes | None:
        """The update (V1) that takes text out of Arrays, where another server has let it in; None: there is none.

        For a document that comes from elsewhere, once, before anything reads it. It is the caller's to apply it.
        """
        self._shapes = self._shapes or Shapes.of(self.encoded())
        return deletions(self._shapes.misplaced) if self._shapes.misplaced else None

    # --- updates -----------------------------------------------------------------------------

    def load(self, snapshot: bytes) -> bool:
        """Begin with a snapshot that an earlier opening made of this document; whether it could be applied."""
        try:
            self._doc.apply_update(snapshot)
            self._look_again()
        except BaseException as error:
            if not survivable(error):
                raise
            self._rebuild()
            return False
        self._encoded = snapshot
        self._astral = may_hold_pairs(snapshot)
        self._encoded_state = self._doc.get_state()
        return True

    def apply(self, updates: Sequence[tuple[bytes, UpdateSummary]]) -> list[bool]:
        """Apply updates of which none `lacks` anything once those before it are in; for each, whether it could be."""
        try:
            self._judge(updates)
        except ProtocolError:
            self._look_again()
            return [self._apply_one(update, summary) for update, summary in updates]
        pieces = [self._pieces(update, summary) for update, summary in updates]
        try:
            self._apply_all(pieces)
        except BaseException as error:
            if not survivable(error):
                raise
            self._rebuild()
            return [self._apply_one(update, summary) for update, summary in updates]
        for (_, summary), its_pieces in zip(updates, pieces, strict=True):
            self._took(its_pieces, summary)
        return [True] * len(updates)

    def changes(self, update: bytes, summary: UpdateSummary) -> bool | None:
        """Apply one update and tell whether it changed anything; None when it could not be applied."""
        seen: list[bool] = []
        doc = self._doc
        subscription = doc.observe(lambda event: seen.append(True))
        try:
            applied = self.apply([(update, summary)])[0]
        finally:
            doc.unobserve(subscription)
        return bool(seen) if applied else None

    def take_repairs(self) -> list[bytes]:
        """Updates (V1) that `apply` has made of itself, for everybody and for the log: what others have split (see
        `Pairs`) is gone. Opening the document anew makes the same ones."""
        repairs, self._repairs = self._repairs, []
        return repairs

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
            DocumentBroken: it failed half-way, and could not be undone.
        """
        try:
            update = self._transact(change)
            summary = read_update(update) if update is not None else None
            if update is not None and summary is not None:
                self._judge_edit(update, summary)
        except BaseException as error:
            if not survivable(error):
                raise
            self._rebuild()
            raise EditFailed(type(error).__name__) from error
        if update is not None and summary is not None:
            self._begun.update((client, end) for client, _, end in summary.inserts)
            self._took([update], summary)
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

    def _judge(self, updates: Sequence[tuple[bytes, UpdateSummary]]) -> None:
        """Raises ProtocolError for what the document could not be read with (see `Shapes`)."""
        if self._shapes is None:
            if not any(summary.wide or summary.types for _, summary in updates):
                return
            self._shapes = Shapes.of(self.encoded())
        for update, summary in updates:
            self._shapes.take(update, summary)

    def _judge_edit(self, update: bytes, summary: UpdateSummary) -> None:
        """`_judge` for what the document has already. An edit may bring a stranger's update."""
        if summary.wide and may_hold_pairs(update):
            self._astral = True
            if self._pairs is not None:
                self._pairs.take(update)
        if self._shapes is not None:
            self._shapes.take(update, summary)
        elif any(client != self._client_id for client, _, _ in summary.inserts):
            self._shapes = Shapes.of(self._doc.get_update())
            self._shapes.check(summary)

    def _apply_all(self, updates: Sequence[list[bytes]]) -> None:
        """Apply updates, each in its pieces, in as few transactions as are quick."""
        for start in range(0, len(updates), TRANSACTION_UPDATES):
            pieces = [*chain.from_iterable(updates[start : start + TRANSACTION_UPDATES])]
            if len(pieces) == 1:
                self._doc.apply_update(pieces[0])
                continue
            with self._doc.transaction():
                for piece in pieces:
                    self._doc.apply_update(piece)

    def _pieces(self, update: bytes, summary: UpdateSummary) -> list[bytes]:
        """What is applied of an update, once what was asked for before is in."""
        pieces = in_pieces(self._fitted(update, summary), summary)
        if self._astral and (split := self._known_pairs().split_by(update, summary)):
            pieces.insert(0, deletions(split))
            self._repairs.append(pieces[0])
        if summary.wide and may_hold_pairs(update):
            self._known_pairs().take(update)
        for client, _, end in summary.inserts:
            if self._begun.get(client, 0) < end:
                self._begun[client] = end
        return pieces

    def _fitted(self, update: bytes, summary: UpdateSummary) -> bytes:
        return without_own_splits(trimmed(update, summary, self._begun), summary)

    def _known_pairs(self) -> Pairs:
        """Those before the batch that is to be applied; from now on each update's are added."""
        self._astral = True
        if self._pairs is None:
            self._pairs = Pairs.of(self.encoded())
        return self._pairs

    def _took(self, pieces: list[bytes], summary: UpdateSummary) -> None:
        self.expect(summary)
        self._tail += pieces
        self._tail_bytes += sum(map(len, pieces))
        if self._tail_bytes > max(MAX_TAIL_BYTES, len(self._encoded)):
            self.encoded()

    def _apply_one(self, update: bytes, summary: UpdateSummary) -> bool:
        """Apply one update, and see whether the document can be encoded with it.

        What builds on one that was refused lacks it for ever; pycrdt would keep it and never tell.
        """
        if self.lacks(summary):
            return False
        try:
            self._judge([(update, summary)])
        except ProtocolError:
            self._look_again()
            return False
        pieces = self._pieces(update, summary)
        try:
            self._apply_all([pieces])
            self._doc.get_update(self._doc.get_state())
        except BaseException as error:
            if not survivable(error):
                raise
            self._rebuild()
            return False
        self._took(pieces, summary)
        return True

    def _rebuild(self) -> None:
        """The document without what came last, which has failed half-way.

        Raises:
            DocumentBroken: the encoding lacks something (see `is_whole`).
        """
        self._doc = Doc(client_id=self._client_id)
        self._shapes = self._pairs = None
        self._apply_all([[self._encoded]])
        if read_state_vector(self._doc.get_state()) != read_state_vector(self._encoded_state):
            raise DocumentBroken("the document must be opened anew from its log")
        for piece in (
            self._tail
        ):  # each alone: what is deleted is collected at the end of a transaction, not before
            self._doc.apply_update(piece)
        self._look_again()

    def _look_again(self) -> None:
        """Some of what was expected has not come."""
        self._clocks = read_state_vector(self._doc.get_state())
        self._begun = dict(self._clocks)


def holds_text(doc: Doc[Any], name: str) -> bool:
    """Whether there is text in the root `name`, so that pycrdt may not be asked for it as an Array.

    Of half a surrogate pair a piece of text without characters is left. An Array counts its clock, a Text does not.
    """
    array, text = doc.get(name, type=Array), doc.get(name, type=Text)
    return bool(str(text)) or len(text) != len(array)


def lacks_all(state_vector: bytes) -> bool:
    """Whether somebody with `state_vector` has nothing yet, and is answered with the whole document."""
    return state_vector == EMPTY_STATE_VECTOR or not state_vector


def survivable(error: BaseException) -> bool:
    """Whether it is an error like any other, or a panic of the Rust below pycrdt.

    A panic is a BaseException without a name to import. After either, a document may be half changed.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
