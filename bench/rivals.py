"""Engineroom's peers, and the floor below all of them. Each is installed once, at a pinned version, into the cache
folder: from npm, or from PyPI into a virtual environment of its own.

They are run as their own documentation shows it, with documents in memory: none of them writes to the disk here.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import venv
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from servers import CACHE, HERE, Engineroom, Running, Server, free_port, process, wait_ready


class Rival(ABC):
    """A server started by a command that takes its port."""

    dialect = "yjs"
    name: str
    folder: Path

    def install(self) -> None:
        """Installs it, unless a whole installation is there."""
        if (self.folder / "installed").exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.fetch()
        (self.folder / "installed").touch()

    def fetch(self) -> None:
        """Fills the empty folder; what needs nothing leaves it empty."""
        return

    @abstractmethod
    def command(self, port: int) -> Sequence[str | Path]:
        """What is run, in `folder`."""

    def environment(self, port: int) -> dict[str, str]:
        """What it is told beside its arguments."""
        return {}

    @contextlib.contextmanager
    def run(self, data: Path) -> Iterator[Running]:
        del data
        port = free_port()
        command, environment = self.command(port), self.environment(port)
        with process(command, cwd=self.folder, env=environment, quiet=True) as running:
            wait_ready(port)
            yield Running(self.name, f"ws://127.0.0.1:{port}", running.pid, self.dialect)


class Relay(Rival):
    """No peer but the floor: picows, and nothing behind it."""

    name = "relay (picows, no document)"
    folder = HERE

    def install(self) -> None:
        pass

    def command(self, port: int) -> Sequence[str | Path]:
        return (sys.executable, HERE / "peers/relay_server.py", str(port))


class YWebsocket(Rival):
    """The Node server that comes with y-websocket 1.5.4."""

    name = "y-websocket (Node)"
    folder = CACHE / "y-websocket-1.5.4"

    def fetch(self) -> None:
        npm_install(self.folder, "y-websocket@1.5.4", "ws@6.2.3", "yjs@13.6.33")

    def command(self, port: int) -> Sequence[str | Path]:
        return ("node", self.folder / "node_modules/y-websocket/bin/server.js")

    def environment(self, port: int) -> dict[str, str]:
        return {"HOST": "127.0.0.1", "PORT": str(port), "NODE_ENV": "production"}


class Hocuspocus(Rival):
    """@hocuspocus/server; it merges the updates of one loop turn."""

    name = "Hocuspocus 4.7"
    folder = CACHE / "hocuspocus-4.7.0"
    dialect = "hocuspocus"

    def fetch(self) -> None:
        npm_install(self.folder, "@hocuspocus/server@4.7.0", "yjs@13.6.33", "y-protocols@1.0.7")

    def command(self, port: int) -> Sequence[str | Path]:
        return ("node", HERE / "peers/hocuspocus_server.mjs", str(port))

    def environment(self, port: int) -> dict[str, str]:
        return {"NODE_ENV": "production"}


class PycrdtWebsocket(Rival):
    """pycrdt-websocket 0.16.5 under uvicorn."""

    name = "pycrdt-websocket 0.16.5"
    folder = CACHE / "pycrdt-websocket-0.16.5"

    def fetch(self) -> None:
        packages = ("pycrdt-websocket==0.16.5", "pycrdt==0.14.13", "uvicorn", "websockets")
        pip_install(self.folder, *packages)

    def command(self, port: int) -> Sequence[str | Path]:
        return (self.folder / "bin/python", HERE / "peers/pycrdt_server.py", str(port))


class YpyWebsocket(Rival):
    """ypy-websocket 0.12.4 under uvicorn."""

    name = "ypy-websocket 0.12.4"
    folder = CACHE / "ypy-websocket-0.12.4"

    def fetch(self) -> None:
        pip_install(self.folder, "ypy-websocket==0.12.4", "uvicorn", "websockets")

    def command(self, port: int) -> Sequence[str | Path]:
        return (self.folder / "bin/python", HERE / "peers/ypy_server.py", str(port))


def npm_install(folder: Path, *packages: str) -> None:
    (folder / "package.json").write_text('{"private": true}\n')
    command = ("npm", "install", "--omit=optional", "--no-audit", "--no-fund", "--silent")
    subprocess.run([*command, *packages], cwd=folder, check=True)


def pip_install(folder: Path, *packages: str) -> None:
    venv.create(folder, with_pip=True, clear=True)
    command = (folder / "bin/python", "-m", "pip", "install", "--quiet")
    subprocess.run([*command, "--disable-pip-version-check", *packages], check=True)


def with_rivals(*rivals: type[Rival], peers: bool = True) -> list[Server]:
    """Engineroom first, then these, all installed; with `peers` false, Engineroom alone."""
    servers: list[Server] = [Engineroom(), *(rival() for rival in rivals if peers)]
    for server in servers:
        server.install()
    return servers
