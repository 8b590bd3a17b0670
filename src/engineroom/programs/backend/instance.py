"""One instance of an engine: its states, what it was asked, and its runs, one after the other.

Knows nothing of who asks: what happens is told to `hear`, in the order in which it happened, in the event loop.

    starting ──> idle <──> busy        from any of these: dead (the next request starts it again)
        ^────── restarting <── restart()
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from engineroom.errors import ProgramError
from engineroom.programs.engines.types import EngineType
from engineroom.programs.runtimes import Runtime
from engineroom.protocols import engine

from .asked import Asked
from .run import Misbehaved, Place, Run, start

TERMINATE_SECONDS = 2.0  # from SIGTERM to SIGKILL

State: TypeAlias = Literal["absent", "starting", "idle", "busy", "restarting", "dead"]


@dataclass(frozen=True, slots=True)
class Changed:
    """The instance is in another state. `dead` and `restarting` have forgotten what was asked: nothing comes of it."""

    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """An event of the engine's."""

    event: engine.Event


Heard: TypeAlias = Changed | Said


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """A line of the backend's list. Times are in seconds; `idle_seconds` is since something was asked or said."""

    key: str
    type: str
    state: State
    reason: str
    pid: int | None
    age_seconds: float
    idle_seconds: float
    processes: int
    memory_bytes: int
    cpu_seconds: float


class Instance:
    """An engine that is there when something is asked of it. Made by `Backend.allocate`."""

    def __init__(
        self,
        key: str,
        kind: EngineType,
        *,
        runtime: Runtime,
        place: Place,
        hear: Callable[[Heard], None],
    ) -> None:
        self.key = key
        self.type = kind
        self.state: State = "absent"
        self.reason = ""
        self._runtime = runtime
        self._place = place
        self._hear = hear
        self._asked = Asked()
        self._unsent: list[engine.Request] = []
        self._run: Run | None = None
        self._ready = False
        # The evaluation that is to be interrupted, and the task that sees to its end.
        self._interrupted: str | None = None
        self._escalation: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._ended = asyncio.Event()
        self._life: asyncio.Task[str] | None = None
        self._restarting = False
        self.released = False
        self._allocated = self._last = time.monotonic()

    # --- what may be asked -----------------------------------------------------------------------

    def ask(self, request: engine.Request) -> None:
        """Give the engine `request`, starting it if need be; what comes of it is heard.

        An answer that nobody waits for is dropped, as is anything after `release`.

        Raises:
            LimitExceeded: too many requests have not been answered yet.
        """
        if self.released or not self._asked.accept(request):
            return
        self._last = time.monotonic()
        if self._run is not None and self._ready:
            self._run.send(request)
            self._settle()
        else:
            self._unsent.append(request)
            self._wanted.set()

    def interrupt(self) -> None:
        """Interrupt the evaluation that runs, or that will run next. Nothing happens when none was asked for.

        When it still runs after the type's grace, the engine is ended: SIGTERM, then SIGKILL.
        """
        self._interrupted = self._asked.oldest
        # Before it has started, SIGINT would find the engine idle and be lost: it is sent then.
        if self._interrupted is not None and self._asked.has_started(self._interrupted):
            self._send_interrupt()

    def restart(self) -> None:
        """End the engine, whatever it does, and start it anew. All that was asked before is forgotten."""
        if self.released:
            return
        self._forget()
        if self._life is not None and not self._restarting:
            self._restarting = True
            self._life.cancel()
        self._wanted.set()
        self._become("restarting")

    def end(self) -> None:
        """Begin to end the engine for good. From now on nothing is heard."""
        if self.released:
            return
        self.released = True
        self._forget()
        # Once only: a second time would cancel what the first is ending.
        if self._life is not None and not self._restarting:
            self._life.cancel()
        self._wanted.set()

    async def release(self) -> None:
        """End the engine for good; returns when nothing is left of it. Safe to call twice."""
        self.end()
        await self._ended.wait()

    def info(self) -> InstanceInfo:
        """The instance as it is now."""
        now = time.monotonic()
        used = self._run.statistics() if self._run else None
        return InstanceInfo(
            key=self.key,
            type=self.type.name,
            state=self.state,
            reason=self.reason,
            pid=self._run.pid if self._run else None,
            age_seconds=now - self._allocated,
            idle_seconds=now - self._last,
            processes=used.processes if used else 0,
            memory_bytes=used.memory_bytes if used else 0,
            cpu_seconds=used.cpu_seconds if used else 0.0,
        )

    # --- its life --------------------------------------------------------------------------------

    async def live(self) -> None:
        """Start the engine whenever it is wanted, until it is released. The backend runs this, once."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                if self.released:
                    return
                await self._live_once()
        finally:
            self.released = True
            self._ended.set()

    async def _live_once(self) -> None:
        if self.state != "restarting":
            self._become("starting")
        # A task of its own, so that `restart` and `end` can cancel it and nothing else.
        async with asyncio.TaskGroup() as group:
            self._life = life = group.create_task(self._run_once())
        self._life = None
        if self.released:
            return
        if self._restarting:
            self._restarting = False
            return
        self._forget()
        self._wanted.clear()
        self._become("dead", life.result())

    async def _run_once(self) -> str:
        """One run of the engine; how it ended."""
        try:
            async with start(self._runtime, self.type, self._place) as run:
                self._run = run
                return await run.converse(self._heard, self._end_unless_ready(run))
        except ProgramError as error:
            return str(error)
        finally:
            self._run, self._ready = None, False
            self._stop_escalation()

    async def _end_unless_ready(self, run: Run) -> None:
        await asyncio.sleep(self.type.start_seconds)
        if not self._ready:
            await run.kill(f"it was not ready within {self.type.start_seconds:g} s")

    def _heard(self, event: engine.Event) -> None:
        """Take an event of the engine's.

        Raises:
            Misbehaved: it speaks out of turn.
        """
        if not self._ready and not isinstance(event, engine.Ready):
            raise Misbehaved("it spoke before it was ready")
        if self.released or not self._asked.concerns(event):
            return
        self._last = time.monotonic()
        self._hear(Said(event))
        match event:
            case engine.Ready():
                self._become_ready()
            case engine.Started() if event.id == self._interrupted:
                self._send_interrupt()
            case engine.Done() if event.id == self._interrupted:
                self._stop_escalation()
        self._settle()

    def _become_ready(self) -> None:
        self._ready = True
        unsent, self._unsent = self._unsent, []
        for request in unsent:
            assert self._run is not None
            self._run.send(request)

    # --- interrupts ------------------------------------------------------------------------------

    def _send_interrupt(self) -> None:
        run, grace = self._run, self.type.interrupt_grace_seconds
        if run is None:
            return
        run.signal(signal.SIGINT)
        if self._escalation is None and grace is not None:
            self._escalation = run.attend(self._escalate(run, grace))

    async def _escalate(self, run: Run, grace_seconds: float) -> None:
        await asyncio.sleep(grace_seconds)
        run.verdict = f"it did not stop within {grace_seconds:g} s of an interrupt and was ended"
        run.signal(signal.SIGTERM)
        await asyncio.sleep(TERMINATE_SECONDS)
        await run.kill(run.verdict)

    def _stop_escalation(self) -> None:
        self._interrupted = None
        if self._escalation is not None:
            self._escalation.cancel()
            self._escalation = None

    # --- states ----------------------------------------------------------------------------------

    def _settle(self) -> None:
        if self._ready and not self.released and not self._restarting:
            self._become("busy" if self._asked.busy else "idle")

    def _become(self, state: State, reason: str = "") -> None:
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self._hear(Changed(state, reason))

    def _forget(self) -> None:
        # The run may be there for a moment yet, but what is asked from now on is not for it.
        self._run, self._ready = None, False
        self._asked = Asked()
        self._unsent = []
        self._interrupted = None
