"""`input()`, `getpass()` and reading `sys.stdin`: questions to the people in the room.

Knows evaluations and their answers. A question waits for the answer to its own evaluation, and ends with EOFError when
that evaluation does.
"""

from __future__ import annotations

import builtins
import getpass
import io
import queue
import sys
import threading
from collections.abc import Callable

from .channel import Event
from .failures import shorten


class Questions:
    """Asks, one question at a time. `emit` sends the request, `evaluation()` is the id of what runs, or empty."""

    def __init__(self, emit: Callable[[Event], None], evaluation: Callable[[], str]) -> None:
        self._emit = emit
        self._evaluation = evaluation
        self._lock = threading.Lock()
        self._answers: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()

    def install(self) -> None:
        """Let `input`, `getpass.getpass` and `sys.stdin` ask here."""
        builtins.input = self._input
        getpass.getpass = self._getpass
        sys.stdin = sys.__stdin__ = StandardInput(self.ask)  # type: ignore[misc, assignment]

    def ask(self, prompt: str, *, password: bool = False) -> str:
        """The line that somebody answers with, without its end. Showing prompt and answer is the asked one's part.

        Raises:
            EOFError: no evaluation runs, or it has ended before the answer.
        """
        with self._lock:
            evaluation = self._evaluation()
            if not evaluation:
                raise EOFError("no evaluation runs that could be asked for input")
            self._emit({"type": "input_request", "prompt": shorten(prompt), "password": password})
            return self._wait(evaluation)

    def answer(self, evaluation: str, text: str | None) -> None:
        """What evaluation `evaluation` asked for; None: nothing more will come. Unasked, it is dropped."""
        self._answers.put((evaluation, text))

    def _wait(self, evaluation: str) -> str:
        while True:
            answered, text = self._answers.get()
            if answered == evaluation:
                break
        if text is None:
            raise EOFError("the evaluation has ended")
        return text

    def forget(self) -> None:
        """Drop answers that nobody waits for."""
        while not self._answers.empty():
            self._answers.get()

    def _input(self, prompt: object = "", /) -> str:
        return self.ask(str(prompt))

    def _getpass(self, prompt: str = "Password: ", stream: object = None) -> str:
        return self.ask(prompt, password=True)


class StandardInput(io.TextIOBase):
    """`sys.stdin`: each line that is read is asked for."""

    encoding = "utf-8"

    def __init__(self, ask: Callable[[str], str]) -> None:
        self._ask = ask

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 0

    def isatty(self) -> bool:
        return False

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        line = self._ask("") + "\n"
        return line if size is None or size < 0 else line[:size]

    def read(self, size: int | None = -1, /) -> str:
        # There is no end of input to wait for: one line is all that a question brings.
        return self.readline(size)

    def close(self) -> None:
        """Nothing: `exit()` closes it, and the next cell may still ask."""
