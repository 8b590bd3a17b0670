"""Visitors, and the passes that they hold."""

import pytest

from engineroom.rooms.address import Address
from engineroom.rooms.members import Access as RoomAccess
from engineroom.server.grants import exactly
from engineroom.server.rights import ALL_RIGHTS, MEMBER_RIGHTS, NO_RIGHTS
from engineroom.server.visitors import MAX_PASSES, Pass, Visitor, everything

ROOM = Address.parse("write@abc")
READ = frozenset({"read"})


def link(rights: str, end: float | None = None, *, room: str = "write@abc", id: str = "") -> Pass:  # noqa: A002
    return Pass({"=" + room: frozenset(rights.split())}, end, ids=(id,) if id else ())  # type: ignore[dict-item]


def test_rights_are_united() -> None:
    """A visitor may do what any of its passes gives."""
    visitor = Visitor("v", (link("read"), Pass({"write@*": frozenset({"write"})})))
    assert visitor.rights(ROOM) == {"read", "write"}
    assert visitor.access(ROOM) == RoomAccess(read=True, write=True, run=False)
    assert visitor.rights(Address.parse("write@other")) == {"write"}
    assert visitor.rights(Address.parse("other")) == NO_RIGHTS


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
def test_the_end_of_rights(
    first: tuple[str, float | None], second: tuple[str, float | None], end: float | None
) -> None:
    """Rights last as long as each of them is given by some pass."""
    visitor = Visitor("v", (link(*first, id="a"), link(*second, id="b")))
    assert visitor.end(ROOM, visitor.rights(ROOM)) == end


def test_the_next_end() -> None:
    """The next end is that of a pass which gives something here."""
    visitor = Visitor("v", (link("read", 90), link("read", 50, room="a@b"), link("read", 70)))
    assert visitor.next_end(ROOM) == 70
    assert Visitor("v", (everything(),)).next_end(ROOM) is None


def test_still() -> None:
    """A visitor keeps the passes that are neither over nor taken back; one that keeps all is the same."""
    visitor = Visitor("v", (link("read", 50, id="a"), link("write", id="b"), link("run", id="c")))
    assert visitor.still(49, lambda each: False) is visitor
    assert visitor.still(50, lambda each: each.ids == ("c",)).rights(ROOM) == {"write"}


def test_joined_within_a_bound() -> None:
    """A visitor gathers links, of which the newest are kept, and keeps its id."""
    visitor = Visitor("v-1")
    for number in range(MAX_PASSES + 2):
        visitor = visitor.joined(Visitor("x", (link("read", room=f"p@{number}", id=str(number)),)))
    assert visitor.user == "v-1"
    assert visitor.rooms("p") == [str(n) for n in range(2, MAX_PASSES + 2)]


def test_the_same_link_again() -> None:
    """A link that is followed again is held once, and is the newest."""
    first, other = link("read", id="a"), link("read", room="p@q", id="b")
    visitor = Visitor("v", (first, other)).joined(Visitor("x", (first,)))
    assert visitor.passes == (other, first)


def test_links_do_not_push_the_servers_token_out() -> None:
    """Who holds the server's token keeps it, however many links it follows."""
    visitor = Visitor("v", (everything("server:x"),))
    for number in range(MAX_PASSES + 2):
        visitor = visitor.joined(Visitor("x", (link("read", id=str(number)),)))
    assert visitor.is_admin
    assert len(visitor.passes) == MAX_PASSES


def test_a_named_user_inherits_nothing() -> None:
    """Whom an issuer names holds what its token gives, and nothing that somebody else left in the browser."""
    ada = Visitor("ada", (link("read", id="a"),), "Ada", is_named=True)
    bob = Visitor("bob", (link("write", id="b"),), "Bob", is_named=True)
    assert Visitor("v-1", (everything(),)).joined(bob) == bob
    assert ada.joined(bob) == bob
    more = Visitor("ada", (link("run", id="c"),), "Ada L.", is_named=True)
    assert ada.joined(more).rights(ROOM) == {"read", "run"}
    assert ada.joined(more).name == "Ada L."
    guest = ada.joined(Visitor("v-2", (link("write", id="d"),)))
    assert (guest.user, guest.name, guest.is_named) == ("ada", "Ada", True)
    assert guest.rights(ROOM) == {"read", "write"}


def test_admin_is_over_everything_or_over_some_rooms() -> None:
    """The admin right over the server is that over all addresses; a pattern may give it over some."""
    some = Visitor("v", (Pass({"notes/**": ALL_RIGHTS}),))
    assert not some.is_admin
    assert "admin" in some.rights(Address.parse("notes/a"))
    assert Visitor("v", (Pass({"**": ALL_RIGHTS}),)).is_admin
    assert not Visitor("v", (Pass({"**": MEMBER_RIGHTS}),)).is_admin


def test_who_sees_the_site() -> None:
    """Who may read every room may see what lies beside the pages."""
    assert Visitor("v", (Pass({"**": READ}),)).reads_everything
    assert not Visitor("v", (Pass({"*": READ}), link("read"))).reads_everything


def test_ids_of_the_passes_behind_rights() -> None:
    """Rights stand and fall with the passes that give them, and with no others."""
    visitor = Visitor(
        "v", (link("read", id="a"), link("read", room="a@b", id="b"), link("run", id="c"))
    )
    assert visitor.ids(ROOM, READ) == ("a",)
    assert visitor.ids(ROOM, frozenset({"read", "run"})) == ("a", "c")
    assert exactly(ROOM) in visitor.passes[0].grants
