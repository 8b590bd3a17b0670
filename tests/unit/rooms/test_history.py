"""When versions are kept and which of them go; who wrote what, across compactions and restarts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pycrdt import Doc, Text

from engineroom.protocols import messages as m
from engineroom.rooms import effects as e
from engineroom.rooms.authors import Authors
from engineroom.rooms.history import DAY, HOUR, History, thinned_out
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.members import Access, User
from engineroom.rooms.notes import Notes, decode_notes, encode_notes
from engineroom.rooms.plan import EditorPlan, Plan
from engineroom.rooms.storage import StoredDocument, Version

from .conftest import PAGE, Bench, Typist

LIMITS = RoomLimits(
    history_interval_seconds=600, history_pause_seconds=60, history_pause_updates=3, versions=20
)


def kept(effects: list[e.Effect]) -> list[e.KeepVersion]:
    return [effect for effect in effects if isinstance(effect, e.KeepVersion)]


class Watched(Bench):
    """A bench that gathers versions and compactions."""

    def __init__(self, *arguments: object, **options: object) -> None:
        self.versions: list[e.KeepVersion] = []
        self.compactions: list[e.Compact] = []
        super().__init__(*arguments, **options)  # type: ignore[arg-type]

    def put(self, *batch: e.Input) -> list[e.Effect]:
        effects = super().put(*batch)
        self.versions += kept(effects)
        self.compactions += [each for each in effects if isinstance(each, e.Compact)]
        return effects

    def write(self, typist: Typist, member: int = 1, text: str = "x") -> None:
        """One update, which becomes durable."""
        self.say(member, m.SyncUpdate(typist.type(text)))
        self.store()


def text_of(encoding: bytes) -> str:
    doc: Doc[object] = Doc()
    doc.apply_update(encoding)
    return str(doc.get("text", type=Text))


# --- decisions -------------------------------------------------------------------------------


def test_time_of_changes_makes_a_version() -> None:
    """Ten minutes after the first change a version is due, however often the document has changed since."""
    history = History(LIMITS, 0, on=True)
    for minute in range(10):
        history.saw(minute + 1, 60.0 * minute)
        assert history.due(60.0 * minute, empty=False) is None
    assert history.next_at() is not None
    assert history.due(600.0, empty=False) == "time"


def test_a_pause_after_many_changes_makes_a_version() -> None:
    """A minute without changes makes a version when enough came before it, and none after few."""
    history = History(LIMITS, 10, on=True)
    history.saw(12, 0.0)
    assert history.due(60.0, empty=False) is None
    history.saw(13, 70.0)
    assert history.next_at() == 130.0
    assert history.due(129.0, empty=False) is None
    assert history.due(130.0, empty=False) == "activity"
    history.kept()
    history.saw(15, 200.0)
    assert history.due(300.0, empty=False) is None


def test_the_last_one_out_leaves_a_version() -> None:
    """Any change makes a version once nobody is there; no change makes none."""
    history = History(LIMITS, 10, on=True)
    history.saw(10, 0.0)
    assert history.due(0.0, empty=True) is None
    history.saw(11, 1.0)
    assert history.due(1.0, empty=True) == "activity"
    history.kept()
    assert history.due(2.0, empty=True) is None
    assert history.next_at() is None


def test_history_can_be_off() -> None:
    """Where history is off nothing is ever due."""
    history = History(LIMITS, 0, on=False)
    history.saw(100, 0.0)
    assert history.due(10_000.0, empty=True) is None
    assert history.next_at() is None


def version(number: int, time: float, **more: object) -> Version:
    fields = {"kind": "time", "name": "", "user": "", "bytes": 10} | more
    return Version(f"v{number}", number, time, **fields)  # type: ignore[arg-type]


def test_old_versions_are_thinned_out() -> None:
    """One a minute stays of the last hour, one an hour of the day, one a day of the month, one a week before."""
    now = 1_000 * DAY + 0.5 * HOUR
    limits = replace(LIMITS, versions=100_000)
    every_ten_seconds = [version(i, now - 10.0 * i) for i in range(60 * 24 * 6 * 40)]
    gone = set(thinned_out(every_ten_seconds, now, limits))
    ages = [now - each.time for each in every_ten_seconds if each.id not in gone]
    assert len([age for age in ages if age < HOUR]) in (60, 61)
    assert len([age for age in ages if HOUR <= age < DAY]) in (23, 24)
    assert len([age for age in ages if DAY <= age < 30 * DAY]) in (29, 30)
    assert len([age for age in ages if age >= 30 * DAY]) in (2, 3)
    assert min(ages) == 0


def test_named_versions_and_fresh_restores_stay() -> None:
    """What somebody named, made by hand, or restored over lately is not thinned out."""
    same_minute = [
        version(1, 0.0, name="Draft"),
        version(2, 1.0, kind="hand"),
        version(3, 2.0, kind="restore"),
        version(4, 3.0, kind="restore"),
        version(5, 4.0),
        version(6, 5.0),
    ]
    assert thinned_out(same_minute, 10.0, LIMITS) == ["v5"]


def test_versions_are_bounded_in_number_and_bytes() -> None:
    """Past either bound the oldest of those that the room kept by itself go."""
    hourly = [version(i, i * HOUR) for i in range(20)]
    few = replace(LIMITS, versions=5)
    assert thinned_out(hourly, 20 * HOUR, few) == [f"v{i}" for i in range(14, -1, -1)]
    named = [*hourly, version(99, 0.0, name="Kept", bytes=70)]
    small = replace(LIMITS, versions=1_000, versions_bytes=100)
    assert thinned_out(named, 20 * HOUR, small) == [f"v{i}" for i in range(16, -1, -1)]


def test_a_clock_that_was_set_back_loses_nothing() -> None:
    """Versions from the future count as young."""
    assert thinned_out([version(1, 1e12), version(2, 1e12 + 60)], 0.0, LIMITS) == []


# --- in the room -----------------------------------------------------------------------------


def test_a_room_keeps_a_version_of_what_is_durable() -> None:
    """The version of the last one out holds the text, and the newest durable number; before that there is none."""
    bench, typist = Watched(limits=LIMITS), Typist()
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("Hello")))
    bench.put(e.Left(1))
    assert bench.versions == []
    bench.store()
    [keep] = bench.versions
    assert keep.version.kind == "activity"
    assert keep.version.number == bench.appended[-1].number
    assert keep.version.bytes == len(keep.encoding)
    assert text_of(keep.encoding) == "Hello"


def test_a_room_wakes_for_a_version() -> None:
    """A room in which nothing happens any more wakes to keep the version of a pause, once."""
    bench, typist = Watched(limits=LIMITS), Typist()
    bench.join(1)
    for _ in range(4):
        bench.write(typist)
    bench.wait(59)
    assert bench.versions == []
    bench.wait(10_000)
    assert [each.version.kind for each in bench.versions] == ["activity"]


def test_a_failing_store_makes_no_busy_room() -> None:
    """While nothing can be stored no version is kept, and the room does not wake for one."""
    bench, typist = Watched(limits=LIMITS), Typist()
    bench.join(1)
    for _ in range(4):
        bench.say(1, m.SyncUpdate(typist.type("x")))
    bench.now += 10_000
    bench.put(e.StoreFailed("full"))
    assert bench.wake is None or bench.wake > bench.now
    assert bench.versions == []


def test_a_page_may_have_no_history() -> None:
    """`history` of the page goes before the server's, both ways, and changes with the page."""
    for on_page, on_server, expected in ((False, True, 0), (True, False, 1), (None, False, 0)):
        bench = Watched(
            Plan(page="write", history=on_page), limits=replace(LIMITS, history=on_server)
        )
        bench.join(1)
        bench.write(Typist())
        bench.put(e.Left(1))
        assert len(bench.versions) == expected
    bench = Watched(Plan(page="write", version="1"), limits=LIMITS)
    bench.put(e.Replanned(Plan(page="write", version="2", history=False)))
    bench.join(1)
    bench.write(Typist())
    bench.put(e.Left(1))
    assert bench.versions == []


def test_a_document_past_the_bound_is_not_kept() -> None:
    """A document larger than all versions together may be has none, and the room goes on."""
    bench, typist = Watched(limits=replace(LIMITS, versions_bytes=1_000)), Typist()
    bench.join(1)
    bench.write(typist, text="x" * 2_000)
    bench.put(e.Left(1))
    assert bench.versions == []


def test_a_room_that_ends_keeps_a_version() -> None:
    """The server's own end is the last one out, too."""
    bench, typist = Watched(limits=LIMITS), Typist()
    bench.join(1)
    bench.write(typist)
    bench.put(e.Ending())
    assert len(bench.versions) == 1
    assert bench.ended


# --- authors ---------------------------------------------------------------------------------


def users(authors: Authors, client: int, end: int) -> list[tuple[int, int, str | None]]:
    return list(authors.notes().whose(client, 0, end))


def test_stretches_belong_to_who_brought_them_first() -> None:
    """Another who uses the same client id later gets what it brings, and nothing that was there."""
    authors = Authors(100)
    authors.wrote([(7, 0, 5)], "ada", 1.0)
    authors.wrote([(7, 5, 6)], "ada", 2.0)
    authors.wrote([(7, 2, 9)], "bob", 3.0)
    authors.wrote([(7, 0, 9)], "eve", 4.0)
    authors.wrote([(7, 9, 10)], "ada", 5.0)
    assert users(authors, 7, 12) == [
        (0, 6, "ada"), (6, 9, "bob"), (9, 10, "ada"), (10, 12, None),
    ]  # fmt: skip
    assert list(authors.notes().whose(7, 3, 4)) == [(3, 4, "ada")]
    assert authors.notes().users["ada"].first == 1.0
    assert authors.notes().users["ada"].last == 5.0


def test_unknown_clocks_have_no_author() -> None:
    """What came before authors were kept, or past the bound, has none; gaps are told as such."""
    authors = Authors(2)
    authors.wrote([(7, 3, 5)], "ada", 1.0)
    authors.wrote([(8, 0, 2)], "ada", 1.0)
    authors.wrote([(9, 0, 2)], "eve", 1.0)
    assert users(authors, 7, 6) == [(0, 3, None), (3, 5, "ada"), (5, 6, None)]
    assert users(authors, 9, 2) == [(0, 2, None)]
    assert list(authors.notes().whose(8, 1, 2)) == [(1, 2, "ada")]
    assert "eve" not in authors.notes().users


def test_a_room_knows_its_authors() -> None:
    """Members' updates, edits of the server and names from presence make the list of authors."""
    bench, typist = Watched(limits=LIMITS), Typist(client_id=70)
    bench.put(e.Joined(1, User("u-1", "Ada"), Access(), PAGE))
    bench.join(2)
    state = m.AwarenessState(70, 1, '{"user": {"name": "Bob"}}')
    bench.say(2, m.AwarenessUpdate((state,)))
    bench.write(typist, 2, "Hello")
    bench.say(1, m.SyncUpdate(Typist(client_id=71).type("A")))
    bench.put(e.Edit(lambda doc: doc.get("more", type=Text).insert(0, "!"), "api", 1))
    notes = bench.room.authors_now()
    assert list(notes.whose(70, 0, 5)) == [(0, 5, "user-2")]
    assert list(notes.whose(71, 0, 1)) == [(0, 1, "u-1")]
    assert list(notes.whose(4_242, 0, 1)) == [(0, 1, "api")]
    assert notes.users["user-2"].name == "Bob"
    assert notes.users["u-1"].name == "Ada"


def test_a_seed_is_the_server_s() -> None:
    """What a page's room begins with was written by nobody but the server, before and after a restart."""
    plan = Plan(page="write", editors=(EditorPlan("notes", "Begin here"),))
    bench = Watched(plan, limits=LIMITS)
    bench.join(1)
    bench.write(Typist(client_id=70))
    for each in (bench, bench.reopened(limits=LIMITS)):
        [seed] = [c for c, s in each.room.authors_now().clients.items() if s[0].end > 10]
        assert list(each.room.authors_now().whose(seed, 0, 1)) == [(0, 1, "")]


def test_who_leaves_is_remembered_by_name() -> None:
    """The name in somebody's presence is known after that somebody has gone."""
    bench = Watched(limits=LIMITS)
    bench.join(1)
    bench.say(1, m.AwarenessUpdate((m.AwarenessState(70, 1, '{"user": {"name": "Bob"}}'),)))
    bench.write(Typist(client_id=70))
    bench.put(e.Left(1))
    assert bench.room.authors_now().users["user-1"].name == "Bob"


def test_authors_are_there_after_a_crash() -> None:
    """The log's records tell who wrote what; names, which they do not tell, are lost before a compaction."""
    bench = Watched(limits=LIMITS)
    bench.join(1)
    bench.write(Typist(client_id=70), text="Hello")
    again = bench.reopened(limits=LIMITS)
    assert list(again.room.authors_now().whose(70, 0, 5)) == [(0, 5, "user-1")]


def test_authors_are_there_after_a_compaction() -> None:
    """A snapshot carries them in its notes, and the tail of the log goes on from there."""
    bench = Watched(limits=replace(LIMITS, compact_bytes=1_000))
    bench.join(1)
    typist = Typist(client_id=70)
    bench.say(1, m.AwarenessUpdate((m.AwarenessState(70, 1, '{"user": {"name": "Bob"}}'),)))
    for _ in range(40):
        bench.write(typist, text="hello ")
    compaction = bench.compactions[-1]
    tail = tuple(r for r in bench.appended if r.number > compaction.number)
    bench.join(2)
    stored = StoredDocument(
        "lineage", compaction.snapshot, compaction.number, tail, bench.appended[-1].number,
        notes=compaction.notes,
    )  # fmt: skip
    again = Bench(stored=stored, limits=LIMITS, client_id=777)
    notes = again.room.authors_now()
    assert list(notes.whose(70, 0, 240)) == [(0, 240, "user-1")]
    assert notes.users["user-1"].name == "Bob"


def test_names_are_kept_when_a_room_ends() -> None:
    """A room that was never large enough to be compacted is, once, so that its authors' names are kept."""
    bench = Watched(limits=replace(LIMITS, linger_seconds=0))
    bench.join(1)
    bench.say(1, m.AwarenessUpdate((m.AwarenessState(70, 1, '{"user": {"name": "Bob"}}'),)))
    bench.write(Typist(client_id=70))
    bench.put(e.Left(1))
    bench.store()
    assert bench.ended
    [compaction] = bench.compactions
    assert decode_notes(compaction.notes).authors.users["user-1"].name == "Bob"


def test_a_room_without_new_names_is_not_compacted_at_its_end() -> None:
    """Ending alone writes no snapshot."""
    bench = Watched(limits=replace(LIMITS, linger_seconds=0))
    bench.join(1)
    bench.write(Typist(client_id=70))
    bench.put(e.Left(1))
    assert bench.ended
    assert bench.compactions == []


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01", b"\x81\xa4form\x02", b"\x80"])
def test_strange_notes_are_no_notes(data: bytes) -> None:
    """Notes that are missing, damaged or of a later form are as good as none."""
    assert decode_notes(data).authors.clients == {}


def test_notes_come_back() -> None:
    """What is encoded is decoded."""
    authors = Authors(10)
    authors.wrote([(2**53 - 1, 0, 5)], "ada", 1.5)
    authors.name("ada", "Ada " * 100)
    notes = decode_notes(encode_notes(Notes(authors=authors.notes())))
    assert notes.authors == authors.notes()
    assert len(notes.authors.users["ada"].name) == 80
