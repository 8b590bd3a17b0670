"""A program that runs, and the starting of it under a guardian: the part that all runtimes share.

Knows descriptors, the guardian's reports and asyncio. Nothing that a program writes is kept in this process: what is
not read stays in the pipe, which then holds the program back.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from engineroom import errors

from . import limits, usage
from .guarded import Conversation, Job, Report, spawn
from .spec import Exit, Statistics, TerminalSize
from .streams import Streams

TIDYING_TRIES = 200
TIDYING_PAUSE_SECONDS = 0.02


class Process:
    """A program that runs; runtimes make it. Use it as an async context manager, or end with `aclose()`.

    `pid` is a process of this machine which lives as long as the program does.
    """

    def __init__(
        self,
        *,
        guardian: subprocess.Popen[bytes],
        outer: Conversation,
        inner: Conversation,
        streams: Streams,
        groups: tuple[str, ...],
    ) -> None:
        self._guardian = guardian
        self._outer = outer
        self._inner = inner
        self._streams = streams
        self._groups = groups

    @property
    def pid(self) -> int:
        """A process of this machine which lives as long as the program does."""
        return self._outer.report.pid or self._guardian.pid

    async def read(self) -> bytes:
        """The next 1 to 65536 bytes of the terminal, or of standard output; b"" at its end.

        One reader at a time. Cancelled, it has taken nothing.
        """
        return await self._streams.output.read()

    async def read_errors(self) -> bytes:
        """The same of standard error; b"" at once in a terminal, which has a single stream."""
        return await self._streams.errors.read() if self._streams.errors else b""

    async def write(self, data: bytes) -> None:
        """Give the program all of `data`; waits while it does not read. When it reads no more, nothing happens."""
        await self._streams.input.write(data)

    def close_input(self) -> None:
        """The end of standard input. In a terminal nothing happens: write b"\\x04" there."""
        if not self._streams.terminal:
            self._streams.input.close()

    def resize(self, size: TerminalSize) -> None:
        """Give the pseudo-terminal another size; the program hears of it by SIGWINCH."""
        if self._streams.terminal:
            self._streams.output.resize(size.columns, size.rows)

    def signal(self, number: int) -> None:
        """Send a signal to the program's process group, as a terminal does. Nothing happens when it has ended."""
        self._inner.signal(number)

    async def wait(self) -> Exit:
        """How the program ended, once it and all its descendants have. What it wrote can still be read then."""
        await self._outer.ended.wait()
        if not self._outer.report.complete:
            # Bubblewrap's own "die with parent" cannot: it may not signal a process that is no longer root's.
            self._inner.end()
        await self._inner.ended.wait()
        await asyncio.to_thread(self._guardian.wait)
        if not self._outer.report.complete:
            await self._tidy_up()
        return describe_exit(self._outer.report, self._inner.report)

    async def _tidy_up(self) -> None:
        """What a guardian would have done that was itself killed."""
        for group in self._groups:
            for _ in range(TIDYING_TRIES):
                if limits.remove_group(Path(group)):
                    break
                await asyncio.sleep(TIDYING_PAUSE_SECONDS)

    async def kill(self) -> Exit:
        """End the program and all its descendants now; returns when nothing is left of them. Safe to call twice."""
        self._outer.end()
        return await self.wait()

    async def aclose(self) -> None:
        """`kill()`, and give up what was not read. Safe to call twice."""
        try:
            await self.kill()
        finally:
            self._streams.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def statistics(self) -> Statistics:
        """What the program uses now; zeros when it has ended."""
        if self._outer.ended.is_set():
            return Statistics(0, 0, 0.0)
        # Not counted: the guardian and, in a sandbox, bubblewrap with the guardian inside.
        own = {self._guardian.pid}
        if self._inner is not self._outer:
            own |= {self.pid, *usage.children_of(self.pid)}
        return Statistics(*usage.measure(self._guardian.pid, without=own))

    async def began(self) -> None:
        """Wait until the program has been executed. For runtimes.

        Raises:
            ProgramError: it could not be.
        """
        await self._inner.started.wait()
        if self._inner.report.pid is None:
            await self.wait()
            raise errors.ProgramError(self._inner.report.failure or self._outer.report.failure)


async def start(
    job: Job,
    streams: Streams,
    *,
    outer: Conversation,
    inner: Conversation | None = None,
    inner_job: Job | None = None,
    inherited: Iterable[int] = (),
) -> Process:
    """The program of `job`, executed, under a new guardian. `streams` and the conversations are taken over.

    `inner` is the conversation with a second guardian, which the first one's job starts with the program itself.

    Raises:
        ProgramError: it could not be executed; the message is empty when no guardian could say why.
    """
    try:
        outer.listen()
        if inner:
            inner.listen()
        outer.give(job)
        guardian = spawn(outer, inherited)
    except BaseException as error:
        for taken in (outer, inner or outer, streams):
            taken.close()
        if isinstance(error, OSError):
            raise errors.ProgramError(f"no guardian can be started: {error}") from error
        raise
    finally:
        streams.close_inside()
        if inner:
            inner.theirs.close()
    process = Process(
        guardian=guardian,
        outer=outer,
        inner=inner or outer,
        streams=streams,
        groups=tuple(folder for folder, _ in job.cgroups),
    )
    try:
        await outer.started.wait()
        # Its limits hold from now on.
        if inner and inner_job and outer.report.pid is not None:
            inner.give(inner_job)
        await process.began()
    except BaseException:
        await asyncio.shield(process.aclose())
        raise
    return process


def describe_exit(outer: Report, inner: Report) -> Exit:
    """How a program ended, from what its guardians told: the inner one knows it best, if it lived to tell."""
    status = inner.status if inner.status not in (None, -1) else outer.status
    if status is None or status == -1 or not outer.complete:
        return Exit(None, int(signal.SIGKILL), "its guardian was killed")
    code = os.waitstatus_to_exitcode(status)
    number = -code if code < 0 else None
    if inner.timed_out:
        reason = "time limit"
    # A shell whose command was killed says so by 128 and the signal's number.
    elif outer.memory_kills and (number == signal.SIGKILL or code == 128 + signal.SIGKILL):
        reason = "killed: out of memory"
    elif number is not None:
        reason = f"signal {name_signal(number)}"
    else:
        reason = f"exit code {code}"
    return Exit(None if number is not None else code, number, reason)


def name_signal(number: int) -> str:
    """`SIGTERM` for 15; the number itself when it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
