"""The engine's end of the line: events out as JSON lines, whole, in order, from any thread.

Knows the descriptor and JSON. When nobody hears it any more, the engine ends: there is nothing to live for.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque

Event = dict[str, object]

MAX_LINE_BYTES = 16 * 1024 * 1024  # what the backend reads
GONE = 3  # exit code: the backend has closed its end


class Channel:
    """Sends events. `send` waits while the backend does not read, which holds the engine back."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        # Re-entrant: a signal handler or a finalizer of the user's may display something while a line is written.
        self._lock = threading.RLock()
        self._writing = False

    def send(self, event: Event) -> None:
        """Write the event's line after all earlier ones."""
        line = _encode(event)
        if len(line) > MAX_LINE_BYTES:
            text = f"An output of {len(line):,} bytes is too large to be sent.\n"
            line = _encode({"type": "stream", "id": event["id"], "name": "stderr", "text": text})
        with self._lock:
            self._lines.append(line)
            if self._writing:
                return
            self._writing = True
            try:
                while self._lines:
                    self._write(self._lines.popleft())
            finally:
                self._writing = False

    def leave(self) -> None:
        """Take no more part, in a forked child: the conversation is its parent's."""
        os.close(self._descriptor)

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except OSError:
                os._exit(GONE)


def _encode(event: Event) -> bytes:
    # Lone surrogates have no UTF-8: they become question marks.
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace") + b"\n"
