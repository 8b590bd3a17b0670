"""The programs of rooms, on the local runtime with real processes."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from engineroom.programs.backend import Backend
from engineroom.programs.room_programs import LocalPrograms
from engineroom.programs.runtimes import LocalRuntime
from engineroom.protocols import engine, lines
from engineroom.protocols.messages import Value, ValueKind
from engineroom.rooms import programs as p
from engineroom.rooms.address import Address
from engineroom.rooms.plan import Plan

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 30
HERE = Address("write", "abc")


def is_alive(pid: int) -> bool:
    """Is there such a process?"""
    return Path(f"/proc/{pid}").exists()


class Room:
    """A room's programs, and what they told."""

    def __init__(self, programs: LocalPrograms, address: Address = HERE) -> None:
        self.told: list[Any] = []
        self._at = 0
        self._new = asyncio.Event()
        self.programs = programs.open(address, Plan(), self._tell)

    def _tell(self, event: p.ProgramEvent) -> None:
        self.told.append(event)
        self._new.set()

    def do(self, command: p.Command) -> None:
        """A command; nothing is told before it has returned."""
        before = len(self.told)
        self.programs.carry_out(command)
        assert len(self.told) == before

    def run(self, code: str, name: str = "e") -> None:
        """Evaluate `code` in the Python engine."""
        self.do(p.AskEngine("python", engine.Evaluate(name, code)))

    async def wait(self, wanted: Callable[[Any], bool]) -> Any:
        """The next event that is wanted."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                while self._at < len(self.told):
                    self._at += 1
                    if wanted(self.told[self._at - 1]):
                        return self.told[self._at - 1]
                self._new.clear()
                await self._new.wait()

    async def wait_told(self, event: p.ProgramEvent) -> None:
        """Wait until exactly this has been told, also earlier than what was waited for last."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while event not in self.told:
                self._new.clear()
                await self._new.wait()

    async def wait_said(self, kind: type[engine.Event]) -> Any:
        """The next event of this type from an engine."""
        said = await self.wait(lambda e: isinstance(e, p.EngineSaid) and isinstance(e.event, kind))
        return said.event

    async def wait_text(self, text: str) -> str:
        """All terminal output, once it holds `text`."""
        await self.wait(lambda _: text in self.text())
        return self.text()

    def text(self) -> str:
        """All terminal output so far."""
        return b"".join(e.data for e in self.told if isinstance(e, p.TerminalWrote)).decode()


@pytest.fixture
async def programs(tmp_path: Path) -> AsyncIterator[LocalPrograms]:
    """Programs on the local runtime, all ended after the test."""
    runtime = LocalRuntime()
    async with (
        Backend(runtime) as backend,
        LocalPrograms(runtime, backend, workspaces=tmp_path / "workspaces") as programs,
    ):
        yield programs


@pytest.fixture
async def room(programs: LocalPrograms) -> Room:
    """A room's programs."""
    return Room(programs)


async def test_nothing_starts_by_itself(programs: LocalPrograms, room: Room) -> None:
    """Opening a room starts nothing and makes no workspace."""
    await asyncio.sleep(0)
    assert room.told == []
    assert not programs.workspace(HERE).exists()


async def test_engine(room: Room) -> None:
    """An evaluation starts the engine and tells its states and events."""
    room.run("6 * 7")
    assert (await room.wait_said(engine.Display)).data == {"text/plain": "42"}
    await room.wait(lambda e: e == p.EngineChanged("python", "idle"))
    states = [event.state for event in room.told if isinstance(event, p.EngineChanged)]
    assert states == ["starting", "busy", "idle"]


async def test_engine_that_there_is_not(room: Room) -> None:
    """An engine of an unknown type is told dead, with the reason."""
    room.do(p.AskEngine("cobol", engine.Evaluate("e", "")))
    changed = await room.wait(lambda e: isinstance(e, p.EngineChanged))
    assert changed.state == "dead"
    assert "cobol" in changed.reason


async def test_interrupt_and_restart(room: Room) -> None:
    """An engine is interrupted and restarted on request; for one that is not there nothing happens."""
    room.do(p.InterruptEngine("python"))
    room.run("print(1)\nwhile True: pass")
    await room.wait_said(engine.Stream)
    room.do(p.InterruptEngine("python"))
    assert (await room.wait_said(engine.Done)).status == "interrupted"
    room.do(p.RestartEngine("python"))
    await room.wait(lambda e: e == p.EngineChanged("python", "restarting"))
    await room.wait(lambda e: e == p.EngineChanged("python", "idle"))


async def test_too_many_requests(room: Room) -> None:
    """Requests past the engine's bound are answered at once: completions empty, an evaluation as failed."""
    for number in range(256):
        room.do(p.AskEngine("python", engine.Complete(str(number), "impor", 5)))
    room.do(p.AskEngine("python", engine.Complete("more", "impor", 5)))
    room.run("1")
    assert await room.wait_said(engine.Completions) == engine.Completions("more", 5, 5, [])
    assert (await room.wait_said(engine.Raised)).name == "LimitExceeded"
    assert (await room.wait_said(engine.Done)).status == "error"
    assert (await room.wait_said(engine.Completions)).matches == ["import"]


async def test_terminal(room: Room) -> None:
    """A terminal runs its command at its size, takes input and sizes in order, and may be started again."""
    for _ in range(2):
        room.told.clear()
        room._at = 0
        room.do(p.StartTerminal("main", ("bash", "--norc"), 90, 20))
        room.do(p.StartTerminal("main", ("false",), 90, 20))
        room.do(p.WriteTerminal("main", b"stty size; exit 7\n"))
        ended = await room.wait(lambda e: isinstance(e, p.TerminalExited))
        assert "20 90" in room.text()
        assert ended == p.TerminalExited("main", 7, "exit code 7")
    room.do(p.WriteTerminal("main", b"nobody"))
    room.do(p.ResizeTerminal("main", 1, 1))


async def test_environment(room: Room, programs: LocalPrograms) -> None:
    """Programs find a clean environment: the workspace, the room, the way to its values, nothing of the server's."""
    os.environ["ENGINEROOM_TEST_SECRET"] = "secret"
    try:
        room.do(p.StartTerminal("main", ("sh", "-c", "env; pwd; echo end"), 500, 20))
        text = await room.wait_text("end")
    finally:
        del os.environ["ENGINEROOM_TEST_SECRET"]
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    workspace = str(programs.workspace(HERE))
    assert found["HOME"] == workspace
    assert found["ENGINEROOM_ROOM"] == "write@abc"
    assert found["ENGINEROOM_VALUES_FD"] == "9"
    assert found["TERM"] == "xterm-256color"
    assert set(found) <= {
        *("PATH", "HOME", "LANG", "TERM", "PYTHONPATH", "PWD", "OLDPWD", "SHLVL", "_"),
        *("ENGINEROOM_ROOM", "ENGINEROOM_VALUES_FD"),
    }
    assert text.splitlines()[-2] == workspace


async def test_programs_share_the_workspace(room: Room, programs: LocalPrograms) -> None:
    """A room's programs share a folder that nobody else can read; another room has another."""
    room.run("open('file', 'w').write('from the cell') and None")
    await room.wait_said(engine.Done)
    room.do(p.StartTerminal("main", ("cat", "file"), 80, 20))
    await room.wait_text("from the cell")
    folder = programs.workspace(HERE)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    other = Room(programs, Address("write", "xyz"))
    other.run("import os; os.listdir()")
    assert (await other.wait_said(engine.Display)).data == {"text/plain": "[]"}


async def test_values_from_a_shell(room: Room) -> None:
    """A line of shell sets a value, and hears the answer."""
    script = (
        'echo \'{"set": "/speed", "value": 4, "id": 1}\' >&$ENGINEROOM_VALUES_FD; '
        "read -r line <&$ENGINEROOM_VALUES_FD; echo heard $line"
    )
    room.do(p.StartTerminal("main", ("bash", "-c", script), 80, 20))
    asked = await room.wait(lambda e: isinstance(e, p.ProgramAsked))
    assert asked.request == lines.Set("/speed", Value(ValueKind.JSON, b"4"), 1)
    room.do(p.AnswerProgram(asked.connection, lines.Ok(1)))
    await room.wait_text('heard {"ok":true,"id":1}')
    await room.wait_told(p.ProgramGone(asked.connection))


async def test_values_from_a_cell(room: Room) -> None:
    """The Python module for programs finds the values from a cell, also after a restart of the engine."""
    for _ in range(2):
        room.run("import engineroom_values as values\nvalues.get('/speed')")
        asked = await room.wait(lambda e: isinstance(e, p.ProgramAsked))
        assert isinstance(asked.request, lines.Get)
        answer = lines.ValueIs("/speed", Value(ValueKind.JSON, b"3"), asked.request.id)
        room.do(p.AnswerProgram(asked.connection, answer))
        assert (await room.wait_said(engine.Display)).data == {"text/plain": "3"}
        room.do(p.RestartEngine("python"))
        await room.wait_told(p.ProgramGone(asked.connection))


async def test_close(room: Room, programs: LocalPrograms) -> None:
    """Closing ends every program and its descendants, tells nothing more, and takes no more commands."""
    room.do(p.StartTerminal("main", ("bash", "-c", "sleep 600 & echo pid $! end; wait"), 80, 20))
    room.run("import subprocess; subprocess.Popen(['sleep', '600']).pid")
    children = [int((await room.wait_said(engine.Display)).data["text/plain"])]
    children.append(int((await room.wait_text("end")).split()[1]))
    count = len(room.told)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(room.programs.aclose(), room.programs.aclose())
    assert not any(is_alive(child) for child in children)
    room.run("1")
    room.do(p.StartTerminal("main", ("true",), 80, 20))
    await asyncio.sleep(0)
    assert len(room.told) == count


async def test_leaving_ends_all(tmp_path: Path) -> None:
    """Leaving ends the programs of rooms that were never closed."""
    runtime = LocalRuntime()
    async with Backend(runtime) as backend:
        async with LocalPrograms(runtime, backend, workspaces=tmp_path / "w") as programs:
            room = Room(programs)
            room.run("import os; os.getpid()")
            pid = int((await room.wait_said(engine.Display)).data["text/plain"])
        assert not is_alive(pid)
        assert backend.instances() == []


async def test_forget(room: Room, programs: LocalPrograms, tmp_path: Path) -> None:
    """A forgotten workspace is gone, however deep, and what links in it point to is not."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    room.run(
        "import os\n"
        f"os.symlink({str(outside)!r}, 'link')\n"
        "for _ in range(1200): os.mkdir('d'); os.chdir('d')"
    )
    assert (await room.wait_said(engine.Done)).status == "ok"
    await programs.forget(HERE)
    assert not programs.workspace(HERE).exists()
    assert (outside / "precious").exists()
    await programs.forget(HERE)


async def test_forget_a_workspace_that_is_a_link(programs: LocalPrograms, tmp_path: Path) -> None:
    """Where a link stands in the workspace's place, the link alone is removed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    programs.workspace(HERE).symlink_to(outside)
    await programs.forget(HERE)
    assert outside.is_dir()
    assert not programs.workspace(HERE).is_symlink()
