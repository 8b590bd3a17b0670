"""A terminal's program: a process in a pseudo-terminal, from its start to its end.

Knows a runtime's processes. What happens is told by the events of `rooms/programs.py`, the end always and last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from engineroom.errors import ProgramError
from engineroom.programs.runtimes import Process, TerminalSize
from engineroom.rooms.programs import ProgramEvent, TerminalExited, TerminalWrote

#: What may wait for a program that does not read; what comes on top is lost, as in a terminal's own buffer.
MAX_INPUT_BYTES = 1024 * 1024
#: A program that writes without end is read at most this fast, for the sake of everyone else.
BURST_BYTES = 256 * 1024
PAUSE_SECONDS = 0.02

Start: TypeAlias = Callable[[tuple[str, ...], TerminalSize], AbstractAsyncContextManager[Process]]


class Terminal:
    """One run of a terminal's command. `run` does it all; the rest may be called at any time and returns at once."""

    def __init__(
        self,
        name: str,
        command: tuple[str, ...],
        size: TerminalSize,
        emit: Callable[[ProgramEvent], None],
    ) -> None:
        self.name = name
        self._command = command
        self._size = size
        self._emit = emit
        self._input: deque[bytes] = deque()
        self._input_bytes = 0
        self._has_input = asyncio.Event()
        self._process: Process | None = None

    def write(self, data: bytes) -> None:
        """Bytes for the program, in order; those before its start wait for it."""
        if self._input_bytes + len(data) <= MAX_INPUT_BYTES:
            self._input.append(data)
            self._input_bytes += len(data)
            self._has_input.set()

    def resize(self, size: TerminalSize) -> None:
        """Another size, which the program hears of."""
        self._size = size
        if self._process is not None:
            self._process.resize(size)

    async def run(self, start: Start) -> None:
        """Start the program, carry its output and input, and tell how it ended. Cancelled, it ends the program."""
        try:
            async with start(self._command, self._size) as self._process:
                self._process.resize(self._size)
                async with asyncio.TaskGroup() as group:
                    writing = group.create_task(self._write_input(self._process))
                    await self._read_output(self._process)
                    ended = await self._process.wait()
                    writing.cancel()
            self._emit(TerminalExited(self.name, ended.code, ended.reason))
        except ProgramError as error:
            self._emit(TerminalExited(self.name, None, str(error)))

    async def _read_output(self, process: Process) -> None:
        burst = 0
        while data := await process.read():
            self._emit(TerminalWrote(self.name, data))
            burst += len(data)
            if burst >= BURST_BYTES:
                burst = 0
                await asyncio.sleep(PAUSE_SECONDS)

    async def _write_input(self, process: Process) -> None:
        while True:
            await self._has_input.wait()
            self._has_input.clear()
            while self._input:
                data = self._input.popleft()
                await process.write(data)
                self._input_bytes -= len(data)
