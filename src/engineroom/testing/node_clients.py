"""Clients that live in a Node process, one call a line: for tests against unmodified clients from npm.

A line to the script:   {"id": 7, "do": "insert", "client": "ada", ...}
A line from the script: {"id": 7, "result": ...} or {"id": 7, "error": "why"}, in any order.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MAX_LINE_BYTES = 1 << 24


class NodeClients:
    """`async with NodeClients(script) as clients`: no clients yet; at the end they are gone with their process."""

    def __init__(
        self,
        script: Path,
        *,
        environment: Mapping[str, str] | None = None,
        patience_seconds: float = 30.0,
    ) -> None:
        self._script = script
        self._environment = environment
        self._patience_seconds = patience_seconds
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks = asyncio.TaskGroup()
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            "node",
            str(self._script),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
            env=self._environment,
        )
        await self._tasks.__aenter__()
        self._tasks.create_task(self._read_answers(self._process), name="read answers")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._tasks.__aexit__(kind, error, trace)

    async def do(self, action: str, client: str = "", **arguments: Any) -> Any:
        """What the process answers.

        Raises:
            AssertionError: it could not, it ended, or what was waited for did not happen in time.
        """
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        request = {"id": number, "do": action, "client": client, **arguments}
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await answer
        except TimeoutError:
            seen = await self.do("facts", client) if client and action != "facts" else None
            raise AssertionError(f"{request} did not happen; {client} sees {seen}") from None

    async def open(self, client: str, kind: str, url: str, room: str, **options: Any) -> None:
        """A client of this kind that connects to `room` at `url`."""
        await self.do("open", client, kind=kind, url=url, room=room, **options)

    async def wait(self, client: str, **facts: Any) -> None:
        """Return when every one of these facts of the client has the value given here."""
        await self.do("wait", client, facts=facts)

    async def _read_answers(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["id"])
            if waiting.done():
                continue  # its bound has passed; the test has failed already
            if "error" in answer:
                waiting.set_exception(AssertionError(answer["error"]))
            else:
                waiting.set_result(answer["result"])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(AssertionError("the node process has ended"))
                waiting.exception()  # its caller may have given up
