"""The Python client against a real server: cuts, kills, other clients, and what is promised about durability."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets
from pycrdt import Awareness, Doc, Text

from engineroom.client import Connection, WebsocketProvider, connect
from engineroom.errors import AccessDenied
from engineroom.testing.server_process import ServerProcess

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 60.0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of documents alone, with a token."""
    with ServerProcess(None, data=tmp_path / "data", log=tmp_path / "server.log") as server:
        yield server


def url_of(served: ServerProcess, room: str = "notes/today") -> str:
    return f"http://127.0.0.1:{served.port}/rooms/{room}"


def joined(served: ServerProcess, *documents: Doc[Any]) -> Any:
    return connect(url_of(served), *documents, token=served.token, patience_seconds=20.0)


def text_of(room: Connection) -> Text:
    return room.document.get("text", type=Text)


async def until(holds: Callable[[], bool]) -> None:
    """Return when `holds`, however long that takes, within a generous bound."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class CuttingProxy:
    """A TCP relay that cuts its connections when it is told to, and refuses new ones while it is down."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.down = False
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """End every connection at once, without a word."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.transport.abort()
            return
        there = await asyncio.open_connection("127.0.0.1", self.target)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pump(reader, there[1]))
            tasks.create_task(self._pump(there[0], writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(random.randint(1, 4096)):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(port)
    server = await asyncio.start_server(proxy.relay, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await server.wait_closed()


async def test_two_replicas_and_their_presence(served: ServerProcess) -> None:
    """Texts become equal, and each sees the other while it is there."""
    async with joined(served) as ada:
        async with joined(served) as bob:
            await ada.wait_synced()
            await bob.wait_synced()
            text_of(ada).insert(0, "from Ada ")
            text_of(bob).insert(0, "from Bob ")
            await until(lambda: str(text_of(ada)) == str(text_of(bob)) and len(text_of(ada)) == 18)
            bob.awareness.set_local_state_field("user", {"name": "Bøb"})
            mine = bob.document.client_id
            await until(lambda: ada.awareness.states.get(mine) == {"user": {"name": "Bøb"}})
        await until(lambda: mine not in ada.awareness.states)


async def test_durable_means_that_a_kill_loses_nothing(served: ServerProcess) -> None:
    """Whatever `wait_durable` returned for is there after SIGKILL, and what was changed meanwhile merges."""
    async with joined(served) as room:
        text = text_of(room)
        for number in range(5):
            text += f"{number} "
            await room.wait_durable()
            served.kill()
            text += "offline "
            served.launch()
            async with joined(served) as witness:
                await witness.wait_synced()
                assert f"{number} " in str(text_of(witness))
            await room.wait_durable()
    async with joined(served) as witness:
        await witness.wait_synced()
        assert str(text_of(witness)) == "".join(f"{number} offline " for number in range(5))


async def test_a_reconnected_replica_is_seen_again(served: ServerProcess) -> None:
    """After a broken line, presence is back at once, under a higher clock."""
    async with proxy_to(served.port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/rooms/notes/today"
        async with joined(served) as ada, connect(url, token=served.token) as bob:
            bob.awareness.set_local_state_field("user", {"name": "Bob"})
            mine = bob.document.client_id
            for _ in range(3):
                await until(lambda: "user" in ada.awareness.states.get(mine, {}))
                proxy.down = True
                proxy.cut()
                await until(lambda: not bob.connected and mine not in ada.awareness.states)
                proxy.down = False


async def test_replicas_converge_over_lines_that_are_cut_again_and_again(
    served: ServerProcess,
) -> None:
    """Random edits of five replicas, their lines cut 20 times: all end equal, nothing typed is missing."""
    generator = random.Random(7)
    async with proxy_to(served.port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/rooms/notes/today"
        async with (
            connect(url, token=served.token) as a,
            connect(url, token=served.token) as b,
            connect(url, token=served.token) as c,
            connect(url, token=served.token) as d,
            joined(served) as e,
        ):
            rooms: list[Connection] = [a, b, c, d, e]
            words = []
            for round_number in range(20):
                for room in rooms:
                    word = f"[{secrets.token_hex(3)}]"
                    words.append(word)
                    text = text_of(room)
                    text.insert(generator.randint(0, len(text)), word)
                    await asyncio.sleep(generator.uniform(0, 0.01))
                    if round_number % 5 == 4:
                        room.document.get("tail", type=Text).insert(0, "x")
                proxy.cut()
            for room in rooms:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await room.wait_durable()
            await until(lambda: len({str(text_of(room)) for room in rooms}) == 1)
            await until(lambda: len({room.document.get_state() for room in rooms}) <= 5)
            letters = sorted("".join(words))
            assert sorted(str(text_of(a))) == letters
            assert all(room.unacknowledged == 0 for room in rooms)


async def test_deletions_are_acknowledged_too(served: ServerProcess) -> None:
    """Two replicas that delete the same at the same time both hear that it is durable."""
    async with joined(served) as ada, joined(served) as bob:
        text_of(ada).insert(0, "abcdef")
        await ada.wait_durable()
        await until(lambda: str(text_of(bob)) == "abcdef")
        del text_of(ada)[0:3]
        del text_of(bob)[0:3]
        await ada.wait_durable()
        await bob.wait_durable()
        served.kill()
        served.launch()
        async with joined(served) as witness:
            await witness.wait_synced()
            assert str(text_of(witness)) == "def"


async def test_ten_thousand_changes_are_durable_in_one_wait(served: ServerProcess) -> None:
    """A burst of changes meets no limit, and one wait is enough for all of them."""
    async with joined(served) as room:
        await room.wait_synced()
        text = text_of(room)
        for number in range(10_000):
            text += "x"
            if number % 100 == 99:
                await asyncio.sleep(0)
        assert room.unacknowledged > 0
        await room.wait_durable()
        assert room.unacknowledged == 0


async def test_a_wrong_token_ends_the_block(served: ServerProcess) -> None:
    """The refusal before the upgrade becomes an error with its status."""
    with pytest.raises(AccessDenied) as caught:
        async with asyncio.timeout(PATIENCE_SECONDS), connect(url_of(served), token="wrong"):
            await asyncio.Event().wait()
    assert caught.value.status == 401


async def test_the_server_is_away_at_first(served: ServerProcess) -> None:
    """A replica that begins without a server is in sync as soon as there is one."""
    served.kill()
    async with joined(served) as room:
        text_of(room).insert(0, "early")
        served.launch()
        await room.wait_durable()
        await room.wait_synced()


async def test_the_provider_over_a_websocket_of_another_library(served: ServerProcess) -> None:
    """A `websockets` connection is a channel as it is."""
    document: Doc[Any] = Doc()
    url = url_of(served).replace("http", "ws")
    headers = {"Authorization": f"Bearer {served.token}"}
    async with websockets.connect(url, additional_headers=headers) as socket:
        socket.path = "/rooms/notes/today"  # type: ignore[attr-defined]
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            WebsocketProvider(document, socket, awareness=Awareness(document)) as provider,  # type: ignore[arg-type]
        ):
            await provider.wait_synced()
            document.get("text", type=Text).insert(0, "through a channel")
            await provider.wait_durable()
            served.kill()
            await provider.wait_ended()
    served.launch()
    async with joined(served) as witness:
        await witness.wait_synced()
        assert str(text_of(witness)) == "through a channel"
