"""How many connections and sockets there are, of whom, and how many more may come."""

import asyncio
from collections import Counter
from typing import Any, cast

import pytest

from engineroom.errors import AccessDenied
from engineroom.rooms.membership import Connection
from engineroom.server.counts import ConnectionLimits, Connections
from engineroom.server.doorway import Admission
from engineroom.server.proxies import Proxies
from engineroom.server.request import Request
from engineroom.server.turnstile import Turnstile

pytestmark = pytest.mark.anyio

LIMITS = ConnectionLimits(
    connections=3, connections_per_address=2, sockets=3, sockets_per_address=2
)
PROXIES = Proxies(("127.0.0.1",))
CONNECTION = cast(Connection, None)


class FakeMembership:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def receive(self, frame: bytes) -> None:
        self.heard.append(frame)

    def paused(self) -> None:
        self.heard.append("paused")

    def resumed(self) -> None:
        self.heard.append("resumed")

    def leave(self) -> None:
        self.heard.append("leave")


class FakeEntry:
    """Lets everybody in, unless it is told otherwise."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.membership = FakeMembership()
        self.gate = asyncio.Event()
        self.gate.set()

    async def join(self, request: Request, connection: Connection) -> Admission:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Admission(self.membership, "protocol")


def request(peer: str | None, forwarded: str | None = None) -> Request:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    return Request(b"/", b"", headers, peer_address=peer)


@pytest.fixture
def reached() -> Counter[str]:
    return Counter()


@pytest.fixture
def entry() -> FakeEntry:
    return FakeEntry()


@pytest.fixture
def turnstile(entry: FakeEntry, reached: Counter[str]) -> Turnstile:
    return Turnstile(entry, LIMITS, PROXIES, reached)


async def status(turnstile: Turnstile, peer: str | None, forwarded: str | None = None) -> Any:
    try:
        return await turnstile.join(request(peer, forwarded), CONNECTION)
    except AccessDenied as denied:
        return denied.status


# --- sockets ---------------------------------------------------------------------------------


async def test_a_seat_is_a_membership(turnstile: Turnstile, entry: FakeEntry) -> None:
    """What the transport says goes to the room; the seat is free when it leaves, once."""
    admission = await status(turnstile, "198.51.100.1")
    seat = admission.membership
    assert admission.subprotocol == "protocol"
    seat.receive(b"a")
    seat.paused()
    seat.resumed()
    assert turnstile.total == 1
    seat.leave()
    seat.leave()
    assert entry.membership.heard == [b"a", "paused", "resumed", "leave", "leave"]
    assert turnstile.total == 0
    assert turnstile._of_site == {}


async def test_sockets_of_one_address(turnstile: Turnstile, reached: Counter[str]) -> None:
    """One address has only so many sockets; another one is let in, and so is the first when one has left."""
    first = await status(turnstile, "198.51.100.1")
    await status(turnstile, "198.51.100.1")
    with pytest.raises(AccessDenied, match="sockets_per_address = 2") as denied:
        await turnstile.join(request("198.51.100.1"), CONNECTION)
    assert denied.value.status == 429
    assert reached == {"sockets_per_address": 1}
    assert (await status(turnstile, "198.51.100.2")).subprotocol
    first.membership.leave()
    assert (await status(turnstile, "198.51.100.1")).subprotocol


async def test_sockets_in_all(turnstile: Turnstile, reached: Counter[str]) -> None:
    """There are only so many sockets in all, those of proxies among them."""
    for peer in ("198.51.100.1", "198.51.100.2", "127.0.0.1"):
        assert (await status(turnstile, peer)).subprotocol
    with pytest.raises(AccessDenied, match="max_sockets = 3") as denied:
        await turnstile.join(request("198.51.100.3"), CONNECTION)
    assert denied.value.status == 503
    assert reached == {"max_sockets": 1}


async def test_behind_a_proxy(turnstile: Turnstile) -> None:
    """A proxy's sockets count for those whom it names, and for nobody when it names none."""
    for _ in range(2):
        assert (await status(turnstile, "127.0.0.1", "198.51.100.1")).subprotocol
    assert await status(turnstile, "127.0.0.1", "198.51.100.1") == 429
    assert await status(turnstile, "198.51.100.1") == 429
    assert (await status(turnstile, "127.0.0.1")).subprotocol


async def test_nobody_names_others(turnstile: Turnstile) -> None:
    """Who is no proxy of ours counts for itself, whatever it says."""
    for number in range(2):
        assert (await status(turnstile, "198.51.100.1", f"203.0.113.{number}")).subprotocol
    assert await status(turnstile, "198.51.100.1", "203.0.113.9") == 429


async def test_ipv6_by_network(turnstile: Turnstile) -> None:
    """Addresses of one IPv6 network count as one."""
    for number in range(2):
        assert (await status(turnstile, f"2001:db8::{number}")).subprotocol
    assert await status(turnstile, "2001:db8::ffff:1") == 429
    assert (await status(turnstile, "2001:db8:0:1::1")).subprotocol


async def test_refused_and_cancelled_sockets_do_not_count(
    turnstile: Turnstile, entry: FakeEntry
) -> None:
    """A socket that the gate refuses, or that goes away meanwhile, takes no place."""
    entry.error = AccessDenied("no", 403)
    for _ in range(5):
        assert await status(turnstile, "198.51.100.1") == 403
    entry.gate.clear()
    task = asyncio.ensure_future(status(turnstile, "198.51.100.1"))
    await asyncio.sleep(0)
    assert turnstile.total == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert turnstile.total == 0


# --- connections -----------------------------------------------------------------------------


def test_connections(reached: Counter[str]) -> None:
    """Connections that are no sockets are counted in all, and by address, except those of proxies."""
    connections = Connections(LIMITS, PROXIES, reached)
    first = connections.arrive("198.51.100.1")
    assert first == "198.51.100.1"
    assert connections.arrive("198.51.100.1") == first
    assert connections.arrive("198.51.100.1") is None
    assert reached == {"connections_per_address": 1}
    assert connections.arrive("127.0.0.1") == ""
    assert connections.arrive("198.51.100.2") is None
    assert reached["max_connections"] == 1
    for site in (first, first, ""):
        connections.leave(site)
    assert connections.total == 0
    assert connections._of_site == {}


def test_connections_of_nobody(reached: Counter[str]) -> None:
    """A connection without an address, of a Unix socket, counts in all."""
    connections = Connections(LIMITS, PROXIES, reached)
    assert [connections.arrive(None) for _ in range(4)] == ["", "", "", None]
