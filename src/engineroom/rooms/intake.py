"""The intake of members' updates: read, apply, relay, append, acknowledge.

The received bytes are what is relayed and stored, never what an observer makes of them. The updates of one turn are
applied in one transaction. One that waits for a dependency is stored, but neither relayed nor acknowledged until the
document has it; its sender is asked for what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from engineroom.errors import CloseCode, LimitExceeded, ProtocolError
from engineroom.protocols.marks import marks_in
from engineroom.protocols.messages import Refused, SyncStatus, SyncStep1, SyncUpdate
from engineroom.protocols.updates import UpdateSummary, read_update

from .authors import Authors
from .document import Document, Waiting
from .histories import Histories
from .limits import RoomLimits
from .log import Log
from .members import Member, MemberId
from .turn import Turn

READ_ONLY = Refused(0, "read_only", "You may read this document, not change it.")


@dataclass(frozen=True, slots=True)
class _Arrival:
    """An update that can be applied; `number` when it is in the log already."""

    update: bytes
    summary: UpdateSummary
    member: MemberId | None
    user: str
    number: int | None = None


class Intake:
    """Takes members' updates into the document and the log."""

    def __init__(
        self,
        document: Document,
        log: Log,
        histories: Histories,
        authors: Authors,
        limits: RoomLimits,
    ) -> None:
        self._document = document
        self._log = log
        self._histories = histories
        self._authors = authors
        self._limits = limits
        self._arrivals: list[_Arrival] = []
        self._types = 0

    def receive(self, member: Member, update: bytes, turn: Turn) -> None:
        """An update from `member`; it is applied with the others of this turn, in `apply`."""
        if not member.access.write and len(update) > self._limits.reader_update_bytes:
            turn.counters.limits["reader_update_bytes"] += 1
            self._deny(member, turn)
            return
        try:
            summary = read_update(update, max_structs=self._max_structs(member))
        except LimitExceeded as error:
            turn.counters.updates_refused += 1
            turn.exceed(member.id, error.limit, error.allowed)
            return
        except ProtocolError as error:
            turn.counters.updates_refused += 1
            turn.close(member.id, CloseCode.PROTOCOL_ERROR, error.reason)
            return
        marks = marks_in(client for client, _, _ in summary.inserts)
        if marks and self._histories.is_other(marks, member, turn, adopt=member.access.write):
            turn.counters.updates_refused += 1
        elif not summary.inserts and not summary.deletes:
            self.apply(turn)  # it speaks for what came before it in this turn, too
            self._log.acknowledge(member.id, update)
        elif not member.access.write:
            if self._document.knows(summary):
                turn.mail.to(member.id, SyncStatus(True))
            else:
                self._deny(member, turn)
        elif self._document.forges(summary):
            turn.close(member.id, CloseCode.PROTOCOL_ERROR, "the update speaks for the room itself")
        elif self._too_large(member, update, summary, turn):
            pass
        elif self._document.lacks(summary):
            self._wait(member, update, summary, turn)
        elif self._document.knows(summary):
            self._repeated(member, update, summary, turn)
        else:
            self._document.expect(summary)
            self._arrivals.append(_Arrival(update, summary, member.id, member.user.id))

    def apply(self, turn: Turn) -> None:
        """Apply what has come, and what was waiting for it."""
        while self._arrivals:
            arrivals, self._arrivals = self._arrivals, []
            applied = self._document.apply([(a.update, a.summary) for a in arrivals])
            self._tell_repairs(turn)
            for arrival, ok in zip(arrivals, applied, strict=True):
                if ok:
                    self._took(arrival, turn)
                else:
                    self._refuse(arrival, turn)
            self._arrivals += [self._ready(item) for item in self._document.take_ready()]

    # --- inside ------------------------------------------------------------------------------

    def _max_structs(self, member: Member) -> int:
        limits = self._limits
        return limits.update_structs if member.access.write else limits.reader_update_structs

    @staticmethod
    def _deny(member: Member, turn: Turn) -> None:
        turn.counters.updates_refused += 1
        turn.mail.to(member.id, READ_ONLY)
        turn.mail.to(member.id, SyncStatus(False))

    def _too_large(self, member: Member, update: bytes, summary: UpdateSummary, turn: Turn) -> bool:
        unstored = self._log.unstored_bytes + len(update)
        if unstored > self._limits.unstored_bytes:
            turn.counters.limits["unstored_bytes"] += 1
            reason = "changes cannot be saved fast enough; try again later"
            turn.close(member.id, CloseCode.TRY_AGAIN_LATER, reason)
            return True
        sizes = {
            "update_bytes": len(update),
            "update_deletions": len(summary.deletes),
            "document_bytes": self._document.size_bytes + len(update),
            "document_types": self._types + summary.types,
        }
        for limit, size in sizes.items():
            allowed = getattr(self._limits, limit)
            if size > allowed:
                turn.counters.updates_refused += 1
                turn.exceed(member.id, limit, allowed)
                return True
        self._types += summary.types
        return False

    def _wait(self, member: Member, update: bytes, summary: UpdateSummary, turn: Turn) -> None:
        document, limits = self._document, self._limits
        if member.id < 0:
            reason = "the update needs others that the document does not have"
            turn.close(member.id, CloseCode.PROTOCOL_ERROR, reason)
            return
        too_many = document.waiting >= limits.waiting_updates
        if too_many or document.waiting_bytes + len(update) > limits.update_bytes:
            limit = "waiting_updates" if too_many else "update_bytes"
            turn.counters.limits[limit] += 1
            reason = f"too much waits for missing updates: {limit} = {getattr(limits, limit)}"
            turn.close(member.id, CloseCode.LIMIT_EXCEEDED, reason)
            return
        number = self._log.add(update, member.user.id, turn.now)
        token = _Arrival(update, summary, member.id, member.user.id, number)
        document.wait(update, summary, token)
        if member.id not in turn.asked:
            turn.asked.add(member.id)
            turn.mail.to(member.id, SyncStep1(document.state_vector()))

    def _repeated(self, member: Member, update: bytes, summary: UpdateSummary, turn: Turn) -> None:
        """Nothing is inserted that is not known; what is deleted only applying can tell."""
        self.apply(turn)
        if not summary.deletes:
            self._log.acknowledge(member.id, update)
            return
        changed = self._document.changes(update, summary)
        self._tell_repairs(turn)
        arrival = _Arrival(update, summary, member.id, member.user.id)
        if changed is None:
            self._refuse(arrival, turn)
        elif changed:
            self._took(arrival, turn)
        else:
            self._log.acknowledge(member.id, update)

    def _ready(self, item: Waiting) -> _Arrival:
        if isinstance(item.token, _Arrival):
            return item.token
        return _Arrival(item.update, item.summary, None, "", self._log.durable)

    def _took(self, arrival: _Arrival, turn: Turn) -> None:
        turn.mail.to_all(SyncUpdate(arrival.update), but=arrival.member)
        turn.changed(arrival.member, arrival.update)
        self._authors.wrote(arrival.summary.inserts, arrival.user, turn.now)
        number = arrival.number
        if number is None:
            number = self._log.add(arrival.update, arrival.user, turn.now)
        if arrival.member is not None:
            self._log.acknowledge(arrival.member, arrival.update, number)

    def _tell_repairs(self, turn: Turn) -> None:
        """What the document deletes lest it be split is deleted for everybody."""
        for update in self._document.take_repairs():
            turn.mail.to_all(SyncUpdate(update))
            turn.changed(None, update)
            self._log.add(update, "", turn.now)

    def _refuse(self, arrival: _Arrival, turn: Turn) -> None:
        turn.counters.updates_refused += 1
        if arrival.member is not None:
            turn.close(arrival.member, CloseCode.PROTOCOL_ERROR, "the update cannot be applied")
