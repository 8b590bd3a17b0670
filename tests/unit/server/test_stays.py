"""Who is where, with which rights, and until when."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from engineroom.errors import CloseCode, StoreError
from engineroom.rooms.address import Address
from engineroom.rooms.members import Access as RoomAccess
from engineroom.rooms.members import MemberInfo, User
from engineroom.rooms.membership import Membership
from engineroom.server.access import Access, user_ids
from engineroom.server.revocations import Revocations
from engineroom.server.secret_files import Secrets
from engineroom.server.stays import Stay, Stays
from engineroom.server.visitors import Pass, Visitor

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 20.0
NOTES = Address.parse("notes/today")
OTHER = Address.parse("other")
READ = RoomAccess(read=True, write=False, run=False)
WRITE = RoomAccess(read=True, write=True, run=False)


class FakeMembership:
    """A membership that keeps what happens to it."""

    def __init__(self, access: RoomAccess) -> None:
        self.info = MemberInfo(1, User("v"), access, "yjs", "", 0.0)
        self.received: list[bytes] = []
        self.left = 0
        self.ended: tuple[int, str] | None = None
        self.is_over = asyncio.Event()

    def receive(self, frame: bytes) -> None:
        self.received.append(frame)

    def paused(self) -> None:
        self.received.append(b"paused")

    def resumed(self) -> None:
        self.received.append(b"resumed")

    def leave(self) -> None:
        self.left += 1

    def change_access(self, access: RoomAccess) -> None:
        self.info = replace(self.info, access=access)

    def end(self, code: int, reason: str) -> None:
        self.ended = (code, reason)
        self.is_over.set()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Here:
    """Stays, with a clock of their own; `come` lets a visitor in."""

    def __init__(self, stays: Stays, access: Access, clock: Clock) -> None:
        self.stays = stays
        self.access = access
        self.clock = clock

    def come(
        self,
        *passes: Pass,
        user: str = "v",
        address: Address = NOTES,
        given: RoomAccess | None = None,
    ) -> tuple[Stay, FakeMembership]:
        visitor = Visitor(user, passes)
        member = FakeMembership(given or visitor.access(address))
        return self.stays.add(visitor, address, cast(Membership, member)), member


@pytest.fixture
async def here() -> AsyncIterator[Here]:
    async with make_here() as here:
        yield here


@asynccontextmanager
async def make_here(clock: Callable[[], float] | None = None, **more: Any) -> AsyncIterator[Here]:
    own = Clock()
    access = Access(Secrets("t", b"k" * 32), **more)
    async with Stays(access, clock=clock or own) as stays:
        yield Here(stays, access, own)


def gives(rights: str, end: float | None = None, *ids: str) -> Pass:
    return Pass({"**": frozenset(rights.split())}, end, 5, ids)  # type: ignore[dict-item]


# --- coming and going ------------------------------------------------------------------------


async def test_a_stay_is_a_membership(here: Here) -> None:
    """What the transport says goes to the room, and leaving is heard once."""
    stay, member = here.come(gives("read"))
    stay.receive(b"a")
    stay.paused()
    stay.resumed()
    assert member.received == [b"a", b"paused", b"resumed"]
    assert len(here.stays) == 1
    stay.leave()
    stay.leave()
    assert member.left == 1
    assert len(here.stays) == 0


async def test_nothing_is_left_behind(here: Here) -> None:
    """Stays that come and go leave nothing behind, whatever their ends."""
    for number in range(100):
        stay, _ = here.come(gives("read", 2000.0 + number))
        stay.leave()
    assert here.stays._ending == {}
    assert here.stays._stays == {}


async def test_who_is_where(here: Here) -> None:
    """Stays are found by user and by room."""
    first, _ = here.come(gives("read"), user="ada")
    second, _ = here.come(gives("read"), user="ada", address=OTHER)
    third, _ = here.come(gives("read"), user="bob")
    assert here.stays.find(user="ada") == [first, second]
    assert here.stays.find(address=NOTES) == [first, third]
    assert here.stays.find(user="ada", address=OTHER) == [second]
    assert here.stays.find() == [first, second, third]


# --- ends ------------------------------------------------------------------------------------


async def test_access_ends_while_connected() -> None:
    """A member is sent away when its pass ends, with 4401 and a reason; the others stay."""
    import time

    async with make_here(time.time) as here:
        _, first = here.come(gives("read", time.time() + 0.05))
        _, second = here.come(gives("read", time.time() + 1000))
        _, third = here.come(gives("read"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await first.is_over.wait()
        assert first.ended == (CloseCode.UNAUTHORIZED, "your access has ended")
        assert first.left == 1
        assert (second.ended, third.ended, len(here.stays)) == (None, None, 2)


async def test_what_has_ended_already(here: Here) -> None:
    """A pass that ended while its holder came in ends the stay at once."""
    _, member = here.come(gives("read", 999.0))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await member.is_over.wait()


async def test_one_pass_of_two_ends(here: Here) -> None:
    """A member keeps what another pass gives, and loses only what the ended one gave alone."""
    _, member = here.come(gives("read"), gives("read write run", 1500.0))
    here.clock.now = 1499.0
    here.stays.recheck()
    assert member.info.access == RoomAccess(read=True, write=True, run=True)
    here.clock.now = 1500.0
    here.stays.recheck()
    assert member.info.access == READ
    assert member.ended is None


async def test_what_the_application_gave_stays(here: Here) -> None:
    """Rights that a hook gave beyond the passes outlive them; those that it took do not come back."""
    _, more = here.come(gives("write", 1500.0), given=READ)
    _, less = here.come(gives("read"), gives("write", 1500.0), given=READ)
    here.clock.now = 1500.0
    here.stays.recheck()
    assert (more.info.access, more.ended) == (READ, None)
    assert (less.info.access, less.ended) == (READ, None)


async def test_renewed(here: Here) -> None:
    """A member that shows a newer token stays until the end of that one."""
    stay, member = here.come(gives("read", 1500.0))
    here.stays.renew(stay, Visitor("v", (gives("read write", 3000.0),)), WRITE)
    assert member.info.access == WRITE
    here.clock.now = 1600.0
    here.stays.recheck()
    assert member.ended is None
    here.clock.now = 3000.0
    here.stays.recheck()
    assert member.ended is not None


async def test_a_clock_that_is_set_forward(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the clock jumps, the next tick sees it: the timer never sleeps for long."""
    monkeypatch.setattr("engineroom.server.stays.MAX_SLEEP_SECONDS", 0.01)
    _, member = here.come(gives("read", 1_000_000.0))
    here.clock.now = 2_000_000.0
    async with asyncio.timeout(PATIENCE_SECONDS):
        await member.is_over.wait()


async def test_nobody_is_sent_away_at_the_end() -> None:
    """When the server ends, its rooms say goodbye, not the stays."""
    async with make_here() as here:
        stay, member = here.come(gives("read", 1e12))
    assert member.ended is None
    stay.leave()


# --- changed and revoked ---------------------------------------------------------------------


async def test_change(here: Here) -> None:
    """Members are given another access, by user or by room."""
    _, first = here.come(gives("read write"), user="ada")
    _, second = here.come(gives("read write"), user="bob")
    assert here.stays.change(READ, user="ada") == 1
    assert (first.info.access, second.info.access) == (READ, WRITE)
    assert here.stays.change(READ, address=NOTES) == 2
    assert second.info.access == READ


async def test_a_user_is_revoked(here: Here) -> None:
    """A revoked user is sent away from every room; what it held is void, what it is given later is not."""
    here.access.revocations = Revocations(None, clock=here.clock)
    held = gives("read", None, *user_ids("ada"))
    _, first = here.come(held, user="ada")
    _, second = here.come(held, user="ada", address=OTHER)
    _, third = here.come(gives("read"), user="bob")
    assert await here.stays.revoke("ada") == 2
    assert first.ended == second.ended == (CloseCode.FORBIDDEN, "your access was taken back")
    assert third.ended is None
    assert here.access.is_void(held)
    assert not here.access.is_void(replace(held, issued=2000))


async def test_links_of_a_revoked_user(here: Here) -> None:
    """Who came in with a link that a revoked user had made is sent away too."""
    link = here.access.share(NOTES, frozenset({"read"}), giver=Visitor("ada", (gives("read"),)))
    guest = here.access.from_token(link)
    assert guest is not None
    _, member = here.come(*guest.passes, user=guest.user)
    assert await here.stays.revoke("ada") == 1
    assert member.ended is not None
    assert here.access.from_token(link) is None


async def test_a_link_is_revoked(here: Here) -> None:
    """Who came in with a link that is taken back is sent away, unless something else lets it in."""
    _, first = here.come(gives("read write", None, "link:a"))
    _, second = here.come(gives("read write", None, "link:a"), gives("read", None, "link:b"))
    assert await here.stays.revoke_link("link:a") == 1
    assert first.ended is not None
    assert (second.ended, second.info.access) == (None, READ)


async def test_all_links_of_a_room(here: Here) -> None:
    """All links to a room are taken back, and those to others stay."""
    here_link, there_link = (
        here.access.from_token(here.access.share(address, frozenset({"read"})))
        for address in (NOTES, OTHER)
    )
    assert here_link is not None
    assert there_link is not None
    _, first = here.come(*here_link.passes)
    _, second = here.come(*there_link.passes, address=OTHER)
    assert await here.stays.revoke_links(NOTES) == 1
    assert first.ended is not None
    assert second.ended is None


async def test_a_disk_that_fails_keeps_nobody_in(here: Here, tmp_path: Any) -> None:
    """Who is revoked is sent away also when that cannot be written down."""
    here.access.revocations = Revocations(tmp_path / "missing" / "r")
    _, member = here.come(gives("read", None, "user:ada"), user="ada")
    with pytest.raises(StoreError):
        await here.stays.revoke("ada")
    assert member.ended is not None
