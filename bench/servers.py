"""The servers that are measured: Engineroom, and peers that speak the same protocol.

Peers are installed once, at pinned versions, into a cache folder. Each server runs in a process of
its own, on a core of its own where there are two, and its processor time is read from `/proc`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache/bench"
BOUND_SECONDS = 30
TICKS = os.sysconf("SC_CLK_TCK")

SERVER_CORE, LOAD_CORE = ("0", "1") if len(os.sched_getaffinity(0)) > 1 else ("0", "0")


class ServerEnded(RuntimeError):
    """A server ended before it was ready; what it said is on stderr."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is ready. `url` is where rooms are: `url/<room>`."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time of all its threads so far, in user and system mode."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / TICKS


class Server(Protocol):
    """One kind of server: `name` for the tables, and how it is run."""

    name: str

    def install(self) -> None:
        """Sees to what `run` needs, once."""

    def run(self, data: Path) -> contextlib.AbstractContextManager[Running]:
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
    command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The command on the servers' core, told to end with the block."""
    running = subprocess.Popen(
        on_core(SERVER_CORE, *command),
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
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
    """This checkout, as `engineroom serve` without a site."""

    name = "engineroom"

    def install(self) -> None:
        pass

    @contextlib.contextmanager
    def run(self, data: Path) -> Iterator[Running]:
        program = Path(sys.executable).with_name("engineroom")
        command = (program, "serve", "--port", "0", "--data", data, "--no-auth")
        with process(command, env=QUIET) as running:
            url = ready_url(running).replace("http:", "ws:").rstrip("/")
            yield Running(f"{url}/rooms", running.pid)


@contextlib.contextmanager
def site(pages: Mapping[str, str], folder: Path, **environment: str) -> Iterator[Running]:
    """Engineroom serving these pages (name to Markdown); settings come in the environment."""
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text)
    program = Path(sys.executable).with_name("engineroom")
    shown = ("--port", "0", "--data", folder / ".data", "--token", TOKEN)
    with process((program, "serve", folder, *shown), env=QUIET | environment) as running:
        url = ready_url(running).replace("http:", "ws:").partition("/?")[0]
        yield Running(f"{url}/rooms", running.pid)


class YWebsocket:
    """The Node server that comes with y-websocket 1.5.4; keeps documents in memory."""

    name = "y-websocket (Node)"
    folder = CACHE / "y-websocket-1.5.4"

    def install(self) -> None:
        if (self.folder / "installed").exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / "package.json").write_text('{"private": true}\n')
        packages = ("y-websocket@1.5.4", "ws@6.2.3", "yjs@13.6.33")
        command = ("npm", "install", "--omit=optional", "--no-audit", "--no-fund", "--silent")
        subprocess.run([*command, *packages], cwd=self.folder, check=True)
        (self.folder / "installed").touch()

    @contextlib.contextmanager
    def run(self, data: Path) -> Iterator[Running]:
        del data
        port = free_port()
        environment = {"HOST": "127.0.0.1", "PORT": str(port), "NODE_ENV": "production"}
        script = self.folder / "node_modules/y-websocket/bin/server.js"
        with process(("node", script), cwd=self.folder, env=environment) as running:
            wait_ready(port)
            yield Running(f"ws://127.0.0.1:{port}", running.pid)


class PycrdtWebsocket:
    """pycrdt-websocket 0.16.5 under uvicorn; without a store, documents are kept in memory."""

    name = "pycrdt-websocket"
    folder = CACHE / "pycrdt-websocket-0.16.5"

    def install(self) -> None:
        if (self.folder / "installed").exists():
            return
        venv.create(self.folder, with_pip=True, clear=True)
        packages = ("pycrdt-websocket==0.16.5", "pycrdt==0.14.13", "uvicorn", "websockets")
        command = (self.folder / "bin/python", "-m", "pip", "install", "--quiet")
        subprocess.run([*command, "--disable-pip-version-check", *packages], check=True)
        (self.folder / "installed").touch()

    @contextlib.contextmanager
    def run(self, data: Path) -> Iterator[Running]:
        del data
        port = free_port()
        script = HERE / "peers/pycrdt_server.py"
        with process((self.folder / "bin/python", script, str(port))) as running:
            wait_ready(port)
            yield Running(f"ws://127.0.0.1:{port}", running.pid)


def document_servers(*, peers: bool = True) -> list[Server]:
    """Engineroom first, then its peers, all installed."""
    servers: list[Server] = [Engineroom()]
    if peers:
        servers += [YWebsocket(), PycrdtWebsocket()]
    for server in servers:
        server.install()
    return servers
