"""What a server holds open, and that its parts are joined to each other."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from engineroom.errors import (
    AccessDenied,
    DataFolderError,
    PageError,
    ProgramError,
    SettingsError,
)
from engineroom.programs.runtimes import Choice, LocalRuntime
from engineroom.protocols.frames import Bundle
from engineroom.server.request import Request
from engineroom.server.services import Services, open_services
from engineroom.server.settings import Settings

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 30.0
WELCOME, PAGE_CHANGED, DONE, ENGINE_STATE = 100, 130, 103, 116


class HeardConnection:
    """A connection that keeps what it is sent."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self._news = asyncio.Event()

    def send(self, bundle: Bundle) -> None:
        self.heard.extend(bundle.payloads)
        self._news.set()

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self._news.set()

    async def wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                await self._news.wait()
                self._news.clear()

    async def wait_frame(self, kind: int) -> bytes:
        await self.wait(lambda: any(frame[0] == kind for frame in self.heard))
        return next(frame for frame in self.heard if frame[0] == kind)


def request(path: str, port: int = 1) -> Request:
    headers = [
        (b"host", b"localhost:%d" % port),
        (b"authorization", b"Bearer t"),
        (b"sec-websocket-protocol", b"engineroom.v1"),
    ]
    return Request(path.encode(), b"", headers)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "run.md").write_text("# Run\n\n```python cell\n1 + 1\n```\n")
    return folder


def settings(tmp_path: Path, **more: object) -> Settings:
    stated = {"site": str(tmp_path / "site"), "data": str(tmp_path / "data"), "token": "t"}
    return Settings(**(stated | {"runtime": "local"} | more))  # type: ignore[arg-type]


async def test_a_page_joins_runs_and_hears(site: Path, tmp_path: Path) -> None:
    """A page's member is welcomed, runs its cell on the room's engine, and hears when the page
    changes.
    """
    async with open_services(settings(tmp_path), port=1) as services:
        connection = HeardConnection()
        membership = (
            await services.doorway.gate.join(request("/rooms/run@a"), connection)
        ).membership
        assert b'"run@a"' in await connection.wait_frame(WELCOME)
        membership.receive(evaluate(request=1, cell="cell-1", code="6 * 7"))
        await connection.wait_frame(DONE)
        await connection.wait(lambda: any(b"42" in frame for frame in connection.heard))
        text = "# Run\n\nAnd more.\n\n```python cell\n1 + 1\n```\n"
        for _ in range(200):  # the folder is watched from some moment on, which has no sign
            text += "\nMore.\n"
            (site / "run.md").write_text(text)
            await asyncio.sleep(0.05)
            if any(frame[0] == PAGE_CHANGED for frame in connection.heard):
                break
        await connection.wait_frame(PAGE_CHANGED)
    assert connection.closed is not None
    assert connection.closed[0] == 1012


def evaluate(*, request: int, cell: str, code: str) -> bytes:
    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    return bytes([110, request]) + text("e1") + text(cell) + text(code)


async def test_the_data_folder_is_given_back(tmp_path: Path, site: Path) -> None:
    """The data folder belongs to one server at a time, and is free after its end."""
    async with open_services(settings(tmp_path), port=1):
        with pytest.raises(DataFolderError, match="in use"):
            async with open_services(settings(tmp_path), port=2):
                pass
    async with open_services(settings(tmp_path), port=2) as services:
        assert (await rooms_of(services)) == 0


async def rooms_of(services: Services) -> int:
    return len(services.rooms.statistics())


async def test_what_fails_gives_everything_back(tmp_path: Path) -> None:
    """When a part cannot be opened, those before it are closed."""
    with pytest.raises(PageError):
        async with open_services(settings(tmp_path), port=1):
            pass
    (tmp_path / "site").mkdir()
    async with open_services(settings(tmp_path), port=1):
        pass


async def test_max_rooms(tmp_path: Path, site: Path) -> None:
    """A join past `max_rooms` is refused with 503."""
    async with open_services(settings(tmp_path, max_rooms=1), port=1) as services:
        await services.doorway.gate.join(request("/rooms/run@a"), HeardConnection())
        with pytest.raises(AccessDenied) as denied:
            await services.doorway.gate.join(request("/rooms/run@b"), HeardConnection())
        assert denied.value.status == 503


async def test_the_start_says_where_programs_run(
    tmp_path: Path, site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The runtime of the settings is taken, and said with its limits."""
    caplog.set_level(logging.INFO)
    async with open_services(settings(tmp_path, runtime="local"), port=1):
        pass
    assert "programs run as ordinary processes; limits: " in caplog.text


async def test_a_sandbox_that_does_not_work(
    tmp_path: Path,
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without a working sandbox there is a warning, or, where one was asked for, an error."""

    async def choose(prefer: str) -> Choice:
        if prefer == "sandbox":
            raise ProgramError("the sandbox does not work here")
        return Choice(LocalRuntime(), "programs run without a sandbox")

    monkeypatch.setattr("engineroom.server.services.choose", choose)
    async with open_services(settings(tmp_path, runtime="auto"), port=1):
        pass
    assert "programs run without a sandbox" in caplog.text
    with pytest.raises(ProgramError, match="sandbox"):
        async with open_services(settings(tmp_path, runtime="sandbox"), port=1):
            pass


@pytest.mark.parametrize("name", ["trusted_proxies", "allow_host", "allow_origin"])
async def test_a_name_that_is_none_is_told_alone(tmp_path: Path, name: str) -> None:
    """A proxy, host or origin that is none is told by its setting's name, before anything is opened."""
    settings = Settings(data=str(tmp_path / "data"), **{name: ("no such:/thing",)})
    with pytest.raises(SettingsError, match=name):
        async with open_services(settings, port=1):
            pass
    assert not (tmp_path / "data").exists()
