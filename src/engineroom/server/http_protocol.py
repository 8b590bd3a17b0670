"""uvicorn's HTTP protocol, with bounds on how many clients there may be, and on how long each may take.

uvicorn waits for ever for a client that connects and says nothing, stops in the middle of its request, or does not
read its answer; and it keeps all headers that a client sends. Here

    one connection too many         is answered 429 or 503, and closed
    a head that does not come       closes it after `handshake_timeout_seconds`, or about `MAX_HEAD_BYTES`
    a body that stops coming        closes it after `stalled_seconds`
    an answer that is not read      ends it after `stalled_seconds`
    nothing more to be done         closes it after `keep_alive_seconds`

What comes after an answer, before the next head, counts as part of that head. Requests are not known here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .doorway import Doorway
from .upgrade import refusal

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

MAX_HEAD_BYTES = 32 << 10


class PromptHttpProtocol(HttpToolsProtocol):
    """One HTTP connection whose client has to come to the point."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        doorway: Doorway = app_state["doorway"]
        self._connections = doorway.connections
        self._head_timeout_seconds = doorway.limits.handshake_timeout_seconds
        self._stalled_seconds = doorway.connections.limits.stalled_seconds
        self._counted: str | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        # uvicorn's annotation is narrower than what its event loop takes.
        self.timeout_keep_alive = doorway.connections.limits.keep_alive_seconds  # type: ignore[assignment]

    # --- the connection ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected; its first request's head is awaited."""
        super().connection_made(transport)
        self._counted = self._connections.arrive(self.client[0] if self.client else None)
        if self._counted is None:
            transport.write(refusal(503, "Too many connections are open; try again.\n"))
            self._hang_up()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        """What the client sent. Past the bound without a whole head, the connection is closed."""
        if self._counted is None or self.transport.is_closing():
            return
        if self._head_timer is not None:
            if self._head_bytes > MAX_HEAD_BYTES:
                self._hang_up()
                return
            self._head_bytes += len(data)
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_timers()
        self._uncount()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """The connection is a WebSocket's from here on; the gate counts it as such."""
        self._stop_timers()
        self._uncount()
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """The client does not read its answer as fast as it is made."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """It has read some."""
        if self._answer_timer is not None and not self.transport.is_closing():
            self._answer_timer.cancel()
            self._answer_timer = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """The client has asked for nothing more."""
        self._hang_up()

    def send_400_response(self, msg: str) -> None:
        """The client speaks no HTTP."""
        super().send_400_response(msg)
        self._await_reading()

    # --- the request -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request; on a kept connection also the second one's."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._stop_head_timer()
        self._await_body()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._body_timer is not None:
            self._await_body()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole. Where it was answered before, the next head is awaited."""
        self._stop_body_timer()
        if self.cycle is None or not self.cycle.response_complete:
            self._stop_head_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written. What still comes of the body is nobody's, and has only so long to come."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._await_reading()
        elif self._body_timer is not None and self.cycle.response_complete:
            self._stop_body_timer()
            self._await_head()

    # --- patience ----------------------------------------------------------------------------

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._head_timeout_seconds, self._hang_up)

    def _await_body(self) -> None:
        self._stop_body_timer()
        self._body_timer = self.loop.call_later(self._stalled_seconds, self._give_up_body)

    def _give_up_body(self) -> None:
        self._body_timer = None
        if self.flow.read_paused:  # it is we who do not read
            self._await_body()
        else:
            self._hang_up()

    def _await_reading(self) -> None:
        if self._answer_timer is None:
            transport = self.transport
            self._answer_timer = self.loop.call_later(self._stalled_seconds, transport.abort)

    def _hang_up(self) -> None:
        # RFC 9110, section 15.5.9: a server may close a connection on which no whole request came
        # in time. What is written goes out, if the client takes it.
        self.transport.close()
        self._await_reading()

    def _stop_timers(self) -> None:
        self._stop_head_timer()
        self._stop_body_timer()
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
            self._head_bytes = 0

    def _stop_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _uncount(self) -> None:
        if self._counted is not None:
            self._connections.leave(self._counted)
            self._counted = None
