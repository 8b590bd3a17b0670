"""A document kept equal with a room by its URL: connects, and connects again, until it is left.

The WebSockets are those of `websockets` (asyncio). What a lost connection means is in `endings`; what is said over one
in `provider`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ssl import SSLCertVerificationError, SSLContext
from typing import Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

from pycrdt import Awareness, Doc
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from engineroom.errors import AddressError, CloseCode, EngineroomError, ProtocolError

from .endings import ConnectionLost, of_close, of_refusal
from .progress import Progress
from .provider import exchange

logger = logging.getLogger("engineroom.client")

MAX_MESSAGE_BYTES: Final = 256 << 20  # a server's default bound of a document
FIRST_DELAY_SECONDS: Final = 0.1
LAST_DELAY_SECONDS: Final = 10.0
PING_SECONDS: Final = 20.0
CLOSE_SECONDS: Final = 3.0

_SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True)
class _Target:
    """Where, and how, connections are made."""

    url: str
    headers: Mapping[str, str]
    ssl: SSLContext | None
    patience_seconds: float


class Connection:
    """A replica of a room's document, from `connect`. To be used in its event loop's thread alone."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._replica = progress.replica

    @property
    def document(self) -> Doc[Any]:
        """The replica; edit it at any time, connected or not."""
        return self._replica.document

    @property
    def awareness(self) -> Awareness:
        """Who is there; `set_local_state_field` says who we are."""
        return self._progress.awareness

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment."""
        return self._replica.connected

    @property
    def synced(self) -> bool:
        """Whether the document has had all that the room had when the present connection was made."""
        return self._replica.synced

    @property
    def unacknowledged(self) -> int:
        """How many of our changes are not known to be durable at the server."""
        return self._replica.ledger.unacknowledged

    async def wait_synced(self) -> None:
        """Return when `synced`; waits through lost connections.

        Raises:
            EngineroomError: the connection ended for good; see `connect`.
        """
        await self._progress.until_synced()

    async def wait_durable(self) -> None:
        """Return when all changes made until now are durable at the server; waits through lost connections.

        Raises:
            AccessDenied: we may read this document, not change it.
            EngineroomError: the connection ended for good; see `connect`.
        """
        await self._progress.until_durable()


class _Line:
    """What makes connections for a replica, one after the other."""

    def __init__(self, target: _Target, progress: Progress) -> None:
        self._target = target
        self._progress = progress
        self._told = False

    async def run(self) -> None:
        """Connect, again and again; ends by being cancelled, or with what ended it for good."""
        delays = _delays()
        while True:
            try:
                if await self._connect_once():
                    delays = _delays()
            except EngineroomError as error:
                self._progress.fail(error)
                raise
            await asyncio.sleep(next(delays))

    async def _connect_once(self) -> bool:
        """One connection, from its handshake to its end; whether it ever was in sync.

        Raises:
            EngineroomError: another one would be of no use.
        """
        target = self._target
        try:
            async with open_websocket(
                target.url,
                additional_headers=dict(target.headers),
                ssl=target.ssl,
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                open_timeout=target.patience_seconds,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                close_timeout=CLOSE_SECONDS,
            ) as socket:
                return await self._follow(socket)
        except InvalidStatus as refusal:
            response = refusal.response
            reason = (response.body or b"")[:500].decode("utf-8", "replace")
            failure = of_refusal(response.status_code, reason)
            if failure is not None:
                raise failure from refusal
            self._tell("refused for now: %d %s", response.status_code, reason.strip())
        except SSLCertVerificationError as error:
            raise ConnectionLost(f"the server's certificate is not valid: {error}") from error
        except (OSError, InvalidHandshake) as error:
            self._tell("no connection: %s; trying again", error)
        return False

    def _tell(self, text: str, *arguments: object) -> None:
        """Once for a row of failures, so that a log of a night without a network can be read."""
        logger.log(logging.DEBUG if self._told else logging.WARNING, text, *arguments)
        self._told = True

    async def _follow(self, socket: ClientConnection) -> bool:
        self._told = False
        replica = self._progress.replica
        try:
            await exchange(self._progress, _SocketChannel(socket))
        except ConnectionLost as lost:
            logger.debug("connection lost: %s", lost.reason)
        except ProtocolError as error:
            await socket.close(CloseCode.PROTOCOL_ERROR, error.reason[:100])
            raise
        except asyncio.CancelledError:
            await socket.close()
            raise
        finally:
            synced, unacknowledged = replica.synced, replica.ledger.unacknowledged
            replica.disconnect()
        await socket.wait_closed()
        code, reason = socket.close_code or 1006, socket.close_reason or ""
        failure = of_close(code, reason, replica.document, unacknowledged)
        if failure is not None:
            raise failure
        return synced

    async def finish(self, patience_seconds: float) -> None:
        """Wait until nothing is left to be acknowledged, and say goodbye."""
        try:
            async with asyncio.timeout(patience_seconds):
                await self._progress.until_durable()
                await self._progress.until_sent()
        except TimeoutError:
            pass
        except EngineroomError as error:
            logger.debug("nothing more is sent: %s", error)
        count = self._progress.replica.ledger.unacknowledged
        if count:
            text = "left with %d changes that are not known to be saved; the document holds them"
            logger.warning(text, count)


class _SocketChannel:
    """A `websockets` connection as a `Channel`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.path = ""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.recv()
        except ConnectionClosed:
            raise StopAsyncIteration from None

    async def recv(self) -> bytes:
        """The next message, text too: it is refused where it is read."""
        return await self._socket.recv()  # type: ignore[return-value]

    async def send(self, message: bytes, /) -> None:
        await self._socket.send(message)


@asynccontextmanager
async def connect(
    url: str,
    doc: Doc[Any] | None = None,
    *,
    token: str | None = None,
    awareness: Awareness | None = None,
    headers: Mapping[str, str] | None = None,
    ssl: SSLContext | None = None,
    patience_seconds: float = 10.0,
) -> AsyncIterator[Connection]:
    """A replica of the document in the room at `url`, kept equal with it as long as `async with` lasts.

        async with engineroom.connect("ws://localhost:8000/rooms/notes/today", token="…") as room:
            await room.wait_synced()
            room.document.get("text", type=Text).insert(0, "Hello. ")
            await room.wait_durable()

    `url` begins with `ws`, `wss`, `http` or `https`. `doc`, when given, is kept equal, and what it holds is offered to
    the room. The token goes into a header. The body begins at once, before there is a connection. Connections that are
    lost or cannot be made are made again, after 0.1 to 10 seconds; changes made meanwhile are kept in the document and
    merged. Leaving waits up to `patience_seconds` for what is not durable yet; a handshake may take as long.

    When the server ends the connection for good, the body is cancelled and the error raised instead; what is waiting
    raises it too.

    Raises:
        AddressError: `url` is none.
        AccessDenied: the token is not valid (`status` 401), the room is not for you (403), there is none (404).
        OtherHistory: the room's document was made anew; the error holds this one.
        LimitExceeded: a change is larger than the server takes.
        ProtocolError: the other end does not speak the protocol, or refuses what we said.
    """
    doc = Doc() if doc is None else doc
    given = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
    target = _Target(websocket_url(url), given, ssl, patience_seconds)
    progress = Progress(doc, awareness)
    line = _Line(target, progress)
    try:
        with progress.replica:
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(line.run(), name="connection to a room")
                yield Connection(progress)
                await line.finish(patience_seconds)
                running.cancel()
    except BaseExceptionGroup as group:
        different = list({id(error): error for error in group.exceptions}.values())
        if len(different) > 1:
            raise
        raise different[0] from different[0].__cause__


def websocket_url(url: str) -> str:
    """`url` with a WebSocket's scheme.

    Raises:
        AddressError: it is no URL of a room.
    """
    try:
        parts = urlsplit(url)
        scheme = _SCHEMES.get(parts.scheme)
        host = parts.hostname
    except ValueError:
        scheme = host = None
    if scheme is None or not host:
        raise AddressError(url, "a room's URL looks like wss://host/rooms/notes/today")
    return urlunsplit((scheme, parts.netloc, parts.path, parts.query, ""))


def _delays() -> Iterator[float]:
    """Seconds to wait before the next try: doubling, and spread, so that a restarted server is not stormed."""
    delay = FIRST_DELAY_SECONDS
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311
        delay = min(2 * delay, LAST_DELAY_SECONDS)
