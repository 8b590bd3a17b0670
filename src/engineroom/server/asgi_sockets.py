"""WebSockets through ASGI, for a stock uvicorn or another server that mounts the application.

The same as `picows_sockets` where ASGI lets it be: the same gate before the same handshake, whole
binary messages only, a bounded outbox with the same marks. Two tasks serve a socket: one reads, one
writes what the outbox holds. Frames, pings and the size of what is read before a message is whole
are the server's affair.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

from engineroom.errors import AccessDenied, CloseCode
from engineroom.protocols.frames import Bundle
from engineroom.rooms.counters import Counters

from .connection import Membership, SocketLimits, close_reason, count_close
from .doorway import Admission, Entry
from .request import Request
from .upgrade import refusal_headers

logger = logging.getLogger("engineroom.sockets")

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class AsgiSockets:
    """The ASGI application for the `websocket` scope."""

    def __init__(self, gate: Entry, limits: SocketLimits, counters: Counters | None = None) -> None:
        self._gate = gate
        self._limits = limits
        self._counters = counters or Counters()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One socket, from its handshake to its end."""
        await receive()  # websocket.connect
        connection = AsgiConnection(self._limits, self._counters)
        try:
            async with asyncio.timeout(self._limits.handshake_timeout_seconds):
                admission = await self._gate.join(request_of(scope), connection)
        except AccessDenied as denied:
            await refuse(scope, send, denied.status, denied.reason)
        except TimeoutError:
            await refuse(scope, send, 503, "The room did not open in time; try again.")
        except Exception:
            logger.exception("the gate failed")
            await refuse(scope, send, 500, "The server failed; its log says why.")
        else:
            await self._serve(connection, admission, receive, send)

    async def _serve(
        self, connection: AsgiConnection, admission: Admission, receive: Receive, send: Send
    ) -> None:
        connection.membership = admission.membership
        try:
            await send({"type": "websocket.accept", "subprotocol": admission.subprotocol})
            async with asyncio.TaskGroup() as tasks:
                both = [
                    tasks.create_task(connection.read(receive)),
                    tasks.create_task(connection.write(send)),
                ]
                # The reader ends with the client, the writer with a close frame of ours; then
                # the other one has a while to come to its own end.
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait(both, timeout=self._limits.close_timeout_seconds)
                for task in both:
                    task.cancel()
        except* OSError:
            logger.debug("a client went away while it was written to")
        finally:
            connection.lost()


class AsgiConnection:
    """The room's `Connection`: an outbox of payloads, bounded by the room's heed of `paused` and
    `resumed`.
    """

    def __init__(self, limits: SocketLimits, counters: Counters) -> None:
        self.membership: Membership | None = None
        self._limits = limits
        self._counters = counters
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._paused = False
        self._closing: tuple[int, str] | None = None
        self._is_lost = False
        self._wake = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()

    # --- the room's side ---------------------------------------------------------------------

    def send(self, bundle: Bundle) -> None:
        """Queue the bundle's payloads, one message each."""
        if self._closing is not None:
            return
        self._outbox.extend(bundle.payloads)
        self._outbox_bytes += sum(map(len, bundle.payloads))
        self._wake.set()
        if self._outbox_bytes > self._limits.write_high_bytes and not self._paused:
            self._paused = True
            if self.membership is not None:
                self.membership.paused()

    def close(self, code: int, reason: str) -> None:
        """Close with this code after what was sent before."""
        if self._closing is None:
            self._closing = (code, close_reason(reason))
            self._wake.set()
            self._leave()

    def lost(self) -> None:
        """The socket is gone."""
        self._closing = self._closing or (CloseCode.GOING_AWAY, "")
        self._is_lost = True
        self._outbox.clear()
        self._wake.set()
        self._leave()

    def hold(self) -> None:
        """Ask the server for no further message."""
        self._may_read.clear()

    def release(self) -> None:
        """Read on."""
        self._may_read.set()

    # --- the socket's side -------------------------------------------------------------------

    async def read(self, receive: Receive) -> None:
        """Hand whole messages to the room, until the client is gone."""
        while True:
            await self._may_read.wait()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.lost()
                return
            if self._closing is None and self.membership is not None:
                self._take(self.membership, message.get("bytes"))

    def _take(self, membership: Membership, data: bytes | None) -> None:
        allowed = self._limits.frame_bytes
        if data is None:
            self._refuse(CloseCode.UNSUPPORTED_DATA, "messages are binary here")
        elif len(data) > allowed:
            self._refuse(CloseCode.TOO_BIG, f"a message has at most {allowed} bytes")
        else:
            try:
                membership.receive(data)
            except Exception:
                logger.exception("a room failed to receive a message")
                self.close(CloseCode.INTERNAL_ERROR, "the server failed; its log says why")

    def _refuse(self, code: int, reason: str) -> None:
        count_close(self._counters, code)
        self.close(code, reason)

    async def write(self, send: Send) -> None:
        """Send what the outbox holds, in order, and the close frame at last."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                payload = self._outbox.popleft()
                await send({"type": "websocket.send", "bytes": payload})
                self._sent(len(payload))
            if self._closing is not None:
                code, reason = self._closing
                if not self._is_lost:
                    await send({"type": "websocket.close", "code": code, "reason": reason})
                return

    def _sent(self, size_bytes: int) -> None:
        self._outbox_bytes -= size_bytes
        if self._paused and self._outbox_bytes < self._limits.write_low_bytes:
            self._paused = False
            if self.membership is not None and self._closing is None:
                self.membership.resumed()

    def _leave(self) -> None:
        if self.membership is not None:
            self.membership.leave()


def request_of(scope: Message) -> Request:
    """What the gate and the checks want to know of an ASGI scope, HTTP or WebSocket.

    Its path is the one below the place where the application is mounted. Source: ASGI, "HTTP & WebSocket
    ASGI Message Format": `root_path` is a beginning of `path`; some frameworks have cut it off already.
    """
    server, client = scope.get("server"), scope.get("client")
    prefix = str(scope.get("root_path", "")).rstrip("/")
    raw_path = (scope.get("raw_path") or quote(scope["path"]).encode()).partition(b"?")[0]
    return Request(
        _below(prefix, raw_path) or raw_path,
        scope.get("query_string", b""),
        scope["headers"],
        server[0] if server else None,
        prefix,
        client[0] if client else None,
        scope.get("scheme") in ("https", "wss"),
    )


def _below(prefix: str, raw_path: bytes) -> bytes | None:
    """The path below `prefix`, still percent-encoded; None when it is not below it."""
    segments = raw_path.split(b"/")
    depth = prefix.count("/") + 1
    if unquote("/".join(part.decode("latin-1") for part in segments[:depth])) != prefix:
        return None
    return b"/" + b"/".join(segments[depth:])


async def refuse(scope: Message, send: Send, status: int, reason: str) -> None:
    """A plain HTTP response where the server can send one, else its own 403. Source: ASGI,
    "WebSocket Denial Response".
    """
    logger.debug("refused a WebSocket: %d %s", status, reason)
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": CloseCode.FORBIDDEN, "reason": reason})
        return
    text = reason + "\n"
    headers = refusal_headers(status, text)
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": text.encode()})
