"""When the server dies, also by SIGKILL, every process of its rooms dies with it, grandchildren too."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import websockets

from engineroom.protocols import messages as m
from engineroom.protocols.page import SUBPROTOCOL, PageDialect
from engineroom.testing.server_process import ServerProcess

pytestmark = pytest.mark.anyio

PAGE = PageDialect()

# A cell and a terminal that each leave a process behind which wants to live for ever: a session and a process group
# of its own, deaf to SIGTERM and SIGHUP, with a name that this test can find.
CELL = """
import os, signal, subprocess, sys
stay = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; time.sleep(1000)"
subprocess.Popen([sys.executable, "-c", stay, MARK], start_new_session=True)
print("started")
"""
SHELL = "setsid nohup sh -c 'trap \"\" TERM HUP INT; sleep 1000; : {mark}' >/dev/null 2>&1 & echo star''ted\n"


def processes(mark: str) -> set[int]:
    """The processes whose command line holds `mark`, but for this one."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark.encode() in (folder / "cmdline").read_bytes():
                    found.add(int(folder.name))
    return found


def of_server(server: ServerProcess) -> set[int]:
    """The server's descendants, whatever they are called."""
    children: dict[int, set[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, set()).add(int(folder.name))
    found, todo = set(), [server.pid]
    while todo:
        for child in children.get(todo.pop(), ()):
            found.add(child)
            todo.append(child)
    return found


async def until_none(pids: set[int]) -> None:
    """Return when none of them lives (a zombie does not)."""
    async with asyncio.timeout(30):
        while any(_lives(pid) for pid in pids):  # noqa: ASYNC110 (the kernel tells nobody but parents)
            await asyncio.sleep(0.05)


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@contextlib.asynccontextmanager
async def busy_room(server: ServerProcess, mark: str) -> AsyncIterator[None]:
    """A member in a room whose cell and terminal have both left something behind."""
    url = server.url("/rooms/page@abc", scheme="ws")
    async with websockets.connect(url, subprotocols=[SUBPROTOCOL], max_size=None) as socket:
        for message in (
            m.Evaluate(1, "e1", "c", CELL.replace("MARK", repr(mark))),
            m.TerminalResize("terminal-1", 80, 24),
            m.TerminalInput("terminal-1", SHELL.format(mark=mark).encode()),
        ):
            frame = PAGE.encode_from_member(message)
            await socket.send(frame)
        async with asyncio.timeout(30):
            heard = b""
            while heard.count(b"started") < 2:
                frame = await socket.recv()
                assert isinstance(frame, bytes)
                heard += frame
        yield


@pytest.fixture
def server(tmp_path: Path) -> ServerProcess:
    """A site with one page: a cell and a terminal."""
    site = tmp_path / "site"
    site.mkdir()
    page = '# Page\n\n```python cell id=c\n1\n```\n\n<x-terminal command="sh"></x-terminal>\n'
    (site / "page.md").write_text(page)
    return ServerProcess(site, data=tmp_path / "data", log=tmp_path / "server.log")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_nothing_outlives_the_server(server: ServerProcess, how: signal.Signals) -> None:
    """However the server ends, no process that a cell or a terminal started is left."""
    mark = f"mark-{uuid.uuid4().hex}"
    with server:
        async with busy_room(server, mark):
            left = of_server(server) | processes(mark)
            assert len(left) >= 4, "the room started nothing: the test shows nothing"
            os.kill(server.pid, how)
            await until_none(left | {server.pid})
        assert processes(mark) == set()


async def test_nothing_outlives_the_room(tmp_path: Path, server: ServerProcess) -> None:
    """When the last member has left and the room has lingered, nothing of its programs is left."""
    mark = f"mark-{uuid.uuid4().hex}"
    page = tmp_path / "site" / "page.md"
    page.write_text("---\nlinger_seconds: 0\n---\n" + page.read_text())
    with server:
        async with busy_room(server, mark):
            left = of_server(server) | processes(mark)
        await until_none(left)
        assert of_server(server) == set()
