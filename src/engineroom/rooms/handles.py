"""A room as this process's own code sees it: to read, to change, to wait until it is durable.

Part of the shell. Nobody but the room's task touches its document, so a handle reads the room between its turns, and
gives edits and updates to it. `document` is a replica of the handle's own, kept equal both ways, on which any code may
work as on any other `pycrdt.Doc`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, TypeVar

from pycrdt import Doc, TransactionEvent

from engineroom.errors import RoomClosed
from engineroom.protocols.condense import quick_pieces
from engineroom.protocols.frames import Bundle
from engineroom.protocols.messages import (
    CheckDurable,
    Dialect,
    Durable,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    ToMember,
)
from engineroom.protocols.yjs import YjsDialect

from . import effects as e
from .address import Address
from .authors import AuthorNotes
from .document import Document
from .members import Access, MemberInfo, User
from .membership import Connection, Membership
from .room import Room

T = TypeVar("T")
_DURABLE = b"\x7f"  # no type of the Yjs framing


class _Local(YjsDialect):
    """The Yjs framing, between a room and its own process, with a word for `Durable`."""

    name = "local"

    def encode(self, message: ToMember) -> bytes | None:
        """The frame that carries `message`."""
        if isinstance(message, Durable):
            return _DURABLE + message.token
        return super().encode(message)


class Held(Protocol):
    """What a handle needs of its room."""

    address: Address

    @property
    def room(self) -> Room:
        """The room itself, to read between its turns."""

    def join(
        self,
        connection: Connection,
        *,
        user: User,
        access: Access,
        dialect: Dialect,
        source: str = "",
    ) -> Membership:
        """A new member."""

    def members(self) -> list[MemberInfo]:
        """Who is here."""

    def put(self, item: e.Input) -> None:
        """Something happened."""

    async def edit(self, change: Callable[[Doc[Any]], T], *, user: str = "") -> T:
        """Have the document changed."""

    async def submit(
        self, update: bytes, *, user: str = "", condition: Callable[[], None] | None = None
    ) -> tuple[bool, int]:
        """Have an update taken."""


class RoomHandle:
    """An open room. Made by `Rooms.open`, and good inside its `async with` block."""

    def __init__(self, room: Held, user: User) -> None:
        self._room = room
        self._user = user
        self._replica: Replica | None = None

    async def __aenter__(self) -> RoomHandle:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the room. What was changed through `document` is in the room, and will be stored with it."""
        if self._replica is not None:
            self._replica.leave()

    # --- reading -----------------------------------------------------------------------------

    @property
    def address(self) -> Address:
        """The room's address."""
        return self._room.address

    @property
    def number(self) -> int:
        """The newest number of the document's log; 0 when nothing was ever written."""
        return self._room.room.log.number

    @property
    def begun(self) -> bool:
        """Whether anything was written that is stored, or will be: a page's seed alone is not."""
        return self._room.room.log.begun

    @property
    def lineage(self) -> str:
        """The identity of the document's history."""
        return self._room.room.lineage

    def authors(self) -> AuthorNotes:
        """Who has written what so far."""
        return self._room.room.authors_now()

    @property
    def members(self) -> list[MemberInfo]:
        """Who is in the room, in the order in which they came."""
        return self._room.members()

    def encoded(self) -> bytes:
        """The whole document as one update (V1)."""
        return self._shared.encoded()

    def state_vector(self) -> bytes:
        """What the document has (V1)."""
        return self._shared.state_vector()

    def difference(self, state_vector: bytes) -> bytes:
        """What somebody with `state_vector` lacks, as one update (V1).

        Raises:
            ProtocolError: `state_vector` is malformed.
        """
        return self._shared.difference(state_vector)

    @property
    def _shared(self) -> Document:
        return self._room.room.document

    # --- changing ----------------------------------------------------------------------------

    @property
    def document(self) -> Doc[Any]:
        """A replica of the room's document, made when it is first asked for.

        What is changed here reaches the room and its members at the end of each transaction, and what they change
        comes here at the end of a turn of the event loop. `stored` tells when it is durable.

        Raises:
            RoomClosed: the room has ended.
        """
        if self._replica is None:
            self._replica = Replica(self._room, self._user)
        return self._replica.doc

    async def stored(self) -> None:
        """Return when everything that was changed through `document` so far is durable.

        Raises:
            RoomClosed: the room has ended, or has refused a change; the reason says why.
        """
        if self._replica is not None:
            await self._replica.stored()

    async def edit(self, change: Callable[[Doc[Any]], T], *, user: str = "") -> T:
        """Change the room's own document in one transaction; what `change` returned, once that is durable.

        `change` is called in the room's turn: nobody else changes anything meanwhile, and it must return at once.
        `user` is who is said to have made the edit (empty: the server). When it raises, nothing has changed.

        Raises:
            RoomClosed: the room has ended.
            Exception: what `change` raised.
        """
        return await self._room.edit(change, user=user)

    async def apply(self, update: bytes, *, user: str = "") -> bool:
        """Have an update (V1) taken as a member's is; whether it brought anything new, once that is durable.

        Raises:
            ProtocolError: it is malformed, or needs others that the document does not have.
            LimitExceeded: it is past a bound of rooms.
            AccessDenied: it brings the history of another document (status 409).
            RoomClosed: the room has ended.
        """
        news, _ = await self._room.submit(update, user=user)
        return news

    async def apply_if(
        self, condition: Callable[[], None], update: bytes, *, user: str = ""
    ) -> tuple[bool, int]:
        """As `apply`, unless `condition` raises: it is called in the room's turn, so nothing comes between it and the
        update. Whether anything was new, and the newest number of the document's log with it.

        Raises:
            Exception: what `condition` raised; nothing is changed then.
            ProtocolError, and what else `apply` raises.
        """
        return await self._room.submit(update, user=user, condition=condition)

    def broadcast(self, text: str) -> None:
        """Send a stateless message to all members: text that is no part of the document."""
        self._room.put(e.Announce(text))


class Replica:
    """A document that is kept equal with a room's, as a member of it. A `Connection`."""

    def __init__(self, room: Held, user: User) -> None:
        self.doc: Doc[Any] = Doc()
        self.doc.apply_update(room.room.document.encoded())
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._ended = ""
        self._hearing = False
        self._subscription = self.doc.observe(self._changed)
        access = Access(read=True, write=True, run=False)
        self._dialect = _Local()
        self._membership = room.join(self, user=user, access=access, dialect=self._dialect)
        # What the room takes in before the turn in which it meets this member.
        self._membership.say(SyncStep1(self.doc.get_state()))

    async def stored(self) -> None:
        """Return when every change so far is durable."""
        if self._ended:
            raise RoomClosed(self._ended)
        token = secrets.token_bytes(8)
        waiting = self._waiting[token] = asyncio.get_running_loop().create_future()
        self._membership.say(CheckDurable(token))
        await waiting

    def leave(self) -> None:
        """Leave the room; the document stays as it is."""
        self._end("the handle was closed")
        self.doc.unobserve(self._subscription)
        self._membership.leave()

    # --- the room's side ---------------------------------------------------------------------

    def send(self, bundle: Bundle) -> None:
        """What the room says: updates of others, and our own when they are durable."""
        for payload in bundle.payloads:
            if payload[:1] == _DURABLE:
                self._stored(payload[1:])
                continue
            message = self._dialect.decode(payload)
            if isinstance(message, SyncStep2 | SyncUpdate):
                self._heard(message.update)

    def close(self, code: int, reason: str) -> None:
        """The room has sent this replica away."""
        self._end(reason or f"closed with {code}")
        self._membership.leave()

    def hold(self) -> None:
        """Nothing is read here: changes are made by the process itself."""

    def release(self) -> None:
        """See `hold`."""

    # --- inside ------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(RoomClosed(self._ended))

    def _stored(self, token: bytes) -> None:
        waiting = self._waiting.pop(token, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _heard(self, update: bytes) -> None:
        """Somebody's update. Our own comes back, too, and changes nothing."""
        self._hearing = True
        try:
            for piece in quick_pieces(update):
                self.doc.apply_update(piece)
        finally:
            self._hearing = False

    def _changed(self, event: TransactionEvent) -> None:
        if self._hearing or self._ended:
            return
        self._membership.say(SyncUpdate(event.update))
