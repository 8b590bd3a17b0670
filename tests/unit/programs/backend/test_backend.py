"""The backend and its instances, on the local runtime with real engines."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engineroom.errors import LimitExceeded, ProgramError
from engineroom.programs.backend import Backend, Changed, Instance, Place, Said
from engineroom.programs.engines.types import EngineType
from engineroom.programs.runtimes import LocalRuntime
from engineroom.protocols import engine

pytestmark = pytest.mark.anyio

Speaks = Callable[..., Instance]


def is_alive(pid: int) -> bool:
    """Is there such a process, and no zombie?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_first_request_starts_the_engine(instance: Instance, ear: Any) -> None:
    """An engine starts with the first request, and tells its states and the evaluation in order."""
    assert instance.state == "absent"
    instance.ask(engine.Evaluate("a", "2 + 2"))
    await ear.wait_state("idle")
    assert ear.states() == ["starting", "busy", "idle"]
    events = [heard.event for heard in ear.heard if isinstance(heard, Said)]
    assert isinstance(events[0], engine.Ready)
    assert events[1] == engine.Started("a", 1)
    assert events[2] == engine.Display("a", {"text/plain": "4"}, result=True)
    assert isinstance(events[3], engine.Done)
    assert len(events) == 4


async def test_allocation_is_idempotent(
    backend: Backend, instance: Instance, types: dict[str, EngineType], tmp_path: Path
) -> None:
    """One key is one instance, of one type."""
    same = backend.allocate("key", "python", place=Place(tmp_path), hear=lambda heard: None)
    assert same is instance
    types["other"] = types["python"]
    types["other"] = dataclasses.replace(types["python"], name="other")
    with pytest.raises(ProgramError, match="is allocated as python"):
        backend.allocate("key", "other", place=Place(tmp_path), hear=lambda heard: None)


async def test_unknown_type(backend: Backend, tmp_path: Path) -> None:
    """An engine type that is not there is refused, naming those that are."""
    with pytest.raises(ProgramError, match=r"no engine type 'cobol' \(there are: python\)"):
        backend.allocate("key", "cobol", place=Place(tmp_path), hear=lambda heard: None)


async def test_instances_are_bounded(tmp_path: Path) -> None:
    """Only so many instances are allocated; a released one makes room."""
    async with Backend(LocalRuntime(), max_instances=1) as backend:
        first = backend.allocate("1", "python", place=Place(tmp_path), hear=lambda heard: None)
        with pytest.raises(LimitExceeded):
            backend.allocate("2", "python", place=Place(tmp_path), hear=lambda heard: None)
        await first.release()
        backend.allocate("2", "python", place=Place(tmp_path), hear=lambda heard: None)


async def test_requests_share_one_start(instance: Instance, ear: Any) -> None:
    """Requests during a start wait for it together; Codenode failed the second one."""
    for name in "abc":
        instance.ask(engine.Evaluate(name, f"'{name}'"))
    instance.ask(engine.Complete("d", "impor", 5))
    for name in "abc":
        await ear.wait_event(engine.Done, id=name)
    await ear.wait_state("idle")
    assert ear.states() == ["starting", "busy", "idle"]


async def test_completion_does_not_make_busy(instance: Instance, ear: Any) -> None:
    """Completing is no evaluation."""
    instance.ask(engine.Complete("c", "impor", 5))
    found = await ear.wait_event(engine.Completions, id="c")
    assert found.matches == ["import"]
    assert ear.states() == ["starting", "idle"]


async def test_input(instance: Instance, ear: Any) -> None:
    """An answer reaches the evaluation that asked."""
    instance.ask(engine.Evaluate("a", "input('name? ')"))
    await ear.wait_event(engine.InputRequest, prompt="name? ")
    instance.ask(engine.Answer("a", "Ada"))
    shown = await ear.wait_event(engine.Display)
    assert shown.data == {"text/plain": "'Ada'"}


async def test_exit_before_ready(speaks: Speaks, ear: Any) -> None:
    """An engine that ends before it is ready is dead at once, with its last words."""
    speaks("sys.exit('no licence found')").ask(engine.Evaluate("a", ""))
    assert await ear.wait_state("dead") == "exit code 1:\nno licence found"
    assert ear.states() == ["starting", "dead"]


async def test_command_that_is_missing(
    backend: Backend, types: dict[str, EngineType], ear: Any, tmp_path: Path
) -> None:
    """A missing binary is told at once; Codenode waited for a minute."""
    types["odd"] = EngineType("odd", "", ("/no/such/binary",))
    instance = backend.allocate("odd", "odd", place=Place(tmp_path), hear=ear.hear)
    instance.ask(engine.Evaluate("a", ""))
    assert "/no/such/binary" in await ear.wait_state("dead")


async def test_failed_start_is_not_for_ever(speaks: Speaks, ear: Any, tmp_path: Path) -> None:
    """After a failed start the next request tries again."""
    code = (
        f"mark = {str(tmp_path / 'mark')!r}\n"
        "if not os.path.exists(mark): open(mark, 'w'); sys.exit(1)\n"
        "ready(); time.sleep(60)"
    )
    instance = speaks(code)
    instance.ask(engine.Evaluate("a", ""))
    await ear.wait_state("dead")
    instance.ask(engine.Evaluate("b", ""))
    await ear.wait_state("busy")
    assert ear.states() == ["starting", "dead", "starting", "busy"]


async def test_never_ready(speaks: Speaks, ear: Any) -> None:
    """An engine that is not ready in time is ended."""
    speaks("time.sleep(600)", start_seconds=0.2).ask(engine.Evaluate("a", ""))
    assert "not ready within 0.2 s" in await ear.wait_state("dead")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("say(type='started', id='a', count=1)", "it spoke before it was ready"),
        ("ready(); os.write(3, b'garbage\\n')", "it sent a line that is no event"),
        ("ready(); os.write(3, b'\\xff\\xfe\\n')", "it sent a line that is no event"),
        ("ready(); say(type='unheard-of')", "it sent a line that is no event"),
        ("ready(); say(type='stream', id=5)", "it sent a line that is no event"),
        ("ready(); os.write(3, b'[' * 100_000 + b'\\n')", "it sent a line that is no event"),
        (
            "ready()\nfor _ in range(17): os.write(3, b'x' * 2**20)",
            "it sent a line of more than 16777216 bytes",
        ),
        ("ready(); os.close(3)", "it closed its conversation"),
    ],
)
async def test_lying_engine(speaks: Speaks, ear: Any, code: str, reason: str) -> None:
    """An engine that does not keep to the protocol is ended, and the reason told."""
    instance = speaks(code + "\ntime.sleep(600)")
    instance.ask(engine.Evaluate("a", ""))
    assert reason in await ear.wait_state("dead")


async def test_events_about_nothing_are_dropped(speaks: Speaks, ear: Any) -> None:
    """What an engine says about evaluations that nobody asked for is not told."""
    instance = speaks(
        "ready(); os.read(3, 10_000)\n"
        "for id in ('other', 'a'): say(type='done', id=id, status='ok', count=1, seconds=0)\n"
        "time.sleep(600)"
    )
    instance.ask(engine.Evaluate("a", ""))
    assert (await ear.wait_event(engine.Done)).id == "a"


async def test_standard_streams_of_the_process_do_not_hold_it_back(
    speaks: Speaks, ear: Any
) -> None:
    """What an engine writes past its conversation is read away, the end of it kept for its last words."""
    speaks("print('x' * 1_000_000 + 'the end'); sys.exit(1)").ask(engine.Evaluate("a", ""))
    reason = await ear.wait_state("dead")
    assert reason.endswith("xthe end")
    assert len(reason) < 5000


async def test_interrupt(instance: Instance, ear: Any) -> None:
    """An interrupt ends the evaluation and nothing else."""
    instance.ask(engine.Evaluate("a", "print(1)\nwhile True: pass"))
    await ear.wait_event(engine.Stream)
    instance.interrupt()
    assert (await ear.wait_event(engine.Done)).status == "interrupted"
    await ear.wait_state("idle")
    assert "dead" not in ear.states()


async def test_interrupt_before_the_evaluation_has_started(instance: Instance, ear: Any) -> None:
    """An interrupt that comes while the engine starts is not lost."""
    instance.ask(engine.Evaluate("a", "while True: pass"))
    instance.interrupt()
    assert (await ear.wait_event(engine.Done)).status == "interrupted"


async def test_interrupt_right_after_asking(instance: Instance, ear: Any) -> None:
    """An interrupt that would overtake its evaluation waits for it, every time."""
    for number in range(20):
        instance.ask(engine.Evaluate(f"a{number}", "while True: pass"))
        instance.interrupt()
        assert (await ear.wait_event(engine.Done, id=f"a{number}")).status == "interrupted"


async def test_interrupt_while_idle(instance: Instance, ear: Any) -> None:
    """An interrupt of an engine that does nothing, or is not there, does nothing."""
    instance.interrupt()
    instance.ask(engine.Evaluate("a", "1"))
    await ear.wait_state("idle")
    instance.interrupt()
    instance.ask(engine.Evaluate("b", "2"))
    assert (await ear.wait_event(engine.Done)).status == "ok"


async def test_restart(instance: Instance, ear: Any) -> None:
    """A restart forgets the running evaluation and all names, and what is asked after it is answered."""
    instance.ask(engine.Evaluate("a", "x = 1\nprint(1)\nwhile True: pass"))
    await ear.wait_event(engine.Stream)
    before = instance.info().pid
    instance.restart()
    instance.ask(engine.Evaluate("b", "x"))
    assert (await ear.wait_event(engine.Raised)).name == "NameError"
    await ear.wait_state("idle")
    assert ear.states() == ["starting", "busy", "restarting", "busy", "idle"]
    assert instance.info().pid != before
    done = [
        h.event.id for h in ear.heard if isinstance(h, Said) and isinstance(h.event, engine.Done)
    ]
    assert done == ["b"]


async def test_restart_at_any_moment(instance: Instance, ear: Any) -> None:
    """Restarts of an engine that is absent, starting or restarting end in one engine that answers."""
    for turns in (0, 1, 5, 50, 500):
        instance.restart()
        for _ in range(turns):
            await asyncio.sleep(0)
        instance.restart()
        instance.ask(engine.Evaluate(f"a{turns}", "1"))
        await ear.wait_event(engine.Done, id=f"a{turns}")


async def test_release(instance: Instance, backend: Backend, ear: Any) -> None:
    """A released engine is gone with all its descendants, is heard no more, and leaves the list."""
    code = "import subprocess\nprint(subprocess.Popen(['sleep', '600']).pid)"
    instance.ask(engine.Evaluate("a", code))
    child = int((await ear.wait_event(engine.Stream)).text)
    await ear.wait_state("idle")
    count = len(ear.heard)
    pid = instance.info().pid
    assert pid is not None
    await instance.release()
    await instance.release()
    instance.ask(engine.Evaluate("b", "1"))
    assert (is_alive(pid), is_alive(child)) == (False, False)
    assert len(ear.heard) == count
    assert backend.instances() == []


async def test_list(instance: Instance, backend: Backend, ear: Any) -> None:
    """The list tells type, state, process, age, idleness, memory and processor time of each instance."""
    instance.ask(engine.Evaluate("a", "sum(range(1_000_000))"))
    await ear.wait_state("idle")
    (info,) = backend.instances()
    assert (info.key, info.type, info.state, info.reason) == ("key", "python", "idle", "")
    assert info.pid is not None
    assert is_alive(info.pid)
    assert info.age_seconds >= info.idle_seconds >= 0
    assert info.memory_bytes > 1_000_000
    assert info.processes >= 1


async def test_leaving_ends_all(tmp_path: Path, ear: Any) -> None:
    """Leaving the backend ends every engine, also one that is just starting, also after an error."""
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with Backend(LocalRuntime()) as backend:
            instance = backend.allocate("1", "python", place=Place(tmp_path), hear=ear.hear)
            instance.ask(engine.Evaluate("a", "1"))
            await ear.wait_state("idle")
            pid = instance.info().pid
            other = backend.allocate("2", "python", place=Place(tmp_path), hear=lambda heard: None)
            other.ask(engine.Evaluate("a", "1"))
            1 / 0  # noqa: B018
    assert pid is not None
    assert not is_alive(pid)


async def test_death_is_told_once(instance: Instance, ear: Any) -> None:
    """An engine that is killed is told dead once, after its last output, and forgets what it was asked."""
    instance.ask(engine.Evaluate("a", "import os\nprint(1)\nos.kill(os.getpid(), 9)"))
    instance.ask(engine.Evaluate("b", "1"))
    assert await ear.wait_state("dead") == "signal SIGKILL"
    assert ear.heard[-1] == Changed("dead", "signal SIGKILL")
    assert ear.states() == ["starting", "busy", "dead"]
    instance.ask(engine.Evaluate("c", "1"))
    assert (await ear.wait_event(engine.Done)).id == "c"


async def test_idle_engine_that_is_killed(instance: Instance, ear: Any) -> None:
    """Death is noticed also when nothing is asked; Codenode's dead engines stayed listed."""
    instance.ask(engine.Evaluate("a", "import os; os.getpid()"))
    pid = int((await ear.wait_event(engine.Display)).data["text/plain"])
    await ear.wait_state("idle")
    os.kill(pid, signal.SIGTERM)
    assert await ear.wait_state("dead") == "signal SIGTERM"
