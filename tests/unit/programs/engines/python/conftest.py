"""The Python engine as a process, spoken to as a backend speaks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engineroom.programs.engines.types import PYTHON_ENGINE

PATIENCE_SECONDS = 30

Event = dict[str, Any]


class EngineProcess:
    """A running engine; its events are read in order."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(PATIENCE_SECONDS)
        number = str(theirs.fileno())
        self.process = subprocess.Popen(
            [sys.executable, str(PYTHON_ENGINE / "__main__.py")],
            cwd=folder,
            env={"ENGINEROOM_REQUEST_FD": number, "ENGINEROOM_EVENT_FD": number, **environment},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            stderr=subprocess.PIPE,
        )
        theirs.close()
        self._lines = self.socket.makefile("rb")
        self._asked = 0

    def send(self, **request: Any) -> None:
        """Give the engine a request."""
        self.socket.sendall(json.dumps(request).encode() + b"\n")

    def read(self) -> Event:
        """The next event."""
        line = self._lines.readline()
        assert line, "the engine has ended"
        event: Event = json.loads(line)
        return event

    def read_until(self, kind: str, **fields: Any) -> list[Event]:
        """Events up to one of this type with these fields."""
        events = []
        while True:
            events.append(self.read())
            last = events[-1]
            if last["type"] == kind and all(last[name] == value for name, value in fields.items()):
                return events

    def ask(self, code: str, **more: Any) -> str:
        """Begin an evaluation; its id."""
        self._asked += 1
        evaluation = f"e{self._asked}"
        self.send(type="evaluate", id=evaluation, code=code, **more)
        return evaluation

    def evaluate(self, code: str, **more: Any) -> list[Event]:
        """All events of an evaluation, from `started` to `done`."""
        return self.read_until("done", id=self.ask(code, **more))

    def interrupt(self) -> None:
        """SIGINT for the process group, as a runtime sends it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def close(self) -> None:
        """End the engine and what it started."""
        self.socket.close()
        self._lines.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def environment() -> dict[str, str]:
    """What the engine finds; tests change it."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


@pytest.fixture
def engine(tmp_path: Path, environment: dict[str, str]) -> Iterator[EngineProcess]:
    """An engine that is ready."""
    process = EngineProcess(tmp_path, environment)
    try:
        assert process.read()["type"] == "ready"
        yield process
    finally:
        process.close()
