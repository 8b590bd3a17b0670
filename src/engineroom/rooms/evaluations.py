"""Evaluations: who asked for what, what waits, what runs, and how that shows in the document.

One evaluation at a time runs on an engine; the others wait in the order in which they were asked for. State changes are
written in the turn in which they happen, outputs a frame at a time.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, assert_never

from pycrdt import Array, Doc

from engineroom.errors import LimitExceeded, ProgramError
from engineroom.protocols import engine

from .cells import cells, child_array, child_map, find_cell
from .effects import KeepOutput
from .limits import RoomLimits
from .outputs import OutputWriter
from .plan import CellPlan, Plan
from .programs import AskEngine, Command, EngineChanged, InterruptEngine, RestartEngine

State: TypeAlias = Literal["queued", "running", "done", "failed", "interrupted", "lost"]

REMEMBERED = (
    1_000  # ids of evaluations, so that one asked for again after a reconnection is not run again
)
EVALUATION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
LOST = "The server stopped while this was running."


@dataclass(slots=True, eq=False)
class Evaluation:
    """One run of one cell. Times are in seconds since the epoch."""

    id: str
    cell: str
    engine: str
    code: str
    by: str
    queued: float
    writer: OutputWriter
    state: State = "queued"
    started: float | None = None
    seconds: float | None = None
    count: int | None = None
    reason: str = ""
    prompt: str | None = None
    password: bool = False
    fresh: bool = False
    stale: bool = True

    @property
    def ended(self) -> bool:
        """Whether it neither waits nor runs."""
        return self.state not in ("queued", "running")

    def end(self, state: State, reason: str = "") -> None:
        """Nothing more comes of it."""
        self.state, self.reason, self.prompt, self.stale = state, reason, None, True

    def notes(self) -> dict[str, Any]:
        """What the document says of it, under `metadata.evaluation` of its cell."""
        notes: dict[str, Any] = {
            "id": self.id,
            "state": self.state,
            "by": self.by,
            "queued": self.queued,
        }
        if self.started is not None:
            notes["started"] = self.started
        if self.seconds is not None:
            notes["seconds"] = self.seconds
        if self.reason:
            notes["reason"] = self.reason
        if self.prompt is not None:
            notes |= {"prompt": self.prompt, "password": self.password}
        return notes


@dataclass(slots=True)
class _Engine:
    """One engine of the room, as the room sees it."""

    name: str
    state: str = "absent"
    reason: str = ""
    current: Evaluation | None = None
    last: Evaluation | None = None
    queue: deque[Evaluation] = field(default_factory=deque)


class Evaluations:
    """The evaluations of a room. `whole_url(evaluation, index)` is where a shortened output's whole can be read."""

    def __init__(
        self, plan: Plan, limits: RoomLimits, whole_url: Callable[[str, int], str]
    ) -> None:
        self._limits = limits
        self._whole_url = whole_url
        self._engines: dict[str, _Engine] = {}
        self._cells: dict[str, CellPlan] = {}
        self._display: Literal["last", "every"] = "last"
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._latest: dict[str, Evaluation] = {}
        self._unwritten: dict[str, Evaluation] = {}
        self.replan(plan)

    def replan(self, plan: Plan) -> None:
        """The page's cells are these now."""
        self._cells = {cell.id: cell for cell in plan.cells}
        self._display = plan.display
        for cell in plan.cells:
            self._engines.setdefault(cell.engine, _Engine(cell.engine))

    # --- reading -----------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs."""
        return any(e.current or e.queue for e in self._engines.values())

    def engine_states(self) -> list[tuple[str, str, str]]:
        """Name, state and reason of each engine of the page."""
        return [(e.name, e.state, e.reason) for e in self._engines.values()]

    def engine_of(self, cell: str) -> str | None:
        """The engine on which the page's `cell` runs."""
        plan = self._cells.get(cell)
        return plan.engine if plan else None

    def running(self, evaluation: str) -> Evaluation | None:
        """The evaluation of this id, while it runs."""
        for known in self._engines.values():
            if known.current is not None and known.current.id == evaluation:
                return known.current
        return None

    # --- what members ask --------------------------------------------------------------------

    def ask(self, evaluation: str, cell: str, code: str, *, by: str, now: float) -> list[Command]:
        """Queue `code` as `cell`; nothing happens when this evaluation was asked for before.

        Raises:
            ProgramError: the page has no such cell, or `evaluation` can be no id.
            LimitExceeded: too much waits for the engine already, or the code is too long.
        """
        if evaluation in self._recent:
            return []
        if not EVALUATION_ID.fullmatch(evaluation):
            raise ProgramError("an evaluation's id has 1 to 64 letters, digits, '-' or '_'")
        plan = self._cells.get(cell)
        if plan is None:
            raise ProgramError(f"this page has no cell {cell!r}")
        if len(code) > self._limits.code_bytes:
            raise LimitExceeded("code_bytes", self._limits.code_bytes)
        target = self._engines[plan.engine]
        if len(target.queue) >= self._limits.queued_evaluations:
            raise LimitExceeded("queued_evaluations", self._limits.queued_evaluations)
        self._recent[evaluation] = None
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        writer = OutputWriter(
            evaluation, self._limits, lambda index: self._whole_url(evaluation, index)
        )
        item = Evaluation(evaluation, cell, plan.engine, code, by, now, writer)
        target.queue.append(item)
        self._unwritten[item.id] = item
        return self._next(target)

    def interrupt(self, name: str) -> list[Command]:
        """Interrupt what runs on engine `name`, and forget what waits there.

        Raises:
            ProgramError: the page has no such engine.
        """
        target = self._engine(name)
        self._drop_queue(target, "interrupted before it began")
        return [InterruptEngine(name)] if target.current else []

    def restart(self, name: str) -> list[Command]:
        """End engine `name` and start it anew.

        Raises:
            ProgramError: the page has no such engine.
        """
        target = self._engine(name)
        self._drop_queue(target, "the engine was restarted")
        return [RestartEngine(name)]

    def answer(self, evaluation: str, text: str) -> list[Command]:
        """Hand a line to the program that asked for it.

        Raises:
            ProgramError: it does not ask, or no more.
        """
        item = self.running(evaluation)
        if item is None or item.prompt is None:
            raise ProgramError("no input is asked for any more")
        shown = "·" * len(text) if item.password else text
        item.writer.receive(engine.Stream(item.id, "stdout", f"{item.prompt}{shown}\n"))
        item.prompt, item.stale = None, True
        self._unwritten[item.id] = item
        return [AskEngine(item.engine, engine.Answer(item.id, text))]

    # --- what engines say --------------------------------------------------------------------

    def changed(self, event: EngineChanged) -> list[Command]:
        """An engine is in another state."""
        target = self._engines.setdefault(event.engine, _Engine(event.engine))
        target.state, target.reason = event.state, event.reason
        if event.state not in ("dead", "restarting"):
            return []
        why = event.reason or "the engine was restarted"
        if target.current is not None:
            target.current.end("failed" if event.state == "dead" else "interrupted", why)
            self._unwritten[target.current.id] = target.current
            target.last, target.current = target.current, None
        self._drop_queue(target, why)
        return []

    def said(self, name: str, event: engine.Event, now: float) -> list[Command]:
        """An engine says something about an evaluation."""
        target = self._engines.get(name)
        item = self._meant(target, event) if target is not None else None
        if target is None or item is None:
            return []
        match event:
            case engine.Started():
                item.state, item.started, item.count = "running", now, event.count
                item.fresh = item.stale = True
                self._latest[item.cell] = item
            case engine.Stream() | engine.Display() | engine.Raised() | engine.ClearOutput():
                item.writer.receive(event)
            case engine.InputRequest():
                item.prompt, item.password, item.stale = event.prompt[:1_000], event.password, True
            case engine.Done():
                return self._done(target, item, event)
            case engine.Ready() | engine.Completions():
                return []
            case _:
                assert_never(event)
        self._unwritten[item.id] = item
        return []

    def _meant(self, target: _Engine, event: engine.Event) -> Evaluation | None:
        """Whose event it is: an updated display is that of the evaluation that showed it, while its outputs stand."""
        if isinstance(event, engine.Display) and event.update:
            for shown in self._latest.values():
                if event.display in shown.writer.displays:
                    return shown
        if isinstance(event, engine.Ready):
            return None
        for item in (target.current, target.last):
            if item is not None and event.id in ("", item.id):
                return item
        return None

    def _done(self, target: _Engine, item: Evaluation, event: engine.Done) -> list[Command]:
        if target.current is not item or item.id != event.id:
            return []
        states: dict[str, State] = {"ok": "done", "error": "failed", "interrupted": "interrupted"}
        item.seconds, item.count = event.seconds, event.count
        item.end(states[event.status])
        self._unwritten[item.id] = item
        target.last, target.current = item, None
        return self._next(target)

    def _next(self, target: _Engine) -> list[Command]:
        if target.current is not None or not target.queue:
            return []
        item = target.current = target.queue.popleft()
        return [AskEngine(target.name, engine.Evaluate(item.id, item.code, self._display))]

    def _engine(self, name: str) -> _Engine:
        target = self._engines.get(name)
        if target is None:
            raise ProgramError(f"this page has no engine {name!r}")
        return target

    def _drop_queue(self, target: _Engine, reason: str) -> None:
        for item in target.queue:
            item.end("interrupted", reason)
            self._unwritten[item.id] = item
        target.queue.clear()

    def lose(self, reason: str) -> None:
        """Whatever waits or runs comes to nothing."""
        for target in self._engines.values():
            if target.current is not None:
                target.current.end("lost", reason)
                self._unwritten[target.current.id] = target.current
                target.last, target.current = target.current, None
            self._drop_queue(target, reason)

    # --- the document ------------------------------------------------------------------------

    @property
    def stale(self) -> bool:
        """Whether a state change is to be written, in this turn."""
        return any(item.stale for item in self._unwritten.values())

    @property
    def pending(self) -> bool:
        """Whether outputs are to be written, at the next frame."""
        return bool(self._unwritten)

    def write(self, doc: Doc[Any]) -> list[KeepOutput]:
        """Write all that is to be written, inside a transaction; returns what is to be kept beside the document."""
        items, self._unwritten = self._unwritten, {}
        kept: list[KeepOutput] = []
        for item in items.values():
            cell = find_cell(doc, item.cell)
            if cell is None:
                continue
            if item.fresh:  # a new Array: yrs never comes back from clearing one that members have put text into
                cell["outputs"] = Array([])
                item.fresh = False
            outputs = child_array(cell, "outputs")
            kept += item.writer.finish(outputs) if item.ended else item.writer.write(outputs)
            if item.stale:
                item.stale = False
                child_map(cell, "metadata")["evaluation"] = item.notes()
                cell["execution_state"] = "idle" if item.ended else item.state
                if item.count is not None:
                    cell["execution_count"] = item.count
        return kept


def mark_lost(doc: Doc[Any]) -> None:
    """Say of what was running when the server stopped that it is lost; to be called inside a transaction."""
    for cell in cells(doc):
        if cell.get("execution_state") in (None, "idle"):
            continue
        cell["execution_state"] = "idle"
        metadata = child_map(cell, "metadata")
        notes = metadata.get("evaluation")
        if isinstance(notes, dict):
            rest = {k: v for k, v in notes.items() if k not in ("prompt", "password")}
            metadata["evaluation"] = rest | {"state": "lost", "reason": LOST}


def any_unfinished(doc: Doc[Any]) -> bool:
    """Whether the document speaks of evaluations that wait or run."""
    return any(cell.get("execution_state") not in (None, "idle") for cell in cells(doc))
