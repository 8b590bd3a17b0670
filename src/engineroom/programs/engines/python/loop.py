"""The loop that serves an interpreter to a backend: requests in, events out, JSON lines on descriptors of its own.

Knows threads, descriptors and the words of `protocols/engine.py`. Three threads: the main one evaluates (signals
arrive there), one reads requests, one reads what is written to descriptors 1 and 2; a fourth completes, once asked to.
"""

from __future__ import annotations

import faulthandler
import json
import os
import platform
import queue
import sys
import threading
import time
import traceback
from typing import Any

from .capture import Capture, move_high
from .channel import Channel, Event
from .figures import Figures
from .interpreter import Interpreter, use_as_main
from .interrupts import Interrupts
from .questions import Questions

Request = dict[str, Any]

BROKEN = 4  # exit code: a fault of the engine's own


class Loop:
    """Serves one interpreter. `requests` and `events` are descriptors; they may be the same."""

    def __init__(self, requests: int, events: int) -> None:
        self._process = os.getpid()
        self._requests = requests
        self._channel = Channel(events)
        self._interrupts = Interrupts(
            running=Interpreter.execute.__code__, resting=Loop.serve.__code__
        )
        self._capture = Capture(self._channel.send, self._interrupts)
        self._questions = Questions(self._capture.emit, lambda: self._capture.evaluation)
        self._interpreter = Interpreter(self._capture.emit, check=self._interrupts.check)
        self._evaluations: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._completions: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._completer: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._leave)

    def serve(self) -> None:
        """Answer until the backend closes the requests. Runs in the main thread."""
        self._interrupts.install()
        self._interrupts.begin()
        self._capture.begin()
        self._questions.install()
        figures = Figures(self._interpreter.screen)
        figures.install()
        self._interpreter.at_end.append(figures.show_all)
        use_as_main(self._interpreter)
        _start_thread(self._capture.watch)
        _start_thread(self._read_requests)
        version = platform.python_version()
        self._capture.emit({"type": "ready", "language": "python", "version": version})
        while True:
            request = self._evaluations.get()
            if request is None:
                return
            self._evaluate(request)

    def _evaluate(self, request: Request) -> None:
        """One evaluation. `serve` is below this frame, and no `execute` above it: interrupts wait here."""
        evaluation = str(request["id"])
        self._interrupts.begin()
        self._capture.begin()
        self._questions.forget()
        count = self._interpreter.count + 1
        self._capture.emit({"type": "started", "id": evaluation, "count": count}, then=evaluation)
        begun = time.perf_counter()
        outcome = self._interpreter.evaluate(request["code"], request.get("display", "last"))
        seconds = time.perf_counter() - begun
        if os.getpid() != self._process:
            # A child that the cell forked has come to the cell's end: it must not serve beside its parent.
            os._exit(0 if outcome.status == "ok" else 1)
        self._questions.answer(evaluation, None)
        done = {"type": "done", "status": outcome.status, "count": count, "seconds": seconds}
        _flush_c_output()
        self._capture.emit(done, then="")

    def _leave(self) -> None:
        os.close(self._requests)
        self._channel.leave()

    def _read_requests(self) -> None:
        rest = b""
        while True:
            try:
                data = os.read(self._requests, 64 * 1024)
            except OSError:
                data = b""
            if not data:
                self._evaluations.put(None)
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._receive(json.loads(line))

    def _receive(self, request: Request) -> None:
        kind = request["type"]
        if kind == "evaluate":
            self._evaluations.put(request)
        elif kind == "answer":
            self._questions.answer(request["id"], request["text"])
        elif kind == "complete":
            self._completions.put(request)
            if self._completer is None:
                self._completer = _start_thread(self._complete)

    def _complete(self) -> None:
        """Answer completions, beside whatever runs. The user's `__dir__` may hang here without harm to the rest."""
        while True:
            request = self._completions.get()
            found = self._interpreter.complete(request["code"], request["cursor"])
            answer: Event = {"type": "completions", "id": request["id"], **found._asdict()}
            self._channel.send(answer)


def _start_thread(run: Any) -> threading.Thread:
    thread = threading.Thread(target=run, name=f"engineroom {run.__name__}", daemon=True)
    thread.start()
    return thread


def _flush_c_output() -> None:
    """Write out what C libraries have buffered, if something loaded ctypes: importing it costs more than a cell."""
    ctypes = sys.modules.get("ctypes")
    if ctypes is not None:
        library = ctypes.CDLL(None)
        for name in ("stdout", "stderr"):
            library.fflush(ctypes.c_void_p.in_dll(library, name))


def _taken_from_environment(name: str) -> int:
    """The descriptor that `name` holds, moved out of the way; the user's programs never hear of it."""
    return move_high(os.dup(int(os.environ.pop(name))))


def main() -> None:
    """Serve on the descriptors in ENGINEROOM_REQUEST_FD and ENGINEROOM_EVENT_FD, until the first is closed."""
    given = {int(os.environ[name]) for name in ("ENGINEROOM_REQUEST_FD", "ENGINEROOM_EVENT_FD")}
    requests = _taken_from_environment("ENGINEROOM_REQUEST_FD")
    events = _taken_from_environment("ENGINEROOM_EVENT_FD")
    for descriptor in given:
        os.close(descriptor)
    # Programs that the user starts find no input; `input()` asks by itself.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # What the engine itself dies of is said on the standard error that it was born with, which the backend keeps.
    last_words = os.fdopen(move_high(os.dup(2)), "w")
    faulthandler.enable(last_words, all_threads=False)
    try:
        Loop(requests, events).serve()
    except BaseException:
        traceback.print_exc(file=last_words)
        last_words.flush()
        os._exit(BROKEN)
