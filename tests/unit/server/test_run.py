"""A whole server in its own process: what it says, how it starts, how it ends."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from engineroom.server import run

PATIENCE_SECONDS = 30.0
READY = re.compile(r"Engineroom is ready at (http://\S+)\n")


class Process:
    """An `engineroom serve` of this test."""

    def __init__(self, *arguments: str, environ: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "engineroom", "serve", *arguments]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | (environ or {}),
            start_new_session=True,
        )

    def wait_ready(self) -> httpx.URL:
        """The URL in the ready line."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE_SECONDS)
        assert readable, "the server said nothing"
        line = self.process.stdout.readline()
        match = READY.fullmatch(line)
        assert match is not None, (line, self.process.communicate()[1])
        return httpx.URL(match[1])

    def end(self, sig: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Exit code, the rest of stdout, stderr."""
        self.process.send_signal(sig)
        return self.wait()

    def wait(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, out, err


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers on free ports with a data folder of this test, and kills what is left of them."""
    processes: list[Process] = []

    def start(*arguments: str, environ: dict[str, str] | None = None) -> Process:
        stated = [] if "--port" in arguments else ["--port", "0"]
        stated += [] if "--data" in arguments else ["--data", str(tmp_path / "data")]
        processes.append(Process(*stated, *arguments, environ=environ))
        return processes[-1]

    yield start
    for process in processes:
        if process.process.poll() is None:
            process.process.kill()
        process.process.communicate()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.md").write_text("# Start\n")
    return folder


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_ready_serve_drain(start: Start, site: Path, sig: signal.Signals) -> None:
    """The ready line's URL works at once; a signal closes sockets with 1012 and ends with 0 in 5 s."""
    server = start(str(site))
    url = server.wait_ready()
    assert url.host == "127.0.0.1"
    token = url.params["token"]
    with httpx.Client(follow_redirects=True) as client:
        assert "Start" in client.get(url).text
    with connect(f"ws://{url.host}:{url.port}/rooms/notes?token={token}") as socket:
        assert socket.recv(PATIENCE_SECONDS) == b"\0\0\1\0"
        begin = time.monotonic()
        server.process.send_signal(sig)
        with suppress(ConnectionClosed):
            while True:
                socket.recv(PATIENCE_SECONDS)
    code, out, err = server.wait()
    assert socket.close_code == 1012
    assert (code, out) == (0, "")
    assert "Traceback" not in err
    assert time.monotonic() - begin < 5.0


def test_a_silent_client_does_not_hold_the_end(start: Start) -> None:
    """A client that neither reads nor closes does not keep the server from ending in 5 s."""
    server = start("--no-auth")
    url = server.wait_ready()
    with connect(f"ws://{url.host}:{url.port}/notes") as client:
        assert client.recv(PATIENCE_SECONDS) == b"\0\0\1\0"
        idle = socket.create_connection((url.host, url.port))
        raw = socket.create_connection((url.host, url.port))
        key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        raw.sendall(f"GET /n HTTP/1.1\r\nHost: localhost\r\n{upgrade}{key}\r\n".encode())
        assert raw.recv(12) == b"HTTP/1.1 101"
        begin = time.monotonic()
        assert server.end()[0] == 0
        assert time.monotonic() - begin < 5.0
        raw.close()
        idle.close()


def test_a_restarted_server_knows_its_visitors(start: Start) -> None:
    """Token and cookies are good after a restart on the same data folder."""
    server = start()
    first = server.wait_ready()
    port = str(first.port)
    with httpx.Client(follow_redirects=True) as client:
        assert client.get(first).status_code == 200
        assert server.end()[0] == 0
        second = start("--port", port)
        assert second.wait_ready() == first
        assert client.get(first.copy_with(query=None)).status_code == 200


def test_no_auth_prints_no_token(start: Start) -> None:
    """With `--no-auth` the URL has no token, and nobody needs one."""
    url = start("--no-auth").wait_ready()
    assert url.query == b""
    assert httpx.get(url).status_code == 200


def test_a_stated_token(start: Start) -> None:
    """`--token` is the token that visitors need."""
    url = start("--token", "mine").wait_ready()
    assert url.params["token"] == "mine"
    assert httpx.get(url.copy_with(query=None), headers={"Authorization": "Bearer mine"}).is_success


def test_on_all_addresses_the_url_is_for_others(start: Start) -> None:
    """On `0.0.0.0` the printed URL names an address of this machine, which lets visitors in."""
    server = start("--host", "0.0.0.0")
    url = server.wait_ready()
    assert url.host not in ("0.0.0.0", "127.0.0.1")
    assert httpx.get(url).status_code == 303
    foreign = httpx.get(f"http://127.0.0.1:{url.port}/", headers={"Host": "evil.example"})
    assert foreign.status_code == 421


def test_ipv6(start: Start) -> None:
    """An IPv6 address stands in brackets."""
    url = start("--host", "::1", "--no-auth").wait_ready()
    assert str(url).startswith("http://[::1]:")
    assert httpx.get(url).status_code == 200


def test_open_opens_the_browser(start: Start, tmp_path: Path) -> None:
    """`--open` hands the URL to the browser."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    url = start("--open", environ={"BROWSER": str(browser)}).wait_ready()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not opened.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert opened.read_text() == str(url)


def test_log_level(start: Start) -> None:
    """`log_level` decides what is on stderr."""
    server = start(environ={"ENGINEROOM_LOG_LEVEL": "error"})
    server.wait_ready()
    assert server.end()[2] == ""


def test_settings_of_rooms_take_effect(start: Start) -> None:
    """`max_rooms` from the environment bounds the rooms of a running server."""
    environ = {"ENGINEROOM_MAX_ROOMS": "1", "ENGINEROOM_DURABILITY": "os"}
    url = start("--no-auth", environ=environ).wait_ready()
    with connect(f"ws://{url.host}:{url.port}/one"), pytest.raises(Exception, match="503"):
        connect(f"ws://{url.host}:{url.port}/two")


# --- what keeps it from starting -------------------------------------------------------------


def assert_one_line(process: Process, *words: str) -> None:
    """Exit code 2, nothing on stdout, one line on stderr with these words."""
    code, out, err = process.wait()
    assert (code, out) == (2, ""), err
    line, newline, rest = err.partition("\n")
    assert (newline, rest) == ("\n", "")
    assert line.startswith("engineroom: ")
    for word in words:
        assert word in line


def test_port_in_use(start: Start) -> None:
    """A port in use is one line that says so."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert_one_line(start("--port", port), port, "in use", "--port")


def test_data_folder_in_use(start: Start) -> None:
    """A data folder that another server holds is one line that says so."""
    start().wait_ready()
    assert_one_line(start(), "in use by another server")


def test_missing_site(start: Start, tmp_path: Path) -> None:
    """A folder that is not there is one line that names it."""
    assert_one_line(start(str(tmp_path / "nowhere")), "nowhere")


def test_unwritable_data(start: Start) -> None:
    """A data folder that cannot be written is one line that names it."""
    assert_one_line(start("--data", "/proc/engineroom"), "/proc/engineroom")


def test_a_file_as_data_folder(start: Start, tmp_path: Path) -> None:
    """A data folder that is a file is one line that names it."""
    (tmp_path / "file").touch()
    assert_one_line(start("--data", str(tmp_path / "file")), "file")


def test_a_damaged_store(start: Start, tmp_path: Path) -> None:
    """A store that is none is one line, and is left as it is."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/rooms.sqlite").write_bytes(b"no database" * 1000)
    assert_one_line(start(), "rooms.sqlite")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--no-auth", "--host", "0.0.0.0"], ["no_auth", "0.0.0.0"]),
        (["--host", "nowhere.invalid"], ["nowhere.invalid"]),
        (["--host", "192.0.2.1"], ["192.0.2.1"]),
        (["--allow-host", "http://a"], ["allow_host"]),
        (["--allow-origin", "a"], ["allow_origin"]),
        (["--config", "nowhere.toml"], ["nowhere.toml"]),
        (["--token", "not a token"], ["--token"]),
    ],
)
def test_bad_settings(start: Start, arguments: list[str], words: list[str]) -> None:
    """A bad setting is one line that names it."""
    assert_one_line(start(*arguments), *words)


# --- the second Ctrl-C -----------------------------------------------------------------------


def test_a_second_ctrl_c_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first Ctrl-C drains, the second one ends the process; SIGTERM stays patient."""
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    monkeypatch.setattr(run, "application", lambda services: None)
    server = run.Server(SimpleNamespace(), 1.0, lambda: None)  # type: ignore[arg-type]
    server.handle_exit(signal.SIGTERM, None)
    server.handle_exit(signal.SIGTERM, None)
    assert server.should_exit
    assert ended == []
    server.handle_exit(signal.SIGINT, None)
    assert ended == [130]
