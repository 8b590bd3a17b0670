"""A real `engineroom serve` in a process of its own, for tests and benchmarks: started, killed, started again."""

from __future__ import annotations

import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

READY = re.compile(r"Engineroom is ready at http://([^/:]+|\[[^\]]+\]):(\d+)/")


class ServerProcess:
    """`with ServerProcess(site, data=…, log=…) as server`: ready inside, ended by SIGTERM and awaited after.

    `site` None serves documents alone. A server that was killed can be launched again: same port, same data.
    """

    def __init__(
        self,
        site: Path | None,
        *options: str,
        data: Path,
        log: Path,
        token: str | None = "token-for-tests",  # noqa: S107
        patience_seconds: float = 60.0,
    ) -> None:
        self.token = token
        self.port = 0
        self.log = log
        self._site = site
        self._data = data
        self._options = options
        self._patience_seconds = patience_seconds
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.launch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        code = self.terminate()
        if kind is None and code not in (0, None):
            raise AssertionError(f"the server ended with {code}:\n{self.log.read_text()}")

    @property
    def pid(self) -> int:
        """The process that serves."""
        assert self._process is not None
        return self._process.pid

    def launch(self) -> None:
        """Start it, and return when it is ready.

        Raises:
            AssertionError: it is not, within the time; the message holds its log.
        """
        site = [] if self._site is None else [str(self._site)]
        access = ["--no-auth"] if self.token is None else ["--token", self.token]
        place = ["--port", str(self.port), "--data", str(self._data)]
        command = [sys.executable, "-m", "engineroom", "serve", *site, *place, *access]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [*command, *self._options], stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], self._patience_seconds)
        line = self._process.stdout.readline() if ready else ""
        match = READY.match(line)
        if match is None:
            self.kill()
            raise AssertionError(f"not ready: {line!r}\n{self.log.read_text()}")
        self.port = int(match[2])

    def kill(self) -> None:
        """SIGKILL: nothing of it can say goodbye."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def terminate(self) -> int | None:
        """SIGTERM; its exit code, None when it was not running."""
        process = self._process
        if process is None:
            return None
        running = process.poll() is None
        if running:
            process.send_signal(signal.SIGTERM)
        code = self._reap()
        return code if running else None

    def _reap(self) -> int:
        assert self._process is not None
        code = self._process.wait(self._patience_seconds)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def url(self, path: str = "/", *, scheme: str = "http") -> str:
        """The URL of `path`, with the token when there is one."""
        url = f"{scheme}://127.0.0.1:{self.port}{path}"
        if self.token is None:
            return url
        return f"{url}{'&' if '?' in path else '?'}token={self.token}"
