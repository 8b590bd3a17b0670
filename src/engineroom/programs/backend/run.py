"""One run of an engine: its process, its conversation, and how it ended.

Knows a runtime's processes and JSON lines. Trusts nothing that comes: lines are bounded, and an engine that sends
anything but events is ended. What the process itself writes to its standard streams is read away, its end kept for the
words on how it died.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from engineroom.programs.engines.types import EngineType
from engineroom.programs.runtimes import Exit, Limits, Process, Runtime, Spec, Statistics
from engineroom.protocols import engine

MAX_LINE_BYTES = 16 * 1024 * 1024
READ_BYTES = 256 * 1024
LAST_WORDS_BYTES = 2048
ENGINE_DESCRIPTOR = 3

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[engine.Event] = msgspec.json.Decoder(engine.Event)


@dataclass(frozen=True, slots=True)
class Attachment:
    """What else one run is given: descriptors by their number in the program (from 4 up), and environment."""

    descriptors: Mapping[int, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where, and within which bounds, an engine runs. `attach` is entered around each start of its process."""

    workspace: Path
    network: bool = False
    limits: Limits = field(default_factory=Limits)
    attach: Callable[[], AbstractContextManager[Attachment]] = lambda: nullcontext(Attachment())


class Misbehaved(Exception):
    """The engine does not keep to its protocol; `str` says how."""


class Run:
    """A process of an engine, ready or not yet. Made by `start`, which ends it."""

    def __init__(self, process: Process, conversation: socket.socket) -> None:
        self._process = process
        self._socket = conversation
        self._last_words = bytearray()
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self._group: asyncio.TaskGroup | None = None
        self._attended: set[asyncio.Task[None]] = set()
        #: Why we ended it, when it was us.
        self.verdict = ""

    @property
    def pid(self) -> int:
        """A process that lives as long as the engine."""
        return self._process.pid

    def statistics(self) -> Statistics:
        """What the engine and its descendants use now."""
        return self._process.statistics()

    def send(self, request: engine.Request) -> None:
        """Give the engine a request. It leaves when the engine reads; callers bound how many wait."""
        self._outgoing.put_nowait(_ENCODER.encode(request) + b"\n")

    def signal(self, number: int) -> None:
        """A signal for the engine and what it started."""
        self._process.signal(number)

    def attend(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Do `work` while the conversation lasts, at most."""
        assert self._group is not None, "there is no conversation yet"
        task = self._group.create_task(work)
        self._attended.add(task)
        task.add_done_callback(self._attended.discard)
        return task

    async def kill(self, verdict: str) -> None:
        """End it; `verdict` says why."""
        self.verdict = self.verdict or verdict
        await self._process.kill()

    async def converse(
        self, hear: Callable[[engine.Event], None], beside: Coroutine[None, None, None]
    ) -> str:
        """Carry requests out and events in, until the engine has ended; how it ended, for people.

        `beside` is attended to.
        """
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.attend(beside)
            writing = group.create_task(self._write())
            group.create_task(self._listen_to(self._process.read))
            group.create_task(self._listen_to(self._process.read_errors))
            try:
                await self._read(hear)
            except Misbehaved as error:
                await self.kill(str(error))
            # It may close its conversation and live on; it is of no use then.
            ended = await self._wait_or_kill("it closed its conversation")
            writing.cancel()
            for task in self._attended:
                task.cancel()
        return self._describe(ended)

    async def _wait_or_kill(self, verdict: str, *, grace_seconds: float = 2.0) -> Exit:
        try:
            async with asyncio.timeout(grace_seconds):
                return await self._process.wait()
        except TimeoutError:
            self.verdict = self.verdict or verdict
            return await self._process.kill()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                await loop.sock_sendall(self._socket, await self._outgoing.get())
        except OSError:
            return  # it has ended; `_read` finds that too

    async def _read(self, hear: Callable[[engine.Event], None]) -> None:
        """Hear events until the conversation's end.

        Raises:
            Misbehaved: the engine sent something else.
        """
        loop = asyncio.get_running_loop()
        parts: list[bytes] = []
        size = 0
        while True:
            try:
                data = await loop.sock_recv(self._socket, READ_BYTES)
            except OSError:
                return
            if not data:
                return
            first, *lines = data.split(b"\n")
            parts.append(first)
            size += len(first)
            if size > MAX_LINE_BYTES:
                raise Misbehaved(f"it sent a line of more than {MAX_LINE_BYTES} bytes")
            if not lines:
                continue
            hear(_decode(b"".join(parts)))
            for line in lines[:-1]:
                hear(_decode(line))
            parts, size = [lines[-1]], len(lines[-1])

    async def _listen_to(self, read: Callable[[], Awaitable[bytes]]) -> None:
        while data := await read():
            self._last_words += data
            del self._last_words[:-LAST_WORDS_BYTES]

    def _describe(self, ended: Exit) -> str:
        reason = f"{self.verdict} ({ended.reason})" if self.verdict else ended.reason
        said = self._last_words.decode(errors="replace").strip()
        return f"{reason}:\n{said}" if said and not self.verdict else reason


@asynccontextmanager
async def start(runtime: Runtime, kind: EngineType, place: Place) -> AsyncIterator[Run]:
    """A run of engine type `kind`, its process started; ended with everything it started, at the latest on leaving.

    Raises:
        ProgramError: it cannot be started; the message says why.
    """
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        with theirs, place.attach() as attachment:
            spec = _spec(kind, place, attachment, theirs.fileno())
            process = await runtime.run(spec)
        async with process:
            yield Run(process, ours)


def _spec(kind: EngineType, place: Place, attachment: Attachment, conversation: int) -> Spec:
    number = str(ENGINE_DESCRIPTOR)
    return Spec(
        command=kind.command,
        workspace=place.workspace,
        environment={
            **kind.environment,
            **attachment.environment,
            "ENGINEROOM_REQUEST_FD": number,
            "ENGINEROOM_EVENT_FD": number,
        },
        descriptors={ENGINE_DESCRIPTOR: conversation, **attachment.descriptors},
        network=place.network,
        limits=place.limits,
        read_only_paths=kind.read_only_paths,
    )


def _decode(line: bytes) -> engine.Event:
    """The event in `line`.

    Raises:
        Misbehaved: it is none.
    """
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Misbehaved(f"it sent a line that is no event: {error}") from None
