"""Mail: who is sent what in a turn, and what is encoded only once; and compaction in a room that nobody is in."""

from __future__ import annotations

from engineroom.protocols import messages as m
from engineroom.protocols.yjs import YjsDialect
from engineroom.rooms import effects as e
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.members import Access, Audiences, Frames, Mail, Member, User

FIRST, SECOND = m.SyncUpdate(b"first"), m.SyncUpdate(b"second")


class Members:
    """So many members, of whom some are paused, and the audiences that a room keeps of them."""

    def __init__(self, *numbers: int) -> None:
        self.audiences = Audiences()
        dialect = YjsDialect()
        self.all = {
            number: Member(number, User(f"user-{number}"), Access(), dialect) for number in numbers
        }
        for member in self.all.values():
            self.audiences.enter(member)

    def sent(self, mail: Mail) -> dict[int, list[bytes]]:
        """What each is sent, by `together` and `singly`; nobody may be in both."""
        sent: dict[int, list[bytes]] = {}
        for bundle, members in mail.together(self.audiences):
            for member in members:
                assert sent.setdefault(member, list(bundle.payloads)) == list(bundle.payloads)
        for alone, bundle in mail.singly(self.all):
            assert alone.id not in sent
            sent[alone.id] = list(bundle.payloads)
        return sent


def frame(message: m.SyncUpdate) -> bytes:
    encoded = YjsDialect().encode(message)
    assert encoded is not None
    return encoded


def test_what_is_said_to_all_is_one_bundle_for_all_others() -> None:
    """All but the sender share a bundle; the sender hears only what others said."""
    members = Members(1, 2, 3)
    mail = Mail()
    mail.to_all(FIRST, but=1)
    mail.to_all(SECOND, but=2)
    (post,) = mail.together(members.audiences)
    assert post[1] == (3,)
    assert members.sent(mail) == {
        1: [frame(SECOND)],
        2: [frame(FIRST)],
        3: [frame(FIRST), frame(SECOND)],
    }


def test_those_who_have_left_the_audience_hear_only_what_is_theirs() -> None:
    """A paused member is sent nothing of what is said to all; what is said to it alone it has."""
    members = Members(1, 2)
    members.audiences.leave(members.all[1])
    mail = Mail()
    mail.to_all(FIRST)
    assert members.sent(mail) == {2: [frame(FIRST)]}


def test_frames_that_are_kept_are_encoded_once() -> None:
    """Who is told the same over several turns is sent the same bytes object."""
    members, frames = Members(1, 2), Frames()
    sent = []
    for number in (1, 2):
        mail = Mail()
        mail.to(number, FIRST, frames=frames)
        sent.append(members.sent(mail)[number][0])
    assert sent[0] is sent[1]


def test_newcomers_share_the_whole_document_until_it_changes(make_bench, typist) -> None:
    """Each Step 2 of an unchanged document is the same bytes object; after a change it is another."""
    bench = make_bench()
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("hello")))
    bench.store()

    def whole(member: int) -> bytes:
        bench.put(e.Joined(member, User("u"), Access(), YjsDialect()))
        effects = bench.put(e.Received(member, m.SyncStep1(b"")))
        posts = [post for each in effects if isinstance(each, e.Send) for post in each.posts]
        (bundle,) = [bundle for bundle, members in posts if members == (member,)]
        return bundle.payloads[-1]

    first = whole(2)
    assert whole(3) is first
    bench.say(1, m.SyncUpdate(typist.type(" world")))
    assert whole(4) != first


def test_an_empty_room_is_compacted_sooner(make_bench, typist) -> None:
    """A log that is too short for a snapshot among members gets one when the last of them has left."""
    bench = make_bench(limits=RoomLimits(compact_bytes=1))

    def compactions() -> int:
        return sum(isinstance(each, e.Compact) for each in bench.last)

    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("x" * 1_000)))
    bench.store()
    assert compactions() == 1
    bench.say(1, m.SyncUpdate(typist.type("y" * 300)))
    bench.store()
    assert compactions() == 0
    bench.put(e.Left(1))
    assert compactions() == 1
