"""The contract suite of runtimes: what every `programs.runtimes.Runtime` promises, one check a promise.

    @pytest.mark.parametrize("check", RUNTIME_CHECKS, ids=lambda check: check.__name__)
    async def test_contract(check, tmp_path):
        await check(MyRuntime(), tmp_path)

or all of them at once, with `await check_runtime(runtime, make_folder)`. A check is given the runtime and an empty
folder. Programs are looked for to their end by a *lifeline*: a pipe that every descendant inherits, and whose reader
finds the end of it once the last of them has gone, whatever its session, parent or process namespace.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from engineroom.errors import ProgramError
from engineroom.programs.runtimes import Limits, Process, Runtime, Spec, TerminalSize

Check: TypeAlias = Callable[[Runtime, Path], Awaitable[None]]

PATIENCE_SECONDS = 60.0  # what has not come by then never will
LIFELINE = 9
MEGABYTE = 1 << 20


def shell(script: str, workspace: Path, **fields: object) -> Spec:
    """A shell script to be run in the folder."""
    spec = Spec(command=("sh", "-c", script), workspace=workspace)
    return replace(spec, **fields)  # type: ignore[arg-type]


def python(program: str, workspace: Path, **fields: object) -> Spec:
    """A Python program to be run in the folder, by the interpreter of these checks."""
    return replace(
        shell("", workspace, **fields), command=(sys.executable, "-I", "-S", "-c", program)
    )


async def read_all(process: Process) -> bytes:
    """Everything that the program writes to its output."""
    parts = []
    while part := await process.read():
        parts.append(part)
    return b"".join(parts)


async def read_errors(process: Process) -> bytes:
    """Everything that the program writes to standard error."""
    parts = []
    while part := await process.read_errors():
        parts.append(part)
    return b"".join(parts)


async def read_until(process: Process, text: bytes) -> bytes:
    """What the program writes up to `text`, and what came along with it."""
    data = b""
    while text not in data:
        part = await process.read()
        assert part, f"the program ended without writing {text!r}, after {data!r}"
        data += part
    return data


@contextmanager
def lifeline() -> Iterator[tuple[Mapping[int, int], Callable[[], bool]]]:
    """Descriptors for a `Spec`, and a function that says whether all who inherited them have gone."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    ours = [writable]

    def all_gone() -> bool:
        while ours:
            os.close(ours.pop())
        try:
            return os.read(readable, 1) == b""
        except BlockingIOError:
            return False

    try:
        yield {LIFELINE: writable}, all_gone
    finally:
        all_gone()
        os.close(readable)


async def check_runtime(runtime: Runtime, make_folder: Callable[[], Path]) -> None:
    """Run every check, each in a fresh folder of `make_folder`.

    Raises:
        AssertionError: a promise is broken.
    """
    for check in RUNTIME_CHECKS:
        await check(runtime, make_folder())


# --- streams ---------------------------------------------------------------------------------


async def output_follows_input(runtime: Runtime, workspace: Path) -> None:
    """A program reads what is written to it, sees its end, and what it writes comes back."""
    async with await runtime.run(shell("cat", workspace)) as process:
        await process.write(b"one\ntwo\n")
        process.close_input()
        assert await read_all(process) == b"one\ntwo\n"
        assert (await process.wait()).code == 0


async def standard_error_is_apart(runtime: Runtime, workspace: Path) -> None:
    """Standard output and standard error are two streams."""
    async with await runtime.run(shell("echo out; echo err >&2", workspace)) as process:
        assert await read_all(process) == b"out\n"
        assert await read_errors(process) == b"err\n"


async def output_outlives_the_program(runtime: Runtime, workspace: Path) -> None:
    """What a program wrote can be read after it has ended."""
    async with await runtime.run(shell("echo last words", workspace)) as process:
        await process.wait()
        assert await read_all(process) == b"last words\n"


async def a_megabyte_passes_through_pipes(runtime: Runtime, workspace: Path) -> None:
    """A megabyte written to a program comes back from it whole."""
    data = bytes(range(256)) * (MEGABYTE // 256)
    async with await runtime.run(shell("cat", workspace)) as process, asyncio.TaskGroup() as group:
        reading = group.create_task(read_all(process))
        await process.write(data)
        process.close_input()
        assert await reading == data


async def a_megabyte_passes_through_a_terminal(runtime: Runtime, workspace: Path) -> None:
    """A megabyte written to a pseudo-terminal in raw mode comes back from it whole."""
    data = b"0123456789abcde\n" * (MEGABYTE // 16)
    script = f"stty raw -echo; echo ready; head -c {MEGABYTE}; echo; echo over"
    spec = shell(script, workspace, terminal=TerminalSize())
    async with await runtime.run(spec) as process, asyncio.TaskGroup() as group:
        await read_until(process, b"ready\n")
        reading = group.create_task(read_until(process, b"over\n"))
        await process.write(data)
        assert await reading == data + b"\nover\n"


async def what_nobody_reads_holds_the_program_back(runtime: Runtime, workspace: Path) -> None:
    """A program whose output is not read can write no more than a pipe holds, with pipes and in a terminal."""
    program = """if True:
        import os
        os.set_blocking(1, False)
        written = 0
        try:
            while True:
                written += os.write(1, b'x' * 4096)
        except BlockingIOError:
            os.write(7, b'%d' % written)
    """
    for terminal in (None, TerminalSize()):
        ours, theirs = os.pipe()
        spec = python(program, workspace, terminal=terminal, descriptors={7: theirs})
        async with await runtime.run(spec) as process:
            os.close(theirs)
            written = int(await asyncio.to_thread(os.read, ours, 100))
            os.close(ours)
            assert 0 < written <= MEGABYTE
            assert len(await process.read()) <= 64 * 1024


async def a_cancelled_read_takes_nothing(runtime: Runtime, workspace: Path) -> None:
    """A read that is cancelled while it waits loses nothing of what comes later."""
    async with await runtime.run(shell("read line; echo $line", workspace)) as process:
        reading = asyncio.ensure_future(process.read())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        await process.write(b"kept\n")
        assert await read_all(process) == b"kept\n"


async def writing_to_the_deaf_does_nothing(runtime: Runtime, workspace: Path) -> None:
    """Writing to a program that has ended returns."""
    async with await runtime.run(shell("exit 0", workspace)) as process:
        await process.wait()
        await process.write(b"x" * MEGABYTE)


# --- terminals -------------------------------------------------------------------------------


async def a_terminal_has_a_size(runtime: Runtime, workspace: Path) -> None:
    """A program finds its terminal's size, and hears of another one by SIGWINCH."""
    script = "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.05; done"
    spec = shell(script, workspace, terminal=TerminalSize(columns=101, rows=31))
    async with await runtime.run(spec) as process:
        await read_until(process, b"31 101\r\n")
        process.resize(TerminalSize(columns=77, rows=19))
        await read_until(process, b"19 77\r\n")


async def a_terminal_controls_its_program(runtime: Runtime, workspace: Path) -> None:
    """The terminal is the program's controlling one, has a name, and Ctrl-C interrupts."""
    script = "tty >/dev/null && : </dev/tty && exec cat"
    spec = shell(script, workspace, terminal=TerminalSize())
    async with await runtime.run(spec) as process:
        # Once by the terminal's echo, once by the program itself.
        await process.write(b"line\n")
        await read_until(process, b"line\r\nline\r\n")
        await process.write(b"\x03")
        ended = await process.wait()
        assert (ended.signal, ended.reason) == (signal.SIGINT, "signal SIGINT")


# --- what a program is given -----------------------------------------------------------------


async def descriptors_are_inherited_by_number(runtime: Runtime, workspace: Path) -> None:
    """A program has the descriptors that it was given, at the stated numbers, and no others."""
    ours, theirs = os.pipe()
    spec = python(
        "import os; os.write(5, b'hello'); os.write(42, b' again'); print(*os.listdir('/proc/self/fd'))",
        workspace,
        descriptors={5: theirs, 42: theirs},
    )
    async with await runtime.run(spec) as process:
        os.close(theirs)
        numbers = {int(word) for word in (await read_all(process)).split()}
        assert os.read(ours, 100) == b"hello again"
        # The one more is that of the listing itself.
        assert numbers - {3} == {0, 1, 2, 5, 42}
    os.close(ours)


async def the_environment_is_clean(runtime: Runtime, workspace: Path) -> None:
    """A program has the runtime's environment and the stated one, and nothing of this process's."""
    os.environ["ENGINEROOM_CHECK_SECRET"] = "secret"  # noqa: S105
    try:
        spec = python(
            "import os; print('\\n'.join(f'{k}={v}' for k, v in os.environ.items()))",
            workspace,
            environment={"ENGINEROOM_ROOM": "write@abc"},
        )
        async with await runtime.run(spec) as process:
            text = (await read_all(process)).decode()
    finally:
        del os.environ["ENGINEROOM_CHECK_SECRET"]
    found = dict(line.split("=", 1) for line in text.splitlines())
    assert set(found) <= {"PATH", "HOME", "LANG", "LC_CTYPE", "PYTHONPATH", "ENGINEROOM_ROOM"}
    assert found["ENGINEROOM_ROOM"] == "write@abc"
    assert found["HOME"] == runtime.workspace_inside(workspace)


async def programs_share_the_workspace(runtime: Runtime, workspace: Path) -> None:
    """A program begins in its workspace; what it leaves there, the next one and the server find."""
    async with await runtime.run(shell("echo kept > note; pwd", workspace)) as process:
        text = (await read_all(process)).decode()
        assert text == f"{runtime.workspace_inside(workspace)}\n"
    assert (workspace / "note").read_text() == "kept\n"
    async with await runtime.run(shell("cat note; echo more >> note", workspace)) as process:
        assert await read_all(process) == b"kept\n"
        assert (await process.wait()).code == 0


async def guest_modules_are_found(runtime: Runtime, workspace: Path) -> None:
    """The module for the room's values can be imported, by the Python that programs find first."""
    script = "python -c 'import engineroom_values, sys; print(sys.prefix)'"
    async with await runtime.run(shell(script, workspace)) as process:
        assert (await read_all(process)).decode().strip() == sys.prefix


# --- how programs begin and end --------------------------------------------------------------


async def exit_codes_are_told(runtime: Runtime, workspace: Path) -> None:
    """A program that ends by itself is told from others by its exit code, 128 and more included."""
    for code in (0, 1, 3, 130, 255):
        async with await runtime.run(shell(f"exit {code}", workspace)) as process:
            ended = await process.wait()
            assert (ended.code, ended.signal, ended.reason) == (code, None, f"exit code {code}")


async def signals_are_told(runtime: Runtime, workspace: Path) -> None:
    """A program that a signal ends is told with that signal, which is sent by number."""
    async with await runtime.run(shell("echo ready; sleep 1000", workspace)) as process:
        await read_until(process, b"ready\n")
        process.signal(signal.SIGTERM)
        ended = await process.wait()
        assert (ended.code, ended.signal) == (None, signal.SIGTERM)
        assert ended.reason == "signal SIGTERM"
        process.signal(signal.SIGTERM)


async def a_signal_reaches_the_whole_group(runtime: Runtime, workspace: Path) -> None:
    """A signal goes to the program's process group, as a terminal's does."""
    child = "trap 'echo child; exit' INT; echo ready; while :; do sleep 0.05; done"
    script = f'trap "echo parent; exit 7" INT; sh -c "{child}"; echo never'
    async with await runtime.run(shell(script, workspace)) as process:
        await read_until(process, b"ready\n")
        process.signal(signal.SIGINT)
        text = await read_all(process)
        assert set(text.split()) == {b"child", b"parent"}
        assert (await process.wait()).code == 7


async def signals_begin_at_their_defaults(runtime: Runtime, workspace: Path) -> None:
    """A program ignores and blocks no signal when it begins, but for the two that glibc keeps to itself."""
    glibcs = 1 << 31 | 1 << 32  # 32 and 33: no program can set them, and make hands them on ignored
    spec = replace(shell("", workspace), command=("cat", "/proc/self/status"))
    async with await runtime.run(spec) as process:
        lines = (await read_all(process)).decode().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        masks = [int(status[name], 16) & ~glibcs for name in ("SigBlk", "SigIgn", "SigCgt")]
        assert masks == [0, 0, 0]


async def a_missing_command_is_named(runtime: Runtime, workspace: Path) -> None:
    """A command that does not exist, or is no program, fails at once and by its name."""
    (workspace / "text").write_text("no program")
    for command in ("no-such-command", "/no/such/command", "./text"):
        reason = ""
        try:
            await (await runtime.run(replace(shell("", workspace), command=(command,)))).aclose()
        except ProgramError as error:
            reason = str(error)
        assert command in reason, f"{command}: {reason!r}"


async def kill_takes_every_descendant(runtime: Runtime, workspace: Path) -> None:
    """Grandchildren end too: in the background, in other sessions, orphaned, and deaf to signals."""
    script = """
        (trap '' TERM HUP INT; sleep 1000) &
        setsid sh -c 'sleep 1001 & sleep 1002' &
        (setsid sh -c 'trap "" TERM HUP INT; sleep 1003' & )
        trap '' TERM HUP INT
        echo ready
        while :; do sleep 1000; done
    """
    with lifeline() as (descriptors, all_gone):
        spec = shell(script, workspace, descriptors=descriptors)
        async with await runtime.run(spec) as process:
            await read_until(process, b"ready\n")
            process.signal(signal.SIGTERM)
            ended = await process.kill()
            assert ended.signal == signal.SIGKILL
            assert all_gone()
            assert await process.kill() == ended


async def the_end_takes_every_descendant(runtime: Runtime, workspace: Path) -> None:
    """When a program ends by itself, what it left in the background ends too."""
    script = "(setsid sleep 1000 &); sleep 1000 & exit 4"
    with lifeline() as (descriptors, all_gone):
        spec = shell(script, workspace, descriptors=descriptors)
        async with await runtime.run(spec) as process:
            assert (await process.wait()).code == 4
            assert all_gone()


async def a_cancelled_start_leaves_nothing(runtime: Runtime, workspace: Path) -> None:
    """A start that is cancelled at whatever moment leaves no process."""
    for turns in (1, 2, 5, 20):
        with lifeline() as (descriptors, all_gone):
            spec = shell("sleep 1000", workspace, descriptors=descriptors)
            starting = asyncio.ensure_future(runtime.run(spec))
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            await asyncio.wait([starting])
            if not starting.cancelled():
                await starting.result().aclose()
            assert all_gone()


async def leaving_the_context_ends_the_program(runtime: Runtime, workspace: Path) -> None:
    """At the end of `async with` nothing is left, and a reader that waits is told of the end."""
    with lifeline() as (descriptors, all_gone):
        spec = shell("sleep 1000", workspace, descriptors=descriptors)
        async with asyncio.TaskGroup() as group, await runtime.run(spec) as process:
            reading = group.create_task(process.read())
            await asyncio.sleep(0)
        assert reading.result() == b""
        assert all_gone()


# --- limits ----------------------------------------------------------------------------------


async def the_wall_limit_ends_a_program(runtime: Runtime, workspace: Path) -> None:
    """A program past its wall-clock limit is ended, and the reason says so."""
    with lifeline() as (descriptors, all_gone):
        spec = shell(
            "trap '' TERM; setsid sleep 1000 & sleep 1000",
            workspace,
            descriptors=descriptors,
            limits=Limits(wall_seconds=0.2),
        )
        async with await runtime.run(spec) as process:
            assert (await process.wait()).reason == "time limit"
            assert all_gone()


async def files_are_bounded(runtime: Runtime, workspace: Path) -> None:
    """A file cannot grow past its limit, and descriptors cannot be opened past theirs."""
    limits = Limits(file_bytes=MEGABYTE, open_files=32)
    script = "head -c 2000000 /dev/zero > big; ulimit -n; exit 0"
    async with await runtime.run(shell(script, workspace, limits=limits)) as process:
        assert await read_all(process) == b"32\n"
    assert (workspace / "big").stat().st_size == MEGABYTE


async def programs_gain_no_rights(runtime: Runtime, workspace: Path) -> None:
    """No program that is executed gains rights over its caller's: setuid bits have no effect."""
    script = "grep NoNewPrivs /proc/self/status"
    async with await runtime.run(shell(script, workspace)) as process:
        assert (await read_all(process)).split() == [b"NoNewPrivs:", b"1"]


async def statistics_count_the_program(runtime: Runtime, workspace: Path) -> None:
    """Statistics count the program's own processes and their use, and nothing once it has ended."""
    script = "sleep 1000 & sleep 1000 & echo ready; wait"
    async with await runtime.run(shell(script, workspace)) as process:
        await read_until(process, b"ready\n")
        now = process.statistics()
        assert now.processes == 3
        assert 100_000 < now.memory_bytes < 100_000_000
        assert 0 <= now.cpu_seconds < 5
        os.kill(process.pid, 0)
        await process.kill()
        assert process.statistics().processes == 0


RUNTIME_CHECKS: tuple[Check, ...] = (
    output_follows_input,
    standard_error_is_apart,
    output_outlives_the_program,
    a_megabyte_passes_through_pipes,
    a_megabyte_passes_through_a_terminal,
    what_nobody_reads_holds_the_program_back,
    a_cancelled_read_takes_nothing,
    writing_to_the_deaf_does_nothing,
    a_terminal_has_a_size,
    a_terminal_controls_its_program,
    descriptors_are_inherited_by_number,
    the_environment_is_clean,
    programs_share_the_workspace,
    guest_modules_are_found,
    exit_codes_are_told,
    signals_are_told,
    a_signal_reaches_the_whole_group,
    signals_begin_at_their_defaults,
    a_missing_command_is_named,
    kill_takes_every_descendant,
    the_end_takes_every_descendant,
    a_cancelled_start_leaves_nothing,
    leaving_the_context_ends_the_program,
    the_wall_limit_ends_a_program,
    files_are_bounded,
    programs_gain_no_rights,
    statistics_count_the_program,
)
