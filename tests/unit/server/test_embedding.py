"""Rooms inside another program: the server from code, and the application to be mounted."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from pycrdt import Doc, Text
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.exceptions import InvalidStatus

import engineroom
from engineroom import (
    Access,
    AccessDenied,
    Address,
    Application,
    Hooks,
    MemberInfo,
    Server,
    connect,
)
from engineroom.errors import DataFolderError, SettingsError

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 20.0
TOKEN = "t0ken"
HOST = {"Host": "127.0.0.1:8000"}
BEARER = HOST | {"Authorization": f"Bearer {TOKEN}"}


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {"data": str(tmp_path / "data"), "token": TOKEN, "runtime": "local"}


@pytest.fixture
async def server(settings: dict[str, Any]) -> AsyncIterator[Server]:
    async with Server(port=0, **settings) as running:
        yield running


def text_of(document: "Doc[Any]") -> Text:
    return document.get("text", type=Text)


# --- the server ------------------------------------------------------------------------------


async def test_a_server_in_five_lines(server: Server) -> None:
    """Inside the block it serves at `url`, and `token` opens it."""
    assert server.url.startswith("http://127.0.0.1:")
    assert server.token == TOKEN
    async with connect(f"{server.url}/rooms/notes", token=server.token) as room:
        text_of(room.document).insert(0, "hello")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await room.wait_durable()
    with pytest.raises(AccessDenied):
        async with asyncio.timeout(PATIENCE_SECONDS), connect(f"{server.url}/rooms/notes") as room:
            await room.wait_synced()


async def test_leaving_closes_it_and_documents_stay(settings: dict[str, Any]) -> None:
    """Members are told that the server goes (1012), nobody is served any more, and the next one has the documents."""
    async with Server(port=0, **settings) as server:
        url = server.url.replace("http", "ws") + "/rooms/notes"
        socket = await websockets.connect(f"{url}?token={TOKEN}")
        async with server.rooms.open("notes") as room:
            await room.edit(lambda document: text_of(document).insert(0, "kept"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await socket.wait_closed()
    assert socket.close_code == 1012
    assert server.url == ""
    with pytest.raises(OSError, match="Connect call failed"):
        await websockets.connect(url)
    async with Server(port=0, **settings) as server, server.rooms.open("notes") as room:
        assert str(text_of(room.document)) == "kept"


async def test_nothing_of_the_process_is_taken(server: Server) -> None:
    """Signals go where they went before."""
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


async def test_a_port_that_is_taken_is_told(settings: dict[str, Any], tmp_path: Path) -> None:
    """Entering fails with the reason, and leaves nothing open."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Server(port=taken.getsockname()[1], **settings)
        with pytest.raises(SettingsError, match="in use"):
            await server.__aenter__()
    async with Server(port=0, **settings):
        pass


async def test_a_data_folder_that_is_taken_is_told(
    settings: dict[str, Any], server: Server
) -> None:
    """Two servers do not share a folder; the second one gives its port back."""
    second = Server(port=0, **settings)
    with pytest.raises(DataFolderError, match="in use"):
        await second.__aenter__()
    with pytest.raises(RuntimeError, match="not open"):
        _ = second.rooms


@pytest.mark.parametrize(
    "wrong",
    [{"portt": 1}, {"port": -1}, {"durability": "never"}, {"host": "0.0.0.0", "no_auth": True}],
)
def test_a_setting_that_is_wrong_is_told_at_once(wrong: dict[str, Any]) -> None:
    """Names, values and what is not safe are refused where they are stated."""
    with pytest.raises(SettingsError):
        Server(**wrong)


async def test_an_error_in_the_block_comes_out_as_it_is(settings: dict[str, Any]) -> None:
    """What goes wrong in the block is not wrapped, and the server closes all the same."""
    with pytest.raises(ZeroDivisionError):
        async with Server(port=0, **settings):
            _ = 1 / 0
    async with Server(port=0, **settings):
        pass


async def test_two_servers_in_one_process(settings: dict[str, Any], tmp_path: Path) -> None:
    """With folders of their own, as many as there are ports."""
    other = settings | {"data": str(tmp_path / "other")}
    async with Server(port=0, **settings) as first, Server(port=0, **other) as second:
        async with first.rooms.open("notes") as room:
            await room.edit(lambda document: text_of(document).insert(0, "first's"))
        async with second.rooms.open("notes") as room:
            assert str(text_of(room.document)) == ""


# --- one room, many doors --------------------------------------------------------------------


async def test_all_doors_lead_to_one_room(settings: dict[str, Any]) -> None:
    """Members of a mounted application, of two servers' ports and the program itself work on one document."""
    collab = Application(**settings)
    outer = Starlette(routes=[Mount("/collab", collab)], lifespan=collab.lifespan)
    async with (
        collab,
        Server(collab, port=0) as first,
        Server(collab, port=0) as second,
        connect(f"{first.url}/rooms/notes", token=TOKEN) as ada,
        connect(f"{second.url}/rooms/notes", token=TOKEN) as bob,
        collab.rooms.open("notes") as room,
    ):
        text_of(ada.document).insert(0, "Ada ")
        await until(lambda: str(text_of(bob.document)) == "Ada ")
        await room.edit(lambda document: text_of(document).insert(4, "program "))
        await until(lambda: str(text_of(bob.document)) == "Ada program ")
        text_of(bob.document).insert(0, "Bob ")
        await until(lambda: str(text_of(ada.document)) == "Bob Ada program ")
        transport = httpx.ASGITransport(outer)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            assert (await client.get("/collab/-/health")).status_code == 200
        (status,) = collab.rooms.statistics()
        assert status.members == 2


async def test_a_door_that_closes_leaves_the_others_open(settings: dict[str, Any]) -> None:
    """The rooms end with the last door, not with the first."""
    async with (
        Application(**settings) as collab,
        Server(collab, port=0) as lasting,
        connect(f"{lasting.url}/rooms/notes", token=TOKEN) as ada,
    ):
        async with (
            Server(collab, port=0) as passing,
            connect(f"{passing.url}/rooms/notes", token=TOKEN) as bob,
        ):
            await until(lambda: ada.synced and bob.synced)
        assert ada.connected
        text_of(ada.document).insert(0, "still open")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ada.wait_durable()


def test_a_second_door_has_no_settings_of_its_own(settings: dict[str, Any]) -> None:
    """What belongs to the rooms is stated where they are opened."""
    with pytest.raises(SettingsError, match="host"):
        Server(Application(**settings), port=0, token="other")


# --- the application -------------------------------------------------------------------------


async def get(app: Any, path: str, root_path: str = "", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        return await client.get(path, headers=headers)


async def test_it_opens_at_the_first_request(settings: dict[str, Any]) -> None:
    """Without a lifespan, requests that come at the same time open it once, and are answered."""
    app = Application(**settings)
    with pytest.raises(RuntimeError, match="not open"):
        _ = app.rooms
    answers = await asyncio.gather(*(get(app, "/-/health") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert app.token == TOKEN
    async with app:
        pass  # and closes with the last who holds it
    with pytest.raises(RuntimeError, match="not open"):
        _ = app.rooms


async def test_what_cannot_be_opened_answers_503(
    settings: dict[str, Any], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that another process has: not now, the log says why, and not a word of it to the visitor."""
    app = Application(**settings)
    answer = await get(app, "/rooms/notes", **BEARER)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert settings["data"] not in answer.text
    assert settings["data"] in caplog.text


async def speak_lifespan(app: Any, tasks: asyncio.TaskGroup) -> Any:
    """Begins the lifespan; what it answers, and the way to end it."""
    asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    tasks.create_task(app(scope, asked.get, said.put))
    asked.put_nowait({"type": "lifespan.startup"})
    return await said.get(), scope["state"], asked, said


async def test_it_lives_with_its_own_lifespan(settings: dict[str, Any]) -> None:
    """Under a server that speaks the protocol it opens and closes with it; a mount inside it makes no difference."""
    app = Application(**settings)
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        started, state, asked, said = await speak_lifespan(app, tasks)
        assert started["type"] == "lifespan.startup.complete"
        assert "doorway" in state
        async with app.lifespan():
            assert (await get(app, "/-/health")).status_code == 200
        assert app.rooms.statistics() == []
        asked.put_nowait({"type": "lifespan.shutdown"})
        assert (await said.get())["type"] == "lifespan.shutdown.complete"
    with pytest.raises(RuntimeError, match="not open"):
        _ = app.rooms


async def test_a_lifespan_that_cannot_begin_says_why(
    settings: dict[str, Any], server: Server
) -> None:
    """The server is told the reason, and ends with it."""
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        failed, _, _, _ = await speak_lifespan(Application(**settings), tasks)
    assert failed["type"] == "lifespan.startup.failed"
    assert "in use" in failed["message"]


async def test_paths_below_a_prefix(settings: dict[str, Any]) -> None:
    """`root_path` is cut off, decoded or not; a room may be called like the prefix."""
    async with Application(**settings) as app:
        for path, prefix in (
            ("/collab/-/health", "/collab"),
            ("/caf%C3%A9%20bar/-/health", "/café bar"),
            ("/-/health", ""),
            ("/-/health", "/cut-off-already"),
        ):
            assert (await get(app, path, prefix)).status_code == 200, path
        assert (await get(app, "/collab/rooms/a", "/collab", **BEARER)).status_code in (404, 426)
        redirect = await get(app, f"/collab/?token={TOKEN}", "/collab")
        assert redirect.status_code == 303
        assert redirect.headers["location"] == "/collab/"
        assert "Path=/collab/" in redirect.headers["set-cookie"]


async def test_pages_are_at_the_root_alone(settings: dict[str, Any], tmp_path: Path) -> None:
    """Below a prefix a site is refused with the reason: the links in it would lead nowhere."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.md").write_text("# Start\n")
    async with Application(site=str(tmp_path / "site"), **settings) as app:
        assert (await get(app, "/", **BEARER)).status_code in (200, 303)
        refused = await get(app, "/collab/", "/collab", **BEARER)
        assert refused.status_code == 404
        assert "not below /collab" in refused.text


# --- the application's own word --------------------------------------------------------------


class Ears(Hooks):
    """Hears everything."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def on_load(self, address: Address) -> bytes | None:
        document: Doc[Any] = Doc()
        text_of(document).insert(0, f"a new {address}")
        return document.get_update()

    def on_join(self, address: Address, member: MemberInfo) -> None:
        self.heard.append(f"{member.user.id} joined {address}")

    def on_change(self, address: Address, member: MemberInfo | None, update: bytes) -> None:
        self.heard.append(f"{member.user.id if member else 'the server'} changed {address}")

    def on_leave(self, address: Address, member: MemberInfo) -> None:
        self.heard.append(f"{member.user.id} left {address}")


async def test_hooks_and_authorize_are_passed_through(settings: dict[str, Any]) -> None:
    """The application says who comes in and as whom, and hears of it."""

    async def authorize(request: engineroom.Request, address: Address) -> engineroom.Allowed:
        name = request.query_token
        if name is None:
            raise AccessDenied("Who are you?", 401)
        user = engineroom.User(name)
        return engineroom.Allowed(Access(write=name == "ada"), user)

    ears = Ears()
    async with Server(port=0, hooks=ears, authorize=authorize, **settings) as server:
        url = f"{server.url}/rooms/notes"
        asking = connect(f"{url}?token=guest", patience_seconds=1.0)
        async with connect(f"{url}?token=ada") as ada, asking as guest:
            await until(lambda: str(text_of(guest.document)) == "a new notes")
            await until(lambda: ada.synced)
            text_of(ada.document).insert(0, "Ada: ")
            await until(lambda: str(text_of(guest.document)).startswith("Ada: "))
            text_of(guest.document).insert(0, "Guest: ")
        with pytest.raises(InvalidStatus, match="401"):
            await websockets.connect(url.replace("http", "ws"))
        await until(lambda: "guest left notes" in ears.heard)
    assert "ada joined notes" in ears.heard
    assert "ada changed notes" in ears.heard
    assert "guest changed notes" not in ears.heard
