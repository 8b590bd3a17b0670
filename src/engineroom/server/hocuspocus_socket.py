"""One Hocuspocus socket: the hub between a transport and many rooms.

    transport ── HocuspocusSocket ──┬── session "notes"        ── its room
                 (a `Membership`)   ├── session "notes\\0x7f"   ── the same room: another member
                                    └── session "plans"        ── its room
                                        (each a room's `Connection`)

    a session    queueing ──Auth──> entering ──let in──> joined ──the room closes it──> shut ──Auth──> entering …
                                       └──denied──> shut

The upgrade is let in before anybody says who it is; each document is then entered with a token of its own, through the
same gate as every other socket. What comes for a document before that is queued, within bounds; a document that is
shut drops what still comes for it. A room that closes a member closes that document and no other. What it says is
not known here, except what concerns the socket: authentication, closing, pings.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from engineroom.errors import AccessDenied, AddressError, CloseCode, ProtocolError
from engineroom.protocols import hocuspocus
from engineroom.protocols.frames import Bundle
from engineroom.protocols.hocuspocus import Credentials, Head, HocuspocusDialect, Kind
from engineroom.protocols.messages import Dialect
from engineroom.rooms.address import Address
from engineroom.rooms.allowance import Allowance
from engineroom.rooms.membership import Connection

from .lobby import Lobby
from .request import Request
from .stays import Stay

logger = logging.getLogger("engineroom.sockets")

RESET: Final = 4205
"""The provider's own code for "connect again": every version of it does, where some stop at 4401 and 4403."""

PASSING: Final = frozenset(
    {
        CloseCode.INTERNAL_ERROR,
        CloseCode.SERVICE_RESTART,
        CloseCode.TRY_AGAIN_LATER,
        CloseCode.UNAUTHORIZED,
        CloseCode.TOO_SLOW,
    }
)
"""What a room closes a member with and another connection may mend. A provider that is told that a document is closed
never asks for it again on the same socket; so the socket is closed, too, and it connects and enters everything anew."""

MAX_QUEUE_BYTES: Final = 5 << 20
MAX_QUEUE_FRAMES: Final = 1_000
"""What one socket may have waiting before authentication ends; as in Hocuspocus' own server."""

MAX_UNREAD_BYTES: Final = 1 << 20
"""What a client whose outbox is full may still have coming from the hub itself; a room holds as much for a member."""

AUTHENTICATIONS_PER_SECOND: Final = 50.0
"""Tokens that one socket may show. A provider shows one for each document, all at once when it connects."""


class Entrance(Protocol):
    """What the gate does for one document."""

    async def enter(
        self, request: Request, address: Address, connection: Connection, dialect: Dialect
    ) -> Stay:
        """Makes the connection a member of the room, as far as `request` has rights there."""

    async def renew(self, request: Request, membership: Stay) -> None:
        """Gives the member the rights that `request` has in its room now."""


class HocuspocusSocket:
    """A `Membership` for its transport, of which there is one for all documents."""

    def __init__(
        self, request: Request, connection: Connection, entrance: Entrance, lobby: Lobby
    ) -> None:
        """Raises `AccessDenied` (503) when there are too many strangers."""
        self.request = request
        self.entrance = entrance
        self.lobby = lobby
        self.paused_now = False
        self.queued_bytes = self.queued_frames = 0
        self._connection = connection
        self._sessions: dict[bytes, Session] = {}
        self._holders: set[Session] = set()
        self._unread_bytes = 0
        self._left = False
        self.is_known = False
        loop = asyncio.get_running_loop()
        self._attempts = Allowance(AUTHENTICATIONS_PER_SECOND, loop.time())
        lobby.let_in(self)
        self._alarm = loop.call_later(lobby.limits.seconds, self._give_up)

    # --- the transport's side ----------------------------------------------------------------

    @property
    def purse(self) -> Lobby:
        """What strangers may hold together."""
        return self.lobby

    def receive(self, frame: bytes) -> None:
        """A whole binary message. One that does not follow the dialect closes the socket."""
        if self._left:
            return
        if len(frame) == 1:
            if frame == hocuspocus.PING:
                self.say(hocuspocus.PONG)
            return
        try:
            head = hocuspocus.read_head(frame)
            session = self._sessions.get(head.key) or self._new_session(head)
            if session is not None:
                session.receive(frame, head)
        except ProtocolError as error:
            logger.info("a hocuspocus socket: %s", error.reason)
            self.end(CloseCode.PROTOCOL_ERROR, error.reason)

    def paused(self) -> None:
        """What waits to be written has crossed the high mark."""
        self.paused_now = True
        for session in list(self._sessions.values()):
            session.paused()

    def resumed(self) -> None:
        """What waits to be written has fallen below the low mark."""
        self.paused_now = False
        self._unread_bytes = 0
        for session in list(self._sessions.values()):
            session.resumed()

    def leave(self) -> None:
        """The socket is gone. Safe to call twice."""
        if self._left:
            return
        self._left = True
        self._alarm.cancel()
        self.lobby.let_out(self)
        for session in self._sessions.values():
            session.leave()
        self._sessions.clear()

    # --- the sessions' side ------------------------------------------------------------------

    def say(self, *payloads: bytes) -> None:
        """Write these messages. A client that reads nothing and still makes us write is closed."""
        if self.paused_now:
            self._unread_bytes += sum(map(len, payloads))
            if self._unread_bytes > MAX_UNREAD_BYTES:
                self.end(CloseCode.TOO_SLOW, "too much waits to be read")
                return
        self._connection.send(Bundle(payloads))

    def pass_on(self, bundle: Bundle) -> None:
        """Write what a room says."""
        self._connection.send(bundle)

    def end(self, code: int, reason: str) -> None:
        """Close the socket, after what was sent before."""
        self._connection.close(code, reason)
        self.leave()

    def authenticated(self) -> None:
        """One of the documents was entered: this is no stranger any more."""
        self.is_known = True
        self._alarm.cancel()
        self.lobby.let_out(self)

    def may_attempt(self) -> bool:
        """Whether one more token may be shown now; if not, the socket is closed."""
        if self._attempts.take(1, asyncio.get_running_loop().time()):
            return True
        self.end(CloseCode.LIMIT_EXCEEDED, "too many authentications at once")
        return False

    def forget(self, session: Session) -> None:
        """The client has closed the document."""
        session.leave()
        self._sessions.pop(session.key, None)
        self.say(hocuspocus.closed(session.key, "provider_initiated"))

    def queue(self, size_bytes: int) -> bool:
        """Keep one more frame of so many bytes; False, and the socket is closed, when that is too much."""
        fits = (
            self.queued_frames < MAX_QUEUE_FRAMES
            and self.queued_bytes + size_bytes <= MAX_QUEUE_BYTES
            and self.lobby.queue(size_bytes)
        )
        if not fits:
            self.end(CloseCode.LIMIT_EXCEEDED, "too much was sent before authentication")
            return False
        self.queued_bytes += size_bytes
        self.queued_frames += 1
        return True

    def unqueue(self, frames: list[bytes]) -> None:
        """These frames are not kept any longer."""
        size_bytes = sum(map(len, frames))
        self.queued_bytes -= size_bytes
        self.queued_frames -= len(frames)
        self.lobby.unqueue(size_bytes)

    def hold(self, session: Session) -> None:
        """A room does not keep up: the whole socket is read no further."""
        if not self._holders:
            self._connection.hold()
        self._holders.add(session)

    def release(self, session: Session) -> None:
        """It does again. Safe to call without `hold`."""
        if session in self._holders:
            self._holders.remove(session)
            if not self._holders:
                self._connection.release()

    @property
    def joined(self) -> int:
        """How many documents are entered."""
        return sum(session.is_joined for session in self._sessions.values())

    # --- within ------------------------------------------------------------------------------

    def _new_session(self, head: Head) -> Session | None:
        if head.kind == Kind.CLOSE:
            return None
        most = self.lobby.limits.documents
        if len(self._sessions) >= most:
            self.lobby.reached["socket_documents"] += 1
            if head.kind == Kind.AUTH and self.may_attempt():
                reason = f"one socket holds at most so many documents: socket_documents = {most}"
                self.say(hocuspocus.denied(head.key, reason))
            return None
        session = self._sessions[head.key] = Session(self, head.key)
        return session

    def _give_up(self) -> None:
        self.lobby.reached["authentication_seconds"] += 1
        self.end(CloseCode.TOO_SLOW, "no document was authenticated in time")


class Session:
    """One document on a socket: the `Connection` of its member."""

    def __init__(self, socket: HocuspocusSocket, key: bytes) -> None:
        """Raises `ProtocolError` for a key that is no text."""
        self.key = key
        self._name = hocuspocus.document_name(key)
        self._dialect = HocuspocusDialect(key)
        self._socket = socket
        self._queue: list[bytes] = []
        self._entering: asyncio.Task[None] | None = None
        self._membership: Stay | None = None
        self._early: list[Bundle] = []
        self._is_shut = False
        self._tells_version = False
        self._step1: bytes | None = None
        self._was_asked = False

    @property
    def is_joined(self) -> bool:
        """Whether there is a member behind it."""
        return self._membership is not None

    # --- the socket's side -------------------------------------------------------------------

    def receive(self, frame: bytes, head: Head) -> None:
        """A frame with this session's key."""
        if head.kind == Kind.AUTH:
            self._authenticate(hocuspocus.read_credentials(frame, head))
        elif head.kind == Kind.CLOSE:
            self._socket.forget(self)
        elif self._membership is not None:
            self._forward(frame, head, self._membership)
        elif not self._is_shut and self._socket.queue(len(frame)):
            self._queue.append(frame)
            # A provider of version 2 that has no token sends no Auth; with one, it sends Step 1 after it.
            if self._entering is None and hocuspocus.is_step1(frame, head):
                self._authenticate(Credentials("", None))

    def paused(self) -> None:
        """The socket's write buffer is over its high mark."""
        if self._membership is not None:
            self._membership.paused()

    def resumed(self) -> None:
        """The socket's write buffer is under its low mark."""
        if self._membership is not None:
            self._membership.resumed()

    def leave(self) -> None:
        """The socket is gone, or the client has closed the document."""
        self._is_shut = True
        if self._entering is not None:
            self._entering.cancel()
            self._entering = None
        self._part()

    # --- the room's side ---------------------------------------------------------------------

    def send(self, bundle: Bundle) -> None:
        """What the room says; until the client has been told that it is in, it is kept."""
        if self._is_shut:
            return
        if self._step1 is None:
            self._step1 = self._find_step1(bundle)
        if self._membership is None:
            self._early.append(bundle)
        else:
            self._socket.pass_on(bundle)

    def close(self, code: int, reason: str) -> None:
        """The room closes this member: the document is closed, and the socket when another one may mend it."""
        if self._is_shut:
            return
        self._is_shut = True
        self._part()
        passing = code in PASSING
        if self._tells_version:
            self._socket.say(hocuspocus.closed(self.key, reason))
        elif not passing:  # version 2 breaks off at a Close message; all know this one
            self._socket.say(hocuspocus.denied(self.key, reason))
        if passing:
            self._socket.end(code if code < 4000 else RESET, reason)

    def hold(self) -> None:
        """The room does not keep up."""
        self._socket.hold(self)

    def release(self) -> None:
        """It does again."""
        self._socket.release(self)

    # --- authentication ----------------------------------------------------------------------

    def _authenticate(self, credentials: Credentials) -> None:
        if not self._socket.may_attempt():
            return
        if self._entering is not None:
            self._entering.cancel()
        self._is_shut = False
        self._tells_version = self._tells_version or credentials.version is not None
        request = self._socket.request
        if credentials.token:
            request = request.with_token(credentials.token)
        work = self._enter if self._membership is None else self._renew
        self._entering = self._socket.lobby.run(work(request), name=f"enter {self._name}")

    async def _enter(self, request: Request) -> None:
        socket = self._socket
        try:
            address = Address.parse(self._name)
            async with asyncio.timeout(socket.lobby.limits.seconds):
                membership = await socket.entrance.enter(request, address, self, self._dialect)
        except AddressError as error:
            self._deny(str(error))
        except TimeoutError:
            self._put_off("the document did not open in time")
        except AccessDenied as denied:
            put = self._put_off if denied.status == 503 else self._deny
            put(denied.reason)
        except Exception:
            logger.exception("the gate failed")
            self._deny("the server failed; its log says why")
        else:
            self._join(membership)

    async def _renew(self, request: Request) -> None:
        membership = self._membership
        assert membership is not None
        try:
            await self._socket.entrance.renew(request, membership)
        except AccessDenied as denied:
            self._deny(denied.reason)
        except Exception:
            logger.exception("the gate failed")
            self._deny("the server failed; its log says why")
        else:
            self._entering = None
            self._socket.say(self._welcome(membership))

    def _join(self, membership: Stay) -> None:
        self._entering = None
        if self._is_shut:  # the room has closed the member at once
            membership.leave()
            return
        self._membership = membership
        self._was_asked = False
        self._socket.authenticated()
        early, self._early = self._early, []
        payloads = [payload for bundle in early for payload in bundle.payloads]
        self._socket.say(self._welcome(membership), *payloads)
        if self._socket.paused_now:
            membership.paused()
        queue, self._queue = self._queue, []
        self._socket.unqueue(queue)
        for frame in queue:
            if self._membership is not None:
                self._forward(frame, hocuspocus.read_head(frame), self._membership)

    def _welcome(self, membership: Stay) -> bytes:
        return hocuspocus.authenticated(self.key, write=membership.info.access.write)

    def _put_off(self, reason: str) -> None:
        """It cannot be entered now. A provider that is denied does not ask again, so a socket that holds nothing else
        is closed."""
        if self._socket.joined:
            self._deny(reason)
        else:
            self._socket.end(CloseCode.TRY_AGAIN_LATER, reason)

    def _deny(self, reason: str) -> None:
        self._entering = None
        self._is_shut = True
        self._part()
        self._socket.say(hocuspocus.denied(self.key, reason))

    # --- within ------------------------------------------------------------------------------

    def _forward(self, frame: bytes, head: Head, membership: Stay) -> None:
        membership.receive(frame)
        if not hocuspocus.is_step1(frame, head):
            return
        if self._was_asked and self._step1 is not None:
            # Each Step 1 is answered with one: the provider counts as unsaved what it has not been asked for since.
            self._socket.say(self._step1)
        self._was_asked = True

    def _find_step1(self, bundle: Bundle) -> bytes | None:
        for payload in bundle.payloads:
            if hocuspocus.is_step1(payload, hocuspocus.read_head(payload)):
                return payload
        return None

    def _part(self) -> None:
        membership, self._membership = self._membership, None
        if membership is not None:
            membership.leave()
        self._socket.release(self)
        self._socket.unqueue(self._queue)
        self._queue, self._early, self._step1 = [], [], None
