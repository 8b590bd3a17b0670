"""The provider over channels that live in memory, on asyncio and on trio."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from pycrdt import Awareness, Doc, Text

from engineroom.client import ConnectionLost, WebsocketProvider
from engineroom.errors import AccessDenied, ProtocolError
from engineroom.protocols.messages import FromMember, SyncStep1, SyncStep2, SyncUpdate, ToMember
from engineroom.protocols.yjs import YjsDialect

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 10.0
DIALECT = YjsDialect()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The provider runs on both."""
    return request.param


@dataclass
class MemoryChannel:
    """One end of a pair."""

    incoming: MemoryObjectReceiveStream[bytes]
    outgoing: MemoryObjectSendStream[bytes]
    path: str = "notes"

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self.recv()

    async def recv(self) -> bytes:
        try:
            return await self.incoming.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def send(self, message: bytes) -> None:
        await self.outgoing.send(message)


@dataclass
class Peer:
    """The other end, which does what a test says."""

    incoming: MemoryObjectReceiveStream[bytes]
    outgoing: MemoryObjectSendStream[bytes]
    document: "Doc[Any]" = field(default_factory=Doc)

    async def send(self, message: ToMember) -> None:
        frame = DIALECT.encode(message)
        assert frame is not None
        await self.outgoing.send(frame)

    async def receive(self, *kinds: type) -> Any:
        """The next message of one of these kinds."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while True:
                message: FromMember | None = DIALECT.decode(await self.incoming.receive())
                if not kinds or isinstance(message, kinds):
                    return message

    async def sync(self) -> SyncStep2:
        """What a server does at first; the client's answer to Step 1."""
        await self.send(SyncStep1(self.document.get_state()))
        asked = await self.receive(SyncStep1)
        await self.send(SyncStep2(self.document.get_update(asked.state_vector)))
        step2: SyncStep2 = await self.receive(SyncStep2)
        self.document.apply_update(step2.update)
        return step2

    def close(self) -> None:
        self.incoming.close()
        self.outgoing.close()


def pair(room: float = 1000) -> tuple[MemoryChannel, Peer]:
    to_peer, from_client = anyio.create_memory_object_stream[bytes](room)
    to_client, from_peer = anyio.create_memory_object_stream[bytes](room)
    return MemoryChannel(from_peer, to_peer), Peer(from_client, to_client)


@pytest.fixture
def ends() -> Any:
    channel, peer = pair()
    yield channel, peer
    channel.incoming.close()
    channel.outgoing.close()
    peer.close()


Ends = tuple[MemoryChannel, Peer]


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await anyio.lowlevel.checkpoint()


async def test_the_document_is_in_sync_and_changes_are_durable_when_they_come_back(
    ends: Ends,
) -> None:
    """Both ways: what the room has comes in; what we change goes out and is durable with its echo."""
    channel, peer = ends
    peer.document.get("text", type=Text).insert(0, "theirs ")
    document: Doc[Any] = Doc()
    text = document.get("text", type=Text)
    text += "ours "
    with anyio.fail_after(PATIENCE_SECONDS):
        async with WebsocketProvider(document, channel) as provider:
            assert not provider.synced
            step2 = await peer.sync()
            await provider.wait_synced()
            assert "theirs " in str(text)
            assert provider.unacknowledged == 1
            await peer.send(SyncUpdate(step2.update))
            await provider.wait_durable()
            text += "more"
            update = (await peer.receive(SyncUpdate)).update
            peer.document.apply_update(update)
            assert str(peer.document.get("text", type=Text)) == str(text)
            assert provider.unacknowledged == 1
            await peer.send(SyncUpdate(update))
            await provider.wait_durable()
            assert provider.unacknowledged == 0


async def test_two_providers_keep_two_documents_equal(ends: Ends) -> None:
    """Over one channel with a provider at each end, the documents become and stay equal."""
    channel, peer = ends
    other = MemoryChannel(peer.incoming, peer.outgoing)
    with anyio.fail_after(PATIENCE_SECONDS):
        documents: list[Doc[Any]] = [Doc(), Doc()]
        texts = [document.get("text", type=Text) for document in documents]
        texts[0] += "left "
        texts[1] += "right "
        async with (
            WebsocketProvider(documents[0], channel) as left,
            WebsocketProvider(documents[1], other) as right,
        ):
            await left.wait_synced()
            await right.wait_synced()
            texts[0] += "end"
            await until(lambda: str(texts[0]) == str(texts[1]) and len(str(texts[0])) == 14)


async def test_leaving_sends_what_has_not_been_sent(ends: Ends) -> None:
    """A change made just before the end of the block still goes out, and a last word about presence."""
    channel, peer = ends
    document: Doc[Any] = Doc()
    text = document.get("text", type=Text)
    with anyio.fail_after(PATIENCE_SECONDS):
        async with WebsocketProvider(document, channel) as provider:
            await peer.sync()
            await provider.wait_synced()
            text += "last"
        peer.document.apply_update((await peer.receive(SyncUpdate)).update)
        assert str(peer.document.get("text", type=Text)) == "last"
        text += "after"
        assert provider.unacknowledged == 1


async def test_an_error_in_the_body_comes_out_as_it_is(ends: Ends) -> None:
    """What goes wrong in the block is not wrapped, and ends the provider at once."""
    channel, _peer = ends
    with anyio.fail_after(PATIENCE_SECONDS), pytest.raises(ZeroDivisionError):
        async with WebsocketProvider(Doc(), channel):
            _ = 1 / 0


async def test_a_channel_that_ends_leaves_the_body_and_tells_who_waits(ends: Ends) -> None:
    """The block goes on; changes stay unacknowledged; waiting for them raises."""
    channel, peer = ends
    document: Doc[Any] = Doc()
    text = document.get("text", type=Text)
    with anyio.fail_after(PATIENCE_SECONDS):
        async with WebsocketProvider(document, channel) as provider:
            await peer.sync()
            await provider.wait_synced()
            peer.close()
            await provider.wait_ended()
            assert not provider.synced
            text += "still here"
            assert provider.unacknowledged == 1
            with pytest.raises(ConnectionLost):
                await provider.wait_durable()
            with pytest.raises(ConnectionLost):
                await provider.wait_synced()


class RecvAlone:
    """A channel that cannot be iterated, and fails as its library does."""

    path = "notes"

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.sent: list[bytes] = []

    async def recv(self) -> bytes:
        raise self.error

    async def send(self, message: bytes) -> None:
        self.sent.append(message)


async def test_an_error_of_the_channel_is_its_end() -> None:
    """Whatever a channel's library raises is the cause of ConnectionLost; `recv` alone is enough."""
    broken = OSError("the line is cut")
    channel: Any = RecvAlone(broken)
    with anyio.fail_after(PATIENCE_SECONDS):
        async with WebsocketProvider(Doc(), channel) as provider:
            with pytest.raises(ConnectionLost, match="the line is cut") as caught:
                await provider.wait_synced()
    assert caught.value.__cause__ is broken


class Deaf(MemoryChannel):
    """A channel that takes nothing."""

    async def send(self, message: bytes) -> None:
        raise OSError("nobody listens")


async def test_a_channel_that_cannot_send_has_ended(ends: Ends) -> None:
    """A failing send ends the provider, though messages might still come."""
    channel, _peer = ends
    deaf = Deaf(channel.incoming, channel.outgoing)
    with anyio.fail_after(PATIENCE_SECONDS):
        async with WebsocketProvider(Doc(), deaf) as provider:
            with pytest.raises(ConnectionLost, match="nobody listens"):
                await provider.wait_synced()


POISON = bytes.fromhex("01016101000000")  # pycrdt takes it, and panics at the next encoding


@pytest.mark.parametrize("update", [POISON, b"\xff\xff", b"\x01\x01\x05"])
async def test_a_poisonous_update_never_reaches_the_document(ends: Ends, update: bytes) -> None:
    """What our reader refuses ends the provider, and leaves the document whole."""
    channel, peer = ends
    document: Doc[Any] = Doc()
    document.get("text", type=Text).insert(0, "whole")
    with anyio.fail_after(PATIENCE_SECONDS):
        async with WebsocketProvider(document, channel) as provider:
            await peer.sync()
            await peer.send(SyncUpdate(update))
            await provider.wait_ended()
            with pytest.raises(ProtocolError):
                await provider.wait_synced()
    copy: Doc[Any] = Doc()
    copy.apply_update(document.get_update())
    assert str(copy.get("text", type=Text)) == "whole"


async def test_text_instead_of_bytes_is_an_error(ends: Ends) -> None:
    """A peer that sends text does not speak the protocol."""
    channel, peer = ends
    with anyio.fail_after(PATIENCE_SECONDS):
        async with WebsocketProvider(Doc(), channel) as provider:
            await peer.outgoing.send("hello")  # type: ignore[arg-type]
            with pytest.raises(ProtocolError, match="binary"):
                await provider.wait_synced()


async def test_a_refused_change_is_told_to_who_waits(ends: Ends) -> None:
    """In a room that we may only read, `wait_durable` raises; reading goes on."""
    channel, peer = ends
    document: Doc[Any] = Doc()
    text = document.get("text", type=Text)
    with anyio.fail_after(PATIENCE_SECONDS):
        async with WebsocketProvider(document, channel) as provider:
            await peer.sync()
            await provider.wait_synced()
            await provider.wait_durable()
            text += "not allowed"
            await peer.receive(SyncUpdate)
            await peer.outgoing.send(b"\x02\x00\x0eread only, sir")
            with pytest.raises(AccessDenied, match="read only, sir"):
                await provider.wait_durable()
            peer.document.get("more", type=Text).insert(0, "news")
            await peer.send(SyncUpdate(peer.document.get_update()))
            await until(lambda: str(document.get("more", type=Text)) == "news")


async def test_a_large_document_comes_in_whole(ends: Ends) -> None:
    """An update that is read in a thread is applied like any other."""
    channel, peer = ends
    peer.document.get("text", type=Text).insert(0, "x" * 2_000_000)
    document: Doc[Any] = Doc()
    with anyio.fail_after(PATIENCE_SECONDS):
        async with WebsocketProvider(document, channel) as provider:
            await peer.sync()
            await provider.wait_synced()
    assert len(str(document.get("text", type=Text))) == 2_000_000


async def test_a_slow_channel_does_not_make_us_grow(ends: Ends) -> None:
    """While a send waits, any number of changes wait as one update."""
    channel, peer = pair(room=0)
    document: Doc[Any] = Doc()
    text = document.get("text", type=Text)
    with anyio.fail_after(PATIENCE_SECONDS):
        async with WebsocketProvider(document, channel) as provider:
            await peer.sync()
            await provider.wait_synced()
            for _ in range(3):
                text += "first"
                await anyio.wait_all_tasks_blocked()
            for number in range(500):
                text += f"{number} "
            updates = []
            while str(peer.document.get("text", type=Text)) != str(text):
                updates.append((await peer.receive(SyncUpdate)).update)
                peer.document.apply_update(updates[-1])
            assert len(updates) <= 4
            peer.close()
    channel.incoming.close()
    channel.outgoing.close()


async def test_ones_own_awareness_is_carried(ends: Ends) -> None:
    """An Awareness that is given is the one that is shared."""
    channel, peer = ends
    document: Doc[Any] = Doc()
    awareness = Awareness(document)
    awareness.set_local_state_field("user", {"name": "Ada"})
    with anyio.fail_after(PATIENCE_SECONDS):
        async with WebsocketProvider(document, channel, awareness=awareness) as provider:
            assert provider.awareness is awareness
            update = await peer.receive(type(DIALECT.decode(b"\x01\x01\x00")))
            assert update.states[0].state == '{"user":{"name":"Ada"}}'
