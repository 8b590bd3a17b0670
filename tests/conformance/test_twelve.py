"""The twelve faults of this server's predecessors, pycrdt-websocket and ypy-websocket, each as a test.

Each was reproduced with them; the first line of each test says what happened there. Through a real server and plain
`websockets` where that shows it best, else through rooms over a real store in this process.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from pycrdt import (
    Awareness,
    Doc,
    Text,
    create_awareness_message,
    create_sync_message,
    create_update_message,
    handle_sync_message,
)

from engineroom.errors import AccessDenied, CloseCode
from engineroom.protocols import messages as m
from engineroom.protocols.frames import Bundle
from engineroom.protocols.yjs import YjsDialect
from engineroom.rooms.address import Address
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.members import Access, User
from engineroom.rooms.membership import Membership
from engineroom.rooms.open_rooms import Rooms
from engineroom.rooms.storage import Store
from engineroom.server.asgi_sockets import AsgiSockets
from engineroom.server.connection import SocketLimits
from engineroom.stores.file import FileStore
from engineroom.stores.memory import MemoryStore
from engineroom.stores.sqlite import SQLiteStore
from engineroom.testing.server_process import ServerProcess

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 60
YJS = YjsDialect()
HERE = Address.parse("notes/today")


# --- a real server and plain clients -----------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterable[ServerProcess]:
    """A server of documents alone, without authentication; its rooms close soon after the last one leaves."""
    log = tmp_path / "server.log"
    with ServerProcess(None, data=tmp_path / "data", log=log, token=None) as server:
        yield server


class Client:
    """A document on a plain WebSocket."""

    def __init__(self, websocket: websockets.ClientConnection) -> None:
        self.websocket = websocket
        self.doc: Doc[Any] = Doc()
        self.text = self.doc.get("text", type=Text)
        self.frames: list[bytes] = []

    async def type(self, text: str) -> bytes:
        """Appends `text`; the frame that was sent, which comes back when it is durable."""
        before = self.doc.get_state()
        self.text += text
        frame = create_update_message(self.doc.get_update(before))
        await self.websocket.send(frame)
        return frame

    async def until(self, condition: Callable[[], bool]) -> None:
        """Take in what comes until `condition` holds."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                frame = await self.websocket.recv()
                assert isinstance(frame, bytes)
                self.frames.append(frame)
                if frame[0] == 0:
                    reply = handle_sync_message(frame[1:], self.doc)
                    if reply is not None:
                        await self.websocket.send(reply)

    async def until_synced(self) -> None:
        """Return when Step 2 has come."""
        await self.until(lambda: any(frame[:2] == b"\x00\x01" for frame in self.frames))

    def states(self) -> dict[int, str]:
        """Who is here, as this client was told."""
        states: dict[int, str] = {}
        for frame in self.frames:
            message = YJS.decode(frame)
            if isinstance(message, m.AwarenessUpdate):
                states |= {state.client: state.state for state in message.states}
        return {client: state for client, state in states.items() if state != "null"}


@asynccontextmanager
async def joined(served: ServerProcess, path: str = "room") -> AsyncIterator[Client]:
    """A client that has sent its Step 1."""
    async with websockets.connect(f"ws://127.0.0.1:{served.port}/{path}") as websocket:
        client = Client(websocket)
        await websocket.send(create_sync_message(client.doc))
        yield client


# --- rooms in this process ---------------------------------------------------------------------


class Wire:
    """A member's transport that remembers."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self.news = asyncio.Event()

    def send(self, bundle: Bundle) -> None:
        self.heard += [YJS.decode(payload) for payload in bundle.payloads]
        self.news.set()

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self.news.set()

    def hold(self) -> None:
        """It is fed by hand."""

    def release(self) -> None:
        """It is fed by hand."""

    def updates(self) -> list[bytes]:
        """The updates that came, in order."""
        return [each.update for each in self.heard if isinstance(each, m.SyncUpdate | m.SyncStep2)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self.news.clear()
                await self.news.wait()

    async def until_echoed(self, frame: bytes) -> None:
        """Return when what `frame` brought is durable."""
        await self.until(lambda: YJS.decode(frame) in self.heard)

    def text(self) -> str:
        """What stands in a document made from all that came."""
        doc: Doc[Any] = Doc()
        for update in self.updates():
            doc.apply_update(update)
        return str(doc.get("text", type=Text))


class Typist:
    """A client's document: each change gives the frame that it would send."""

    def __init__(self, client_id: int) -> None:
        self.doc: Doc[Any] = Doc(client_id=client_id)
        self.text = self.doc.get("text", type=Text)

    def type(self, text: str) -> bytes:
        before = self.doc.get_state()
        self.text += text
        return create_update_message(self.doc.get_update(before))


async def join(rooms: Rooms, wire: Wire) -> Membership:
    return await rooms.join(HERE, wire, user=User("u"), access=Access(), dialect=YJS)


async def stored_text(store: Store) -> str:
    """What a server that starts now reads."""
    async with Rooms(store) as rooms, rooms.open(HERE) as room:
        return str(room.document.get("text", type=Text))


# --- the faults --------------------------------------------------------------------------------


async def test_1_simultaneous_first_joins_are_all_served(served: ServerProcess) -> None:
    """One of five was served, the others hung, and the server ignored SIGTERM afterwards."""
    async with AsyncExitStack() as stack:
        opening = [stack.enter_async_context(joined(served)) for _ in range(25)]
        clients = await asyncio.gather(*opening)
        await asyncio.gather(*(client.until_synced() for client in clients))
        await clients[0].type("all")
        for client in clients:
            await client.until(lambda client=client: str(client.text) == "all")
        assert await asyncio.to_thread(served.terminate) == 0


async def test_2_what_was_written_just_before_the_close_is_stored(served: ServerProcess) -> None:
    """Of fifty updates and a close the room's document had fifty, the store none."""
    async with joined(served) as client:
        await client.until_synced()
        for number in range(50):
            await client.type(f"{number} ")
        written = str(client.text)
    assert await asyncio.to_thread(served.terminate) == 0
    served.launch()
    async with joined(served) as reader:
        await reader.until_synced()
        assert str(reader.text) == written


async def test_3_a_member_that_cannot_be_sent_to_costs_nobody_else_a_write(
    served: ServerProcess,
) -> None:
    """One failed send cancelled other clients' store writes: of 200 updates 49 could be loaded again."""
    async with joined(served) as writer:
        await writer.until_synced()
        for number in range(200):
            if number % 10 == 0:
                await _join_and_break_off(served)
            last = await writer.type(f"{number} ")
        await writer.until(lambda: last in writer.frames)
        written = str(writer.text)
    served.kill()
    served.launch()
    async with joined(served) as reader:
        await reader.until_synced()
        assert str(reader.text) == written


async def _join_and_break_off(served: ServerProcess) -> None:
    """A client whose connection is reset while it is being written to."""
    websocket = await websockets.connect(f"ws://127.0.0.1:{served.port}/room")
    transport = websocket.transport
    linger = struct.pack("ii", 1, 0)  # closing resets
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


@pytest.mark.parametrize("garbage", ["0002020505", "00020701016101000000", "ff", "0002", ""])
async def test_4_garbage_ends_its_sender_alone(served: ServerProcess, garbage: str) -> None:
    """One garbage update brought the whole server down, at the next broadcast."""
    async with joined(served) as honest, joined(served, "other") as elsewhere:
        await honest.until_synced()
        async with joined(served) as hostile:
            await hostile.websocket.send(bytes.fromhex(garbage))
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                await hostile.until(lambda: False)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == CloseCode.PROTOCOL_ERROR
        for client in (honest, elsewhere):
            frame = await client.type("still here")
            await client.until(lambda client=client, frame=frame: frame in client.frames)


async def test_5_a_slow_client_costs_nothing_and_misses_nothing() -> None:
    """A task for each message was pending, 5,000 of them; of 70,000 edits 65,537 were sent, the rest dropped."""
    edits = 70_000
    store = MemoryStore()
    async with store, Rooms(store) as rooms:
        reading, slow = Wire(), Wire()
        await join(rooms, reading)
        slow_member = await join(rooms, slow)
        await slow.until(lambda: bool(slow.heard))
        slow_member.paused()
        async with rooms.open(HERE) as room:
            text = room.document.get("text", type=Text)
            for _ in range(edits // 1000):
                for _ in range(1000):
                    text += "x"
                await room.stored()
            assert slow.updates() == []
            slow_member.resumed()
            await slow.until(lambda: bool(slow.updates()))
            await reading.until(lambda: len(reading.updates()) >= edits)
        assert len(slow.updates()) == 1
        assert slow.text() == reading.text() == "x" * edits


@pytest.mark.parametrize("kind", ["sqlite", "file", "memory"])
async def test_6_compaction_keeps_everything_and_writing_goes_on(tmp_path: Path, kind: str) -> None:
    """Squashing erased the data, compressing it broke loading, and a failed load ended all writing."""
    store: Any = {
        "sqlite": lambda: SQLiteStore(tmp_path / "s.sqlite", durability="os"),
        "file": lambda: FileStore(tmp_path / "documents", durability="os"),
        "memory": MemoryStore,
    }[kind]()
    typist = Typist(7)
    limits = RoomLimits(compact_bytes=1, linger_seconds=0)
    compactions = 0
    async with store:
        for round_number in range(5):
            async with Rooms(store, limits=limits) as rooms:
                wire = Wire()
                member = await join(rooms, wire)
                for number in range(40):
                    frame = typist.type(f"{round_number}.{number} ")
                    member.receive(frame)
                    await wire.until_echoed(frame)
            compactions += rooms.counters.compactions
            assert await stored_text(store) == str(typist.text)
    assert compactions > 0


async def test_7_a_torn_write_costs_itself_alone(tmp_path: Path) -> None:
    """A torn record made everything unreadable that was appended after it."""
    typist = Typist(7)
    folder = tmp_path / "documents"

    async def write(text: str) -> None:
        async with FileStore(folder, durability="os") as store, Rooms(store) as rooms:
            wire = Wire()
            member = await join(rooms, wire)
            await wire.until(lambda: bool(wire.heard))
            frame = typist.type(text)
            member.receive(frame)
            await wire.until_echoed(frame)

    await write("before ")
    (log,) = folder.rglob("*.log")
    whole = log.read_bytes()
    await write("torn ")
    log.write_bytes(log.read_bytes()[:-3])
    assert len(whole) < log.stat().st_size
    typist.doc = Doc(client_id=8)
    typist.text = typist.doc.get("text", type=Text)
    await write("after ")
    async with FileStore(folder, durability="os") as store:
        text = await stored_text(store)
    assert sorted(text.split()) == ["after", "before"]


async def test_7_a_clock_that_is_set_back_loses_nothing(tmp_path: Path) -> None:
    """Updates with a time before that of the newest one were lost."""
    typist = Typist(7)
    times = iter([9e9, 8e9, 1e3, 7e9, 0.0, 5e8])
    now = 9e9
    async with SQLiteStore(tmp_path / "s.sqlite", durability="os") as store:
        for _ in range(5):
            now = next(times)
            async with Rooms(store, clock=lambda now=now: now) as rooms:
                wire = Wire()
                member = await join(rooms, wire)
                for _ in range(3):
                    frame = typist.type("x")
                    member.receive(frame)
                    await wire.until_echoed(frame)
        assert await stored_text(store) == "x" * 15


async def test_8_what_comes_while_a_room_loads_is_relayed_and_stored() -> None:
    """Updates before `ready` were neither broadcast nor stored, and no room loaded its store by itself."""
    store = MemoryStore()
    first, second = Typist(7), Typist(8)
    async with store:
        async with Rooms(store) as rooms:
            wire = Wire()
            member = await join(rooms, wire)
            frame = first.type("stored ")
            member.receive(frame)
            await wire.until_echoed(frame)
        loading = asyncio.Event()
        load = store.load

        async def load_slowly(path: str) -> Any:
            await loading.wait()
            return await load(path)

        store.load = load_slowly  # type: ignore[method-assign]
        async with Rooms(store) as rooms:
            wires = Wire(), Wire()
            joining = [asyncio.ensure_future(join(rooms, wire)) for wire in wires]
            await asyncio.sleep(0)
            loading.set()
            members = await asyncio.gather(*joining)
            # The first thing in the room, before it has said a word itself.
            members[0].receive(second.type("early"))
            members[1].receive(create_sync_message(Doc()))
            await wires[1].until(lambda: wires[1].text() in ("stored early", "earlystored "))
        assert sorted((await stored_text(store)).split()) in (["early", "stored"], ["earlystored"])


async def test_9_presence_is_told_at_once_and_ends_at_once(served: ServerProcess) -> None:
    """Joiners got no snapshot, type 3 no answer, a broken line no goodbye, and the server showed as a client."""
    async with joined(served) as ada:
        await ada.until_synced()
        awareness = Awareness(ada.doc)
        awareness.set_local_state({"user": {"name": "Ada"}})
        await ada.websocket.send(
            create_awareness_message(awareness.encode_awareness_update([ada.doc.client_id]))
        )
        await ada.until(lambda: ada.doc.client_id in ada.states())
        bob_socket = await websockets.connect(f"ws://127.0.0.1:{served.port}/room")
        bob = Client(bob_socket)
        await bob.until(lambda: bool(bob.states()))
        assert list(bob.states()) == [ada.doc.client_id]  # and nobody else: the server is no client
        bob.frames.clear()
        await bob_socket.send(b"\x03")
        await bob.until(lambda: list(bob.states()) == [ada.doc.client_id])
        state = m.AwarenessUpdate((m.AwarenessState(bob.doc.client_id, 1, '{"user":{}}'),))
        await bob_socket.send(YJS.encode(state) or b"")
        await ada.until(lambda: bob.doc.client_id in ada.states())
        bob_socket.transport.abort()
        await ada.until(lambda: bob.doc.client_id not in ada.states())


async def test_10_a_refusal_is_no_server_error(served: ServerProcess) -> None:
    """A refused ASGI connection, and plain HTTP at a room's URL, were answered 500."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}") as http:
        for path in ("/room", "/rooms/room", "/hocuspocus", "/y-sweet/d/a/ws/a"):
            assert 400 <= (await http.get(path)).status_code < 500
    for path in ("/a//b", "/-/nothing"):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(f"ws://127.0.0.1:{served.port}{path}")
        assert 400 <= refused.value.response.status_code < 500

    class Refusing:
        async def join(self, request: Any, connection: Any) -> Any:
            raise AccessDenied("not you", 403)

    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/room", "headers": [(b"host", b"localhost")]}
    await AsgiSockets(Refusing(), SocketLimits())(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_10_presence_that_is_no_json_reaches_nobody(served: ServerProcess) -> None:
    """It was relayed to everybody before it failed."""
    async with joined(served) as honest:
        await honest.until_synced()
        async with joined(served) as hostile:
            await hostile.websocket.send(bytes.fromhex("010501070501" + "7b"))
            with pytest.raises(websockets.ConnectionClosedError):
                await hostile.until(lambda: False)
        frame = await honest.type("after")
        await honest.until(lambda: frame in honest.frames)
        assert not any(frame[0] == 1 and b"{" in frame for frame in honest.frames)


async def test_11_a_store_stays_near_the_size_of_its_document(tmp_path: Path) -> None:
    """After 50,000 edits of a character stores were 36 to 68 times their snapshot."""
    edits = 50_000
    file = tmp_path / "s.sqlite"
    async with SQLiteStore(file, durability="os") as store:
        async with Rooms(store) as rooms, rooms.open(HERE) as room:
            text = room.document.get("text", type=Text)
            for number in range(edits):
                text.insert(number, "x")
                if number % 500 == 499:
                    await room.stored()
            encoded = len(room.encoded())
        (info,) = await store.list_documents()
        assert info.path == str(HERE)
        assert info.stored_bytes <= 3 * max(encoded, RoomLimits().compact_bytes)
        assert await stored_text(store) == "x" * edits


async def test_12_a_rebuilt_document_is_not_doubled(tmp_path: Path) -> None:
    """A client that came back to a document that was rebuilt from another source doubled its content."""
    data, log = tmp_path / "data", tmp_path / "server.log"
    with ServerProcess(None, data=data, log=log, token=None) as served:
        async with joined(served) as ada:
            await ada.until_synced()
            frame = await ada.type("the only copy")
            await ada.until(lambda: frame in ada.frames)
            kept = ada.doc
        assert await asyncio.to_thread(served.terminate) == 0
        shutil.rmtree(data)
        served.launch()
        async with joined(served) as rebuilder:
            await rebuilder.until_synced()
            frame = await rebuilder.type("the only copy")
            await rebuilder.until(lambda: frame in rebuilder.frames)
            async with websockets.connect(f"ws://127.0.0.1:{served.port}/room") as websocket:
                returning = Client(websocket)
                returning.doc = kept
                await websocket.send(create_sync_message(kept))
                with pytest.raises(websockets.ConnectionClosedError) as closed:
                    await returning.until(lambda: False)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == CloseCode.OTHER_HISTORY
        async with joined(served) as reader:
            await reader.until_synced()
            assert str(reader.text) == "the only copy"
