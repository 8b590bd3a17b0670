"""uvicorn's HTTP protocol, with bounds on how long a request's head may take and may be.

uvicorn waits for ever for a client that connects and says nothing, or stops in the middle of its
headers; and it keeps all headers that a client sends. Here such a connection is closed, after
`handshake_timeout_seconds` of the doorway's limits or about `MAX_HEAD_BYTES`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
        self._head_timeout_seconds = app_state["doorway"].limits.handshake_timeout_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected; its first request's head is awaited."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """What the client sent. Past the bound without a whole head, the connection is closed."""
        if self._head_timer is not None:
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.close()
                return
            self._head_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The first byte of a request; on a kept connection also the second one's."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._head_timeout_seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
            self._head_bytes = 0

    def _give_up(self) -> None:
        # RFC 9110, section 15.5.9: a server may close a connection on which no whole request came
        # in time.
        self._head_timer = None
        self.transport.close()
