"""The path of an update through a room, and the traps on it."""

from __future__ import annotations

import pytest
from pycrdt import Array, Doc, Map, Text, XmlFragment
from tests.fuzz.trial import outcome

from engineroom.errors import CloseCode
from engineroom.protocols import messages as m
from engineroom.protocols.lib0 import var_string, var_uint
from engineroom.protocols.page import PageDialect
from engineroom.protocols.shapes import MAX_DEPTH
from engineroom.protocols.updates import is_whole, read_update
from engineroom.rooms import effects as e
from engineroom.rooms.document import Document
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.plan import CellPlan, EditorPlan, Plan
from engineroom.rooms.storage import Record, StoredDocument

EMPTY = b"\x00\x00"


class Asking(PageDialect):
    """The page dialect, with a word for `Durable`."""

    name = "asking"

    def encode(self, message):
        return super().encode(
            m.SyncUpdate(message.token) if isinstance(message, m.Durable) else message
        )


def updates(heard):
    return [each.update for each in heard if isinstance(each, m.SyncUpdate)]


def text_of(update: bytes, name: str = "text") -> str:
    doc = Doc()
    doc.apply_update(update)
    return str(doc.get(name, type=Text))


def test_relay_first_acknowledge_when_durable(bench, typist):
    """An update reaches the others in its own turn, and comes back to its sender only when it is durable."""
    bench.join(1)
    bench.join(2)
    bench.heard.clear()
    update = typist.type("hello")
    bench.say(1, m.SyncUpdate(update))
    assert updates(bench.take(2)) == [update]
    assert updates(bench.take(1)) == []
    bench.store()
    assert updates(bench.take(1)) == [update]
    assert updates(bench.take(2)) == []


def test_received_bytes_are_relayed_and_stored(bench, typist):
    """What is relayed and stored is the update as it was received, to the byte."""
    bench.join(1)
    update = typist.type("hello")
    bench.say(1, m.SyncUpdate(update))
    assert bench.records == [Record(1, bench.now, "user-1", update)]


def test_one_turn_is_one_append_and_one_write_a_member(bench, typist):
    """A hundred updates of one turn make one append, and one write to each member."""
    bench.join(1)
    bench.join(2)
    bench.say(2, m.SyncUpdate(typist.type("the first change brings the mark")))
    bench.store()
    messages = [m.SyncUpdate(typist.type("x")) for _ in range(100)]
    effects = bench.say(1, *messages)
    appends = [each for each in effects if isinstance(each, e.Append)]
    assert [len(each.records) for each in appends] == [100]
    sends = [each for each in effects if isinstance(each, e.Send)]
    assert [[member for member, _ in each.letters] for each in sends] == [[2]]


def test_readers_share_one_bundle(bench, typist):
    """Members that hear the same are sent the same object, framed once."""
    for member in range(1, 11):
        bench.join(member)
    bench.say(1, m.SyncUpdate(typist.type("the first change brings the mark")))
    effects = bench.say(1, m.SyncUpdate(typist.type("x")))
    (send,) = [each for each in effects if isinstance(each, e.Send)]
    assert len({id(bundle) for _, bundle in send.letters}) == 1
    assert len(send.letters) == 9


def test_poisonous_update_closes_its_sender_alone(bench, typist):
    """Bytes that pycrdt accepts and later panics on are refused; nobody else notices."""
    bench.join(1)
    bench.join(2)
    bench.heard.clear()
    bench.say(1, m.SyncUpdate(bytes.fromhex("01016101000000")))
    assert bench.closed[1][0] == CloseCode.PROTOCOL_ERROR
    assert bench.records == []
    bench.say(2, m.SyncUpdate(typist.type("fine")))
    assert text_of(bench.room.document.encoded()) == "fine"


def test_update_that_panics_is_left_out(bench, typist, monkeypatch):
    """If applying panics all the same, the document is rebuilt without the offender, and the others' updates are in."""
    bench.join(1)
    bench.join(2)
    good = typist.type("good")

    class PanicException(BaseException):
        pass

    real = Doc.apply_update
    bad = b"\x01\x01\x05\x00\x04\x01\x01t\x01x\x00"

    def apply(self, update):
        if update == bad:
            raise PanicException
        return real(self, update)

    monkeypatch.setattr(Doc, "apply_update", apply)
    bench.put(e.Received(1, m.SyncUpdate(bad)), e.Received(2, m.SyncUpdate(good)))
    assert bench.closed == {1: (CloseCode.PROTOCOL_ERROR, "the update cannot be applied")}
    assert [record.update for record in bench.records] == [good]
    assert text_of(bench.room.document.encoded()) == "good"


def test_update_that_lacks_its_dependency_waits(bench, typist):
    """It is stored, but neither relayed nor acknowledged until it is in; its sender is asked for the rest."""
    first, second = typist.type("one "), typist.type("two")
    bench.join(1)
    bench.join(2)
    bench.heard.clear()
    bench.say(1, m.SyncUpdate(second))
    assert [record.update for record in bench.records] == [second]
    assert bench.take(2) == []
    assert bench.take(1) == [m.SyncStep1(b"\x00")]
    bench.store()
    assert bench.take(1) == []
    bench.say(2, m.SyncUpdate(first))
    assert updates(bench.take(1)) == [first, second]
    assert updates(bench.take(2)) == [second]
    bench.store()
    assert updates(bench.take(2)) == [first]
    assert text_of(bench.room.document.encoded()) == "one two"


def test_newcomer_never_misses_what_waits(bench, typist):
    """Somebody who joined while an update waited gets it once it is in."""
    first, second = typist.type("one "), typist.type("two")
    bench.join(1)
    bench.say(1, m.SyncUpdate(second))
    bench.join(3)
    bench.say(3, m.SyncStep1(b"\x00"))
    bench.say(1, m.SyncUpdate(first))
    doc = Doc()
    for each in bench.take(3):
        if isinstance(each, m.SyncStep2 | m.SyncUpdate):
            doc.apply_update(each.update)
    assert str(doc.get("text", type=Text)) == "one two"


def test_what_waits_survives_a_crash(bench, typist):
    """An update that waits when the server dies still waits when the room opens again."""
    first, second = typist.type("one "), typist.type("two")
    bench.join(1)
    bench.say(1, m.SyncUpdate(second))
    again = bench.reopened()
    again.join(1)
    again.say(1, m.SyncUpdate(first))
    assert text_of(again.room.document.encoded()) == "one two"


def test_no_compaction_while_an_update_waits(make_bench, make_typist):
    """A snapshot would not have the waiting update, so there is none."""
    bench = make_bench(limits=RoomLimits(compact_bytes=1))
    writer, other = make_typist(), make_typist()
    other.type("one")
    bench.join(1)
    bench.say(1, m.SyncUpdate(other.type("two")))
    bench.say(1, m.SyncUpdate(writer.type("x" * 100)))
    bench.store()
    assert not [each for each in bench.last if isinstance(each, e.Compact)]
    bench.say(1, m.SyncUpdate(other.updates[0]))
    bench.store()
    assert [each.number for each in bench.last if isinstance(each, e.Compact)] == [4]


def test_repeated_step_two_waits_for_the_newest_number(bench, typist):
    """A message that brings nothing new is acknowledged when all that the room had then is durable."""
    bench.join(1)
    bench.join(2)
    update = typist.type("x")
    bench.say(1, m.SyncUpdate(update))
    bench.say(2, m.SyncStep2(update))
    bench.heard.clear()
    assert len(bench.records) == 1
    bench.store()
    assert updates(bench.take(2)) == [update]


def test_repeated_deletion_is_not_stored_again(bench, typist):
    """A reconnecting client sends every deletion again; that is no news."""
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("gone")))
    root = typist.doc.get("text", type=Text)
    del root[0:2]
    bench.say(1, m.SyncUpdate(typist.updates[-1]))
    whole = typist.doc.get_update()
    bench.store()
    before = len(bench.records)
    bench.say(1, m.SyncStep2(whole))
    assert len(bench.records) == before
    assert updates(bench.take(1))[-1] == whole


def test_server_client_id_is_of_this_opening(make_bench, make_typist):
    """After a crash the room's own edits carry another client id than before it."""
    bench = make_bench()
    bench.join(1)
    bench.put(e.Edit(lambda doc: doc.get("text", type=Text).insert(0, "lost")))
    again = bench.reopened()
    assert again.room.document.doc.client_id != bench.room.document.doc.client_id


def test_server_edit_is_relayed_and_stored(bench):
    """An edit by the server reaches every member and the log, as one update of that edit alone."""
    bench.join(1)
    bench.heard.clear()
    bench.put(e.Edit(lambda doc: doc.get("text", type=Text).insert(0, "by the server")))
    (update,) = updates(bench.take(1))
    assert text_of(update) == "by the server"
    assert [(r.user, r.update) for r in bench.records] == [("", update)]


def test_join_is_answered_with_a_difference(bench, typist):
    """Step 1 is answered with what its sender lacks, never with the whole document again."""
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("a" * 10_000)))
    state = bench.room.document.state_vector()
    bench.say(1, m.SyncUpdate(typist.type("b")))
    bench.join(2)
    bench.heard.clear()
    bench.say(2, m.SyncStep1(state))
    (answer,) = bench.take(2)
    assert isinstance(answer, m.SyncStep2)
    assert len(answer.update) < 60


def test_malformed_state_vector_closes_its_sender(bench):
    """A Step 1 that is no state vector harms nobody else."""
    bench.join(1)
    bench.say(1, m.SyncStep1(b"\xff\xff"))
    assert bench.closed[1][0] == CloseCode.PROTOCOL_ERROR


def test_reader_cannot_write(bench, typist):
    """An update of a member that may only read is neither applied nor relayed nor stored, and it is told."""
    bench.join(1, write=False, run=False)
    bench.join(2)
    bench.heard.clear()
    bench.say(1, m.SyncUpdate(typist.type("no")))
    assert bench.records == []
    assert bench.take(2) == []
    assert [each.code for each in bench.take(1) if isinstance(each, m.Refused)] == ["read_only"]


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        ("update_bytes", 50),
        ("update_structs", 1),
        ("update_deletions", 0),
        ("document_bytes", 50),
        ("document_types", 0),
    ],
)
def test_update_past_a_limit_closes_its_sender(make_bench, typist, limit, allowed):
    """An update that is too large, or makes the document so, is refused with the limit's name."""
    bench = make_bench(limits=RoomLimits(**{limit: allowed}))
    bench.join(1)
    typist.type("x" * 100)
    typist.doc.get("list", type=Array).append(Map({}))
    del typist.doc.get("text", type=Text)[0:1]
    bench.say(1, m.SyncUpdate(typist.doc.get_update()))
    code, reason = bench.closed[1]
    assert code == CloseCode.LIMIT_EXCEEDED
    assert limit in reason
    assert bench.records == []


def test_failed_store_is_told_and_tried_again(bench, typist):
    """When the store fails, members hear "not saved" and no acknowledgement, and it is tried again until it works."""
    bench.join(1)
    bench.heard.clear()
    update = typist.type("x")
    bench.say(1, m.SyncUpdate(update))
    bench.put(e.StoreFailed("disk full"))
    heard = bench.take(1)
    assert [each.code for each in heard if isinstance(each, m.Trouble)] == ["not_saved"]
    assert updates(heard) == []
    bench.appended.clear()
    bench.wait(1.0)
    assert [record.update for record in bench.records] == [update]
    bench.store()
    heard = bench.take(1)
    assert [each.code for each in heard if isinstance(each, m.Trouble)] == ["saved"]
    assert updates(heard) == [update]


def test_one_append_is_under_way_at_a_time(bench, typist):
    """What comes during an append goes with the next one, in order and without gaps."""
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("a")))
    bench.say(1, m.SyncUpdate(typist.type("b")))
    bench.say(1, m.SyncUpdate(typist.type("c")))
    assert [record.number for record in bench.appended] == [1, 2]
    bench.put(e.Stored(2))
    assert [record.number for record in bench.appended] == [1, 2, 3, 4]


def test_room_that_was_never_written_to_is_not_stored(make_bench, typist):
    """A visit leaves nothing; the first change stores the page's seed along with it."""
    bench = make_bench(Plan("write", "1", editors=(EditorPlan("notes", "Hello"),)))
    bench.join(1)
    assert bench.records == []
    bench.say(1, m.SyncUpdate(typist.type("x")))
    assert [record.number for record in bench.records] == [1, 2]
    again = bench.reopened()
    assert text_of(again.room.document.encoded(), "notes") == "Hello"


def test_seed_is_the_same_twice(make_bench):
    """Two rooms of the same page content have the same seed, so a client with the one cannot double the other."""
    plan = Plan(
        "p", "1", editors=(EditorPlan("notes", "Hi"),), cells=(CellPlan("c", "python", "1"),)
    )
    first, second = make_bench(plan, client_id=1), make_bench(plan, client_id=2)
    assert first.room.document.encoded() == second.room.document.encoded()


def test_page_that_gains_a_cell_adds_it_once(make_bench):
    """A new cell of the page comes into a room that exists; what was seeded before is never seeded again."""
    old = Plan(
        "p", "1", editors=(EditorPlan("notes", "Hi"),), cells=(CellPlan("a", "python", "1"),)
    )
    bench = make_bench(old)
    bench.join(1)
    new = Plan("p", "2", editors=old.editors, cells=(*old.cells, CellPlan("b", "python", "2")))
    bench.put(e.Replanned(new))
    bench.put(e.Replanned(new))
    cells = bench.room.document.doc.get("cells", type=Array).to_py()
    assert [cell["id"] for cell in cells] == ["a", "b"]
    assert text_of(bench.room.document.encoded(), "notes") == "Hi"
    assert [each.version for each in bench.take(1) if isinstance(each, m.PageChanged)] == ["2"]


def test_damaged_record_is_left_out_at_load(make_bench, typist):
    """A stored record that cannot be read is reported by its number, and the others count."""
    first, second = typist.type("one"), b"\x01\x01\x61\x01\x00\x00\x00"
    records = (Record(1, 0.0, "", first), Record(2, 0.0, "", second))
    bench = make_bench(stored=StoredDocument("l", None, 0, records, 2))
    assert bench.refused == (2,)
    assert text_of(bench.room.document.encoded()) == "one"


def test_record_that_was_left_out_is_not_compacted_away(make_bench, typist):
    """While the log holds a record that the document does not, no snapshot takes its place."""
    records = (Record(1, 0.0, "", b"\x01\x01\x61\x01\x00\x00\x00"),)
    stored = StoredDocument("l", None, 0, records, 1)
    bench = make_bench(stored=stored, limits=RoomLimits(compact_bytes=1))
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("x" * 100)))
    bench.store()
    assert not [each for each in bench.last if isinstance(each, e.Compact)]


def test_joins_share_one_encoding(bench, typist):
    """Two joins with nothing between them are answered with the same bytes, encoded once."""
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("x" * 1_000)))
    assert bench.room.document.encoded() is bench.room.document.encoded()


def test_unwritten_room_of_a_page_keeps_its_lineage(make_bench):
    """A room that was never stored has the same lineage when it opens again, so that its readers simply go on."""
    plan = Plan("write", "1", editors=(EditorPlan("notes", "Hello"),))
    first, second = make_bench(plan), make_bench(plan)
    assert first.room.lineage == second.room.lineage
    assert first.room.lineage != make_bench(plan, address="write@other").room.lineage


def test_nobody_speaks_for_the_room(bench, make_typist):
    """An update in the name of the server's own client is refused; the server's edits go on undisturbed."""
    bench.join(1)
    impostor = make_typist(bench.room.document.doc.client_id)
    bench.say(1, m.SyncUpdate(impostor.type("I am the room")))
    assert bench.closed[1][0] == CloseCode.PROTOCOL_ERROR
    bench.put(e.Edit(lambda doc: doc.get("text", type=Text).insert(0, "the room")))
    assert text_of(bench.room.document.encoded()) == "the room"


def test_same_update_from_two_members_in_one_turn_is_acknowledged_when_it_is_durable(bench, typist):
    """Who repeats what another said a moment before hears of it as the other's, and waits for the same record."""
    bench.join(1)
    bench.join(2)
    update = typist.type("x")
    bench.put(e.Received(1, m.SyncUpdate(update)), e.Received(2, m.SyncUpdate(update)))
    assert updates(bench.take(2)) == [update]
    bench.store()
    assert updates(bench.take(2)) == [update]


@pytest.mark.parametrize("last", [m.SyncUpdate(b"\x00\x00"), m.CheckDurable(b"token")])
def test_what_says_nothing_new_speaks_for_what_came_before_in_its_turn(bench, typist, last):
    """An empty update, or a question, that comes with an update is answered when that is durable."""
    bench.join(1, dialect=Asking())
    bench.take(1)
    bench.say(1, m.SyncUpdate(typist.type("x")), last)
    assert not bench.take(1)
    bench.store()
    assert len(bench.take(1)) == 2


# --- what the bytes alone do not tell --------------------------------------------------------


def hostile(*structs: bytes, client: int = 66, clock: int = 0) -> bytes:
    """One client's structs."""
    head = b"\x01" + var_uint(len(structs)) + var_uint(client) + var_uint(clock)
    return head + b"".join(structs) + b"\x00"


def test_text_in_a_list_is_refused(bench, typist):
    """Who puts text into an Array, which hangs who reads it, is sent away; the document goes on without, as it was."""
    bench.join(1)
    bench.join(2)
    with typist.doc.transaction():
        typist.doc["cells"] = Array([Map({"outputs": Array([1])})])
    bench.say(1, m.SyncUpdate(typist.updates[-1]))
    doc = bench.room.document.doc
    outputs = var_uint(typist.doc.client_id) + b"\x01"  # the Map is clock 0
    bench.say(2, m.SyncUpdate(hostile(b"\x04\x00" + outputs + var_string("𝄞"))))
    assert bench.closed == {2: (CloseCode.PROTOCOL_ERROR, "the update cannot be applied")}
    assert bench.room.document.doc is doc
    bench.say(1, m.SyncUpdate(typist.type("fine")))
    assert text_of(bench.room.document.encoded()) == "fine"
    bench.store()
    assert [record.update for record in bench.records if len(record.update) > 14] == typist.updates


def test_types_are_nested_only_so_deep(bench):
    """Types that are nested without end, over many updates and openings, are refused at a depth that harms nobody."""
    bench.join(1)
    bench.say(1, m.SyncUpdate(hostile(b"\x07\x01\x01a\x00")))
    for clock in range(1, MAX_DEPTH):
        inner = b"\x07\x00\x42" + var_uint(clock - 1) + b"\x00"
        bench.say(1, m.SyncUpdate(hostile(inner, clock=clock)))
    bench.store()
    assert bench.closed == {}
    again = bench.reopened()
    again.join(1)
    inner = b"\x07\x00\x42" + var_uint(MAX_DEPTH - 1) + b"\x00"
    again.say(1, m.SyncUpdate(hostile(inner, clock=MAX_DEPTH)))
    assert again.closed[1][0] == CloseCode.PROTOCOL_ERROR


def test_what_builds_on_a_refused_update_is_refused(bench):
    """pycrdt would keep it for ever, waiting, in no encoding; so it is neither applied nor stored nor acknowledged."""
    bench.join(1)
    first = hostile(b"\x07\x01\x01a\x00", b"\x04\x00\x42\x00" + var_string("𝄞"))
    then = hostile(b"\x84\x42\x01\x01a", clock=3)
    bench.say(1, m.SyncUpdate(first), m.SyncUpdate(then))
    bench.store()
    assert bench.records == []
    assert bench.room.document.state_vector() == b"\x00"
    assert bench.closed[1][0] == CloseCode.PROTOCOL_ERROR


def test_what_was_refused_may_come_anew(bench):
    """The clocks of a refused update are free: what comes with them later is taken."""
    bench.join(1)
    bench.join(2)
    refused = hostile(b"\x07\x01\x01a\x00", b"\x04\x00\x42\x00" + var_string("𝄞"))
    bench.say(1, m.SyncUpdate(refused))
    bench.say(2, m.SyncUpdate(hostile(b"\x04\x01\x04text" + var_string("good"))))
    assert text_of(bench.room.document.encoded()) == "good"


@pytest.mark.parametrize("kind", [b"\x04", b"\x08\x01"], ids=["typed", "pushed"])
def test_long_runs_are_taken_in_a_moment(make_bench, kind):
    """20,000 characters or elements that follow each other one by one, which take pycrdt up to 26 s and 9 GB."""
    content = b"\x01a" if kind == b"\x04" else b"\x01\x7e"
    info = kind[0]
    inner = [bytes([info | 0x80, 0x42]) + var_uint(n) + content for n in range(20_000)]
    update = hostile(bytes([info]) + b"\x01\x04list" + content, *inner)

    def take() -> None:
        bench = make_bench()
        bench.join(1)
        for _ in range(3):
            bench.say(1, m.SyncUpdate(update))
        bench.store()
        assert bench.closed == {}
        assert bench.records[0].update == update
        assert bench.reopened().room.document.encoded() == bench.room.document.encoded()

    assert outcome(take, seconds=20) == ""


def test_many_small_updates_of_one_turn_are_taken_in_a_moment(make_bench):
    """20,000 elements pushed one by one, as many messages, in one turn of the room."""
    own = hostile(b"\x08\x01\x04list\x01\x7e")
    pushed = (hostile(b"\x88\x42" + var_uint(n) + b"\x01\x7e", clock=n + 1) for n in range(20_000))
    messages = [m.SyncUpdate(own), *map(m.SyncUpdate, pushed)]

    def take() -> None:
        bench = make_bench()
        bench.join(1)
        bench.say(1, *messages)
        assert len(bench.room.document.doc.get("list", type=Array)) == 20_001

    assert outcome(take, seconds=20) == ""


def test_half_known_updates_stand_behind_what_is_known(bench):
    """A client that names another parent for clocks it has used does not make lists that never end."""
    bench.join(1)
    bench.say(1, m.SyncUpdate(hostile(b"\x08\x01\x01a\x01\x7e")))
    bench.say(1, m.SyncUpdate(hostile(b"\x08\x01\x01b\x02\x7e\x7e")))
    doc = bench.room.document.doc
    assert len(doc.get("a", type=Array)) == 2
    assert len(doc.get("b", type=Array)) == 0
    bench.store()
    assert bench.reopened().room.document.state_vector() == bench.room.document.state_vector()


def test_a_root_with_text_is_no_array(bench, typist):
    """Whoever asks for a root as an Array is told whether pycrdt may be asked."""
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("𝄞")))
    document = bench.room.document
    assert not document.may_read_as("text", Array)
    assert not document.may_read_as("text", XmlFragment)
    assert document.may_read_as("text", Text)
    assert document.may_read_as("unheard of", Array)
    with typist.doc.transaction():
        typist.doc["list"] = Array([1, "𝄞", Text("𝄞")])
    bench.say(1, m.SyncUpdate(typist.updates[-1]))
    assert document.may_read_as("list", Array)


@pytest.mark.parametrize("deletes", [b"\x01\x01", b"\x02\x01"], ids=["first", "second"])
def test_half_a_character_is_deleted_as_a_whole(bench, typist, deletes):
    """Who deletes half of an emoji deletes all of it, for everybody and in the log; nothing typed later is lost."""
    bench.join(1)
    bench.join(2)
    bench.say(1, m.SyncUpdate(typist.type("a😀b")))
    bench.heard.clear()
    own = var_uint(typist.doc.client_id)
    half = b"\x00\x01" + own + b"\x01" + deletes
    whole = b"\x00\x01" + own + b"\x01\x01\x02"
    bench.say(1, m.SyncUpdate(half))
    assert updates(bench.take(2)) == [whole, half]
    assert whole in updates(bench.take(1))
    bench.say(1, m.SyncUpdate(typist.type("c")))
    bench.store()
    for room in (bench.room, bench.reopened().room):
        assert text_of(room.document.encoded()) == "abc"
        assert is_whole(room.document.encoded(), room.document.state_vector())


def test_a_letter_within_a_character_takes_its_place(bench, typist):
    """Who types between the halves of an emoji has typed in place of it."""
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("a😀b")))
    own = var_uint(typist.doc.client_id)
    between = hostile(b"\xc4" + own + b"\x01" + own + b"\x02" + var_string("x"))
    bench.say(1, m.SyncUpdate(between))
    bench.store()
    for room in (bench.room, bench.reopened().room):
        assert text_of(room.document.encoded()) == "axb"
        assert is_whole(room.document.encoded(), room.document.state_vector())


def test_a_document_from_elsewhere_is_cured(bench):
    """Text that another server has let into a list is named, and goes when it is deleted by its clocks."""
    document = Document(1)
    assert document.load(hostile(b"\x07\x01\x01a\x00", b"\x04\x00\x42\x00" + var_string("𝄞")))
    cure = document.cure()
    assert cure is not None
    assert document.apply([(cure, read_update(cure))]) == [True]
    assert document.doc.get("a", type=Array).to_py() == [[]]
    assert bench.room.document.cure() is None
