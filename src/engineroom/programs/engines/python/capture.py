"""What is written to descriptors 1 and 2, by whomever, as text, in its order among all other events.

Knows pipes and threads. Both descriptors become pipes, so that subprocesses, threads and C libraries are heard. One
thread reads the pipes; but whoever sends an event, or turns from one stream to the other, first takes by itself what
is in them (`_drain`), so that what was written before stands before, without waiting for that thread. Only what a
*subprocess* writes to both streams within microseconds may change places: pipes keep no common order.

Text is coalesced: at once after a pause, then at most one event a stream in 20 ms or 64 KiB.
"""

from __future__ import annotations

import codecs
import fcntl
import io
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from .channel import Event

INTERVAL_SECONDS = 0.02
PARTIAL_SECONDS = (
    0.002  # a line's end follows its text at once: `print` writes them one after the other
)
CHUNK = 64 * 1024
READ_BYTES = 1024 * 1024  # at least a pipe's capacity: one read takes all that is in it
#: Our own descriptors stand from here up, out of the way of programs that close "all" of them.
HIGH_DESCRIPTOR = 200
#: After so many reads within an interval we read by the clock: waking for each print would cost more than the print.
BUSY_READS = 16
BUSY_PAUSE_SECONDS = 0.002


class Pipe:
    """One captured descriptor: its pipe and its decoder."""

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self.descriptor = descriptor
        end, write_end = os.pipe()
        self.read_end = move_high(end)
        self._write_end = move_high(write_end)
        os.set_blocking(self.read_end, False)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.restore()

    def restore(self) -> None:
        """Put the pipe back in place of the descriptor, which the user's code may have closed or replaced."""
        try:
            if os.path.samestat(os.fstat(self.descriptor), os.fstat(self._write_end)):
                return
        except OSError:
            pass
        os.dup2(self._write_end, self.descriptor)

    def read(self) -> str:
        """What is in the pipe now. Half a character waits for its other half."""
        try:
            return self._decoder.decode(os.read(self.read_end, READ_BYTES))
        except BlockingIOError:
            return ""

    def half_character(self) -> str:
        """What still waits for its other half, which will not come."""
        return self._decoder.decode(b"", True)

    def close(self) -> None:
        """Leave the pipe to other processes' writing."""
        os.close(self.read_end)


class Capture:
    """Captures descriptors 1 and 2, and sends all events in order.

    `evaluation` is whose output it is: the id of the one that runs, empty between them. `hold` is entered while the
    engine's own state is in between, so that no interrupt strikes there.
    """

    def __init__(self, send: Callable[[Event], None], hold: AbstractContextManager[None]) -> None:
        self.evaluation = ""
        self._send = send
        self._hold = hold
        self._forked = False
        self._lock = threading.RLock()
        #: Held while Python text is written, so that streams take turns.
        self.turns = threading.RLock()
        self._pending: list[tuple[str, str]] = []
        self._pending_size = 0
        self._flushed = 0.0
        self._due = 0.0
        self._pipes = {pipe.read_end: pipe for pipe in (Pipe(1, "stdout"), Pipe(2, "stderr"))}
        # Of two pipes that are ready, epoll names the one first that was ready first.
        with select.epoll() as poll:
            self._poll = select.epoll.fromfd(move_high(os.dup(poll.fileno())))
        for read_end in self._pipes:
            self._poll.register(read_end, select.EPOLLIN)
        self._streams: dict[str, StandardStream] = {}
        os.register_at_fork(after_in_child=self._after_fork)

    def begin(self) -> None:
        """Before an evaluation: put the descriptors and the streams back where they were lost."""
        for pipe in self._pipes.values():
            pipe.restore()
            name = pipe.name
            if not _is_open(self._streams.get(name)):
                self._streams[name] = StandardStream(pipe.descriptor, name, self)
                setattr(sys, f"__{name}__", self._streams[name])
                setattr(sys, name, self._streams[name])
            if not _is_open(getattr(sys, name, None)):
                setattr(sys, name, self._streams[name])

    def emit(self, event: Event, *, then: str | None = None) -> None:
        """Send `event` after all that has been written before; outputs that follow belong to evaluation `then`.

        In a forked child, which has no part in the conversation, the event is printed.
        """
        if self._forked:
            print_in_child(event)
            return
        for name in ("stdout", "stderr"):
            try:
                getattr(sys, name).flush()
            except Exception:  # noqa: S110 the user's own stream, closed or broken
                pass
        with self._hold, self._lock:
            self._drain(last=then is not None)
            self._flush()
            self._send({"id": self.evaluation, **event})
            if then is not None:
                self.evaluation = then

    def watch(self) -> None:
        """Read the pipes for ever. Runs in a thread of its own."""
        reads = 0
        while True:
            self._poll.poll(max(0.0, self._due - time.monotonic()) if self._pending else None)
            with self._lock:
                self._drain()
                reads += 1
                if self._pending and time.monotonic() >= self._due:
                    self._flush()
                    reads = 0
            if reads > BUSY_READS:
                time.sleep(BUSY_PAUSE_SECONDS)

    def turn_to(self, name: str) -> None:
        """Before a write to stream `name`, under `turns`: take what anyone has written to the other stream."""
        if self._forked:
            return
        if any(self._pipes[read_end].name != name for read_end, _ in self._poll.poll(0)):
            with self._hold, self._lock:
                self._drain()

    def _drain(self, *, last: bool = False) -> None:
        for read_end, _ in self._poll.poll(0):
            self._add(self._pipes[read_end].name, self._pipes[read_end].read())
        if last:
            for pipe in self._pipes.values():
                self._add(pipe.name, pipe.half_character())

    def _add(self, name: str, text: str) -> None:
        if not text:
            return
        self._pending.append((name, text))
        self._pending_size += len(text)
        partial = 0.0 if text.endswith("\n") else PARTIAL_SECONDS
        self._due = max(self._flushed + INTERVAL_SECONDS, time.monotonic() + partial)
        if self._pending_size >= CHUNK:
            self._due = 0.0
        if self._pending_size >= READ_BYTES:
            self._flush()

    def _flush(self) -> None:
        pending, self._pending, self._pending_size = self._pending, [], 0
        runs: list[tuple[str, list[str]]] = []
        for name, text in pending:
            if not runs or runs[-1][0] != name:
                runs.append((name, []))
            runs[-1][1].append(text)
        for name, texts in runs:
            text = "".join(texts)
            for start in range(0, len(text), CHUNK):
                part = text[start : start + CHUNK]
                self._send({"type": "stream", "id": self.evaluation, "name": name, "text": part})
        self._flushed = time.monotonic()

    def _after_fork(self) -> None:
        self._forked = True
        self._lock = threading.RLock()
        self.turns = threading.RLock()
        # With a read end of its own, a child would never hear that the engine is gone.
        self._poll.close()
        for pipe in self._pipes.values():
            pipe.close()


def _is_open(stream: object) -> bool:
    try:
        return stream is not None and not getattr(stream, "closed", False)
    except ValueError:  # detached
        return False


class StandardStream(io.TextIOWrapper):
    """`sys.stdout` or `sys.stderr`: every write goes to the descriptor at once, in its order with the other stream.

    Unbuffered, so that a subprocess's output stands where the program put it. Closing it only flushes it.
    """

    def __init__(self, descriptor: int, name: str, capture: Capture) -> None:
        raw = _Descriptor(descriptor, name, capture)
        super().__init__(
            io.BufferedWriter(raw), "utf-8", "backslashreplace", newline="\n", write_through=True
        )

    def write(self, text: str) -> int:
        written = super().write(text)
        super().flush()
        return written

    def close(self) -> None:
        if not self.closed:
            self.flush()


class _Descriptor(io.FileIO):
    """A descriptor that is written to by turns, also by who writes to `sys.stdout.buffer`."""

    def __init__(self, descriptor: int, name: str, capture: Capture) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.name = f"<{name}>"
        self._stream = name
        self._capture = capture

    def write(self, data: Any) -> int:
        with self._capture.turns:
            self._capture.turn_to(self._stream)
            return super().write(data)


def print_in_child(event: Event) -> None:
    """Say an event in words, on the descriptor that the forked child shares with the engine."""
    lines = event.get("traceback")
    if isinstance(lines, list):
        os.write(2, "\n".join([*lines, ""]).encode("utf-8", "replace"))
    data = event.get("data")
    if isinstance(data, dict):
        os.write(1, (data.get("text/plain", "") + "\n").encode("utf-8", "replace"))


def move_high(descriptor: int) -> int:
    """The same open file under a high number, not inherited by subprocesses; `descriptor` is closed."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR)
    os.close(descriptor)
    return moved
