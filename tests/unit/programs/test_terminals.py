"""One terminal's program, on the local runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engineroom.programs import terminals
from engineroom.programs.runtimes import LocalRuntime, Process, Spec, TerminalSize
from engineroom.programs.terminals import Terminal
from engineroom.rooms.programs import TerminalExited, TerminalWrote

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 30


def is_alive(pid: int) -> bool:
    """Is there such a process?"""
    return Path(f"/proc/{pid}").exists()


class Shown:
    """A terminal that runs, and what it told."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.told: list[Any] = []
        self._folder = folder
        self._new = asyncio.Event()
        self.terminal = Terminal("main", command, TerminalSize(100, 30), self._tell)

    def _tell(self, event: Any) -> None:
        self.told.append(event)
        self._new.set()

    @property
    def text(self) -> str:
        """All output so far."""
        return b"".join(e.data for e in self.told if isinstance(e, TerminalWrote)).decode()

    async def wait_text(self, text: str) -> None:
        """Wait until the output holds `text`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while text not in self.text:
                self._new.clear()
                await self._new.wait()

    @asynccontextmanager
    async def start(self, command: tuple[str, ...], size: TerminalSize) -> AsyncIterator[Process]:
        spec = Spec(command=command, workspace=self._folder, terminal=size)
        async with await LocalRuntime().run(spec) as process:
            yield process

    async def run(self) -> None:
        """Run it to its end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.terminal.run(self.start)


async def test_output_and_end(tmp_path: Path) -> None:
    """All that the program writes is told, and then how it ended."""
    shown = Shown(tmp_path, "sh", "-c", "echo one; echo two >&2; exit 3")
    await shown.run()
    assert shown.text == "one\r\ntwo\r\n"
    assert shown.told[-1] == TerminalExited("main", 3, "exit code 3")


async def test_input_in_order(tmp_path: Path) -> None:
    """What is written reaches the program in order, also what was written before it started."""
    shown = Shown(tmp_path, "sh", "-c", "stty -echo; read a; read b; echo $a-$b")
    shown.terminal.write(b"first\n")
    async with asyncio.TaskGroup() as group:
        group.create_task(shown.run())
        shown.terminal.write(b"second\n")
    assert "first-second\r\n" in shown.text


async def test_size(tmp_path: Path) -> None:
    """The program finds the size it was started with, and hears of another one."""
    script = "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.01; done"
    shown = Shown(tmp_path, "bash", "-c", script)
    async with asyncio.TaskGroup() as group:
        group.create_task(shown.run())
        await shown.wait_text("30 100")
        shown.terminal.resize(TerminalSize(120, 40))
    assert "40 120" in shown.text


async def test_command_that_is_missing(tmp_path: Path) -> None:
    """A command that cannot be started is an end, with the reason."""
    shown = Shown(tmp_path, "/no/such/command")
    await shown.run()
    (ended,) = shown.told
    assert ended.code is None
    assert "/no/such/command" in ended.reason


async def test_killed_by_a_signal(tmp_path: Path) -> None:
    """A program that a signal has ended says which."""
    shown = Shown(tmp_path, "sh", "-c", "kill -9 $$")
    await shown.run()
    assert shown.told[-1] == TerminalExited("main", None, "signal SIGKILL")


async def test_input_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit, while the program does not read, is lost, and the rest arrives whole."""
    monkeypatch.setattr(terminals, "MAX_INPUT_BYTES", 100)
    shown = Shown(tmp_path, "sh", "-c", "stty -echo; read a; echo got $a")
    shown.terminal.write(b"x" * 99)
    shown.terminal.write(b"too much")
    shown.terminal.write(b"\n")
    await shown.run()
    assert shown.text.endswith("got " + "x" * 99 + "\r\n")


async def test_cancelled(tmp_path: Path) -> None:
    """Cancelled, it ends the program with its descendants and tells nothing more."""
    shown = Shown(tmp_path, "sh", "-c", "sleep 600 & echo pid $! end; wait")
    task = asyncio.create_task(shown.run())
    await shown.wait_text("end")
    child = int(shown.text.split()[1])
    task.cancel()
    await asyncio.wait([task])
    assert not is_alive(child)
    assert not any(isinstance(event, TerminalExited) for event in shown.told)
