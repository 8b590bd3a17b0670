"""Credentials: which are good, and whom they make known."""

import time

import jwt
import pytest

from engineroom.errors import AccessDenied
from engineroom.rooms.address import Address
from engineroom.server.access import (
    COOKIE_SECONDS,
    MAX_COOKIE_BYTES,
    MAX_TOKEN_BYTES,
    Access,
    links_of,
)
from engineroom.server.grants import exactly
from engineroom.server.rights import ALL_RIGHTS, MEMBER_RIGHTS, NO_RIGHTS, parse_rights
from engineroom.server.secret_files import Secrets
from engineroom.server.visitors import MAX_PASSES, Pass, Visitor, everything

pytestmark = pytest.mark.anyio

KEY = b"k" * 32
ROOM = Address.parse("write@abc")
OTHER = Address.parse("write@other")
READ = frozenset({"read"})
READ_WRITE = frozenset({"read", "write"})


@pytest.fixture
def access() -> Access:
    return Access(Secrets("the-token", KEY))


def visitor_of(access: Access, token: str) -> Visitor:
    visitor = access.from_token(token)
    assert visitor is not None
    return visitor


# --- tokens ----------------------------------------------------------------------------------


def test_server_token(access: Access) -> None:
    """The server's token gives all rights everywhere, admin among them; another one none."""
    visitor = visitor_of(access, "the-token")
    assert visitor.rights(ROOM) == visitor.rights(OTHER) == ALL_RIGHTS
    assert visitor.is_admin
    assert visitor.everything
    assert access.from_token("the-tokeN") is None
    assert access.from_token("") is None
    assert access.from_token("töken\ud800") is None


def test_share_token(access: Access) -> None:
    """A share token gives its rights in its room, and none elsewhere."""
    visitor = visitor_of(access, access.share(ROOM, READ_WRITE))
    assert not visitor.everything
    assert visitor.rights(ROOM) == READ_WRITE
    assert visitor.rights(OTHER) == NO_RIGHTS


@pytest.mark.parametrize("name", ["**", "*", "notes/**", "a*", "=b"])
def test_a_link_to_a_room_that_looks_like_a_pattern(access: Access, name: str) -> None:
    """A link is to one room, also where that room's name would be a pattern."""
    visitor = visitor_of(access, access.share(Address.parse(name), READ_WRITE))
    assert visitor.rights(Address.parse(name)) == READ_WRITE
    for other in ("notes/today", "abc", "b", "x"):
        assert visitor.rights(Address.parse(other)) == NO_RIGHTS
    assert not visitor.everything


def test_no_link_gives_admin(access: Access) -> None:
    """A link never gives the admin right, whatever it was made with."""
    assert visitor_of(access, access.share(ROOM, ALL_RIGHTS)).rights(ROOM) == MEMBER_RIGHTS


def test_share_token_expires(access: Access) -> None:
    """A share token with an end is not valid after it."""
    assert access.from_token(access.share(ROOM, READ, expires=time.time() + 60))
    assert access.from_token(access.share(ROOM, READ, expires=time.time() - 1)) is None


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"typ": "share"},
        {"typ": "share", "room": "a", "rights": ["root"]},
        {"typ": "share", "room": 1, "rights": ["read"]},
        {"typ": "visitor", "sub": "v", "exp": 2**31},
    ],
)
def test_signed_but_no_share(access: Access, claims: dict[str, object]) -> None:
    """What we signed for another purpose is no share token."""
    assert access.from_token(jwt.encode(claims, KEY, algorithm="HS256")) is None


async def test_foreign_signatures(access: Access) -> None:
    """A token signed with another key, or not at all, is not valid; nor is one of any length."""
    claims = {"typ": "share", "room": "write@abc", "rights": ["read"]}
    for token in (
        jwt.encode(claims, b"x" * 32, algorithm="HS256"),
        jwt.encode(claims, None, algorithm="none"),
        jwt.encode(claims, KEY + b"k" * 32, algorithm="HS512"),
        "x" * (MAX_TOKEN_BYTES + 1),
    ):
        assert access.from_token(token) is None
        assert await access.visitor_of_token(token) is None


def test_a_share_token_is_no_cookie(access: Access) -> None:
    """Tokens and cookies cannot stand for each other, though one key signs both."""
    assert access.from_cookie(access.share(ROOM, READ)) is None
    holder = visitor_of(access, "the-token")
    assert access.from_token(access.cookie_for(holder, time.time())) is None


def test_anybody() -> None:
    """Who shows nothing is let in only where the server is open to all, and then without the admin right."""
    secrets = Secrets("t", KEY)
    assert Access(secrets).anybody() is None
    visitor = Access(secrets, open_to_all=True).anybody()
    assert visitor is not None
    assert visitor.everything
    assert visitor.rights(ROOM) == MEMBER_RIGHTS
    assert not visitor.is_admin


def test_the_token_of_an_open_server() -> None:
    """On a server that is open to all its token still gives the admin right."""
    visitor = Access(Secrets("t", KEY), open_to_all=True).from_token("t")
    assert visitor is not None
    assert visitor.is_admin


def test_strangers() -> None:
    """Where an application decides, who shows nothing is a visitor without rights."""
    stranger = Access(Secrets("t", KEY), strangers=True).anybody()
    assert stranger is not None
    assert stranger.rights(ROOM) == NO_RIGHTS


@pytest.mark.parametrize("names", [[], ["write"], ["read", "admin"], ["read", "root"]])
def test_bad_rights(names: list[str]) -> None:
    """Rights of a link without reading, with admin, or with an unknown name, are refused."""
    with pytest.raises(AccessDenied) as denied:
        parse_rights(names)
    assert denied.value.status == 400


# --- cookies ---------------------------------------------------------------------------------


def test_cookie_keeps_the_visitor(access: Access) -> None:
    """A cookie brings back the same visitor, for `COOKIE_SECONDS`."""
    one = Pass({exactly(ROOM): READ, "notes/*": READ_WRITE}, time.time() + 100, 5, ("token:x",))
    visitor = Visitor("ada", (one,), "Ada", is_named=True)
    assert access.from_cookie(access.cookie_for(visitor, time.time())) == visitor
    holder = visitor_of(access, "the-token")
    assert access.from_cookie(access.cookie_for(holder, time.time())) == holder
    old = access.cookie_for(visitor, time.time() - COOKIE_SECONDS - 1)
    assert access.from_cookie(old) is None


def test_cookie_is_bound_to_the_token(access: Access) -> None:
    """A cookie made for one token gives nothing under another one, but keeps its shared rooms."""
    changed = Access(Secrets("new-token", KEY))
    holder = visitor_of(access, "the-token")
    assert changed.from_cookie(access.cookie_for(holder, time.time())) is None
    both = holder.joined(visitor_of(access, access.share(ROOM, READ)))
    kept = changed.from_cookie(access.cookie_for(both, time.time()))
    assert kept is not None
    assert (kept.user, kept.rights(ROOM), kept.rights(OTHER)) == (holder.user, READ, NO_RIGHTS)


def test_a_cookie_of_an_open_server_opens_nothing_later() -> None:
    """What a server gave to all is in no cookie: it ends when the server asks who comes."""
    open_to_all = Access(Secrets("t", KEY), open_to_all=True)
    anybody = open_to_all.anybody()
    assert anybody is not None
    cookie = open_to_all.cookie_for(anybody, time.time())
    assert Access(Secrets("t", KEY)).from_cookie(cookie) is None
    again = open_to_all.from_cookie(cookie)
    assert again is not None
    assert (again.user, again.everything) == (anybody.user, True)


def test_rights_of_a_link_end_with_the_link(access: Access) -> None:
    """A cookie made from a link that ends gives nothing in its room after that, whatever the cookie's own time."""
    now = int(time.time())
    link = visitor_of(access, access.share(ROOM, READ, expires=now + 100))
    other = visitor_of(access, access.share(OTHER, READ))
    assert link.end(ROOM, READ) == now + 100
    visitor = access.from_cookie(access.cookie_for(link.joined(other), now))
    assert visitor is not None
    assert (visitor.rights(ROOM), visitor.end(ROOM, READ)) == (READ, now + 100)
    over = Visitor("v", (Pass({exactly(ROOM): READ}, now - 1), *other.passes))
    later = access.from_cookie(access.cookie_for(over, now))
    assert later is not None
    assert (later.rights(ROOM), later.rights(OTHER)) == (NO_RIGHTS, READ)


@pytest.mark.parametrize(("letter", "fewest"), [("x", MAX_PASSES), ("\u3042", 5)])
def test_cookie_fits_a_browser(access: Access, letter: str, fewest: int) -> None:
    """A cookie is never too long for a browser: the oldest links stay out, the server's token and the newest are in."""
    visitor = visitor_of(access, "the-token")
    for number in range(MAX_PASSES):
        address = Address.parse("p@" + letter * (250 // len(letter.encode())) + f"{number:02}")
        visitor = visitor.joined(visitor_of(access, access.share(address, MEMBER_RIGHTS)))
    cookie = access.cookie_for(visitor, time.time())
    assert len(cookie) <= MAX_COOKIE_BYTES
    kept = access.from_cookie(cookie)
    assert kept is not None
    assert kept.everything
    assert fewest <= len(kept.passes) <= len(visitor.passes)
    assert kept.passes[-1] == visitor.passes[-1]


def test_a_pass_too_long_for_a_cookie(access: Access) -> None:
    """A token that grants more than a cookie holds is refused with what to do instead."""
    grants = {f"some/folder/{number}/**": READ for number in range(200)}
    with pytest.raises(AccessDenied, match="Authorization") as denied:
        access.cookie_for(Visitor("v", (Pass(grants),)), time.time())
    assert denied.value.status == 413


# --- links that were passed on, and what was taken back --------------------------------------


async def test_a_link_falls_with_the_link_that_it_came_from(access: Access) -> None:
    """Who passes a link on gives a link that ends when the first one is taken back."""
    first = access.share(ROOM, READ_WRITE)
    holder = visitor_of(access, first)
    second = access.share(ROOM, READ, giver=holder)
    third = access.share(ROOM, READ, giver=visitor_of(access, second))
    share = access.read_share(first)
    assert share is not None
    await access.revocations.add(share.ids[0], for_good=True)
    assert [access.from_token(token) for token in (first, second, third)] == [None, None, None]


async def test_the_other_way_round(access: Access) -> None:
    """A link that was passed on is taken back without the first one."""
    first = access.share(ROOM, READ)
    second = access.share(ROOM, READ, giver=visitor_of(access, first))
    share = access.read_share(second)
    assert share is not None
    await access.revocations.add(share.ids[0], for_good=True)
    assert access.from_token(first) is not None
    assert access.from_token(second) is None


async def test_all_links_of_a_room(access: Access) -> None:
    """All links to a room end at once, and those to others stay."""
    here, there = access.share(ROOM, READ), access.share(OTHER, READ)
    await access.revocations.add(links_of(str(ROOM))[0])
    assert access.from_token(here) is None
    assert access.from_token(there) is not None


async def test_cookies_of_what_was_taken_back(access: Access) -> None:
    """A cookie gives nothing any more that was taken back, nor anything to a user who was."""
    link = access.share(ROOM, READ)
    visitor = visitor_of(access, link).joined(visitor_of(access, access.share(OTHER, READ)))
    cookie = access.cookie_for(visitor, time.time())
    share = access.read_share(link)
    assert share is not None
    await access.revocations.add(share.ids[0], for_good=True)
    left = access.from_cookie(cookie)
    assert left is not None
    assert (left.rights(ROOM), left.rights(OTHER)) == (NO_RIGHTS, READ)
    await access.revocations.add(f"user:{visitor.user}")
    assert access.from_cookie(cookie) is None


def test_a_link_outlives_the_server_token(access: Access) -> None:
    """A link that was made with the server's token stays good when that token is another one."""
    link = access.share(ROOM, READ, giver=visitor_of(access, "the-token"))
    assert Access(Secrets("new-token", KEY)).from_token(link) is not None


def test_passed_on_too_often(access: Access) -> None:
    """A link is passed on a bounded number of times."""
    hands = 0

    def pass_on(token: str) -> None:
        nonlocal hands
        while hands < 20:
            token = access.share(ROOM, READ, giver=visitor_of(access, token))
            hands += 1

    with pytest.raises(AccessDenied, match="too often") as denied:
        pass_on(access.share(ROOM, READ))
    assert denied.value.status == 403
    assert hands >= 4


def test_links_without_an_id(access: Access) -> None:
    """Links of older versions, which had no id, are good."""
    claims = {"typ": "share", "room": str(ROOM), "rights": ["read"]}
    assert visitor_of(access, jwt.encode(claims, KEY, algorithm="HS256")).rights(ROOM) == READ


def test_everything_is_a_pass() -> None:
    """The pass of the server's token gives all rights in every room."""
    assert everything("server:x").rights(Address.parse("any/where@x")) == ALL_RIGHTS
