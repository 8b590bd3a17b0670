"""The programs of rooms: carries out what rooms ask (`rooms/programs.py`), on a runtime and a backend.

Knows terminals, engines, the values' door and workspaces. Must not know documents, members or pages. Everything that
happens is told in the event loop, after the command that led to it has returned, and nothing once the room is closed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, assert_never

from engineroom.errors import LimitExceeded, ProgramError
from engineroom.programs.backend import (
    Attachment,
    Backend,
    Changed,
    Heard,
    Instance,
    Place,
    Said,
)
from engineroom.programs.runtimes import Limits, Process, Runtime, Spec, TerminalSize
from engineroom.programs.terminals import Terminal
from engineroom.protocols import engine
from engineroom.rooms import programs as p
from engineroom.rooms.address import Address
from engineroom.rooms.plan import Plan
from engineroom.values.door import Door

#: The number of the values' descriptor in every program: one digit, which every shell can redirect to.
VALUES_DESCRIPTOR = 9


@dataclass(frozen=True, slots=True)
class Machine:
    """What all rooms' programs run on. `group` holds the rooms' tasks."""

    runtime: Runtime
    backend: Backend
    limits: Limits
    group: asyncio.TaskGroup


class LocalPrograms:
    """Makes rooms' programs on this machine. `async with LocalPrograms(…) as programs`: leaving ends them all.

    `workspaces` is the folder in which each room's workspace is made when its first program starts.
    """

    def __init__(
        self,
        runtime: Runtime,
        backend: Backend,
        *,
        workspaces: Path,
        limits: Limits | None = None,
    ) -> None:
        self._machine = Machine(runtime, backend, limits or Limits(), asyncio.TaskGroup())
        self._workspaces = workspaces
        self._open: dict[Address, LocalRoomPrograms] = {}

    async def __aenter__(self) -> Self:
        self._workspaces.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._machine.group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for room in self._open.values():
            room.end()
        # They end by themselves now. Told of `error`, the group would cancel them in the middle of it.
        await self._machine.group.__aexit__(None, None, None)

    def open(
        self, address: Address, plan: Plan, emit: Callable[[p.ProgramEvent], None]
    ) -> p.RoomPrograms:
        """The programs of one room, none of them started."""
        room = LocalRoomPrograms(self._machine, address, plan, self.workspace(address), emit)
        self._open[address] = room
        self._machine.group.create_task(self._keep(room), name=f"programs of {address}")
        return room

    async def forget(self, address: Address) -> None:
        """Remove the room's workspace, after its programs have ended. Links in it are removed, never followed.

        Raises:
            ProgramError: something of it is left.
        """
        room = self._open.get(address)
        if room is not None:
            await room.aclose()
        workspace = self.workspace(address)
        # Not shutil.rmtree: a program can nest folders deeper than Python recurses.
        removal = await asyncio.create_subprocess_exec(
            "rm", "-rf", "--one-file-system", "--", str(workspace), stderr=asyncio.subprocess.PIPE
        )
        _, complaint = await removal.communicate()
        if removal.returncode:
            raise ProgramError(f"a workspace was not removed: {complaint.decode(errors='replace')}")

    def workspace(self, address: Address) -> Path:
        """The room's folder, whether it is there or not."""
        name = hashlib.sha256(str(address).encode()).hexdigest()[:32]
        return self._workspaces / name

    async def _keep(self, room: LocalRoomPrograms) -> None:
        try:
            await room.live()
        finally:
            if self._open.get(room.address) is room:
                del self._open[room.address]


class LocalRoomPrograms:
    """The programs of one room; `live` is their task. All of them share the workspace and the door to the values."""

    def __init__(
        self,
        machine: Machine,
        address: Address,
        plan: Plan,
        workspace: Path,
        emit: Callable[[p.ProgramEvent], None],
    ) -> None:
        self.address = address
        self._machine = machine
        self._plan = plan
        self._workspace = workspace
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._door = Door(self._tell)
        self._terminals: dict[str, Terminal] = {}
        self._engines: dict[str, Instance] = {}
        self._to_start: asyncio.Queue[Terminal] = asyncio.Queue()
        self._closing = asyncio.Event()
        self._closed = asyncio.Event()

    def carry_out(self, command: p.Command) -> None:
        """Do what the command says, and return at once."""
        if self._closing.is_set():
            return
        match command:
            case p.StartTerminal() | p.WriteTerminal() | p.ResizeTerminal():
                self._carry_out_in_terminal(command)
            case p.AskEngine(engine=name, request=request):
                self._ask(name, request)
            case p.InterruptEngine(engine=name) if name in self._engines:
                self._engines[name].interrupt()
            case p.InterruptEngine():
                pass
            case p.RestartEngine(engine=name):
                if instance := self._engine(name):
                    instance.restart()
            case p.AnswerProgram(connection=connection, message=message):
                self._door.answer(connection, message)
            case _:
                assert_never(command)

    def end(self) -> None:
        """Begin to end every program. From now on nothing is told."""
        self._closing.set()

    async def aclose(self) -> None:
        """End every program, grandchildren too, and return when nothing is left. Safe to call twice."""
        self.end()
        await self._closed.wait()

    async def live(self) -> None:
        """Run the room's terminals until the room ends, then end all its programs. `LocalPrograms` runs this, once."""
        try:
            async with asyncio.TaskGroup() as group:
                starter = group.create_task(self._run_terminals())
                await self._closing.wait()
                starter.cancel()
                for instance in self._engines.values():
                    group.create_task(instance.release())
        finally:
            self._closing.set()
            self._door.close()
            self._closed.set()

    # --- terminals -------------------------------------------------------------------------------

    def _carry_out_in_terminal(
        self, command: p.StartTerminal | p.WriteTerminal | p.ResizeTerminal
    ) -> None:
        terminal = self._terminals.get(command.terminal)
        match command:
            case p.StartTerminal() if terminal is None:
                size = TerminalSize(command.columns, command.rows)
                terminal = Terminal(command.terminal, command.command, size, self._tell)
                self._terminals[command.terminal] = terminal
                self._to_start.put_nowait(terminal)
            case p.WriteTerminal() if terminal is not None:
                terminal.write(command.data)
            case p.ResizeTerminal() if terminal is not None:
                terminal.resize(TerminalSize(command.columns, command.rows))

    async def _run_terminals(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                terminal = await self._to_start.get()
                group.create_task(self._run_terminal(terminal))

    async def _run_terminal(self, terminal: Terminal) -> None:
        try:
            await terminal.run(self._start)
        finally:
            del self._terminals[terminal.name]

    @asynccontextmanager
    async def _start(self, command: tuple[str, ...], size: TerminalSize) -> AsyncIterator[Process]:
        with self._attach() as attachment:
            spec = Spec(
                command=command,
                workspace=self._workspace,
                environment=attachment.environment,
                terminal=size,
                descriptors=attachment.descriptors,
                network=self._plan.network,
                limits=self._machine.limits,
            )
            process = await self._machine.runtime.run(spec)
        async with process:
            yield process

    # --- engines ---------------------------------------------------------------------------------

    def _ask(self, name: str, request: engine.Request) -> None:
        instance = self._engine(name)
        if instance is None:
            return
        try:
            instance.ask(request)
        except LimitExceeded as error:
            for event in _refusal(request, str(error)):
                self._tell(p.EngineSaid(name, event))

    def _engine(self, name: str) -> Instance | None:
        """The room's engine of this name, which is an engine type's; None when there is none, which is told."""
        if name in self._engines:
            return self._engines[name]
        place = Place(
            workspace=self._workspace,
            network=self._plan.network,
            limits=self._machine.limits,
            attach=self._attach,
        )
        try:
            instance = self._machine.backend.allocate(
                f"{self.address} {name}", name, place=place, hear=partial(self._heard, name)
            )
        except (ProgramError, LimitExceeded) as error:
            self._tell(p.EngineChanged(name, "dead", str(error)))
            return None
        self._engines[name] = instance
        return instance

    def _heard(self, name: str, heard: Heard) -> None:
        match heard:
            case Said(event=event):
                self._tell(p.EngineSaid(name, event))
            case Changed(state=state, reason=reason) if state != "absent":
                self._tell(p.EngineChanged(name, state, reason))

    # --- what all programs share -----------------------------------------------------------------

    @contextmanager
    def _attach(self) -> Iterator[Attachment]:
        """What a program is started with: the workspace, made when it is not there, and a way to the values."""
        try:
            self._workspace.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ProgramError(f"the workspace cannot be made: {error.strerror}") from error
        with self._door.connect() as theirs:
            yield Attachment(
                descriptors={VALUES_DESCRIPTOR: theirs.fileno()},
                environment={
                    "ENGINEROOM_ROOM": str(self.address),
                    "ENGINEROOM_VALUES_FD": str(VALUES_DESCRIPTOR),
                },
            )

    def _tell(self, event: p.ProgramEvent) -> None:
        # Later, so that the room never hears of a command within its own call.
        self._loop.call_soon(self._tell_now, event)

    def _tell_now(self, event: p.ProgramEvent) -> None:
        if not self._closing.is_set():
            self._emit(event)


def _refusal(request: engine.Request, reason: str) -> tuple[engine.Event, ...]:
    """What an engine that could not be asked says in answer."""
    match request:
        case engine.Evaluate(id=id):
            return (
                engine.Raised(id, "LimitExceeded", reason, [f"LimitExceeded: {reason}"]),
                engine.Done(id, "error", 0, 0.0),
            )
        case engine.Complete(id=id, cursor=cursor):
            return (engine.Completions(id, cursor, cursor, []),)
        case engine.Answer():
            return ()
        case _:
            assert_never(request)
