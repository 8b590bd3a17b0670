"""A document kept equal with a room over any channel: the exchange of frames, and nothing about how a channel is made.

Runs on asyncio and on trio (anyio, which pycrdt brings). The channel is the one that pycrdt-websocket's users know.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Any, Final, Protocol, Self

import anyio
from anyio import CancelScope, create_task_group, move_on_after
from pycrdt import Awareness, Doc

from engineroom.errors import EngineroomError, ProtocolError
from engineroom.protocols.messages import SyncStep2, SyncUpdate
from engineroom.protocols.updates import read_update

from .endings import ConnectionLost
from .presence import RENEW_SECONDS
from .progress import Progress
from .replica import Incoming, Replica

LARGE_BYTES: Final = 256 << 10
"""Updates from here up are read in a thread: reading one takes a second for some megabytes."""

FLUSH_SECONDS: Final = 5.0


class Channel(Protocol):
    """Whole binary messages, both ways, in order. Iteration ends, or raises, when the channel is closed.

    `websockets`' connections are channels; so is any object that has served pycrdt-websocket's providers. One that
    cannot be iterated is read with `recv()`.
    """

    @property
    def path(self) -> str:
        """Where the channel leads, for messages to people."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The messages that come."""

    async def send(self, message: bytes, /) -> None:
        """Send one message."""

    async def recv(self) -> bytes:
        """The next message."""


class WebsocketProvider:
    """Keeps `doc` equal with the room at the other end of `channel`, as long as `async with` lasts.

        async with WebsocketProvider(doc, channel) as provider:
            await provider.wait_synced()
            doc.get("text", type=Text).insert(0, "Hello. ")
            await provider.wait_durable()

    `awareness` is carried too; one of its own is made when none is given. The document is to be touched in the event
    loop's thread alone. Leaving sends what has not been sent, and leaves the channel open. When the channel ends, the
    body goes on: the document stays as it is, changes stay `unacknowledged`, and what waits raises. A provider serves
    one channel; `connect` makes a new channel whenever one is lost.
    """

    def __init__(
        self, doc: Doc[Any], channel: Channel, *, awareness: Awareness | None = None
    ) -> None:
        self._channel = channel
        self._progress = Progress(doc, awareness)
        self._stack = AsyncExitStack()
        self._scope = CancelScope()

    @property
    def document(self) -> Doc[Any]:
        """The document that is kept equal."""
        return self._progress.replica.document

    @property
    def awareness(self) -> Awareness:
        """Who is there; `set_local_state_field` says who we are."""
        return self._progress.awareness

    @property
    def synced(self) -> bool:
        """Whether the document has had all that the room had when the channel was opened."""
        return self._progress.replica.synced

    @property
    def unacknowledged(self) -> int:
        """How many of our changes are not known to be durable. Only servers that echo them ever say so."""
        return self._progress.replica.ledger.unacknowledged

    async def wait_synced(self) -> None:
        """Return when the document has had all that the room had when the channel was opened.

        Raises:
            ConnectionLost: the channel has ended.
            ProtocolError: the other end does not speak the protocol.
        """
        await self._progress.until_synced()

    async def wait_durable(self) -> None:
        """Return when all changes made until now are durable at the server.

        Raises:
            AccessDenied: we may read this document, not change it.
            ConnectionLost: the channel has ended.
            ProtocolError: the other end does not speak the protocol.
        """
        await self._progress.until_durable()

    async def wait_ended(self) -> None:
        """Return when the channel has ended, whatever the reason."""
        await self._progress.until(lambda: self._progress.failure is not None)

    async def __aenter__(self) -> Self:
        self._stack.enter_context(self._progress.replica)
        tasks = await self._stack.enter_async_context(create_task_group())
        tasks.start_soon(self._run)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            with move_on_after(FLUSH_SECONDS):
                await self._progress.until_sent()
        self._scope.cancel()
        await self._stack.aclose()

    async def _run(self) -> None:
        failure: EngineroomError = ConnectionLost("the channel was closed")
        try:
            with self._scope:
                await exchange(self._progress, self._channel)
        except EngineroomError as error:
            failure = error
        self._progress.replica.disconnect()
        self._progress.fail(failure)


async def exchange(progress: Progress, channel: Channel) -> None:
    """Carry frames both ways until the channel ends by itself.

    Raises:
        ConnectionLost: sending or receiving failed; its cause is the channel's own error.
        ProtocolError: the other end does not speak the protocol.
    """
    replica = progress.replica
    failures: list[EngineroomError] = []
    replica.connect()
    async with create_task_group() as tasks:
        tasks.start_soon(_renew, replica)
        tasks.start_soon(_send, progress, channel, failures, tasks.cancel_scope)
        try:
            await _receive(replica, channel)
        except EngineroomError as error:
            failures.append(error)
        tasks.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def _receive(replica: Replica, channel: Channel) -> None:
    async with aclosing(_frames(channel)) as frames:
        async for frame in frames:
            if isinstance(frame, str):
                raise ProtocolError("messages are binary here")
            message = replica.read(bytes(frame)) if frame else None
            if message is not None:
                await _check(message)
                replica.receive(message)


async def _frames(channel: Channel) -> AsyncGenerator[bytes]:
    """The channel's messages; whatever ends it is its end."""
    following = aiter(channel) if hasattr(channel, "__aiter__") else None
    while True:
        try:
            frame = await (anext(following) if following is not None else channel.recv())
        except StopAsyncIteration:
            return
        except Exception as error:
            raise ConnectionLost(f"receiving failed: {error}") from error
        yield frame


async def _check(message: Incoming) -> None:
    """Nothing reaches the document that was not read.

    Raises:
        ProtocolError: the update is malformed, or would damage a document.
    """
    match message:
        case SyncStep2(update) | SyncUpdate(update):
            if len(update) < LARGE_BYTES:
                read_update(update)
            else:
                await anyio.to_thread.run_sync(read_update, update)


async def _send(
    progress: Progress,
    channel: Channel,
    failures: list[EngineroomError],
    scope: CancelScope,
) -> None:
    replica = progress.replica
    try:
        while True:
            await progress.until(lambda: replica.talkative)
            for frame in replica.take_frames():
                await channel.send(frame)
            replica.sent()
    except Exception as error:
        failures.append(ConnectionLost(f"sending failed: {error}"))
        failures[-1].__cause__ = error
        scope.cancel()


async def _renew(replica: Replica) -> None:
    while True:
        await anyio.sleep(RENEW_SECONDS)
        replica.presence.renew()
