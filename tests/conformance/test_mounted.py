"""The examples of `examples/embedding`, as they are, under real servers, with unmodified y-websocket clients."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from pycrdt import Text
from websockets.exceptions import InvalidStatus

from engineroom.client import connect
from engineroom.testing.node_clients import NodeClients

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[2] / "examples/embedding"
PATIENCE_SECONDS = 60.0
COMMANDS = {
    "uvicorn": ("uvicorn", "--fd", "{fd}", "{app}"),
    "hypercorn": ("hypercorn", "--bind", "fd://{fd}", "{app}"),
    "daphne": ("daphne", "--fd", "{fd}", "{app}"),
}


@dataclass(slots=True)
class Served:
    """An example that runs. `url` is the outer application's."""

    server: str
    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """SIGKILL, for it and its workers: nothing of it can say goodbye."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def rooms(self) -> str:
        """What a y-websocket client is given as its server."""
        return self.url.replace("http", "ws") + "/collab/rooms"


Serve = Callable[[str, str, str], AbstractContextManager[Served]]


def environment(example: str) -> dict[str, str]:
    """Ours, where the example's modules are found."""
    return os.environ | {"PYTHONPATH": str(EXAMPLES / example), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Runs an example under a server, in a folder of the test's own; ends it with SIGTERM, and reads its log."""

    @contextmanager
    def run(server: str, example: str, app: str) -> Iterator[Served]:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        log = tmp_path / f"{server}.log"
        parts = [part.format(fd=listener.fileno(), app=app) for part in COMMANDS[server]]
        with log.open("a") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", *parts],
                cwd=tmp_path,
                env=environment(example),
                pass_fds=[listener.fileno()],
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        listener.close()
        try:
            yield Served(server, f"http://127.0.0.1:{port}", log, process)
            was_running = process.poll() is None
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_SECONDS)
            # SQLite's log is gone when, and only when, the store was closed.
            if was_running:
                assert not list(tmp_path.glob("documents/*-wal")), "the store was not closed"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        # hypercorn tells of its own connections with tracebacks when it ends; ours are looked for.
        said = log.read_text()
        assert "engineroom/" not in said, said
        assert "was destroyed" not in said, said

    return run


async def answer(url: str, **options: Any) -> httpx.Response:
    """What a GET is answered; the first one waits until the server is up."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        return await client.get(url, **options)


async def upgrade_status(url: str, **headers: str) -> int:
    """The status with which a WebSocket's handshake is answered: 101 when it is accepted."""
    try:
        async with websockets.connect(
            url, additional_headers=headers, open_timeout=PATIENCE_SECONDS
        ):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def text_of(served: Served, room: str, token: str | None = None, **options: Any) -> str:
    """The text of a room, as the Python client is given it."""
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        connect(f"{served.rooms}/{room}", token=token, **options) as replica,
    ):
        await replica.wait_synced()
        return str(replica.document.get("text", type=Text))


async def both_versions_sync(
    clients: NodeClients, served: Served, room: str, **options: Any
) -> None:
    """A client of each version in one room, in both directions, with presence."""
    await clients.open("ada", "y-websocket-1", served.rooms, room, **options)
    await clients.open("bob", "y-websocket-3", served.rooms, room, **options)
    await clients.wait("ada", synced=True)
    await clients.wait("bob", synced=True)
    await clients.do("insert", "ada", at=0, text="from Ada ")
    await clients.wait("bob", text="from Ada ")
    await clients.do("insert", "bob", at=9, text="from Bob")
    await clients.wait("ada", text="from Ada from Bob")
    await clients.do("announce", "ada", name="Ada")
    await clients.wait("bob", names=["Ada"])
    await clients.do("leave", "ada")
    await clients.wait("bob", names=[])
    await clients.do("leave", "bob")


async def refused_politely(served: Served, refusals: set[int]) -> None:
    """Neither strangers nor plain HTTP ever meet a 500; and the outer application is not disturbed."""
    rooms = served.rooms
    assert await upgrade_status(f"{rooms}/private") in refusals
    assert await upgrade_status(f"{rooms}/private?token=wrong") in refusals
    # Where a server can only say 403, that is what all refusals are.
    nothing = {404, 403} if served.server == "daphne" else {404, 401}
    assert await upgrade_status(f"{served.url}/collab/-/nothing".replace("http", "ws")) in nothing
    for path in ("/collab/rooms/private", "/collab/", "/collab/nothing", "/collab/-/nothing"):
        status = (await answer(served.url + path)).status_code
        assert status in (401, 403, 404, 426), (path, status)
    assert (await answer(served.url + "/collab/-/health")).json() == {"status": "ok"}
    assert (await answer(served.url + "/")).status_code in (200, 404)


@pytest.mark.parametrize("server", COMMANDS)
async def test_starlette(serve: Serve, clients: NodeClients, server: str) -> None:
    """Below /collab of a Starlette application: rooms sync, refusals are plain, restarts lose nothing."""
    with serve(server, "starlette", "app:app") as served:
        assert "Rooms are below" in (await answer(served.url + "/")).text
        await both_versions_sync(clients, served, "häuser/küche 2", params={"token": "ada"})
        await refused_politely(served, {401} if server != "daphne" else {403})
        bearer = {"Authorization": "Bearer ada"}
        plain = await answer(served.url + "/collab/rooms/a", headers=bearer)
        assert plain.status_code == 426
        assert await upgrade_status(f"{served.rooms}/a?token=ada") == 101
        hocuspocus = served.url.replace("http", "ws") + "/collab/hocuspocus"
        await clients.open("hop", "hocuspocus-4", hocuspocus, "häuser/küche 2", token="guest")
        await clients.wait("hop", text="from Ada from Bob")
        await clients.do("leave", "hop")
        description = await answer(served.url + "/collab/api/openapi.json", headers=bearer)
        assert description.status_code == 200
        guest = await text_of(served, "h%C3%A4user/k%C3%BCche%202", "guest")
        assert guest == "from Ada from Bob"
    with serve(server, "starlette", "app:app") as served:
        assert await text_of(served, "h%C3%A4user/k%C3%BCche%202", "ada") == "from Ada from Bob"


@pytest.mark.parametrize("server", COMMANDS)
async def test_a_server_that_is_killed_keeps_what_was_durable(serve: Serve, server: str) -> None:
    """Under every server the echo means: on the disk."""
    with serve(server, "starlette", "app:app") as served:
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            connect(f"{served.rooms}/kept", token="ada") as room,
        ):
            room.document.get("text", type=Text).insert(0, "durable")
            await room.wait_durable()
            served.kill()
            await room._progress.until(lambda: not room.connected)
    with serve(server, "starlette", "app:app") as served:
        assert await text_of(served, "kept", "ada") == "durable"


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
async def test_fastapi(serve: Serve, clients: NodeClients, server: str) -> None:
    """FastAPI's endpoints and the members of a room work on one document; hooks hear who comes and goes."""
    with serve(server, "fastapi", "app:app") as served:
        await both_versions_sync(clients, served, "notes/plan", params={"token": "secret"})
        await refused_politely(served, {401})
        await clients.open(
            "cy", "y-websocket-3", served.rooms, "notes/today", params={"token": "secret"}
        )
        await clients.wait("cy", synced=True)
        async with httpx.AsyncClient(base_url=served.url, timeout=PATIENCE_SECONDS) as client:
            added = await client.post("/notes/today", params={"line": "milk"})
            assert added.json() == {"text": "milk\n"}
            await clients.wait("cy", text="milk\n")
            await clients.do("insert", "cy", at=0, text="bread\n")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (await client.get("/notes/today")).json()["text"] != "bread\nmilk\n":
                    pass
        await clients.do("leave", "cy")
    if server == "uvicorn":
        assert re.search(r"came into notes/plan", served.log.read_text())


def manage(tmp_path: Path, *arguments: str) -> None:
    """Runs Django's own command line."""
    subprocess.run(
        [sys.executable, EXAMPLES / "django/manage.py", *arguments],
        cwd=tmp_path,
        env=environment("django"),
        check=True,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    )


MAKE_USERS = """
from django.contrib.auth.models import User
User.objects.create_user("ada", password="a", is_staff=True)
User.objects.create_user("guest", password="g")
"""


async def session_of(served: Served, name: str, password: str) -> str:
    """Logs in as a browser would; its cookies."""
    async with httpx.AsyncClient(base_url=served.url, timeout=PATIENCE_SECONDS) as client:
        await client.get("/login/")
        form = {
            "csrfmiddlewaretoken": client.cookies["csrftoken"],
            "username": name,
            "password": password,
        }
        assert (await client.post("/login/", data=form)).text == "Welcome."
        assert name in (await client.get("/")).text
        return "; ".join(f"{key}={value}" for key, value in client.cookies.items())


@pytest.mark.parametrize("server", ["daphne", "uvicorn", "hypercorn"])
async def test_django(serve: Serve, clients: NodeClients, tmp_path: Path, server: str) -> None:
    """Beside Django, the session's user says who may write, who may read, and who is refused."""
    manage(tmp_path, "migrate")
    manage(tmp_path, "shell", "-c", MAKE_USERS)
    with serve(server, "django", "notes.asgi:application") as served:
        assert "nobody" in (await answer(served.url + "/")).text
        ada = {"Cookie": await session_of(served, "ada", "a"), "Origin": served.url}
        guest = {"Cookie": await session_of(served, "guest", "g"), "Origin": served.url}
        await both_versions_sync(clients, served, "notes/today", headers=ada)
        await refused_politely(served, {401} if server != "daphne" else {403})
        foreign = {"Cookie": ada["Cookie"], "Origin": "http://elsewhere.example"}
        assert await upgrade_status(f"{served.rooms}/notes/today", **foreign) == 403
        assert await text_of(served, "notes/today", headers=guest) == "from Ada from Bob"
        await clients.open("guest", "y-websocket-3", served.rooms, "notes/today", headers=guest)
        await clients.open("cy", "y-websocket-1", served.rooms, "notes/today", headers=ada)
        for each in ("guest", "cy"):
            await clients.wait(each, synced=True, text="from Ada from Bob")
        await clients.do("insert", "guest", at=0, text="not allowed ")
        await clients.do("insert", "cy", at=17, text="!")
        await clients.wait("guest", text="not allowed from Ada from Bob!")
        await clients.wait("cy", text="from Ada from Bob!")
        assert await text_of(served, "notes/today", headers=ada) == "from Ada from Bob!"


async def test_standalone(tmp_path: Path) -> None:
    """The program that serves works on the document itself, and ends in good order with SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLES / "standalone/serve.py",
        "0",
        cwd=tmp_path,
        env=environment("standalone"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        url = (await process.stdout.readline()).decode().strip()
        async with connect(url) as room:
            await room.wait_synced()
            assert str(room.document.get("text", type=Text)) == "The server was here. "
        process.terminate()
        _, said = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in said
