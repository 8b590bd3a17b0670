"""When SIGINT becomes a KeyboardInterrupt: in the user's code alone, never in the engine's own.

Knows frames and the signal. The rule reads the stack, so no moment is unprotected: a frame of `Interpreter.execute` on
it means that the user's code runs; without one, the interrupt waits for the next `check` of the same evaluation.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import CodeType, FrameType
from typing import Any

AGAIN_SECONDS = 0.02


class Interrupts:
    """Handles SIGINT. As a context manager it holds interrupts back while the engine works for the user's code.

    `running` is the code object whose frame means that the user's code runs, `resting` one that encloses all the rest.
    """

    def __init__(self, *, running: CodeType, resting: CodeType) -> None:
        self._running = running
        self._resting = resting
        self._main = threading.get_ident()
        self._held = 0
        self._pending = False

    def install(self) -> None:
        """Have an interrupt come again that was raised where Python ignores it: in `__del__`, say, or in an import."""
        self._report = sys.unraisablehook
        sys.unraisablehook = self._unraised

    def _unraised(self, ignored: Any) -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            # Not from here: it would be ignored once more.
            again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGINT))
            again.daemon = True
            again.start()
        else:
            self._report(ignored)

    def begin(self) -> None:
        """A new evaluation: take SIGINT back from whoever has it, and forget what came while idle."""
        signal.signal(signal.SIGINT, self._handle)
        self._pending = False

    def check(self) -> None:
        """Raise the interrupt that waits, if one does.

        Raises:
            KeyboardInterrupt: one does.
        """
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    def __enter__(self) -> None:
        # Handlers run in the main thread: only what happens there needs to be held.
        if threading.get_ident() == self._main:
            self._held += 1

    def __exit__(self, *_error: object) -> None:
        if threading.get_ident() == self._main:
            self._held -= 1
            if not self._held and self._pending and self._is_running(sys._getframe()):
                self.check()

    def _handle(self, _number: int, frame: FrameType | None) -> None:
        if self._held or not self._is_running(frame):
            self._pending = True
        else:
            raise KeyboardInterrupt

    def _is_running(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code is self._running:
                return True
            if frame.f_code is self._resting:
                return False
            frame = frame.f_back
        return True  # a stack of its own, as greenlets have: the engine has none
