"""Engines that are killed, that will not end, that flood, and what they leave behind: on both runtimes."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest

from engineroom.programs.backend import Backend, Changed, Heard, Instance, Place, Said
from engineroom.programs.engines.types import python_type
from engineroom.programs.room_programs import LocalPrograms
from engineroom.programs.runtimes import Limits, Runtime, choose
from engineroom.protocols import engine
from engineroom.rooms import programs as p
from engineroom.rooms.address import Address
from engineroom.rooms.plan import Plan
from engineroom.testing.engines import Ear

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 60
# Found on the command lines of what the tests start, and on no other.
MARK = "86399.25"


@pytest.fixture(params=["local", "sandbox"])
async def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each runtime in turn; without bubblewrap the tests fail, and say so."""
    name: Literal["local", "sandbox"] = request.param
    return (await choose(name)).runtime


class Engine(Ear):
    """A Python engine with little patience for interrupts, and what was heard of it."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        super().__init__()
        self.instance: Instance = backend.allocate(
            "engine", "python", place=Place(folder), hear=self.hear
        )

    def run(self, code: str, name: str = "e") -> None:
        """Begin an evaluation."""
        self.instance.ask(engine.Evaluate(name, code))

    async def wait_dead(self) -> str:
        """Why it is dead."""
        return await self.wait_state("dead")


@pytest.fixture
async def python(runtime: Runtime, tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine in a folder of its own."""
    kind = dataclasses.replace(python_type(), interrupt_grace_seconds=0.3)
    async with Backend(runtime, {"python": kind}) as backend:
        yield Engine(backend, tmp_path)
    assert not find_processes(MARK)


def find_processes(mark: str) -> list[int]:
    """The processes of this machine with `mark` on their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "cmdline").read_text(errors="replace"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


START_CHILDREN = f"""
import subprocess
subprocess.Popen(["sleep", "{MARK}"])
subprocess.Popen(["setsid", "sleep", "{MARK}"])
subprocess.Popen(["sh", "-c", "(setsid sh -c 'sleep {MARK}; :' &) &"]).wait()
print("children")
"""


async def test_killed_while_busy(python: Engine) -> None:
    """An engine that is killed in the middle of an evaluation is told dead once, its children die, and it returns."""
    python.run(START_CHILDREN + "import os; os.kill(os.getpid(), 9)")
    assert await python.wait_dead() == "signal SIGKILL"
    assert not find_processes(MARK)
    python.run("6 * 7", "again")
    assert (await python.wait_event(engine.Display)).data == {"text/plain": "42"}
    deaths = [heard for heard in python.heard if isinstance(heard, Changed) and heard.reason]
    assert len(deaths) == 1


async def test_interrupt_of_an_endless_loop(python: Engine) -> None:
    """`while True: pass` ends at an interrupt, and the engine with its names goes on."""
    python.run("x = 5\nprint(1)\nwhile True: pass")
    await python.wait_event(engine.Stream)
    python.instance.interrupt()
    assert (await python.wait_event(engine.Done)).status == "interrupted"
    python.run("x", "again")
    assert (await python.wait_event(engine.Display)).data == {"text/plain": "5"}


async def test_code_that_refuses_interrupts(python: Engine) -> None:
    """Code that catches every interrupt is ended with its engine after the grace, and the reason says so."""
    code = "while True:\n try:\n  print(1)\n  while True: pass\n except BaseException: pass"
    python.run(code)
    await python.wait_event(engine.Stream)
    python.instance.interrupt()
    reason = await python.wait_dead()
    assert "did not stop within 0.3 s of an interrupt" in reason
    assert "SIGTERM" in reason


async def test_code_that_refuses_to_end(python: Engine) -> None:
    """Code that ignores SIGINT and SIGTERM is killed in the end, with its children; Codenode left them orphans."""
    ignore = "import signal\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\n"
    python.run(START_CHILDREN.replace("print", "#") + ignore + "print('ready')\nwhile True: pass")
    await python.wait_event(engine.Stream)
    python.instance.interrupt()
    reason = await python.wait_dead()
    assert "did not stop within 0.3 s of an interrupt" in reason
    assert not find_processes(MARK)


async def test_release_of_an_engine_that_refuses_to_end(python: Engine) -> None:
    """Releasing does not wait for an engine that ignores every signal."""
    ignore = "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\n"
    python.run(START_CHILDREN + ignore + "while True: pass")
    await python.wait_event(engine.Stream)
    await python.instance.release()
    assert not find_processes(MARK)


async def test_stopped_engine(python: Engine) -> None:
    """An engine that is stopped (SIGSTOP) can be restarted."""
    python.run(
        "import os\nprint(1, flush=True)\nimport time; time.sleep(.1)\nos.kill(os.getpid(), 19)"
    )
    await python.wait_event(engine.Stream)
    python.instance.restart()
    python.run("1", "again")
    assert (await python.wait_event(engine.Display)).data == {"text/plain": "1"}


async def test_flood(python: Engine) -> None:
    """An engine that prints without end is interrupted like any other, and others are served meanwhile."""
    python.run("while True: print('x' * 10_000)")
    await python.wait_event(engine.Stream)
    python.instance.interrupt()
    assert (await python.wait_event(engine.Done)).status == "interrupted"


async def test_out_of_memory(runtime: Runtime, tmp_path: Path) -> None:
    """An engine that takes more memory than it may is told so, or dead of it, and never hangs."""
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    limits = Limits(memory_bytes=128 * 1024 * 1024)
    async with Backend(runtime) as backend:
        instance = backend.allocate(
            "engine", "python", place=Place(tmp_path, limits=limits), hear=heard.put_nowait
        )
        instance.ask(engine.Evaluate("e", "hog = [bytearray(2**20) for _ in range(4096)]"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                one = await heard.get()
                if isinstance(one, Changed) and one.state == "dead":
                    assert "out of memory" in one.reason
                    break
                if isinstance(one, Said) and isinstance(one.event, engine.Raised):
                    assert one.event.name == "MemoryError"
                    break


async def test_descendants_end_with_the_room(runtime: Runtime, tmp_path: Path) -> None:
    """When a room closes, the descendants of its engines and terminals are gone, in whatever session."""
    told: list[p.ProgramEvent] = []
    new = asyncio.Event()

    def tell(event: p.ProgramEvent) -> None:
        told.append(event)
        new.set()

    def has(text: str) -> bool:
        return any(isinstance(e, p.TerminalWrote) and text.encode() in e.data for e in told)

    async with (
        Backend(runtime) as backend,
        LocalPrograms(runtime, backend, workspaces=tmp_path / "workspaces") as programs,
    ):
        room = programs.open(Address("write", "abc"), Plan(), tell)
        script = f"(setsid sh -c 'sleep {MARK}; :' &) & sleep 0.2; echo started; sleep {MARK}"
        room.carry_out(p.StartTerminal("main", ("sh", "-c", script), 80, 20))
        room.carry_out(p.AskEngine("python", engine.Evaluate("e", START_CHILDREN)))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (has("started") and any(is_done(event) for event in told)):
                new.clear()
                await new.wait()
            assert len(find_processes(MARK)) >= 3
            await room.aclose()
        assert not find_processes(MARK)


def is_done(event: p.ProgramEvent) -> bool:
    """Is it the end of an evaluation?"""
    return isinstance(event, p.EngineSaid) and isinstance(event.event, engine.Done)
