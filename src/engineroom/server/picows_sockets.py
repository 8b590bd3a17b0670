"""WebSockets through picows, on the socket that uvicorn hands over (its `ws=` protocol class).

    connection_made   uvicorn gives the transport; reading stops
    data_received     the upgrade request; one task asks the gate
    the gate answers  refusal: one HTTP response, closed; admission: picows is given the handshake,
    reading goes on on_ws_frame       whole messages go to the room closing           close frame,
    our side of the connection shut, what still arrives discarded, at last aborted

No queue is kept here: the transport's write buffer is the outbox, and its marks tell the room when
to stop. What a message means is not known here. picows is pinned: `WSProtocol` is not its public
API.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, cast

from picows import (
    WSAutoPingStrategy,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeResponse,
)
from picows.common import WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from engineroom.errors import AccessDenied, CloseCode
from engineroom.protocols.frames import LARGE_BYTES, Bundle
from engineroom.rooms.counters import Counters

from .connection import Membership, SocketLimits, close_reason, count_close
from .doorway import Admission, Doorway, Stranger
from .request import Request
from .unfinished import NO_BOUND, STRANGER_BYTES, Unfinished
from .upgrade import parse_upgrade, refusal, upgrade_request

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

logger = logging.getLogger("engineroom.sockets")

READ_BUFFER_BYTES = 2048
# RFC 6455, section 7.4.1; sent by picows itself for bad frames, and by us for what it lets through.
PROTOCOL_VIOLATION = 1002
BINARY = WSMsgType.BINARY  # looked up once: an enumeration takes its time


class PicowsSocket(WSProtocol):  # type: ignore[misc]
    """One upgraded connection. Made by uvicorn; ends with its transport."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        doorway: Doorway = app_state["doorway"]
        limits = doorway.limits
        self._doorway = doorway
        self._server_state = server_state
        self._socket = SocketListener(limits, doorway.counters)
        self._subprotocol: str | None = None
        self._stranger: Stranger | None = None
        self._unfinished: Unfinished | None = None
        super().__init__(
            None,  # host_port, ws_path: a client's
            None,
            False,  # is_client_side
            self._answer,
            _QuietLog(logger),
            True,  # disconnect_on_exception
            None,  # websocket_handshake_timeout: ours covers the gate too
            True,  # enable_auto_ping
            limits.ping_idle_seconds,
            limits.ping_reply_seconds,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            True,  # enable_auto_pong
            limits.frame_bytes,
            None,  # extra_headers: a client's
            READ_BUFFER_BYTES,
        )

    # --- uvicorn's and asyncio's side --------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        """uvicorn has read an upgrade request from this transport, and gives it away."""
        limits = self._doorway.limits
        transport.set_write_buffer_limits(high=limits.write_high_bytes, low=limits.write_low_bytes)
        # Nothing is read before the gate has answered: what a client sends meanwhile waits in the
        # kernel, bounded.
        transport.pause_reading()
        self._transport = transport
        self._server_state.connections.add(cast(Any, self))
        super().connection_made(_Lingering(transport, self, limits.close_timeout_seconds))

    def data_received(self, data: bytes) -> None:
        """The upgrade request, as uvicorn writes it out again. What follows comes through
        `get_buffer`.
        """
        task = asyncio.get_running_loop().create_task(self._open(data))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read. What sockets hold of unfinished messages is bounded, for all of them together."""
        unfinished, listener = self._unfinished, self._socket
        if unfinished is None:
            super().buffer_updated(nbytes)
            return
        if self._stranger is not None and self._stranger.is_known:
            self._stranger = None
            unfinished.move(self._doorway.purse, NO_BOUND)
        if not unfinished.grow(nbytes):
            listener.close(
                CloseCode.LIMIT_EXCEEDED, "limit reached: too much of unfinished messages"
            )
            return
        ended = listener.ended_messages
        super().buffer_updated(nbytes)
        if listener.ended_messages != ended:
            unfinished.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone; the room hears of it through the listener."""
        self._server_state.connections.discard(cast(Any, self))
        super().connection_lost(exc)
        self.ended()

    def ended(self) -> None:
        """Nothing more can be sent; the transport may live on for a moment."""
        if self._unfinished is not None:
            self._unfinished.end()
            self._unfinished = None
        self._socket.lost()

    def shutdown(self) -> None:
        """uvicorn's hook: the server ends."""
        self._socket.close(CloseCode.SERVICE_RESTART, "the server is ending")

    # --- the handshake -----------------------------------------------------------------------

    async def _open(self, data: bytes) -> None:
        limits = self._doorway.limits
        try:
            request, key = _parsed(data, self._transport)
            async with asyncio.timeout(limits.handshake_timeout_seconds):
                admission = await self._doorway.gate.join(request, self._socket)
        except AccessDenied as denied:
            self._refuse(denied.status, denied.reason)
        except TimeoutError:
            self._refuse(503, "The room did not open in time; try again.")
        except Exception:
            logger.exception("the gate failed")
            self._refuse(500, "The server failed; its log says why.")
        else:
            self._accept(admission, key)

    def _refuse(self, status: int, reason: str) -> None:
        logger.debug("refused a WebSocket: %d %s", status, reason)
        self._transport.write(refusal(status, reason + "\n"))
        self.transport.disconnect()

    def _accept(self, admission: Admission, key: bytes) -> None:
        self._socket.membership = admission.membership
        self._stranger = stranger = admission.stranger
        self._unfinished = (
            Unfinished(self._doorway.purse, NO_BOUND)
            if stranger is None
            else Unfinished(stranger.purse, STRANGER_BYTES)
        )
        if self._transport.is_closing():
            admission.membership.leave()
            return
        self._subprotocol = admission.subprotocol
        self._feed(upgrade_request(key))
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _answer(self, _request: object) -> WSUpgradeResponseWithListener:
        extra = {"Sec-WebSocket-Protocol": self._subprotocol} if self._subprotocol else None
        response = WSUpgradeResponse.create_101_response(extra)
        return WSUpgradeResponseWithListener(response, self._socket)

    def _feed(self, data: bytes) -> None:
        while data:
            buffer = self.get_buffer(-1)
            size_bytes = min(len(buffer), len(data))
            buffer[:size_bytes] = data[:size_bytes]
            del buffer
            self.buffer_updated(size_bytes)
            data = data[size_bytes:]


class SocketListener(WSListener):
    """The room's `Connection`, and picows' callbacks: whole messages in, bundles out."""

    __slots__ = (
        "_closing",
        "_counters",
        "_early",
        "_fragments",
        "_limits",
        "_transport",
        "_write",
        "ended_messages",
        "membership",
    )

    def __init__(self, limits: SocketLimits, counters: Counters) -> None:
        self.membership: Membership | None = None
        self.ended_messages = 0
        self._limits = limits
        self._counters = counters
        self._transport: WSTransport | None = None
        self._write: Any = None
        # What the room says before the handshake is answered: what greets a member, and one or two
        # loop turns more.
        self._early: list[Bundle] = []
        self._fragments: bytearray | None = None
        self._closing: tuple[int, str] | None = None

    # --- the room's side ---------------------------------------------------------------------

    def send(self, bundle: Bundle) -> None:
        """Write the bundle's frames: in one call, unless a large one is among them."""
        transport = self._transport
        if self._closing is not None:
            return
        if transport is None:
            self._early.append(bundle)
        elif not transport.is_close_frame_sent:
            if bundle.size_bytes < LARGE_BYTES:
                self._write(bundle.wire)
            else:
                self._write_parts(bundle)

    def close(self, code: int, reason: str) -> None:
        """Send a close frame after what was sent before, and end the connection."""
        if self._closing is not None:
            return
        self._closing = (code, close_reason(reason))
        if self._transport is not None:
            self._end(self._transport)

    def hold(self) -> None:
        """Read no further; the kernel's buffer, and then the client, wait."""
        if self._transport is not None and self._closing is None:
            self._transport.underlying_transport.pause_reading()

    def release(self) -> None:
        """Read on."""
        if self._transport is not None and self._closing is None:
            self._transport.underlying_transport.resume_reading()

    # --- picows' side ------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is answered."""
        self._transport = transport
        self._write = transport.underlying_transport.write
        early, self._early = self._early, []
        for bundle in early:
            self._write_parts(bundle)
        if self._closing is not None:
            self._end(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame. After a close frame of ours, all but the client's answer is ignored. Source:
        RFC 6455, section 5.
        """
        kind = frame.msg_type
        if (
            kind == BINARY
            and frame.fin
            and self._fragments is None
            and not (frame.rsv1 or frame.rsv2 or frame.rsv3)
        ):  # as nearly every frame is
            if self._closing is None and not transport.is_close_frame_sent:
                self._deliver(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            self._closed_by_client(transport)
        elif self._closing is None and not transport.is_close_frame_sent:
            self._take_odd(frame, kind)

    def pause_writing(self) -> None:
        """The write buffer crossed its high mark."""
        if self.membership is not None and self._closing is None:
            self.membership.paused()

    def resume_writing(self) -> None:
        """The write buffer fell below its low mark."""
        if self.membership is not None and self._closing is None:
            self.membership.resumed()

    def lost(self) -> None:
        """The transport is gone."""
        self._count_close_of_picows()
        self._closing = self._closing or (CloseCode.GOING_AWAY, "")
        self._leave()
        self._transport = self._write = self._fragments = None

    # --- within ------------------------------------------------------------------------------

    def _take_odd(self, frame: WSFrame, kind: WSMsgType) -> None:
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._refuse(
                PROTOCOL_VIOLATION, "reserved bits are set, and no extension was agreed on"
            )
        elif kind == BINARY and self._fragments is None:
            self._fragments = bytearray(frame.get_payload_as_memoryview())
        elif kind == WSMsgType.CONTINUATION and self._fragments is not None:
            self._assemble(self._fragments, frame)
        elif kind == WSMsgType.TEXT and self._fragments is None:
            self._refuse(CloseCode.UNSUPPORTED_DATA, "messages are binary here")
        elif kind != WSMsgType.PONG:
            self._refuse(PROTOCOL_VIOLATION, "a fragment out of order")

    def _write_parts(self, bundle: Bundle) -> None:
        for part in bundle.parts:
            self._write(part)

    def _deliver(self, message: bytes) -> None:
        self.ended_messages += 1
        if self.membership is not None:
            self.membership.receive(message)

    def _assemble(self, fragments: bytearray, frame: WSFrame) -> None:
        if len(fragments) + frame.payload_size > self._limits.frame_bytes:
            self._fragments = None
            self._refuse(
                CloseCode.TOO_BIG, f"a message has at most {self._limits.frame_bytes} bytes"
            )
            return
        fragments += frame.get_payload_as_memoryview()
        if frame.fin:
            self._fragments = None
            self._deliver(bytes(fragments))

    def _refuse(self, code: int, reason: str) -> None:
        count_close(self._counters, code)
        self.close(code, reason)

    def _count_close_of_picows(self) -> None:
        """picows closes by itself after a frame that is too long, or none."""
        if self._closing is None and self._transport is not None:
            handshake = self._transport.close_handshake
            if handshake is not None and handshake.sent is not None:
                count_close(self._counters, handshake.sent.code.value)

    def _closed_by_client(self, transport: WSTransport) -> None:
        self._count_close_of_picows()
        if self._closing is None:
            self._closing = (CloseCode.NORMAL, "")
            self._leave()
            if not transport.is_close_frame_sent:
                transport.send_close(cast(Any, int(CloseCode.NORMAL)), b"")
        transport.disconnect()

    def _end(self, transport: WSTransport) -> None:
        assert self._closing is not None
        code, reason = self._closing
        self._leave()
        self._fragments = None
        transport.send_close(cast(Any, int(code)), reason.encode())
        transport.disconnect()

    def _leave(self) -> None:
        if self.membership is not None:
            self.membership.leave()


class _Lingering:
    """The transport, as picows sees it: `close` lets the client read the close frame before the
    connection ends.

    Closing a socket that still has unread data makes the kernel answer with a reset, which can
    overtake the close frame on its way: the client would learn nothing of code 1009. So our side is
    shut, and what still arrives is discarded until the client hangs up or the time is over. Source:
    RFC 9112, section 9.6.
    """

    def __init__(
        self, transport: asyncio.Transport, protocol: PicowsSocket, timeout_seconds: float
    ) -> None:
        # aiofastnet's without its checks of type and thread, which a fan-out would pay for each time.
        self.write = getattr(transport, "write_nocheck", transport.write)
        self.writelines = transport.writelines
        self.abort = transport.abort
        self.get_extra_info = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self._transport = transport
        self._protocol = protocol
        self._timeout_seconds = timeout_seconds

    def close(self) -> None:
        """Shut our side after what is to be written; abort when the client does not hang up in
        time.
        """
        transport = self._transport
        if transport.is_closing() or isinstance(transport.get_protocol(), _Discard):
            return
        self._protocol.ended()
        timer = asyncio.get_running_loop().call_later(self._timeout_seconds, transport.abort)
        transport.set_protocol(_Discard(self._protocol, timer))
        try:
            transport.write_eof()
            transport.resume_reading()
        except NotImplementedError:  # TLS has no half-closed connections
            transport.close()
        except OSError:  # the client has hung up meanwhile
            transport.abort()


class _Discard(asyncio.Protocol):
    """Reads what a client still sends after its socket's end, and forgets it."""

    def __init__(self, protocol: asyncio.BaseProtocol, timer: asyncio.TimerHandle) -> None:
        self._protocol = protocol
        self._timer = timer

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand the end on to whom the transport belonged."""
        self._timer.cancel()
        self._protocol.connection_lost(exc)


class _QuietLog(logging.LoggerAdapter[logging.Logger]):
    """picows reports each connection, and each client's mistakes as errors. Here only its own
    failures stand out.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """As the logger does, but at DEBUG unless there is an exception to show."""
        super().log(level if kwargs.get("exc_info") else logging.DEBUG, msg, *args, **kwargs)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Nothing is added to the record."""
        return msg, kwargs


def _parsed(data: bytes, transport: asyncio.Transport) -> tuple[Request, bytes]:
    is_secure = transport.get_extra_info("sslcontext") is not None
    return parse_upgrade(
        data,
        _address(transport, "sockname"),
        _address(transport, "peername"),
        is_secure=is_secure,
    )


def _address(transport: asyncio.Transport, end: str) -> str | None:
    address = transport.get_extra_info(end)
    return str(address[0]) if isinstance(address, tuple) else None
