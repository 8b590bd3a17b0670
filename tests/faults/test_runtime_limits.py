"""Programs that take all they can get are contained, and the reason of their end is named."""

import asyncio
import os
from pathlib import Path

import pytest

from engineroom.programs.runtimes import Limits, LocalRuntime, Runtime, SandboxRuntime, TerminalSize
from engineroom.programs.runtimes.limits import Cgroups, find_cgroups
from engineroom.testing.runtimes import (
    PATIENCE_SECONDS,
    lifeline,
    python,
    read_all,
    read_until,
    shell,
)

pytestmark = pytest.mark.anyio

BOMB = """if True:
    import os
    full = False
    while True:
        try:
            os.fork()
        except OSError:
            if not full:
                full = True
                os.write(1, b'full\\n')
"""
HOG = "data = []\nwhile True: data.append(bytes(1 << 20) + bytes(1))"
PROCESSES = 64
MEMORY_BYTES = 96 << 20

GROUPS = find_cgroups()
grouped = pytest.mark.skipif(
    not GROUPS.holds("pids") or not GROUPS.holds("memory"),
    reason="this machine lets this user make no control groups for memory and processes",
)


def bounded(name: str, runtime: Runtime) -> object:
    """A parameter: a runtime in which a fork bomb is bounded."""
    return pytest.param(runtime, id=name, marks=[grouped] if "cgroups" in name else [])


BOUNDED = [
    bounded("sandbox-cgroups", SandboxRuntime(GROUPS)),
    bounded("sandbox-rlimits", SandboxRuntime(Cgroups())),
    bounded("local-cgroups", LocalRuntime(GROUPS)),
]


@pytest.mark.parametrize("runtime", BOUNDED)
async def test_a_fork_bomb_is_bounded_and_ends(runtime: Runtime, tmp_path: Path) -> None:
    """A fork bomb never has more processes than the limit, and ends as a whole when it is killed."""
    limits = Limits(processes=PROCESSES)
    with lifeline() as (descriptors, all_gone):
        spec = python(BOMB, tmp_path, limits=limits, descriptors=descriptors)
        async with asyncio.timeout(PATIENCE_SECONDS), await runtime.run(spec) as process:
            await read_until(process, b"full\n")
            # By resource limits the runtime's own two processes may be the program's instead.
            assert PROCESSES // 2 <= process.statistics().processes <= PROCESSES + 2
            await process.kill()
            assert all_gone()


@grouped
@pytest.mark.parametrize("runtime", [LocalRuntime(GROUPS), SandboxRuntime(GROUPS)])
async def test_a_memory_hog_is_ended_and_named(runtime: Runtime, tmp_path: Path) -> None:
    """A program that takes more memory than its limit is killed, and the reason says why."""
    spec = python(HOG, tmp_path, limits=Limits(memory_bytes=MEMORY_BYTES))
    async with asyncio.timeout(PATIENCE_SECONDS), await runtime.run(spec) as process:
        assert (await process.wait()).reason == "killed: out of memory"


@grouped
@pytest.mark.parametrize("runtime", [LocalRuntime(GROUPS), SandboxRuntime(GROUPS)])
async def test_the_hog_of_a_shell_is_named(runtime: Runtime, tmp_path: Path) -> None:
    """A shell that ends with the code of its killed command is told as out of memory too, in a terminal too."""
    script = f"python -I -S -c '{HOG}'"
    for terminal in (None, TerminalSize()):
        spec = shell(
            script + "; exit $?",
            tmp_path,
            limits=Limits(memory_bytes=MEMORY_BYTES),
            terminal=terminal,
        )
        async with asyncio.timeout(PATIENCE_SECONDS), await runtime.run(spec) as process:
            ended = await process.wait()
            assert (ended.code, ended.reason) == (137, "killed: out of memory")


@pytest.mark.parametrize("runtime", [LocalRuntime(Cgroups()), SandboxRuntime(Cgroups())])
async def test_without_groups_each_process_is_bounded(runtime: Runtime, tmp_path: Path) -> None:
    """Without control groups, a process that wants more memory than the limit is refused it."""
    spec = python(HOG, tmp_path, limits=Limits(memory_bytes=MEMORY_BYTES))
    async with asyncio.timeout(PATIENCE_SECONDS), await runtime.run(spec) as process:
        assert (await process.wait()).reason == "exit code 1"
        assert b"MemoryError" in await process.read_errors()


@grouped
async def test_the_neighbours_of_a_hog_live_on(tmp_path: Path) -> None:
    """A memory hog ends alone: another program of the same runtime is not touched."""
    runtime = SandboxRuntime(GROUPS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with await runtime.run(shell("read line; echo alive", tmp_path)) as neighbour:
            spec = python(HOG, tmp_path, limits=Limits(memory_bytes=MEMORY_BYTES))
            async with await runtime.run(spec) as hog:
                await hog.wait()
            await neighbour.write(b"\n")
            assert await read_all(neighbour) == b"alive\n"


async def test_the_sandbox_keeps_no_more_than_its_size_in_memory(tmp_path: Path) -> None:
    """What a sandboxed program writes to /tmp is bounded, and nothing else in memory can be written."""
    script = """
        head -c 3000000 /dev/zero > /tmp/big; stat -c %s /tmp/big
        for folder in / /dev /etc /run /usr /dev/pts; do (: > $folder/file) && echo "$folder is open"; done
        exit 0
    """
    runtime = SandboxRuntime(Cgroups())
    spec = shell(script, tmp_path, limits=Limits(temporary_bytes=1 << 20))
    async with asyncio.timeout(PATIENCE_SECONDS), await runtime.run(spec) as process:
        assert await read_all(process) == b"1048576\n"


@grouped
async def test_no_group_is_left(tmp_path: Path) -> None:
    """After programs have ended, by themselves or killed or never begun, their control groups are gone."""
    runtime = SandboxRuntime(GROUPS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with await runtime.run(shell("exit 0", tmp_path)) as process:
            await process.wait()
        async with await runtime.run(shell("sleep 1000", tmp_path)):
            assert groups_of(os.getpid())
        with pytest.raises(Exception, match="no-such-command"):
            await runtime.run(shell("", tmp_path, command=("no-such-command",)))
    assert groups_of(os.getpid()) == []


def groups_of(server: int) -> list[Path]:
    """The control groups that a server's programs have now."""
    parents = {parent for _, parent in GROUPS.parents}
    return [folder for parent in parents for folder in parent.glob(f"engineroom-{server}-*")]
