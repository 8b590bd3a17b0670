"""A real PostgreSQL server for tests and benchmarks, started from the system's own programs.

PostgreSQL refuses to run as root: there it runs as the user `nobody`, through `setpriv`. Everything
it keeps is in a temporary folder, which goes with it. Nobody but this machine can reach it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

USER = "engineroom"
NOBODY = 65534
PATIENCE_SECONDS = 60.0


def find_programs() -> Path:
    """The folder with `initdb` and `postgres`, of the newest version that is installed.

    Raises:
        FileNotFoundError: none is.
    """
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: folder.parent.name.zfill(4)
    )
    if not folders:
        raise FileNotFoundError("PostgreSQL is not installed: scripts/system-packages installs it")
    return folders[-1]


class PostgresServer:
    """`with PostgresServer() as server`: ready inside, gone after. `stop` or `kill` it, and `launch`
    it again: same port, same data. Without `fsync` it is faster, and a loss of power would spoil it.
    """

    def __init__(self, *, fsync: bool = True) -> None:
        self._fsync = "on" if fsync else "off"
        self._programs = find_programs()
        self._folder = Path(tempfile.mkdtemp(prefix="engineroom-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        self.port = _free_port()

    def __enter__(self) -> Self:
        try:
            if os.geteuid() == 0:
                os.chown(self._folder, NOBODY, NOBODY)
            self._run("initdb", "--pgdata", str(self._data), "--username", USER, "--auth", "trust",
                      "--encoding", "UTF8", "--locale", "C", "--no-sync")  # fmt: skip
            self.launch()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()  # what it has not written yet goes with it
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def launch(self) -> None:
        """Start it, and return when it takes connections.

        Raises:
            AssertionError: it does not, within the time; the message holds its log.
        """
        command = self._command(
            "postgres", "-D", str(self._data), "-h", "127.0.0.1", "-p", str(self.port),
            "-k", str(self._folder), "-c", "max_connections=50",
            "-c", f"fsync={self._fsync}",
        )  # fmt: skip
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + PATIENCE_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"not ready:\n{(self._folder / 'log').read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as an administrator would: connections are cut, everything is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a crash would; it recovers at the next launch."""
        self._end(signal.SIGQUIT)

    def make_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test{next(self._names)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, name)
        return f"postgres://{USER}@127.0.0.1:{self.port}/{name}"

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(PATIENCE_SECONDS)

    def _is_ready(self) -> bool:
        command = [
            str(self._programs / "pg_isready"),
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]
        return subprocess.run(command, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        command = self._command(program, *arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{program} failed: {done.stderr}")

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() != 0:
            return command
        ids = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        return ["setpriv", *ids, *command]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
