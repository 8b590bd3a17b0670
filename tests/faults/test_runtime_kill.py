"""Whoever is killed, server or guardian, no program and no control group outlives it for long."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engineroom.programs.runtimes import LocalRuntime, Runtime, SandboxRuntime
from engineroom.programs.runtimes.limits import find_cgroups
from engineroom.programs.runtimes.usage import children_of
from engineroom.testing.runtimes import PATIENCE_SECONDS, lifeline, read_until, shell

pytestmark = pytest.mark.anyio

STUBBORN = """
    trap '' TERM HUP INT
    (setsid sh -c 'trap "" TERM HUP INT; sleep 1001 & sleep 1002' &)
    echo ready
    while :; do sleep 1003; done
"""
BOMB = "echo ready; bomb() { bomb | bomb & }; bomb; sleep 1000"

SERVER = """
import asyncio, sys
from pathlib import Path
from engineroom.programs.runtimes import Limits, LocalRuntime, SandboxRuntime, TerminalSize
from engineroom.programs.runtimes.limits import find_cgroups
from engineroom.testing.runtimes import read_until, shell

async def main(kind, script, folder, lifeline):
    runtime = {"local": LocalRuntime, "sandbox": SandboxRuntime}[kind](find_cgroups())
    for terminal in (None, TerminalSize()):
        spec = shell(
            script, Path(folder), terminal=terminal, descriptors={9: int(lifeline)},
            limits=Limits(processes=64),
        )
        await read_until(await runtime.run(spec), b"ready")
    print("ready", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main(*sys.argv[1:]))
"""


@contextmanager
def running_server(kind: str, script: str, folder: Path, alive: int) -> Iterator[int]:
    """A process that runs two programs as a server does; its id."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, kind, script, str(folder), str(alive)],
        pass_fds=[alive],
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout
            assert server.stdout.readline() == "ready\n"
            yield server.pid
        finally:
            server.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fail when it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def groups_of(server: int) -> list[Path]:
    """The control groups that a server's programs have now."""
    parents = {parent for _, parent in find_cgroups().parents}
    return [folder for parent in parents for folder in parent.glob(f"engineroom-{server}-*")]


@pytest.mark.parametrize("script", [STUBBORN, BOMB], ids=["stubborn", "bomb"])
@pytest.mark.parametrize("kind", ["local", "sandbox"])
def test_nothing_outlives_a_killed_server(kind: str, script: str, tmp_path: Path) -> None:
    """SIGKILL of the server leaves no program, no descendant, no guardian and no control group."""
    if script == BOMB and kind == "local" and not find_cgroups().holds("pids"):
        pytest.skip("a local fork bomb is bounded by control groups alone, and there are none here")
    readable, writable = os.pipe()
    with running_server(kind, script, tmp_path, writable) as server:
        os.close(writable)
        guardians = children_of(server)
        assert len(guardians) == 2
        os.kill(server, signal.SIGKILL)
        # The lifeline ends when the last process that holds it does.
        assert os.read(readable, 1) == b""
        os.close(readable)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in guardians))
        assert groups_of(server) == []


@pytest.mark.parametrize(
    "runtime",
    [
        pytest.param(LocalRuntime(find_cgroups()), id="local"),
        pytest.param(SandboxRuntime(find_cgroups()), id="sandbox"),
        pytest.param(SandboxRuntime(), id="sandbox-without-cgroups"),
    ],
)
async def test_a_killed_guardian_is_replaced_by_the_server(
    runtime: Runtime, tmp_path: Path
) -> None:
    """SIGKILL of a guardian ends its program; the server notices, says so, and tidies up."""
    if runtime.name == "local" and not find_cgroups().parents:
        pytest.skip(
            "without control groups a local program's grandchildren are its guardian's alone"
        )
    with lifeline() as (descriptors, all_gone):
        spec = shell(STUBBORN, tmp_path, descriptors=descriptors)
        async with asyncio.timeout(PATIENCE_SECONDS), await runtime.run(spec) as process:
            await read_until(process, b"ready\n")
            for guardian in children_of(os.getpid()):
                if process.pid in children_of(guardian):
                    os.kill(guardian, signal.SIGKILL)
            ended = await process.wait()
            assert ended.reason == "its guardian was killed"
        wait_until(all_gone)
    assert groups_of(os.getpid()) == []


async def test_a_guardian_is_deaf_to_signals_for_programs(tmp_path: Path) -> None:
    """SIGTERM, SIGINT and SIGHUP do not end a guardian, so that it can end its program."""
    async with await LocalRuntime().run(shell("echo ready; sleep 1000", tmp_path)) as process:
        await read_until(process, b"ready\n")
        guardian = next(pid for pid in children_of(os.getpid()) if process.pid in children_of(pid))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            os.kill(guardian, number)
        process.signal(signal.SIGTERM)
        assert (await process.wait()).reason == "signal SIGTERM"
