"""Who a visitor is, and what it may do."""

import stat
import time
from pathlib import Path

import jwt
import pytest

from engineroom.errors import AccessDenied, DataFolderError
from engineroom.rooms.address import Address
from engineroom.server.access import (
    ALL_RIGHTS,
    COOKIE_SECONDS,
    MAX_COOKIE_ROOMS,
    NO_RIGHTS,
    Access,
    Secrets,
    Visitor,
    load_secrets,
    parse_rights,
)

KEY = b"k" * 32
ROOM = Address.parse("write@abc")
OTHER = Address.parse("write@other")


@pytest.fixture
def access() -> Access:
    return Access(Secrets("the-token", KEY))


def test_server_token(access: Access) -> None:
    """The server's token gives all rights everywhere; another one none."""
    visitor = access.from_token("the-token")
    assert visitor is not None
    assert visitor.rights(ROOM) == visitor.rights(OTHER) == ALL_RIGHTS
    assert access.from_token("the-tokeN") is None
    assert access.from_token("") is None
    assert access.from_token("töken\ud800") is None


def test_share_token(access: Access) -> None:
    """A share token gives its rights in its room, and none elsewhere."""
    visitor = access.from_token(access.share(ROOM, frozenset({"read", "write"})))
    assert visitor is not None
    assert not visitor.everything
    assert visitor.rights(ROOM) == {"read", "write"}
    assert visitor.rights(OTHER) == NO_RIGHTS


def test_share_token_expires(access: Access) -> None:
    """A share token with an end is not valid after it."""
    assert access.from_token(access.share(ROOM, ALL_RIGHTS, expires=time.time() + 60))
    assert access.from_token(access.share(ROOM, ALL_RIGHTS, expires=time.time() - 1)) is None


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"typ": "share"},
        {"typ": "share", "room": "a", "rights": ["root"]},
        {"typ": "share", "room": 1, "rights": ["read"]},
        {"typ": "visitor", "sub": "v", "rooms": {"a": ["read"]}},
    ],
)
def test_signed_but_no_share(access: Access, claims: dict[str, object]) -> None:
    """What we signed for another purpose is no share token."""
    assert access.from_token(jwt.encode(claims, KEY, algorithm="HS256")) is None


def test_foreign_signatures(access: Access) -> None:
    """A token signed with another key, or not at all, is not valid."""
    claims = {"typ": "share", "room": "write@abc", "rights": ["read"]}
    assert access.from_token(jwt.encode(claims, b"x" * 32, algorithm="HS256")) is None
    assert access.from_token(jwt.encode(claims, None, algorithm="none")) is None


def test_cookie_keeps_the_visitor(access: Access) -> None:
    """A cookie brings back the same visitor, for `COOKIE_SECONDS`."""
    visitor = Visitor("v-1", rooms={"write@abc": frozenset({"read"})})
    assert access.from_cookie(access.cookie_for(visitor, time.time())) == visitor
    everything = Visitor("v-2", everything=True)
    assert access.from_cookie(access.cookie_for(everything, time.time())) == everything
    old = access.cookie_for(visitor, time.time() - COOKIE_SECONDS - 1)
    assert access.from_cookie(old) is None


def test_cookie_is_bound_to_the_token(access: Access) -> None:
    """A cookie made for one token gives nothing under another one, but keeps its shared rooms."""
    changed = Access(Secrets("new-token", KEY))
    everything = access.cookie_for(Visitor("v-1", everything=True), time.time())
    assert changed.from_cookie(everything) is None
    both = Visitor("v-1", everything=True, rooms={"write@abc": frozenset({"read"})})
    kept = changed.from_cookie(access.cookie_for(both, time.time()))
    assert kept == Visitor("v-1", rooms={"write@abc": frozenset({"read"})})


def test_a_share_token_is_no_cookie(access: Access) -> None:
    """Tokens and cookies cannot stand for each other, though one key signs both."""
    assert access.from_cookie(access.share(ROOM, ALL_RIGHTS)) is None
    assert access.from_token(access.cookie_for(Visitor("v", everything=True), time.time())) is None


def test_rights_of_a_link_end_with_the_link(access: Access) -> None:
    """A cookie made from a link that ends gives nothing in its room after that, whatever the cookie's own time."""
    now = int(time.time())
    link = access.from_token(access.share(ROOM, frozenset({"read"}), expires=now + 100))
    other = access.from_token(access.share(OTHER, frozenset({"read"})))
    assert link is not None
    assert other is not None
    assert link.end(ROOM) == now + 100
    visitor = access.from_cookie(access.cookie_for(link.joined(other), now))
    assert visitor is not None
    assert (visitor.rights(ROOM), visitor.end(ROOM)) == ({"read"}, now + 100)
    over = Visitor("v", rooms=visitor.rooms, ends={str(ROOM): now - 1})
    later = access.from_cookie(access.cookie_for(over, now))
    assert later is not None
    assert (later.rights(ROOM), later.rights(OTHER)) == (NO_RIGHTS, {"read"})


@pytest.mark.parametrize(
    ("first", "second", "end"),
    [
        (("read", None), ("read", 50), None),
        (("read", 50), ("read write", None), None),
        (("read", 50), ("read", 90), 90),
        (("read write", 50), ("read", 90), 50),
        (("read write", None), ("read run", 90), 90),
    ],
)
def test_joined_links_to_one_room(
    first: tuple[str, int | None], second: tuple[str, int | None], end: int | None
) -> None:
    """Two links to a room last as long as the one that gives all; where neither does, as the one that ends first."""
    visitors = []
    for names, its_end in (first, second):
        rooms = {str(ROOM): parse_rights(names.split())}
        visitors.append(
            Visitor("v", rooms=rooms, ends={} if its_end is None else {str(ROOM): its_end})
        )
    assert visitors[0].joined(visitors[1]).end(ROOM) == end


def test_anybody(access: Access) -> None:
    """Who shows nothing is let in only where the server is open to all."""
    assert access.anybody() is None
    visitor = Access(Secrets("t", KEY), open_to_all=True).anybody()
    assert visitor is not None
    assert visitor.everything


def test_joined_adds_rooms_within_a_bound() -> None:
    """A visitor gathers rooms, of which the newest are kept, and keeps its id."""
    visitor = Visitor("v-1")
    for number in range(MAX_COOKIE_ROOMS + 2):
        visitor = visitor.joined(Visitor("x", rooms={f"p@{number}": frozenset({"read"})}))
    assert visitor.user == "v-1"
    assert list(visitor.rooms) == [f"p@{n}" for n in range(2, MAX_COOKIE_ROOMS + 2)]
    more = visitor.joined(Visitor("x", rooms={"p@2": frozenset({"read", "run"})}))
    assert more.rooms["p@2"] == {"read", "run"}
    assert list(more.rooms)[-1] == "p@2"


def test_cookie_fits_a_browser(access: Access) -> None:
    """A cookie with all the rooms it may hold, their names as long as may be, is at most 4096
    bytes.
    """
    name = "p@" + "x" * 253
    rooms = {name[:-2] + f"{n:02}": ALL_RIGHTS for n in range(MAX_COOKIE_ROOMS)}
    assert len(access.cookie_for(Visitor("v-0123456789ab", True, rooms), time.time())) < 4000


@pytest.mark.parametrize("names", [[], ["write"], ["read", "admin"]])
def test_bad_rights(names: list[str]) -> None:
    """Rights without reading, or with an unknown name, are refused."""
    with pytest.raises(AccessDenied) as denied:
        parse_rights(names)
    assert denied.value.status == 400


def test_secrets_are_kept(tmp_path: Path) -> None:
    """The token and the key are made once, readable by their owner alone, and found again."""
    secrets = load_secrets(tmp_path, None)
    assert load_secrets(tmp_path, None) == secrets
    assert len(secrets.token) >= 32
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["cookie-key", "token"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_stated_token_is_not_kept(tmp_path: Path) -> None:
    """A token from the settings is used, and not written down."""
    assert load_secrets(tmp_path, "mine").token == "mine"
    assert not (tmp_path / "token").exists()


def test_unfinished_and_open_files(tmp_path: Path) -> None:
    """What a crash left half-made is made anew; a file that others can read is closed to them."""
    (tmp_path / "token").touch(mode=0o644)
    (tmp_path / "token.new").write_text("half")
    (tmp_path / "cookie-key").write_text("k" * 43)
    (tmp_path / "cookie-key").chmod(0o644)
    secrets = load_secrets(tmp_path, None)
    assert secrets.key == b"k" * 43
    assert (tmp_path / "token").read_text().strip() == secrets.token
    assert stat.S_IMODE((tmp_path / "cookie-key").stat().st_mode) == 0o600


def test_unusable_folder(tmp_path: Path) -> None:
    """Secrets that cannot be kept are an error that names the folder."""
    (tmp_path / "token").mkdir()
    with pytest.raises(DataFolderError, match=str(tmp_path)):
        load_secrets(tmp_path, None)
