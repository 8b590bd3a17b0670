"""What no client can send: bytes that make a dialect fail with anything but a `ProtocolError`."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from engineroom.errors import AccessDenied, ProtocolError
from engineroom.protocols import hocuspocus, lib0
from engineroom.protocols.frames import Bundle
from engineroom.protocols.hocuspocus import HocuspocusDialect, Kind
from engineroom.protocols.messages import (
    AwarenessState,
    AwarenessUpdate,
    CheckDurable,
    Durable,
    FromMember,
    QueryAwareness,
    Stateless,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
)
from engineroom.protocols.ysweet import MAX_TOKEN_BYTES, YSweetDialect
from engineroom.rooms.address import Address
from engineroom.server.hocuspocus_socket import HocuspocusSocket
from engineroom.server.lobby import Lobby
from engineroom.server.request import Request

YSWEET = YSweetDialect()

keys = st.binary(max_size=40)
texts = st.text(max_size=40)
updates = st.binary(max_size=60)
states = st.builds(
    AwarenessState,
    st.integers(0, lib0.MAX_INTEGER),
    st.integers(0, lib0.MAX_INTEGER),
    st.sampled_from(["null", "{}", '{"user":{"name":"Ada"}}']),
)
both_ways = st.one_of(
    st.builds(SyncStep1, updates),
    st.builds(SyncStep2, updates),
    st.builds(SyncUpdate, updates),
    st.builds(AwarenessUpdate, st.lists(states, max_size=5).map(tuple)),
    st.just(QueryAwareness()),
)
near_frames = st.tuples(
    keys,
    st.sampled_from([*Kind, 4, 9, 42]),
    st.one_of(updates, texts.map(lib0.var_string), updates.map(lib0.buf)),
).map(lambda parts: lib0.buf(parts[0]) + lib0.var_uint(parts[1]) + parts[2])


@given(keys, st.one_of(both_ways, st.builds(Stateless, texts)))
def test_hocuspocus_reads_what_it_writes(key: bytes, message: FromMember) -> None:
    """What is written for a key is read as the same message, and its head as that key."""
    dialect = HocuspocusDialect(key)
    frame = dialect.encode(message)  # type: ignore[arg-type]
    assert frame is not None
    assert hocuspocus.read_head(frame).key == key
    assert dialect.decode(frame) == message


@given(st.binary(max_size=200) | near_frames)
def test_hocuspocus_reads_any_bytes(frame: bytes) -> None:
    """Any bytes are a message, nothing, or a `ProtocolError`."""
    try:
        head = hocuspocus.read_head(frame)
        hocuspocus.document_name(head.key)
        HocuspocusDialect(head.key).decode(frame)
        hocuspocus.is_step1(frame, head)
        hocuspocus.read_credentials(frame, head)
    except ProtocolError:
        pass


@given(st.binary(max_size=MAX_TOKEN_BYTES), both_ways)
def test_ysweet_reads_what_it_writes(token: bytes, message: FromMember) -> None:
    """A question is answered with its own bytes; what both sides say is read as it was written."""
    answer = YSWEET.encode(Durable(token))
    assert answer is not None
    assert YSWEET.decode(answer) == CheckDurable(token)
    frame = YSWEET.encode(message)  # type: ignore[arg-type]
    assert frame is not None
    assert YSWEET.decode(frame) == message


@given(st.binary(max_size=200))
def test_ysweet_reads_any_bytes(frame: bytes) -> None:
    """Any bytes are a message, nothing, or a `ProtocolError`."""
    try:
        YSWEET.decode(frame)
    except ProtocolError:
        pass


class Deaf:
    """A transport that hears nothing, and a gate that lets nobody in."""

    def __init__(self) -> None:
        self.closed = False

    def send(self, bundle: Bundle) -> None:
        assert all(isinstance(payload, bytes) for payload in bundle.payloads)

    def close(self, code: int, reason: str) -> None:
        self.closed = True

    def hold(self) -> None:
        pass

    def release(self) -> None:
        pass

    async def enter(self, request: Request, address: Address, *_: object) -> object:
        raise AccessDenied("nobody comes in here", 403)

    async def renew(self, request: Request, stay: object) -> None:
        raise AssertionError("nobody is here")


async def _send_all(frames: list[bytes]) -> None:
    async with Lobby() as lobby:
        deaf = Deaf()
        request = Request(b"/hocuspocus", b"", [])
        socket = HocuspocusSocket(request, deaf, deaf, lobby)  # type: ignore[arg-type]
        for frame in frames:
            socket.receive(frame)
            await asyncio.sleep(0)
        socket.leave()
        assert lobby.queued_bytes == 0
        assert lobby.strangers == 0


@given(st.lists(near_frames | st.binary(max_size=30), max_size=30))
def test_a_socket_survives_any_frames(frames: list[bytes]) -> None:
    """Whatever a stranger sends, in whatever order: the hub neither fails nor keeps anything of it."""
    asyncio.run(_send_all(frames))
