"""A server that is killed while it answers programs: nothing is done twice, and nobody is left untold."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from engineroom.testing.server_process import ServerProcess

PATIENCE_SECONDS = 60.0
HEADERS = {"authorization": "Bearer token-for-tests"}
PATCH = {"operations": [{"op": "text.append", "path": ["text"], "text": "!"}]}


class Heard:
    """What a receiver of webhooks was told; it answers `status`."""

    def __init__(self) -> None:
        self.status = 204
        self.deliveries: list[tuple[str, Any]] = []
        self.news = threading.Condition()

    def add(self, delivery: str, body: Any) -> None:
        """One delivery."""
        with self.news:
            self.deliveries.append((delivery, body))
            self.news.notify_all()

    def wait(self, count: int) -> list[tuple[str, Any]]:
        """The deliveries, once there are so many."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.deliveries) >= count, PATIENCE_SECONDS)
            return list(self.deliveries)


@contextmanager
def receiver() -> Iterator[tuple[str, Heard]]:
    """A receiver on this machine, and its URL."""
    heard = Heard()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.add(self.headers["webhook-id"], json.loads(body))
            self.send_response(heard.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def put(server: ServerProcess, path: str) -> None:
    """A new document."""
    answer = httpx.put(
        server.url(f"/api/documents/{path}?root=text"),
        content="Hello",
        headers={"content-type": "text/plain"},
    )
    assert answer.status_code == 201, answer.text


def settings(tmp_path: Path, url: str, debounce_seconds: float) -> Path:
    """A file of settings with one webhook."""
    path = tmp_path / "engineroom.toml"
    path.write_text(
        f'[[webhooks]]\nurl = "{url}"\nsecret = "0123456789abcdef"\nevents = ["create", "change"]\n'
        f"debounce_seconds = {debounce_seconds}\nmax_wait_seconds = {max(debounce_seconds, 1)}\n"
    )
    return path


def test_a_change_is_told_after_a_kill(tmp_path: Path) -> None:
    """A change that was answered, and not told when the server was killed, is told after its next start."""
    with receiver() as (url, heard):
        config = settings(tmp_path, url, 3_600)
        options = {"data": tmp_path / "data", "log": tmp_path / "server.log"}
        with ServerProcess(None, "--config", str(config), **options) as server:
            put(server, "notes/a")
            server.kill()
            assert heard.deliveries == []
            server.launch()
            bodies = [body for _, body in heard.wait(2)]
        assert sorted(body["type"] for body in bodies) == ["change", "create"]
        assert {body["data"]["address"] for body in bodies} == {"notes/a"}


def test_a_delivery_that_failed_survives_a_kill(tmp_path: Path) -> None:
    """A delivery that was not taken when the server was killed comes again, under the same id."""
    with receiver() as (url, heard):
        heard.status = 500
        config = settings(tmp_path, url, 0)
        options = {"data": tmp_path / "data", "log": tmp_path / "server.log"}
        with ServerProcess(None, "--config", str(config), **options) as server:
            put(server, "notes/a")
            first = {delivery for delivery, _ in heard.wait(2)}
            heard.status = 204
            server.kill()
            before = len(heard.deliveries)
            server.launch()
            again = {delivery for delivery, _ in heard.wait(before + 2)[before:]}
        assert again <= first


def test_a_key_survives_a_kill(tmp_path: Path) -> None:
    """A request that is sent again after a kill, with the same key, is answered the same and done once."""
    options = {"data": tmp_path / "data", "log": tmp_path / "server.log"}
    with ServerProcess(None, **options) as server:
        put(server, "a")
        url = server.url("/api/documents/a")
        key = HEADERS | {"idempotency-key": "k"}
        first = httpx.patch(url, json=PATCH, headers=key)
        server.kill()
        server.launch()
        again = httpx.patch(url, json=PATCH, headers=key)
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.headers["etag"] == again.headers["etag"]
        assert [answer.json()["replayed"] for answer in (first, again)] == [False, True]
        assert httpx.get(server.url("/api/documents/a?root=text")).text == "Hello!"


def test_kills_at_any_moment_of_a_patch(tmp_path: Path) -> None:
    """Whenever the server is killed while it works on a keyed request, the request is done once in the end."""
    options = {"data": tmp_path / "data", "log": tmp_path / "server.log"}
    kills = 6
    with ServerProcess(None, **options) as server:
        put(server, "a")
        for attempt in range(kills):
            key = HEADERS | {"idempotency-key": f"k-{attempt}"}
            url = server.url("/api/documents/a")
            timer = threading.Timer(0.002 * attempt, server.kill)
            timer.start()
            try:
                httpx.patch(url, json=PATCH, headers=key, timeout=PATIENCE_SECONDS)
            except httpx.TransportError:
                pass
            timer.join()
            server.launch()
            answer = httpx.patch(url, json=PATCH, headers=key, timeout=PATIENCE_SECONDS)
            assert answer.status_code == 200, answer.text
            text = httpx.get(server.url("/api/documents/a?root=text")).text
            assert text == "Hello" + "!" * (attempt + 1)


def test_a_deleted_document_stays_deleted(tmp_path: Path) -> None:
    """After a kill nobody can join where a document was deleted, until it is created anew."""
    options = {"data": tmp_path / "data", "log": tmp_path / "server.log"}
    with ServerProcess(None, **options) as server:
        put(server, "a")
        assert httpx.delete(server.url("/api/documents/a")).status_code == 204
        server.kill()
        server.launch()
        upgrade = HEADERS | {
            "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
            "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }  # fmt: skip
        url = f"http://127.0.0.1:{server.port}/a"
        assert httpx.get(url, headers=upgrade).status_code == 404
        put(server, "a")
        assert httpx.get(server.url("/api/documents/a?root=text")).text == "Hello"
