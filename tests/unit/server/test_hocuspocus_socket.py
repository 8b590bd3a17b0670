"""The hub of a Hocuspocus socket, between a remembering transport and real rooms over a store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pycrdt import Doc, Text

from engineroom.errors import AccessDenied, CloseCode, LimitExceeded, RoomClosed, StoreError
from engineroom.protocols import lib0
from engineroom.protocols.frames import Bundle
from engineroom.protocols.messages import Dialect
from engineroom.rooms.address import Address
from engineroom.rooms.hooks import Hooks
from engineroom.rooms.members import Access, MemberInfo, User
from engineroom.rooms.membership import Connection, Membership
from engineroom.rooms.open_rooms import Rooms
from engineroom.server import hocuspocus_socket
from engineroom.server.hocuspocus_socket import RESET, HocuspocusSocket
from engineroom.server.lobby import Lobby, LobbyLimits
from engineroom.server.request import Request
from engineroom.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

STEP1 = "00000100"
VERSION_4 = b"\x054.8.0"
RIGHTS = {
    "rw": Access(),
    "r": Access(write=False),
    "": Access(write=False),
}


def frame(body: str | bytes, key: bytes = b"d") -> bytes:
    """A frame with this key."""
    return lib0.buf(key) + (bytes.fromhex(body) if isinstance(body, str) else body)


def auth(token: str = "rw", key: bytes = b"d", version: bytes = VERSION_4) -> bytes:
    """A client's Auth; as a provider of version 4 sends it, unless `version` is empty."""
    return frame(b"\x02\x00" + lib0.var_string(token) + version, key)


def let_in(key: bytes = b"d", scope: str = "read-write") -> bytes:
    return frame(b"\x02\x02" + lib0.var_string(scope), key)


def update_of(text: str, client_id: int = 7) -> bytes:
    """An update that types `text` into root Text `text`."""
    doc: Doc[Any] = Doc(client_id=client_id)
    root = doc.get("text", type=Text)
    root += text
    return doc.get_update()


def typed(text: str, key: bytes = b"d", client_id: int = 7) -> bytes:
    return frame(b"\x00\x02" + lib0.buf(update_of(text, client_id)), key)


class Wire:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.held = 0
        self.socket: HocuspocusSocket | None = None
        self._news = asyncio.Event()

    def send(self, bundle: Bundle) -> None:
        if self.closed is None:
            self.sent += bundle.payloads
            self._news.set()

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            self._news.set()
            if self.socket is not None:
                self.socket.leave()

    def hold(self) -> None:
        self.held += 1

    def release(self) -> None:
        self.held -= 1

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_sent(self, payload: bytes, times: int = 1) -> None:
        await self.until(lambda: self.sent.count(payload) >= times)

    def starting(self, start: bytes) -> list[bytes]:
        return [payload for payload in self.sent if payload.startswith(start)]


@dataclass
class Entrance:
    """A gate that knows three tokens; `waits` holds it up, `raises` makes it fail."""

    rooms: Rooms
    asked: list[tuple[str, str]] = field(default_factory=list)
    members: list[Membership] = field(default_factory=list)
    waits: asyncio.Event | None = None
    raises: Exception | None = None

    def _access(self, request: Request) -> Access:
        token = request.bearer_token or ""
        if token not in RIGHTS:
            raise AccessDenied("nope", 401)
        return RIGHTS[token]

    async def enter(
        self, request: Request, address: Address, connection: Connection, dialect: Dialect
    ) -> Membership:
        self.asked.append((str(address), request.bearer_token or ""))
        if self.waits is not None:
            await self.waits.wait()
        if self.raises is not None:
            raise self.raises
        access = self._access(request)
        try:
            membership = await self.rooms.join(
                address, connection, user=User("u"), access=access, dialect=dialect
            )
        except (LimitExceeded, RoomClosed, StoreError) as error:
            raise AccessDenied(str(error), 503) from error
        self.members.append(membership)
        for _ in range(3):  # the room greets its member before the hub knows of it
            await asyncio.sleep(0)
        return membership

    async def renew(self, request: Request, membership: Membership) -> None:
        membership.change_access(self._access(request))


@dataclass
class Hub:
    """A socket with everything around it."""

    rooms: Rooms
    entrance: Entrance
    lobby: Lobby
    wire: Wire
    socket: HocuspocusSocket

    def receive(self, *frames: bytes) -> None:
        for one in frames:
            self.socket.receive(one)

    async def enter(self, key: bytes = b"d", token: str = "rw", version: bytes = VERSION_4) -> None:
        self.receive(auth(token, key, version), frame(STEP1, key))
        await self.wire.until(lambda: bool(self.wire.starting(frame("0001", key))))


@asynccontextmanager
async def open_hub(
    limits: LobbyLimits | None = None, *, hooks: Hooks | None = None
) -> AsyncIterator[Hub]:
    store = MemoryStore()
    async with store, Rooms(store, hooks=hooks) as rooms, Lobby(limits) as lobby:
        entrance, wire = Entrance(rooms), Wire()
        socket = HocuspocusSocket(Request(b"/hocuspocus", b"", []), wire, entrance, lobby)
        wire.socket = socket
        yield Hub(rooms, entrance, lobby, wire, socket)
        socket.leave()
        assert lobby.queued_bytes == 0
        assert lobby.strangers == 0


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """A socket that has said nothing yet."""
    async with open_hub() as hub:
        yield hub


# --- the handshake -----------------------------------------------------------------------------


async def test_the_handshake_is_the_one_that_was_captured(hub: Hub) -> None:
    """Auth and Step 1 without waiting; let in, the server's Step 1, then Step 2; Update, its status, its echo."""
    hub.receive(auth(), frame(STEP1))
    await hub.wire.until(lambda: len(hub.wire.sent) >= 3)
    assert hub.wire.sent == [let_in(), frame(STEP1), frame("00010200" + "00")]
    hub.receive(typed("hello"))
    await hub.wire.until_sent(typed("hello"))
    assert hub.wire.sent[-2:] == [frame("0801"), typed("hello")]


async def test_a_wrong_token_is_denied_and_the_socket_stays_open(hub: Hub) -> None:
    """Denied in the dialect's own words; another token on the same socket lets in."""
    hub.receive(auth("wrong"), frame(STEP1))
    await hub.wire.until_sent(frame(b"\x02\x01\x04nope"))
    assert hub.wire.closed is None
    hub.receive(frame(STEP1), typed("dropped"))
    await hub.enter()
    assert len(hub.wire.starting(frame("02"))) == 2
    assert hub.wire.starting(frame("0001")) == [frame("00010200" + "00")]


async def test_a_reader_is_told_so_and_what_it_writes_is_refused(hub: Hub) -> None:
    """`readonly`; 00 for an Update, 01 for a Step 2 that brings nothing new."""
    await hub.enter(token="r")
    assert hub.wire.sent[0] == let_in(scope="readonly")
    hub.receive(typed("no"))
    await hub.wire.until_sent(frame("0800"))
    hub.receive(frame(b"\x00\x01\x02\x00\x00"))
    await hub.wire.until_sent(frame("0801"))
    assert hub.wire.closed is None


async def test_a_provider_without_a_token_comes_in_with_what_the_socket_has(hub: Hub) -> None:
    """Version 2 sends no Auth when it has no token: its Step 1 enters, with the upgrade's own credentials."""
    hub.receive(frame(STEP1))
    await hub.wire.until(lambda: len(hub.wire.sent) >= 3)
    assert hub.entrance.asked == [("d", "")]
    assert hub.wire.sent[0] == let_in(scope="readonly")


async def test_what_comes_before_authentication_is_kept_in_order(hub: Hub) -> None:
    """Updates that overtake the token are taken after it, once each."""
    hub.receive(typed("a", client_id=1), typed("b", client_id=2), auth(), frame(STEP1))
    hub.receive(typed("c", client_id=3))
    await hub.wire.until_sent(frame("0801"), times=3)
    expected = [typed("a", client_id=1), typed("b", client_id=2), typed("c", client_id=3)]
    assert [each for each in hub.wire.sent if each in expected] == expected


async def test_a_name_that_is_no_address_is_denied(hub: Hub) -> None:
    """A document's name is an address; the reason says what is wrong with it."""
    hub.receive(auth(key=b"a//b"))
    await hub.wire.until(lambda: bool(hub.wire.starting(frame("0201", b"a//b"))))
    assert b"segment" in hub.wire.sent[0]
    assert hub.entrance.asked == []


async def test_another_token_changes_what_the_member_may_do(hub: Hub) -> None:
    """Auth for a document that is entered renews its rights, without leaving it."""
    await hub.enter(token="r")
    hub.receive(auth("rw"))
    await hub.wire.until_sent(let_in())
    hub.receive(typed("now"))
    await hub.wire.until_sent(frame("0801"))
    assert len(hub.entrance.members) == 1
    hub.receive(auth("wrong"))
    await hub.wire.until_sent(frame(b"\x02\x01\x04nope"))
    assert hub.entrance.members[0].left


# --- many documents ----------------------------------------------------------------------------


async def test_documents_on_one_socket_do_not_see_each_other(hub: Hub) -> None:
    """Each document has its own room, and each frame the key of its document."""
    await hub.enter(b"one")
    await hub.enter(b"two")
    hub.receive(typed("x", b"one"))
    await hub.wire.until_sent(frame("0801", b"one"))
    assert not hub.wire.starting(frame("08", b"two"))
    assert not hub.wire.starting(frame("0002", b"two"))


async def test_two_sessions_of_one_document_are_two_members(hub: Hub) -> None:
    """With session awareness, the same document twice on one socket: each hears what the other types."""
    first, second = b"d\x00s1", b"d\x00s2"
    await hub.enter(first)
    await hub.enter(second)
    hub.receive(typed("x", first))
    await hub.wire.until_sent(typed("x", second))
    await hub.wire.until_sent(frame("0801", first))
    assert not hub.wire.starting(frame("08", second))
    assert [str(each.address) for each in hub.entrance.members] == ["d", "d"]


async def test_a_client_that_closes_a_document_keeps_the_others(hub: Hub) -> None:
    """Close is answered in kind; its member has left, and another Auth enters anew."""
    await hub.enter(b"one")
    await hub.enter(b"two")
    hub.receive(frame("07", b"one"))
    await hub.wire.until_sent(frame(b"\x07\x12provider_initiated", b"one"))
    assert [member.left for member in hub.entrance.members] == [True, False]
    hub.wire.sent.clear()
    await hub.enter(b"one")


async def test_a_close_while_entering_gives_up_the_entry(hub: Hub) -> None:
    """The document is not entered afterwards; what was queued is forgotten."""
    hub.entrance.waits = asyncio.Event()
    hub.receive(auth(), frame(STEP1))
    await asyncio.sleep(0)
    hub.receive(frame("07"))
    await hub.wire.until_sent(frame(b"\x07\x12provider_initiated"))
    hub.entrance.waits.set()
    await hub.enter(b"other")
    assert [str(each.address) for each in hub.entrance.members] == ["other"]
    assert hub.lobby.queued_bytes == 0


async def test_a_room_that_closes_a_member_closes_that_document_only(hub: Hub) -> None:
    """A member that misbehaves is told so with Close; what it still sends there is dropped; the others stay."""
    await hub.enter(b"one")
    await hub.enter(b"two")
    hub.receive(frame("0002" + "02" + "ffff", b"one"))
    await hub.wire.until(lambda: bool(hub.wire.starting(frame("07", b"one"))))
    hub.receive(typed("x", b"one"), typed("y", b"two"))
    await hub.wire.until_sent(frame("0801", b"two"))
    assert hub.wire.closed is None
    assert not hub.wire.starting(frame("08", b"one"))


async def test_a_provider_before_4_is_told_in_words_that_it_knows(hub: Hub) -> None:
    """Version 2 breaks off at a Close message, so it is denied instead."""
    await hub.enter(version=b"")
    hub.receive(frame("0002" + "02" + "ffff"))
    await hub.wire.until(lambda: bool(hub.wire.starting(frame("0201"))))
    assert not hub.wire.starting(frame("07"))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (CloseCode.INTERNAL_ERROR, CloseCode.INTERNAL_ERROR),
        (CloseCode.SERVICE_RESTART, CloseCode.SERVICE_RESTART),
        (CloseCode.TRY_AGAIN_LATER, CloseCode.TRY_AGAIN_LATER),
        (CloseCode.TOO_SLOW, RESET),
        (CloseCode.UNAUTHORIZED, RESET),
    ],
)
async def test_what_another_connection_may_mend_closes_the_socket(
    hub: Hub, code: CloseCode, expected: int
) -> None:
    """A provider asks for a document once a connection: a failed room is reached again through a new one."""
    await hub.enter(b"one")
    await hub.enter(b"two")
    hub.entrance.members[0].end(code, "why")
    assert hub.wire.closed == (expected, "why")
    assert hub.wire.sent[-1] == frame(b"\x07\x03why", b"one")
    assert all(member.left for member in hub.entrance.members)


async def test_rights_that_change_are_told(hub: Hub) -> None:
    """The scope is sent again when a member's rights change while it is connected."""
    await hub.enter()
    hub.entrance.members[0].change_access(Access(write=False))
    await hub.wire.until_sent(let_in(scope="readonly"))


async def test_a_room_that_cannot_be_entered_now_closes_a_socket_that_has_nothing_else(
    hub: Hub,
) -> None:
    """A provider that is denied does not ask again, so the only document's socket is closed instead."""
    hub.entrance.raises = AccessDenied("later", 503)
    hub.receive(auth())
    await hub.wire.until(lambda: hub.wire.closed is not None)
    assert hub.wire.closed == (CloseCode.TRY_AGAIN_LATER, "later")


async def test_a_room_that_does_not_open_in_time_is_given_up() -> None:
    """An entry is waited for no longer than a stranger may take."""
    async with open_hub(LobbyLimits(seconds=0.05)) as hub:
        await hub.enter(b"one")
        hub.entrance.waits = asyncio.Event()
        hub.receive(auth(key=b"two"))
        await hub.wire.until(lambda: bool(hub.wire.starting(frame("0201", b"two"))))
        assert b"in time" in hub.wire.sent[-1]
        assert hub.wire.closed is None


async def test_a_room_that_cannot_be_entered_now_is_denied_beside_others(hub: Hub) -> None:
    """The documents that are entered stay as they are."""
    await hub.enter(b"one")
    hub.entrance.raises = AccessDenied("later", 503)
    hub.receive(auth(key=b"two"))
    await hub.wire.until_sent(frame(b"\x02\x01\x05later", b"two"))
    assert hub.wire.closed is None


async def test_a_failure_of_the_gate_is_denied_and_logged(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of it reaches the client, nor ends the other sockets' tasks."""
    hub.entrance.raises = ZeroDivisionError("secret")
    hub.receive(auth())
    await hub.wire.until(lambda: bool(hub.wire.starting(frame("0201"))))
    assert b"secret" not in b"".join(hub.wire.sent)
    assert "the gate failed" in caplog.text
    hub.entrance.raises = None
    await hub.enter()


# --- what the provider counts on ---------------------------------------------------------------


async def test_each_step_1_is_answered_with_one(hub: Hub) -> None:
    """A provider that syncs by force counts one change as unsaved until it was asked for what it has."""
    await hub.enter()
    hub.receive(frame(STEP1))
    await hub.wire.until_sent(frame(STEP1), times=2)
    await hub.wire.until(lambda: len(hub.wire.starting(frame("0001"))) == 2)


async def test_stateless_messages_go_both_ways() -> None:
    """The server's hook hears a client's; a broadcast reaches every member."""
    heard: list[tuple[str, str]] = []

    class Listener(Hooks):
        def on_message(self, address: Address, member: MemberInfo, text: str) -> None:
            heard.append((str(address), text))

    async with open_hub(hooks=Listener()) as hub:
        await hub.enter()
        hub.receive(frame(b"\x05\x04ping"))
        async with hub.rooms.open("d") as room:
            room.broadcast("pong")
            await hub.wire.until_sent(frame(b"\x05\x04pong"))
    assert heard == [("d", "ping")]


async def test_a_broadcast_from_a_client_is_refused(hub: Hub) -> None:
    """Type 6 is for servers: the document is closed."""
    await hub.enter()
    hub.receive(frame(b"\x06\x02hi"))
    await hub.wire.until(lambda: bool(hub.wire.starting(frame("07"))))


async def test_pings_are_answered(hub: Hub) -> None:
    """A single byte 09 is answered with 0a, known or not; a Pong with nothing."""
    hub.receive(b"\x09", b"\x0a", b"\x00")
    assert hub.wire.sent == [b"\x0a"]


# --- bounds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [b"", b"\x05ab", b"\x01\xff\x03", frame(b"\x02\x07")])
async def test_a_frame_that_is_none_closes_the_socket(hub: Hub, bad: bytes) -> None:
    """Bytes that belong to no document are the socket's fault."""
    hub.receive(bad)
    assert hub.wire.closed is not None
    assert hub.wire.closed[0] == CloseCode.PROTOCOL_ERROR


async def test_there_are_only_so_many_strangers() -> None:
    """A further unauthenticated socket is refused at its upgrade; one that is known makes room."""
    async with open_hub(LobbyLimits(sockets=1)) as hub:
        request = Request(b"/hocuspocus", b"", [])
        with pytest.raises(AccessDenied) as denied:
            HocuspocusSocket(request, Wire(), hub.entrance, hub.lobby)
        assert denied.value.status == 503
        await hub.enter()
        HocuspocusSocket(request, Wire(), hub.entrance, hub.lobby).leave()


async def test_a_stranger_has_only_so_long() -> None:
    """A socket that enters no document in time is closed with 4408, whatever it sends meanwhile."""
    async with open_hub(LobbyLimits(seconds=0.01)) as hub:
        hub.receive(b"\x09", auth("wrong"))
        await hub.wire.until(lambda: hub.wire.closed is not None)
        assert hub.wire.closed is not None
        assert hub.wire.closed[0] == CloseCode.TOO_SLOW


async def test_a_stranger_that_has_left_is_not_closed_later() -> None:
    """Its time ends with its socket."""
    async with open_hub(LobbyLimits(seconds=0.0)) as hub:
        hub.socket.leave()
        for _ in range(5):
            await asyncio.sleep(0)
        assert hub.wire.closed is None


async def test_what_strangers_may_have_waiting_is_bounded_for_all_together() -> None:
    """Past the bound the socket that sent the last is closed, and nothing of it is kept."""
    async with open_hub(LobbyLimits(queued_bytes=100)) as hub:
        hub.receive(frame(b"\x01" + b"a" * 60), frame(b"\x01" + b"a" * 60))
        assert hub.wire.closed is not None
        assert hub.wire.closed[0] == CloseCode.LIMIT_EXCEEDED
        assert hub.lobby.queued_bytes == 0


@pytest.mark.parametrize(("bound", "value"), [("MAX_QUEUE_BYTES", 30), ("MAX_QUEUE_FRAMES", 1)])
async def test_what_one_socket_may_have_waiting_is_bounded(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    """In bytes and in messages, over all of its documents."""
    monkeypatch.setattr(hocuspocus_socket, bound, value)
    hub.receive(frame(b"\x01" + b"a" * 20, b"one"))
    assert hub.wire.closed is None
    hub.receive(frame(b"\x01" + b"a" * 20, b"two"))
    assert hub.wire.closed is not None
    assert hub.wire.closed[0] == CloseCode.LIMIT_EXCEEDED


async def test_one_socket_holds_only_so_many_documents() -> None:
    """A further one is denied, in the dialect's words; one that is closed makes room."""
    async with open_hub(LobbyLimits(documents=1)) as hub:
        await hub.enter(b"one")
        hub.receive(auth(key=b"two"), frame(STEP1, b"two"))
        await hub.wire.until(lambda: bool(hub.wire.starting(frame("0201", b"two"))))
        assert b"socket_documents = 1" in hub.wire.sent[-1]
        hub.receive(frame("07", b"one"))
        await hub.enter(b"two")


async def test_tokens_cannot_be_tried_without_end(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that shows too many at once is closed."""
    for _ in range(1_000):
        hub.receive(auth("wrong"))
    assert hub.wire.closed is not None
    assert hub.wire.closed[0] == CloseCode.LIMIT_EXCEEDED


async def test_a_client_that_reads_nothing_cannot_make_us_write(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the hub itself answers is bounded while the outbox is full."""
    monkeypatch.setattr(hocuspocus_socket, "MAX_UNREAD_BYTES", 10)
    hub.socket.paused()
    hub.receive(*[b"\x09"] * 10)
    hub.socket.resumed()
    hub.receive(b"\x09")
    assert hub.wire.sent == [b"\x0a"] * 11
    hub.socket.paused()
    hub.receive(*[b"\x09"] * 11)
    assert hub.wire.closed is not None
    assert hub.wire.closed[0] == CloseCode.TOO_SLOW


# --- the transport -----------------------------------------------------------------------------


async def test_every_room_hears_of_a_full_outbox(hub: Hub) -> None:
    """Also a room that is entered while it is full: updates come as one difference when it has drained."""
    await hub.enter(b"one")
    hub.socket.paused()
    hub.receive(auth(key=b"two"))
    await hub.wire.until_sent(let_in(b"two"))
    for key in (b"one", b"two"):
        async with hub.rooms.open(key.decode()) as room:
            await room.apply(update_of("quiet"))
    assert not hub.wire.starting(frame("0002", b"one")) + hub.wire.starting(frame("0002", b"two"))
    hub.socket.resumed()
    for key in (b"one", b"two"):
        await hub.wire.until(lambda key=key: bool(hub.wire.starting(frame("0002", key))))


async def test_a_room_that_does_not_keep_up_holds_the_socket(hub: Hub) -> None:
    """It is read again when every room that held it has let go, or is left."""
    await hub.enter(b"one")
    await hub.enter(b"two")
    one, two = (member.connection for member in hub.entrance.members)
    one.hold()
    two.hold()
    assert hub.wire.held == 1
    one.release()
    assert hub.wire.held == 1
    hub.receive(frame("07", b"two"))
    assert hub.wire.held == 0


async def test_a_socket_that_is_gone_leaves_every_room(hub: Hub) -> None:
    """Those that are entered, and those that are being entered."""
    await hub.enter(b"one")
    hub.entrance.waits = asyncio.Event()
    hub.receive(auth(key=b"two"))
    await asyncio.sleep(0)
    hub.socket.leave()
    hub.socket.leave()
    hub.entrance.waits.set()
    assert hub.entrance.members[0].left
    async with hub.rooms.open("two") as room:
        assert room.members == []
