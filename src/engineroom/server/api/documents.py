"""What is done to documents from outside a WebSocket: found, read, changed, created, deleted.

The one module of the API that touches rooms and the store. A document is read and changed in its room, which is
opened for it without its programs; so a member sees a change at once, and a change is durable when the call returns.
A document that does not exist is never made by looking for it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from engineroom.errors import (
    AccessDenied,
    CloseCode,
    EngineroomError,
    LimitExceeded,
    ProtocolError,
)
from engineroom.protocols.lib0 import var_uint
from engineroom.protocols.updates import UpdateSummary, read_state_vector, read_update
from engineroom.rooms.address import Address
from engineroom.rooms.handles import RoomHandle
from engineroom.rooms.open_rooms import Rooms
from engineroom.rooms.storage import DocumentInfo, Store

from .deleted import Deleted
from .keys import Intent, Keys
from .locks import Locks
from .problems import Problem
from .representing import Condition, State

logger = logging.getLogger("engineroom.api")

T = TypeVar("T")

ANY_STATE = Condition()
STORED_SECONDS = 30.0
THREADS = 2

UpdateOf = Callable[[bytes], bytes | None]
"""A document's encoding to the update that is to be made in it; None when it changes nothing."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A document at one moment: its state, and its encoding (or a part of it) as one update (V1)."""

    state: State
    update: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a change came to: the state when it was durable, whether it changed anything, whether it had been done
    before (by the same idempotency key).
    """

    state: State
    changed: bool
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """A change that is asked for: who asks, under which condition, and the idempotency key with the digest of the
    request, if any.
    """

    user: str
    condition: Condition = ANY_STATE
    key: str | None = None
    digest: bytes = b""


class Documents:
    """The documents of a server: `async with Documents(...) as documents`."""

    def __init__(
        self,
        rooms: Rooms,
        store: Store,
        deleted: Deleted[Any],
        keys: Keys,
        *,
        document_bytes: int,
        remains: Sequence[Callable[[Address], Awaitable[object]]] = (),
        on_delete: Callable[[Address], None] = lambda address: None,
    ) -> None:
        """`remains` remove what else there is of a deleted document; `on_delete` hears of each."""
        self._rooms = rooms
        self._store = store
        self._deleted = deleted
        self._keys = keys
        self._document_bytes = document_bytes
        self._remains = remains
        self._on_delete = on_delete
        self._locks = Locks()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="engineroom-api")

    async def __aenter__(self) -> Documents:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of the threads; what they work on is thrown away."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """What `function` returns, called in one of a few threads: work that grows with a document."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *arguments)

    # --- reading -----------------------------------------------------------------------------

    async def list(self, prefix: str, *, after: str) -> list[DocumentInfo]:
        """All stored documents whose address begins with `prefix` and comes after `after`, by address.

        Raises:
            StoreError: the list cannot be read.
        """
        known = await self._store.list_documents(prefix)
        return [info for info in known if info.path > after]

    async def read(self, address: Address) -> Snapshot:
        """The whole document.

        Raises:
            Problem: `not_found`.
            EngineroomError: it cannot be had now.
        """
        async with self.room(address) as room:
            return Snapshot(_state(room), room.encoded())

    async def difference(self, address: Address, state_vector: bytes) -> Snapshot:
        """What somebody with `state_vector` lacks.

        Raises:
            Problem: `not_found`, `bad_state_vector`.
            EngineroomError: it cannot be had now.
        """
        async with self.room(address) as room:
            try:
                return Snapshot(_state(room), room.difference(state_vector))
            except ProtocolError as error:
                raise Problem("bad_state_vector", error.reason) from error

    def is_deleted(self, address: Address) -> bool:
        """Whether its document was deleted and nobody has created it anew: nobody can join there."""
        return self._deleted.shut(address)

    @asynccontextmanager
    async def room(self, address: Address) -> AsyncIterator[RoomHandle]:
        """The room of an existing document, held open.

        Raises:
            Problem: `not_found`.
            EngineroomError: it cannot be opened now.
        """
        missing = Problem("not_found", f"There is no document {str(address)!r}.")
        if self.is_deleted(address):
            raise missing
        # A page's room begins with the page's seed: only the store tells whether there is one.
        if address.page is not None and not await self._exists(address):
            raise missing
        async with self._rooms.open(address) as room:
            if not room.number:
                raise missing
            yield room

    async def _exists(self, address: Address) -> bool:
        path = str(address)
        if any(each.address == path for each in self._rooms.statistics()):
            return True
        return any(info.path == path for info in await self._store.list_documents(path))

    # --- changing ----------------------------------------------------------------------------

    async def apply(self, address: Address, update: bytes, order: Order) -> Outcome:
        """Bring an update into an existing document; it is durable then.

        Raises:
            Problem: `not_found`, `changed`, `timed_out`.
            EngineroomError: it is refused.
        """
        async with self.room(address) as room:
            return await self._bring(room, update, order)

    async def change(self, address: Address, update_of: UpdateOf, order: Order) -> Outcome:
        """Make the update that `update_of` finds, called in a thread; once for an idempotency key.

        Raises:
            Problem: `not_found`, `changed`, `key_reused`, `timed_out`, or what `update_of` raises.
            EngineroomError: it is refused.
        """
        async with self.room(address) as room:
            if order.key is None:
                update = await self._plan(room, update_of, order)
                return await self._bring(room, update, order)
            async with self._locks.hold((str(address), order.key)):
                return await self._change_once(room, update_of, order, order.key)

    async def _change_once(
        self, room: RoomHandle, update_of: UpdateOf, order: Order, key: str
    ) -> Outcome:
        path = str(room.address)
        intent = await self._keys.find(path, key)
        if intent is None or intent.lineage != room.lineage:
            state = _state(room)
            update = await self._plan(room, update_of, order)
            intent = Intent(order.digest, state.lineage, state.number, update)
            await self._keys.begin(path, key, intent)
        elif intent.digest != order.digest:
            raise Problem("key_reused", "Use a new key for a new request.")
        elif intent.done:
            return Outcome(State(intent.lineage, intent.number), changed=False, replayed=True)
        try:
            outcome = await self._bring(room, intent.update, order)
        except (ProtocolError, LimitExceeded, AccessDenied):
            await self._keys.forget(path, key)
            raise
        except Problem as problem:
            if problem.code == "changed":
                await self._keys.forget(path, key)
            raise
        await self._keys.finish(path, key, outcome.state.number)
        return outcome

    async def _plan(self, room: RoomHandle, update_of: UpdateOf, order: Order) -> bytes | None:
        order.condition.check(_state(room))
        return await self.in_thread(update_of, room.encoded())

    async def _bring(self, room: RoomHandle, update: bytes | None, order: Order) -> Outcome:
        order.condition.check(_state(room))
        if update is None:
            return Outcome(_state(room), changed=False)
        try:
            async with asyncio.timeout(STORED_SECONDS):
                if order.condition.states is not None:
                    return await self._bring_if(room, update, order)
                changed = await room.apply(update, user=order.user)
                return Outcome(_state(room), changed)
        except TimeoutError:
            reason = "It may still be stored; send it again with the same idempotency key, or read."
            raise Problem("timed_out", reason) from None

    async def _bring_if(self, room: RoomHandle, update: bytes, order: Order) -> Outcome:
        """Condition and change in one turn of the room: nobody else's change comes between."""
        summary = read_update(update)
        lineage = room.lineage

        def check() -> None:
            if not _knows(room, summary):
                order.condition.check(_state(room))

        changed, number = await room.apply_if(check, update, user=order.user)
        return Outcome(State(lineage, number), changed)

    # --- coming and going --------------------------------------------------------------------

    async def create(self, address: Address, update: bytes, order: Order) -> Outcome:
        """A new document that begins with `update`; with an empty one it is there, and empty.

        Raises:
            Problem: `exists`, `not_found` (a page that is not there), `timed_out`.
            EngineroomError: it is refused.
        """
        async with self._locks.hold(str(address)):
            with self._deleted.opening(address):
                if address.page is not None and await self._exists(address):
                    raise Problem("exists", f"There is a document {str(address)!r}.")
                async with self._rooms.open(address) as room:
                    if address.page is None and room.number:
                        raise Problem("exists", f"There is a document {str(address)!r}.")
                    outcome = await self._bring(room, update, order)
                    if not room.number:
                        outcome = await self._bring(room, _nothing(), order)
            await self._deleted.remove(address)
            return outcome

    async def delete(self, address: Address) -> None:
        """Remove the document with all that belongs to it; its members are sent away first (4410).

        Raises:
            Problem: `not_found`, `timed_out`.
            EngineroomError: it could not be removed.
        """
        path = str(address)
        async with self._locks.hold(path):
            with self._deleted.going(address):
                found = await self._end_room(address)
                if not await self._store.delete(path) and not found:
                    raise Problem("not_found", f"There is no document {path!r}.")
                await self._deleted.add(address)
                await self._remove_remains(address)
        logger.info("%s: deleted", path, extra={"room": path})
        self._on_delete(address)

    async def _end_room(self, address: Address) -> bool:
        reason = "the document was deleted"
        for member in self._rooms.members(address):
            self._rooms.disconnect(address, member.id, CloseCode.ROOM_CLOSED, reason)
        try:
            async with asyncio.timeout(STORED_SECONDS):
                return await self._rooms.close(address)
        except TimeoutError:
            raise Problem("timed_out", "Its room did not end; nothing was deleted.") from None

    async def _remove_remains(self, address: Address) -> None:
        await self._keys.forget_document(str(address))
        for remove in self._remains:
            try:
                await remove(address)
            except EngineroomError as error:
                logger.warning("%s: something of it is left: %s", address, error)


def _state(room: RoomHandle) -> State:
    return State(room.lineage, room.number)


def _knows(room: RoomHandle, summary: UpdateSummary) -> bool:
    """Whether an update has been applied before; not for one that only deletes."""
    clocks = read_state_vector(room.state_vector())
    inserts = summary.inserts
    return bool(inserts) and all(clocks.get(client, 0) >= end for client, _, end in inserts)


def _nothing() -> bytes:
    """An update that brings one collected unit, which nobody sees: a document begins with its first record."""
    client = var_uint(secrets.randbits(32) | 1)
    return b"\x01\x01" + client + b"\x00" + b"\x00\x01" + b"\x00"
