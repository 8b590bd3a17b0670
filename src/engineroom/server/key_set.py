"""The public keys of an issuer of tokens: a JSON Web Key Set, from a file or an HTTPS URL.

    async with KeySet("https://login.example.org/keys") as keys:
        key = await keys.find("2026-05", "RS256")

It is read in a thread, with bounds on time and size; kept when it cannot be read again; and read again every
`refresh_seconds`, or when somebody asks for a key that is not in it, at most once in `retry_seconds`. What a token
says is not known here. Source: RFC 7517.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import jwt
from jwt.exceptions import PyJWTError

from engineroom.errors import SettingsError

from .hosts import is_loopback

logger = logging.getLogger("engineroom.server")

FETCH_SECONDS = 5.0
MAX_SET_BYTES = 256 << 10
MAX_KEYS = 100

Keys = list[dict[str, Any]]


class KeySet:
    """`async with KeySet(source) as keys`. Leaving ends the reading; a fetch under way is abandoned."""

    def __init__(
        self,
        source: str,
        *,
        refresh_seconds: float = 3_600.0,
        retry_seconds: float = 30.0,
        read: Callable[[str], Keys] | None = None,
    ) -> None:
        """Raises `SettingsError` for a URL that is not HTTPS: who changes the keys on their way is let in."""
        self._source = check_source(source)
        self._refresh_seconds = refresh_seconds
        self._retry_seconds = retry_seconds
        self._read = read or read_keys
        self._keys: Keys = []
        self._known: dict[tuple[str | None, str], jwt.PyJWK | None] = {}
        self._tasks = asyncio.TaskGroup()
        self._follower: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._round = asyncio.Event()
        self._asked_at = -float("inf")
        self._is_loading = False

    async def __aenter__(self) -> KeySet:
        """Reads the keys. A file that cannot be read is an error, a URL is tried again.

        Raises:
            SettingsError: the file is no key set.
        """
        try:
            await self._load()
        except (OSError, ValueError) as error:
            if not _is_url(self._source):
                reason = getattr(error, "strerror", None) or error
                raise SettingsError(f"jwt_keys: {self._source}: {reason}") from error
            logger.error(
                "jwt_keys: %s: %s; tokens are refused until it answers", self._source, error
            )
        await self._tasks.__aenter__()
        self._follower = self._tasks.create_task(self._follow(), name="follow the issuer's keys")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._follower is not None
        self._follower.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    @property
    def is_empty(self) -> bool:
        """Whether no key is known at all, because none could be had yet."""
        return not self._keys

    async def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key that is named `kid`, or the only one where a token names none, for this algorithm; None when there
        is none. May wait for one reading of the set.
        """
        key = self._find(kid, algorithm)
        if key is None and self._may_ask():
            self._wanted.set()
            await self._round.wait()
            key = self._find(kid, algorithm)
        return key

    def _may_ask(self) -> bool:
        now = time.monotonic()
        if self._is_loading or self._wanted.is_set():
            return True
        if now - self._asked_at < self._retry_seconds:
            return False
        self._asked_at = now
        return True

    def _find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        if kid is not None and not any(key.get("kid") == kid for key in self._keys):
            return None
        # Remembered, also where there is none: a token that names no key is not worth the making of all.
        if (kid, algorithm) not in self._known:
            fitting = [
                key
                for key in self._keys
                if (kid is None or key.get("kid") == kid)
                and key.get("alg", algorithm) == algorithm
                and key.get("use", "sig") == "sig"
            ]
            made = [key for each in fitting if (key := _made(each, algorithm)) is not None]
            self._known[kid, algorithm] = made[0] if len(made) == 1 else None
        return self._known[kid, algorithm]

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._refresh_seconds):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            try:
                await self._load()
            except (OSError, ValueError) as error:
                logger.warning(
                    "jwt_keys: %s: %s; the keys that were read before stay", self._source, error
                )
            self._wanted.clear()
            done, self._round = self._round, asyncio.Event()
            done.set()

    async def _load(self) -> None:
        self._is_loading = True
        try:
            self._keys = await _in_a_thread(self._read, self._source)
            self._known.clear()
        finally:
            self._is_loading = False


def check_source(text: str) -> str:
    """`text`, when it is a file's path or a URL whose answer nobody can change on its way.

    Raises:
        SettingsError: it is a URL of another kind.
    """
    if not _is_url(text):
        return text
    parts = urlsplit(text)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return text
    raise SettingsError(f"jwt_keys: {text} is not safe: use https://, or the path of a file")


def read_keys(source: str) -> Keys:
    """The keys in the file, or behind the URL; takes at most about twice `FETCH_SECONDS`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too long, or no key set.
    """
    data = _fetched(source) if _is_url(source) else _file(source)
    if len(data) > MAX_SET_BYTES:
        raise ValueError(f"a key set has at most {MAX_SET_BYTES} bytes")
    try:
        keys = json.loads(data)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        keys = None
    if not isinstance(keys, list) or not 1 <= len(keys) <= MAX_KEYS:
        raise ValueError('it is no key set: {"keys": […]}, with 1 to 100 keys')
    return [key for key in keys if isinstance(key, dict)]


def _file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(MAX_SET_BYTES + 1)


def _fetched(url: str) -> bytes:
    until = time.monotonic() + FETCH_SECONDS
    request = Request(url, headers={"Accept": "application/json", "User-Agent": "engineroom"})  # noqa: S310
    parts: list[bytes] = []
    size = 0
    try:
        with build_opener(_NoRedirect).open(request, timeout=FETCH_SECONDS) as answer:
            while size <= MAX_SET_BYTES and (part := answer.read1(64 << 10)):
                parts.append(part)
                size += len(part)
                if time.monotonic() > until:
                    raise TimeoutError(f"it took longer than {FETCH_SECONDS:g} s")
    except HTTPError as error:
        raise OSError(f"it was answered {error.code}") from None
    except HTTPException as error:
        raise OSError(f"its answer is no HTTP ({type(error).__name__})") from None
    return b"".join(parts)


class _NoRedirect(HTTPRedirectHandler):
    """A redirect may lead from HTTPS to anywhere."""

    def redirect_request(self, *_args: object, **_more: object) -> None:
        """Follow none: the opener raises the answer as an error."""


def _is_url(text: str) -> bool:
    return "://" in text


def _made(key: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    """The key for this algorithm; None when it is of another kind: a public key is never taken for a secret."""
    try:
        return jwt.PyJWK(key, algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None


async def _in_a_thread(read: Callable[[str], Keys], source: str) -> Keys:
    """What `read` returns. The thread is a daemon's: a server that does not answer delays nobody's end."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Keys] = loop.create_future()

    def settle(keys: Keys | None, error: Exception | None) -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(keys or [])

    def work() -> None:
        keys: Keys | None = None
        failure: Exception | None = None
        try:
            keys = read(source)
        except Exception as error:
            failure = error
        try:
            loop.call_soon_threadsafe(settle, keys, failure)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=work, name="issuer's keys", daemon=True).start()
    return await result
