"""The issuer's keys: read, kept, and read again."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from engineroom.errors import SettingsError
from engineroom.server import key_set
from engineroom.server.key_set import MAX_SET_BYTES, KeySet, read_keys

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 20.0


def key(kid: str) -> dict[str, Any]:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return {**ECAlgorithm.to_jwk(public, as_dict=True), "kid": kid}


class Source:
    """Keys that change, and that may fail; counts how often they are read."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.reads = 0
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, source: str) -> list[dict[str, Any]]:
        self.reads += 1
        assert threading.current_thread() is not threading.main_thread()
        self.gate.wait(PATIENCE_SECONDS)
        if self.error is not None:
            raise self.error
        return list(self.keys)


async def test_a_key_is_found() -> None:
    """A key is found by its name, for an algorithm that it fits."""
    source = Source(key("a"), key("b"))
    async with KeySet("keys.json", read=source) as keys:
        assert await keys.find("a", "ES256") is not None
        assert await keys.find("a", "RS256") is None
        assert await keys.find(None, "ES256") is None


async def test_an_unknown_key_has_the_set_read_again() -> None:
    """A name that is not known has the set read again, at most once in a while."""
    source = Source(key("a"))
    async with KeySet("keys.json", read=source, retry_seconds=1000) as keys:
        source.keys.append(key("b"))
        assert await keys.find("b", "ES256") is not None
        assert source.reads == 2
        for number in range(10):
            assert await keys.find(f"made-up-{number}", "ES256") is None
        assert source.reads == 2


async def test_all_wait_for_one_reading() -> None:
    """Many who ask at once wait for one reading."""
    source = Source(key("a"))
    async with KeySet("keys.json", read=source, retry_seconds=1000) as keys:
        source.keys.append(key("b"))
        source.gate.clear()
        finding = [asyncio.ensure_future(keys.find("b", "ES256")) for _ in range(20)]
        await asyncio.sleep(0)
        source.gate.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert None not in await asyncio.gather(*finding)
        assert source.reads == 2


async def test_who_gives_up_waiting_spoils_nothing() -> None:
    """A caller that is cancelled leaves the reading to the others."""
    source = Source(key("a"))
    async with KeySet("keys.json", read=source, retry_seconds=1000) as keys:
        source.keys.append(key("b"))
        source.gate.clear()
        first = asyncio.ensure_future(keys.find("b", "ES256"))
        second = asyncio.ensure_future(keys.find("b", "ES256"))
        await asyncio.sleep(0)
        first.cancel()
        source.gate.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await second is not None


async def test_the_keys_stay_when_reading_fails() -> None:
    """Keys that were read stay good when the source fails later."""
    source = Source(key("a"))
    async with KeySet("https://login.example/", read=source, retry_seconds=0.001) as keys:
        source.error = OSError("down")
        assert await keys.find("b", "ES256") is None
        assert source.reads == 2
        assert await keys.find("a", "ES256") is not None


async def test_keys_that_are_gone_are_not_good() -> None:
    """A key that the issuer took out is not good once the set was read again."""
    source = Source(key("a"))
    async with KeySet("keys.json", read=source, refresh_seconds=0.01) as keys:
        assert await keys.find("a", "ES256") is not None
        source.keys = [key("b")]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await keys.find("a", "ES256") is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_an_issuer_that_is_down_at_the_start() -> None:
    """A server starts while its issuer is down, and takes tokens when it is up."""
    source = Source(key("a"))
    source.error = OSError("down")
    async with KeySet("https://login.example/", read=source, retry_seconds=0.001) as keys:
        assert keys.is_empty
        source.error = None
        assert await keys.find("a", "ES256") is not None


async def test_a_file_that_is_no_key_set(tmp_path: Path) -> None:
    """A file that cannot be read is an error at the start, which names it."""
    for content in ("", "{", "{}", '{"keys": []}', '{"keys": 1}', "[]", "[" * 10_000):
        path = tmp_path / "keys.json"
        path.write_text(content)
        with pytest.raises(SettingsError, match=r"jwt_keys: .*keys\.json"):
            async with KeySet(str(path)):
                pass
    with pytest.raises(SettingsError):
        async with KeySet(str(tmp_path / "missing")):
            pass


async def test_a_file(tmp_path: Path) -> None:
    """Keys are read from a file."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [key("a"), "junk"]}))
    async with KeySet(str(path)) as keys:
        assert await keys.find("a", "ES256") is not None


@pytest.mark.parametrize(
    "url", ["http://login.example/keys", "ftp://127.0.0.1/", "file:///etc/passwd", "http://"]
)
def test_unsafe_sources(url: str) -> None:
    """Keys come over HTTPS, or from this machine: who changes them on their way is let in."""
    with pytest.raises(SettingsError, match="not safe"):
        KeySet(url)


# --- over HTTP -------------------------------------------------------------------------------


@contextmanager
def serving(
    body: bytes, *, status: int = 200, location: str | None = None, trickle: bool = False
) -> Iterator[str]:
    """An HTTP server on loopback that answers so; its URL."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if location is not None:
                self.send_header("Location", location)
            self.end_headers()
            try:
                while trickle and not over.wait(0.05):
                    self.wfile.write(b" ")
                self.wfile.write(body)
            except OSError:
                return

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/keys"
        finally:
            over.set()
            server.shutdown()
            thread.join()


def test_a_url() -> None:
    """Keys are read from a URL."""
    with serving(json.dumps({"keys": [key("a")]}).encode()) as url:
        assert [each["kid"] for each in read_keys(url)] == ["a"]


def test_an_answer_that_is_too_long() -> None:
    """An answer is read up to a bound."""
    with serving(b" " * (MAX_SET_BYTES + 10)) as url, pytest.raises(ValueError, match="at most"):
        read_keys(url)


def test_no_redirects_and_no_errors() -> None:
    """A redirect is not followed, and an error is no key set."""
    with serving(b'{"keys": [{}]}') as other:
        for status in (301, 302, 307, 404, 500):
            redirecting = serving(b"", status=status, location=other)
            with redirecting as url, pytest.raises(OSError, match=str(status)):
                read_keys(url)


def test_an_answer_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that drips for ever is given up."""
    monkeypatch.setattr(key_set, "FETCH_SECONDS", 0.3)
    with serving(b"", trickle=True) as url, pytest.raises(TimeoutError):
        read_keys(url)


async def test_an_issuer_that_hangs_delays_no_end() -> None:
    """Leaving does not wait for an issuer that does not answer."""
    source = Source(key("a"))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS / 2):
            async with KeySet("https://login.example/", read=source) as keys:
                source.gate.clear()
                finding = asyncio.ensure_future(keys.find("b", "ES256"))
                while source.reads < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finding.cancel()
    finally:
        source.gate.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"no status line at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno number\r\n",
        b"",
    ],
    ids=["no status", "too many headers", "no chunk", "nothing"],
)
async def test_an_answer_that_is_no_http(answer: bytes) -> None:
    """An issuer that answers nonsense is one that cannot be read: the server goes on, and asks again."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
        async with KeySet(url, retry_seconds=0) as keys, asyncio.timeout(PATIENCE_SECONDS):
            assert await keys.find("a", "ES256") is None
            assert await keys.find("b", "ES256") is None
            assert keys.is_empty
