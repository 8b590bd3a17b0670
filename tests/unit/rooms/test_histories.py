"""Histories: a document that was rebuilt is not merged with what it was before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pycrdt import Doc, Text

from engineroom.errors import CloseCode
from engineroom.protocols import messages as m
from engineroom.protocols.marks import is_mark, mark_of, mark_update
from engineroom.rooms import effects as e
from engineroom.rooms.address import Address
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.loading import open_room
from engineroom.rooms.plan import EditorPlan, Plan
from engineroom.rooms.storage import Record, StoredDocument

FORK = RoomLimits(other_history="fork")


def built(text: str, lineage: str = "lineage") -> StoredDocument:
    """A document as a store has it after `text` was put in from a file."""
    doc: Doc[Any] = Doc()
    doc.get("text", type=Text).insert(0, text)
    mark = Record(2, 0.0, "", mark_update(mark_of(lineage)))
    return StoredDocument(lineage, None, 0, (Record(1, 0.0, "", doc.get_update()), mark), 2)


def fill(typist: Any, bench: Any) -> None:
    """Bring the whole document of a bench into a client's replica."""
    typist.doc.apply_update(bench.room.document.encoded())


def text_of(bench: Any) -> str:
    return str(bench.room.document.doc.get("text", type=Text))


def test_first_change_marks_the_document(bench: Any, typist: Any) -> None:
    """The mark is stored and told once, with the first change, and shows in state vectors alone."""
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("hello")))
    bench.store()
    bench.say(1, m.SyncUpdate(typist.type(" again")))
    marks = [r for r in bench.appended if r.update == mark_update(mark_of("lineage"))]
    assert [record.number for record in marks] == [2]
    assert bench.room.document.mark == mark_of("lineage")
    assert text_of(bench) == "hello again"


def test_nothing_is_marked_before_it_is_written_to(bench: Any) -> None:
    """A room that was only looked at has no mark, and is not stored."""
    bench.join(1)
    bench.say(1, m.SyncStep1(b"\x00"))
    assert bench.room.document.mark is None
    assert not bench.appended


@pytest.mark.parametrize("first", ["step1", "step2"])
def test_client_of_a_rebuilt_document_is_refused(
    make_bench: Callable[..., Any], typist: Any, first: str
) -> None:
    """The scenario of jupyter-collaboration: the server lost its store and read the file anew. Nothing is doubled."""
    fill(typist, make_bench(stored=built("from the file")))
    rebuilt = make_bench(stored=built("from the file", "another"))
    rebuilt.join(1)
    if first == "step1":
        rebuilt.say(1, m.SyncStep1(typist.doc.get_state()))
    else:
        rebuilt.say(1, m.SyncStep2(typist.doc.get_update()))
    assert rebuilt.closed[1][0] == CloseCode.OTHER_HISTORY
    assert text_of(rebuilt) == "from the file"
    assert rebuilt.room.counters.limits["other_history"] == 1


def test_client_of_the_same_history_is_merged(make_bench: Callable[..., Any], typist: Any) -> None:
    """Who was offline comes back with its changes, and they are merged."""
    stored = built("one")
    fill(typist, make_bench(stored=stored))
    typist.type(" two")
    bench = make_bench(stored=stored)
    bench.join(1)
    bench.say(1, m.SyncStep1(typist.doc.get_state()), m.SyncStep2(typist.doc.get_update()))
    assert bench.closed == {}
    assert text_of(bench) == "one two"


def test_change_made_before_the_first_meeting_is_merged(
    make_bench: Callable[..., Any], typist: Any
) -> None:
    """A replica without a mark was begun offline: it has no other history."""
    bench = make_bench(stored=built("one"))
    typist.type("offline")
    bench.join(1)
    bench.say(1, m.SyncStep2(typist.doc.get_update()))
    assert bench.closed == {}
    assert "offline" in text_of(bench)


def test_empty_document_takes_the_first_history_on(
    make_bench: Callable[..., Any], typist: Any
) -> None:
    """After the store was lost, the first client that returns brings the document back, mark and all."""
    fill(typist, make_bench(stored=built("kept by a browser")))
    bench = make_bench()
    bench.join(1)
    bench.say(1, m.SyncStep1(typist.doc.get_state()), m.SyncStep2(typist.doc.get_update()))
    assert bench.closed == {}
    assert text_of(bench) == "kept by a browser"
    assert bench.room.document.mark == mark_of("lineage")
    again = bench.reopened()
    assert again.room.document.mark == mark_of("lineage")


def test_reader_does_not_decide_the_history(
    make_bench: Callable[..., Any], make_typist: Callable[..., Any]
) -> None:
    """Who may only read an empty document cannot give it a mark."""
    reader, writer = make_typist(), make_typist()
    fill(reader, make_bench(stored=built("mine", "mine")))
    fill(writer, make_bench(stored=built("other", "other")))
    bench = make_bench()
    bench.join(1, write=False, run=False)
    bench.say(1, m.SyncStep2(reader.doc.get_update()))
    assert bench.room.document.empty
    bench.join(2)
    bench.say(2, m.SyncStep2(writer.doc.get_update()))
    assert text_of(bench) == "other"


def test_fork_moves_the_member_by_setting(make_bench: Callable[..., Any], typist: Any) -> None:
    """With `fork`, a member of another history is moved, not closed, and the document stays as it is."""
    fill(typist, make_bench(stored=built("old")))
    bench = make_bench(stored=built("new", "another"), limits=FORK, address="notes/today")
    bench.join(1)
    effects = bench.say(1, m.SyncStep1(typist.doc.get_state()))
    forks = [each for each in effects if isinstance(each, e.Fork)]
    assert forks == [e.Fork(1, mark_of("lineage"))]
    assert bench.closed == {}
    assert bench.room.members == {}
    assert text_of(bench) == "new"


def test_pages_never_fork(make_bench: Callable[..., Any], typist: Any) -> None:
    """A page's room is made from its page, so it refuses instead."""
    fill(typist, make_bench(stored=built("old")))
    bench = make_bench(stored=built("new", "another"), limits=FORK, address="write@abc")
    bench.join(1)
    bench.say(1, m.SyncStep1(typist.doc.get_state()))
    assert bench.closed[1][0] == CloseCode.OTHER_HISTORY


def test_page_nobody_has_written_to_has_the_history_of_its_version() -> None:
    """Two versions of a page that was never written to are two histories; the same version is the same."""
    lineages = [
        open_room(
            Address.parse("write@abc"),
            Plan("write", version, editors=(EditorPlan("text", f"version {version}"),)),
            None,
            client_id=5,
            lineage="unused",
            limits=RoomLimits(),
        ).room.lineage
        for version in ("1", "2", "1")
    ]
    assert lineages[0] == lineages[2] != lineages[1]


def test_marks_are_not_ordinary_ids() -> None:
    """A mark with one bit changed is none, nor is an id of 32 bits."""
    mark = mark_of("any")
    assert is_mark(mark)
    assert not any(is_mark(mark ^ (1 << bit)) for bit in range(53))
    assert not any(is_mark(client) for client in (0, 1, 2**32 - 1, 2**53 - 1))
