"""The room: what happens when.

`Room.receive(batch, now) -> effects` is a pure function of what came in: no I/O, no clock, no randomness. A
batch is what one turn of the event loop brought; it becomes one document transaction for the members'
updates, one for each edit of the room's own, one write to each member, and at most one append. What a member
sends to a program reaches that program alone; what a program sends reaches all members of this room; nothing
leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, assert_never

import msgspec
from pycrdt import Doc

from engineroom.errors import CloseCode, LimitExceeded, ProtocolError
from engineroom.protocols import engine
from engineroom.protocols import messages as m
from engineroom.protocols.frames import Bundle
from engineroom.protocols.marks import mark_of, mark_update, marks_in
from engineroom.protocols.updates import read_state_vector, read_update
from engineroom.protocols.yjs import YjsDialect

from . import effects as e
from . import programs as p
from .address import Address
from .authors import AuthorNotes, Authors
from .cells import add_missing, lacks_any
from .counters import Counters
from .document import Document, lacks_all
from .edits import Edits
from .evaluations import Evaluations, any_unfinished, mark_lost
from .histories import Histories
from .history import History, version_id
from .intake import Intake
from .limits import RoomLimits
from .log import Log
from .members import Access, Audiences, Frames, Member, MemberId, PausePoint, User
from .notes import Notes, encode_notes
from .plan import Plan
from .presence import Presence
from .requests import Requests
from .storage import Version
from .terminals import Terminals
from .turn import Turn
from .values import Values

PROTOCOL_VERSION = 1
VISIT_SECONDS = 1.0
USED_UP = -1.0  # the wake that was asked for has come: the next one is told, whatever it is
APPLIED = m.SyncStatus(True)
# A submission is treated as a member's update; nothing is ever encoded for it.
SUBMISSION = YjsDialect()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a room knows of its document beside the document: the identity of its history, what its last compaction
    noted, and who wrote it.
    """

    lineage: str
    notes: Notes
    authors: Authors


class Room:
    """One room, open. Made by `loading.open_room` from what the store has of it."""

    def __init__(
        self,
        address: Address,
        plan: Plan,
        document: Document,
        log: Log,
        *,
        facts: Facts,
        limits: RoomLimits,
    ) -> None:
        self.address = address
        self.plan = plan
        self.lineage = facts.lineage
        self.authors = facts.authors
        self.history = History(limits, log.number, on=plan.keeps_history(limits.history))
        self.document = document
        self.log = log
        self.members: dict[MemberId, Member] = {}
        self._audiences = Audiences()
        self.observed = False
        self.counters = Counters()
        self._limits = limits
        self._notes = facts.notes
        self._marked = False
        mark = document.mark or mark_of(facts.lineage)
        self._histories = Histories(address, mark, limits, begun=not document.empty)
        self._values = Values(limits)
        self._values.load(document.doc)
        self._values.seed(plan.values)
        self._presence = Presence(limits)
        self._terminals = Terminals(plan.terminals, limits.screen_bytes)
        self._evaluations = Evaluations(plan, limits, self._whole_url)
        self._intake = Intake(document, log, self._histories, self.authors, limits)
        self._requests = Requests(
            self._values, self._evaluations, self._terminals, self._presence, limits
        )
        self._newcomers: list[Member] = []
        self._returning: list[tuple[Member, PausePoint]] = []
        # A member's last question counts, and is answered when it can be sent the answer: a document is large.
        self._questions: dict[MemberId, bytes] = {}
        self._curious: dict[MemberId, None] = {}
        self._whole = b""
        self._whole_frames: Frames = {}
        self._holders = 0
        self._visited_only = True
        self._edits = Edits(document, log, self.authors)
        for edit in self._first_edits():
            self._edits.add(edit)
        self._frame_at = self._awareness_at = self._settle_at = 0.0
        self._empty_since: float | None = None
        self._wake_at: float | None = None
        self._ending = False
        self.ended = False

    # --- the turn ----------------------------------------------------------------------------

    def receive(self, batch: Sequence[e.Input], now: float) -> list[e.Effect]:
        """What is to be done about `batch`, in order. `now` is in seconds since the epoch and never decides order."""
        turn = Turn(now, self.counters, [] if self.observed else None)
        for item in batch:
            self._take(item, turn)
        self._intake.apply(turn)
        self._edit(turn)
        self._mark(turn)
        self._tell(turn)
        self._answer_questions(turn)
        self._acknowledge(turn)
        self._deliver(turn)
        self._fork(turn)
        self._store(turn)
        self._rest(turn)
        return turn.effects

    def _take(self, item: e.Input, turn: Turn) -> None:
        match item:
            case e.Received():
                self._heard(item, turn)
            case e.Joined():
                self._join(item, turn)
            case e.Left():
                self._leave(item.member, turn)
            case e.Paused():
                self._pause(item.member)
            case e.Resumed():
                self._resume(item.member)
            case e.Stored():
                if self.log.stored(item.number):
                    turn.mail.to_all(m.Trouble("saved", "Saved again."))
            case e.StoreFailed():
                if self.log.failed(item.reason, turn.now):
                    text = "Changes cannot be saved at the moment. They are kept, and saved as soon as possible."
                    turn.mail.to_all(m.Trouble("not_saved", text))
            case e.AccessChanged():
                self._change_access(item.member, item.access, turn)
            case e.Edit():
                self._edits.receive(item)
            case e.Submit():
                self._submit(item, turn)
            case e.Announce():
                turn.mail.to_all(m.Stateless(item.text))
            case e.Held():
                self._holders += item.by
            case e.Replanned():
                self._replan(item.plan, turn)
            case e.Woke():
                self._wake_at = USED_UP
            case e.Ending():
                self._end(turn)
            case _:
                self._program_said(item, turn)

    def _program_said(self, item: p.ProgramEvent, turn: Turn) -> None:
        match item:
            case p.TerminalWrote():
                terminal = self._terminals.get(item.terminal)
                if terminal is not None:
                    terminal.wrote(item.data)
            case p.TerminalExited():
                terminal = self._terminals.get(item.terminal)
                if terminal is not None:
                    terminal.exited(item.reason)
                    turn.mail.to_all(terminal.end_message())
            case p.EngineChanged():
                turn.order(*self._evaluations.changed(item))
                turn.mail.to_all(m.EngineState(item.engine, item.state, item.reason))
            case p.EngineSaid(event=engine.Completions() as completions):
                self._requests.completed(completions, turn)
            case p.EngineSaid():
                turn.order(*self._evaluations.said(item.engine, item.event, turn.now))
            case p.ProgramAsked():
                self._requests.program_asked(item.connection, item.request, turn)
            case p.ProgramGone():
                self._values.forget_connection(item.connection)
            case _:
                assert_never(item)

    # --- members -----------------------------------------------------------------------------

    def _join(self, item: e.Joined, turn: Turn) -> None:
        if len(self.members) >= self._limits.room_members:
            turn.exceed(item.member, "room_members", self._limits.room_members)
            return
        self._visited_only = False
        member = Member(item.member, item.user, item.access, item.dialect)
        self.members[member.id] = member
        self._audiences.enter(member)
        self._newcomers.append(member)

    def _leave(self, member: MemberId, turn: Turn) -> None:
        parting = self.members.pop(member, None)
        if parting is None:
            return
        self._audiences.leave(parting)
        if self.authors.is_nameless(parting.user.id):
            self._name_author(parting)
        self._newcomers = [each for each in self._newcomers if each.id != member]
        self._returning = [each for each in self._returning if each[0].id != member]
        self._presence.leave(member, turn.now)
        self._questions.pop(member, None)
        self._curious.pop(member, None)
        self._requests.forget(member, turn)
        self.log.forget(member)

    def _change_access(self, member_id: MemberId, access: Access, turn: Turn) -> None:
        member = self.members.get(member_id)
        if member is None or member.access == access:
            return
        promoted = access.write and not member.access.write
        member.access = access
        turn.mail.to(member_id, m.RightsChanged(tuple(access.rights)))
        if promoted:  # what it could not say before, it may say now
            turn.mail.to(member_id, m.SyncStep1(self.document.state_vector()))
        if not access.read:
            turn.close(member_id, CloseCode.FORBIDDEN, "you may no longer read this document")

    def _pause(self, member_id: MemberId) -> None:
        member = self.members.get(member_id)
        if member is not None and member.paused_at is None:
            self._audiences.leave(member)
            member.paused_at = PausePoint(self.document.state_vector(), self._values.revision)

    def _resume(self, member_id: MemberId) -> None:
        member = self.members.get(member_id)
        if member is not None and member.paused_at is not None:
            self._returning.append((member, member.paused_at))
            member.paused_at = None
            self._audiences.enter(member)

    def _heard(self, item: e.Received, turn: Turn) -> None:
        member = self.members.get(item.member)
        if member is None:
            return
        match item.message:
            case m.SyncStep1(state_vector):
                self._questions[member.id] = state_vector
            case m.SyncStep2(update) | m.SyncUpdate(update):
                self._intake.receive(member, update, turn)
            case m.AwarenessUpdate():
                self._present(member, item.message, turn)
            case m.QueryAwareness():
                self._curious[member.id] = None
            case m.CheckDurable(token):
                self._intake.apply(turn)  # what came before it gets its number
                self.log.check_durable(member.id, token)
            case m.Stateless(text):
                if len(text) > self._limits.message_bytes:
                    turn.exceed(member.id, "message_bytes", self._limits.message_bytes)
                else:
                    turn.effects.append(e.Heard(member.id, text))
            case _:
                self._requests.receive(member, item.message, turn)

    def _submit(self, item: e.Submit, turn: Turn) -> None:
        """An update from outside, taken as a member's; under its condition, if any, when all before it is in."""
        if item.condition is not None:
            self._intake.apply(turn)
            self._edits.make_all(turn)
            try:
                item.condition()
            except Exception as error:
                turn.effects.append(e.Edited(item.ticket, self.log.number, None, error))
                return
        visitor = Member(-item.ticket, User(item.user), Access(), SUBMISSION)
        self._intake.receive(visitor, item.update, turn)

    def _present(self, member: Member, update: m.AwarenessUpdate, turn: Turn) -> None:
        try:
            self._presence.receive(member.id, update, turn.now)
            turn.counters.limits.update(self._presence.take_reached())
        except LimitExceeded as error:
            turn.exceed(member.id, error.limit, error.allowed)

    # --- the page and the end ----------------------------------------------------------------

    def _first_edits(self) -> list[Callable[[Doc[Any]], None]]:
        doc, plan = self.document.doc, self.plan
        edits: list[Callable[[Doc[Any]], None]] = []
        if any_unfinished(doc):
            edits.append(mark_lost)
        if lacks_any(doc, plan):
            edits.append(lambda doc: add_missing(doc, plan))
        return edits

    def _replan(self, plan: Plan, turn: Turn) -> None:
        if plan.version == self.plan.version:
            return
        self.plan = plan
        self.history.on = plan.keeps_history(self._limits.history)
        self._evaluations.replan(plan)
        self._terminals.replan(plan.terminals)
        for changed in self._values.seed(plan.values):
            turn.mail.to_all(changed)
        self._edits.add(lambda doc: add_missing(doc, plan))
        turn.mail.to_all(m.PageChanged(plan.version))

    def _end(self, turn: Turn) -> None:
        self._ending = True
        self._evaluations.lose("The server was stopped while this was running.")
        for member in self.members:
            turn.close(member, CloseCode.SERVICE_RESTART, "the room restarts")

    # --- the document ------------------------------------------------------------------------

    def _edit(self, turn: Turn) -> None:
        """The room's own edits, each in a transaction, when there is something to write."""
        frame = self._evaluations.stale or (
            self._evaluations.pending and turn.now >= self._frame_at
        )
        settle = self._values.unsettled and (self._ending or 0 < self._settle_at <= turn.now)
        kept: list[e.KeepOutput] = []
        if frame:
            self._edits.add(lambda doc: kept.extend(self._evaluations.write(doc)))
        if settle:
            self._edits.add(self._values.settle)
        self._edits.make_all(turn)
        turn.effects.extend(kept)
        if frame:
            self._frame_at = turn.now + self._limits.output_frame_seconds
        if settle:
            self._settle_at = 0.0
        elif self._values.unsettled and not self._settle_at:
            self._settle_at = turn.now + self._limits.settle_seconds

    def _mark(self, turn: Turn) -> None:
        """What is stored for the first time gets the mark of its history, invisible and after all that was written."""
        if self._marked or self.log.settled or self.document.empty:
            return
        self._marked = self._histories.begun = True
        if self.document.mark is not None:
            return
        update = mark_update(self._histories.mark)
        if self.document.apply([(update, read_update(update))])[0]:
            self._edits.tell(update, "", turn)

    def _store(self, turn: Turn) -> None:
        append = self.log.next_append(turn.now)
        if append is not None:
            turn.effects.append(append)
            return
        self._keep_version(turn)
        if self.log.compact_due(self._limits.compact_bytes, empty=not self.members):
            self._compact(turn)

    def _compact(self, turn: Turn) -> None:
        if self.document.waiting:
            return
        for member in self.members.values():
            self._name_author(member)
        self.authors.unkept = False
        self._notes.authors = self.authors.notes()
        snapshot = self.document.encoded()
        self.log.compacted(len(snapshot))
        kept = self._limits.history_seconds
        since = turn.now - kept if kept else inf
        state_vector, number = self.document.state_vector(), self.log.durable
        notes = encode_notes(self._notes)
        turn.effects.append(e.Compact(snapshot, state_vector, number, notes, since))

    def _keep_version(self, turn: Turn) -> None:
        """One of the moments to which people may want to go back, once it is on disk."""
        self.history.saw(self.log.number, turn.now)
        if not (self.log.settled and self.log.durable):
            return
        empty = self._ending or not (self.members or self._holders)
        kind = self.history.due(turn.now, empty=empty)
        if kind is None:
            return
        self.history.kept()
        if self.document.size_bytes > self._limits.versions_bytes:
            return
        number, encoding = self.log.durable, self.document.encoded()
        version = Version(version_id(number, kind), number, turn.now, kind, "", "", len(encoding))
        turn.effects.append(e.KeepVersion(version, encoding))

    def _name_author(self, member: Member) -> None:
        """Remember what somebody is called who may have written something."""
        name = member.user.name or self._presence.user_name(member.id)
        self.authors.name(member.user.id, name)

    def authors_now(self) -> AuthorNotes:
        """Who has written what so far, with the names of now."""
        for member in self.members.values():
            self._name_author(member)
        return self.authors.notes()

    # --- mail --------------------------------------------------------------------------------

    def _tell(self, turn: Turn) -> None:
        """What has gathered in the tables, then the newcomers and those who come back."""
        if self._presence.changed and turn.now >= self._awareness_at:
            update = self._presence.take_changes(turn.now)
            if update is not None:
                turn.mail.to_all(update)
            self._awareness_at = turn.now + self._limits.awareness_tick_seconds
        for terminal in self._terminals:
            news = terminal.take_news()
            if news:
                turn.mail.to_all(m.TerminalOutput(terminal.plan.name, news))
        newcomers, self._newcomers = self._newcomers, []
        for member in newcomers:
            turn.mail.joined(member.id)
            turn.mail.to(member.id, self._welcome(member))
            turn.mail.to(member.id, m.SyncStep1(self.document.state_vector()))
            self._show_tables(member, 0, turn)
        returning, self._returning = self._returning, []
        for member, since in returning:
            turn.mail.joined(member.id)
            turn.mail.to(member.id, m.SyncUpdate(self.document.difference(since.state_vector)))
            self._show_tables(member, since.revision, turn)

    def _show_tables(self, member: Member, revision: int, turn: Turn) -> None:
        snapshot = self._presence.snapshot()
        if snapshot is not None:
            turn.mail.to(member.id, snapshot)
        for changed in self._values.since(revision):
            turn.mail.to(member.id, changed)
        for name, state, reason in self._evaluations.engine_states():
            turn.mail.to(member.id, m.EngineState(name, state, reason))
        for terminal in self._terminals:
            turn.mail.to(member.id, terminal.screen())
            if terminal.ended:
                turn.mail.to(member.id, terminal.end_message())
        if self.log.failing:
            turn.mail.to(
                member.id, m.Trouble("not_saved", "Changes cannot be saved at the moment.")
            )

    def _welcome(self, member: Member) -> m.Welcome:
        facts = {
            "protocol": PROTOCOL_VERSION,
            "member": member.id,
            "address": str(self.address),
            "lineage": self.lineage,
            "version": self.plan.version,
            "rights": member.access.rights,
            "user": {"id": member.user.id},
            "terminals": self._terminals.names,
            "engines": [name for name, _, _ in self._evaluations.engine_states()],
            "limits": {"frame_bytes": self._limits.update_bytes},
        }
        return m.Welcome(msgspec.json.encode(facts).decode())

    def _answer_questions(self, turn: Turn) -> None:
        for member in [each for each in self._curious if self.members[each].paused_at is None]:
            del self._curious[member]
            turn.mail.to(member, self._presence.snapshot() or m.AwarenessUpdate(()))
        for member in [each for each in self._questions if self.members[each].paused_at is None]:
            state_vector = self._questions.pop(member)
            try:
                marks = marks_in(read_state_vector(state_vector)) if state_vector else ()
                if marks and self._histories.is_other(marks, self.members[member], turn):
                    continue
                difference = self.document.difference(state_vector)
            except ProtocolError as error:
                turn.close(member, CloseCode.PROTOCOL_ERROR, error.reason)
            else:
                frames = self._frames_of(difference) if lacks_all(state_vector) else None
                turn.mail.to(member, m.SyncStep2(difference), frames=frames)

    def _frames_of(self, whole: bytes) -> Frames:
        """The frames of the whole document, the same for all who join until it changes."""
        if whole is not self._whole:
            self._whole, self._whole_frames = whole, {}
        return self._whole_frames

    def _acknowledge(self, turn: Turn) -> None:
        for member, message, news, number in self.log.take_acknowledgements():
            self.counters.acknowledgements += 1
            if member < 0:
                turn.effects.append(e.Submitted(-member, news, number))
                continue
            if isinstance(message, m.SyncUpdate):
                turn.mail.to(member, APPLIED)
            turn.mail.to(member, message)

    def _fork(self, turn: Turn) -> None:
        """Members of another history leave, for a room of their own."""
        for member, mark in self._histories.take_leaving().items():
            if member in self.members:
                turn.effects.append(e.Fork(member, mark))
                self._leave(member, turn)

    def _deliver(self, turn: Turn) -> None:
        posts = list(turn.mail.together(self._audiences))
        for member, bundle in turn.mail.singly(self.members):
            if member.paused_at is None:
                if member.held:
                    bundle = Bundle((*member.held, *bundle.payloads))
                    member.held, member.held_bytes = [], 0
                posts.append((bundle, (member.id,)))
                continue
            member.held += bundle.payloads
            member.held_bytes += bundle.size_bytes
            if member.held_bytes > self._limits.held_bytes:
                reason = f"too slow: held_bytes = {self._limits.held_bytes}"
                turn.counters.limits["held_bytes"] += 1
                turn.close(member.id, CloseCode.TOO_SLOW, reason)
        if posts:
            turn.effects.append(e.Send(tuple(posts)))
        turn.effects.extend(turn.closes)
        if turn.changes:
            turn.effects.extend(turn.changes)

    # --- rest --------------------------------------------------------------------------------

    def _rest(self, turn: Turn) -> None:
        """When to wake again; or the end, when there is nobody and nothing more to do."""
        occupied = self.members or self._holders
        self._empty_since = None if occupied else (self._empty_since or turn.now)
        leave_at = self._leave_at()
        if leave_at is not None and (self._ending or turn.now >= leave_at):
            if self._evaluations.busy:
                self._evaluations.lose("Ended: nobody was in the room for too long.")
            if self._values.unsettled or self._evaluations.pending:
                self._settle_at = self._frame_at = turn.now
            elif self.log.settled:
                if self.authors.unkept and self.log.may_compact:
                    self._compact(turn)
                self.ended = True
                turn.effects.append(e.End())
                return
            leave_at = None  # `Stored` is what it waits for
        times = [leave_at, self.log.retry_at]
        if self.log.settled:
            times.append(self.history.next_at())
        if self._values.unsettled:
            times.append(self._settle_at)
        if self._evaluations.pending:
            times.append(self._frame_at)
        if self._presence.changed:
            times.append(self._awareness_at)
        wake_at = min((time for time in times if time is not None), default=None)
        if wake_at != self._wake_at:
            self._wake_at = wake_at
            turn.effects.append(e.Wake(wake_at))

    def _leave_at(self) -> float | None:
        """When the room may end, if nobody comes."""
        if self._ending:
            return 0.0
        if self._empty_since is None:
            return None
        linger = self.plan.linger_seconds
        if linger is None:
            linger = self._limits.linger_seconds
        if self._visited_only:
            linger = min(linger, VISIT_SECONDS)
        if self._evaluations.busy:
            linger = max(linger, self._limits.evaluation_seconds)
        return self._empty_since + linger

    def _whole_url(self, evaluation: str, index: int) -> str:
        return f"/-/outputs/{evaluation}/{index}/{self.address.url}"
