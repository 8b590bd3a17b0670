"""The servers that are measured, each in a process of its own, on a core of its own where there are two."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache/bench"
BOUND_SECONDS = 30

SERVER_CORE, LOAD_CORE = ("0", "1") if len(os.sched_getaffinity(0)) > 1 else ("0", "0")


class ServerEnded(RuntimeError):
    """A server ended before it was ready; what it said is on stderr."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process. Of a server that is ready, `url` is where rooms are: `url/<room>`."""

    name: str
    url: str
    pid: int
    dialect: str = "yjs"

    def cpu_seconds(self) -> float:
        """Processor time of all its threads so far, as the scheduler counts it (nanoseconds)."""
        nanoseconds = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
                nanoseconds += int((task / "schedstat").read_text().split()[0])
        return nanoseconds / 1e9

    def memory_bytes(self, kind: str = "VmRSS") -> int:
        """Resident memory now, or with `VmHWM` at its highest."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"{kind}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) << 10


class Server(Protocol):
    """One kind of server: `name` for the tables, and how it is run."""

    name: str

    def install(self) -> None:
        """Sees to what `run` needs, once."""

    def run(self, data: Path) -> AbstractContextManager[Running]:
        """Runs it until the block ends; what it stores is in `data`."""


def on_core(core: str, *command: str | Path) -> list[str]:
    """The command, bound to one core."""
    return ["taskset", "--cpu-list", core, *map(str, command)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> Iterator[subprocess.Popen[str]]:
    """The command on the servers' core, told to end with the block; `quiet` throws away what it says on stderr."""
    running = subprocess.Popen(
        on_core(SERVER_CORE, *command),
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        text=True,
    )
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.communicate(timeout=BOUND_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()


def wait_ready(port: int) -> None:
    """Waits until something listens on `port`."""
    end = time.monotonic() + BOUND_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    raise TimeoutError(f"no server on port {port}")


def ready_url(running: subprocess.Popen[str]) -> str:
    """The URL in Engineroom's line `Engineroom is ready at <url>`, whole."""
    assert running.stdout is not None
    for line in running.stdout:
        if found := re.search(r"is ready at (http://\S+)", line):
            return found[1]
    raise ServerEnded(f"the server ended with status {running.wait()}")


TOKEN = "a-token-for-measurements"
QUIET = {"ENGINEROOM_LOG_LEVEL": "warning"}


class Engineroom:
    """This checkout, as `engineroom serve` without a site: every update is on the disk before it is acknowledged."""

    name = "engineroom"

    def __init__(self, **environment: str) -> None:
        self._environment = QUIET | environment

    def install(self) -> None:
        pass

    @contextlib.contextmanager
    def run(self, data: Path) -> Iterator[Running]:
        program = Path(sys.executable).with_name("engineroom")
        command = (program, "serve", "--port", "0", "--data", data, "--no-auth")
        with process(command, env=self._environment) as running:
            url = ready_url(running).replace("http:", "ws:").rstrip("/")
            yield Running(self.name, f"{url}/rooms", running.pid)


@contextlib.contextmanager
def site(pages: Mapping[str, str], folder: Path, **environment: str) -> Iterator[Running]:
    """Engineroom serving these pages (name to Markdown); settings come in the environment."""
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text)
    program = Path(sys.executable).with_name("engineroom")
    shown = ("--port", "0", "--data", folder / ".data", "--token", TOKEN)
    with process((program, "serve", folder, *shown), env=QUIET | environment) as running:
        url = ready_url(running).replace("http:", "ws:").partition("/?")[0]
        yield Running("engineroom", f"{url}/rooms", running.pid)
