"""Members and programs that mean harm: what they may break is their own."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from engineroom.errors import CloseCode
from engineroom.protocols import engine, lines
from engineroom.protocols import messages as m
from engineroom.protocols.lib0 import MAX_INTEGER, any_value, var_string, var_uint
from engineroom.rooms import effects as e
from engineroom.rooms import programs as p
from engineroom.rooms.cells import cells
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.plan import CellPlan, EditorPlan, Plan, TerminalPlan, ValuePlan

PLAN = Plan(
    "run",
    "1",
    editors=(EditorPlan("notes", "Hello"),),
    cells=(CellPlan("a", "python", "1 + 1"),),
    terminals=(TerminalPlan("t", ("bash",)),),
    values=(ValuePlan("/speed", "3"),),
)
SMALL = RoomLimits(linger_seconds=1.0, stream_bytes=200, evaluation_outputs=5, output_bytes=200)


def of(kind, items):
    return [each for each in items if isinstance(each, kind)]


# --- documents filled with nonsense ----------------------------------------------------------

plains = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/", max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = (
    *("id", "metadata", "outputs", "execution_state", "execution_count", "source", "text"),
    *("output_type", "name", "omitted", "data", "evaluation", "seeded", "/speed", "/x", "a"),
)
keys = st.sampled_from(KEYS)


def nested(depth: int) -> Any:
    """A shared type `depth` levels deep."""
    inner: Any = Map({"id": "a"})
    for _ in range(depth):
        inner = Array([inner])
    return inner


def shared(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Makers of shared types: a prelim may be integrated once."""
    contents = st.lists(inner, max_size=3)
    entries = st.dictionaries(keys, inner, max_size=5)
    return st.one_of(
        contents.map(lambda makers: lambda: Array([make() for make in makers])),
        entries.map(lambda makers: lambda: Map({key: make() for key, make in makers.items()})),
    )


leaves = st.one_of(
    plains.map(lambda plain: lambda: plain),
    st.just("a").map(lambda plain: lambda: plain),
    st.text("aé𝄞\n\r", max_size=6).map(lambda text: lambda: Text(text)),
    st.just(lambda: XmlFragment([XmlElement("p", {}, [XmlText("é")])])),
    st.just(Doc),
    st.integers(1, 60).map(lambda depth: partial(nested, depth)),
)
contents = st.recursive(leaves, shared, max_leaves=12)
roots = st.fixed_dictionaries(
    {},
    optional={
        name: shared(contents) | leaves.filter(lambda make: isinstance(make(), Array | Map | Text))
        for name in ("cells", "values", "engineroom", "notes")
    },
)


def hostile_update(filled: dict[str, Any]) -> bytes:
    doc: Doc[Any] = Doc(client_id=66)
    with doc.transaction():
        for name, make in filled.items():
            doc[name] = make()
    return doc.get_update()


cell_edits = st.lists(
    st.tuples(st.sampled_from(["cell", "outputs", "output", "text"]), keys, contents), max_size=4
)


def vandalise(doc: Doc[Any], edits: list[tuple[str, str, Any]]) -> None:
    """What a member with the page's document does to the page's cell."""
    for where, key, make in edits:
        cell = next(cells(doc), None)
        outputs = cell.get("outputs") if cell is not None else None
        last = outputs[len(outputs) - 1] if isinstance(outputs, Array) and len(outputs) else None
        if where == "cell" and cell is not None:
            cell[key] = make()
        elif where == "outputs" and isinstance(outputs, Array):
            outputs.insert(0, make())
        elif where == "output" and isinstance(last, Map):
            last[key] = make()
        elif where == "text" and isinstance(last, Map) and isinstance(last.get("text"), Text):
            last["text"].insert_embed(0, {"é": 1})


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(filled=roots, edits=cell_edits, later=cell_edits)
def test_no_document_ends_its_room(make_bench, filled, edits, later):
    """Whatever members write into the document, the room serves on, opens again, and comes to its end."""
    bench = make_bench(PLAN, limits=SMALL)
    bench.join(1)
    bench.say(1, m.SyncUpdate(hostile_update(filled)))
    bench.say(1, m.SetValue(1, "/x", m.Value(m.ValueKind.JSON, b'{"a": [1]}')))
    bench.say(1, m.Evaluate(2, "e1", "a", "x"))
    said = [
        engine.Started("e1", 1),
        engine.Stream("e1", "stdout", "é" * 90 + "\r\n"),
        engine.Display("e1", {"text/plain": "x"}, display="d"),
        engine.Stream("e1", "stdout", "ab\rcé" * 80),
        engine.Display("e1", {"text/plain": "y"}, display="d", update=True),
        engine.InputRequest("e1", "?"),
        engine.Raised("e1", "E", "é", ["x" * 300]),
        engine.Done("e1", "error", 1, 0.1),
    ]
    vandal: Doc[Any] = Doc(client_id=67)
    for number, event in enumerate(said):
        bench.put(p.EngineSaid("python", event))
        bench.wait(0.1)
        if number in (2, 5):
            vandal.apply_update(bench.room.document.encoded())
            before = vandal.get_state()
            vandalise(vandal, edits if number == 2 else later)
            bench.say(1, m.SyncUpdate(vandal.get_update(before)))
    bench.store()
    bench.wait(3.0)
    again = bench.reopened(limits=SMALL)
    again.join(1)
    again.say(1, m.SyncStep1(b"\x00"), m.Evaluate(1, "e2", "a", "x"))
    again.put(p.EngineSaid("python", engine.Done("e2", "ok", 1, 0.1)), e.Left(1))
    again.wait(1.1)
    again.store()
    again.wait(2.0)
    again.store()
    assert again.ended
    assert not again.refused


def test_text_in_place_of_cells_does_not_hang_the_room(make_bench, make_typist):
    """yrs reads an Array for ever in which there is text past U+FFFF: such cells are none."""
    typist = make_typist(5)
    bench = make_bench(PLAN, limits=SMALL)
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("\U0001d11e", "cells")))
    bench.say(1, m.Evaluate(1, "e1", "a", "x"))
    bench.put(p.EngineSaid("python", engine.Done("e1", "ok", 1, 0.1)))
    again = bench.reopened(limits=SMALL)
    again.join(1)
    assert of(m.Welcome, again.take(1))


def test_cells_past_the_bound_are_not_looked_at(make_bench):
    """Millions of entries in the root Array do not hold the room up: only the first ones are looked at."""
    bench = make_bench(PLAN)
    bench.join(1)
    count = 200_000
    entries = b"\x08\x01" + var_string("cells") + var_uint(count) + any_value(0) * count
    bench.say(1, m.SyncUpdate(b"\x01\x01\x42\x00" + entries + b"\x00"))
    looked_at: list[int] = []
    real = Array.__getitem__
    patch = pytest.MonkeyPatch()
    patch.setattr(Array, "__getitem__", lambda self, i: looked_at.append(i) or real(self, i))
    bench.say(1, m.Evaluate(1, "e1", "a", "x"))
    patch.undo()
    assert 0 < len(looked_at) <= 4_000


def test_edit_that_fails_is_undone_and_reported(bench, typist):
    """A room's own edit that fails half-way leaves the document as it was, and what follows is durable."""

    def fail(doc: Doc[Any]) -> None:
        doc.get("notes", type=Text).insert(0, "half")
        doc.get("map", type=Map)["x"] = 10**30  # pycrdt panics

    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("before")))
    bench.put(e.Edit(fail))
    assert of(e.Report, bench.last)
    bench.say(1, m.SyncUpdate(typist.type(" after")))
    bench.put(e.Edit(lambda doc: doc.get("notes", type=Text).insert(0, "whole")))
    doc = Doc[Any]()
    doc.apply_update(bench.room.document.encoded())
    assert str(doc.get("text", type=Text)) == "before after"
    assert str(doc.get("notes", type=Text)) == "whole"
    bench.store()
    assert bench.reopened().room.document.encoded() == bench.room.document.encoded()


# --- values ----------------------------------------------------------------------------------

UNFIT = [b"1e999", b"1" + b"0" * 30, b"-" + b"9" * 25, b"[" * 200 + b"]" * 200, b'"\\ud800"']


@pytest.mark.parametrize("data", UNFIT)
def test_value_that_no_document_can_hold_is_refused(bench, data):
    """JSON that pycrdt cannot keep is refused to members and programs alike, and the room goes on."""
    bench.join(1)
    value = m.Value(m.ValueKind.JSON, data)
    bench.say(1, m.SetValue(5, "/x", value))
    bench.put(p.ProgramAsked(1, lines.Set("/x", value, 7)))
    bench.wait(2.0)
    (refused,) = of(m.Refused, bench.take(1))
    assert (refused.request, refused.code) == (5, "value")
    (answer,) = bench.orders
    assert isinstance(answer.message, lines.Failed)
    assert answer.message.id == 7


def test_values_are_bounded_together(make_bench):
    """All values of a room together have a bound; one that is replaced makes room."""
    bench = make_bench(limits=RoomLimits(values_bytes=100))
    bench.join(1)
    for number, size in enumerate([60, 60, 40, 20], start=1):
        value = m.Value(m.ValueKind.BYTES, b"x" * size)
        bench.say(1, m.SetValue(number, f"/{'a' if number == 4 else number}", value))
    assert [each.request for each in of(m.Refused, bench.take(1))] == [2, 4]
    bench.say(1, m.SetValue(5, "/1", m.Value(m.ValueKind.BYTES, b"x" * 30)))
    assert of(m.Done, bench.take(1)) == [m.Done(5)]


def test_values_that_members_wrote_are_checked_at_the_opening(make_bench, make_typist):
    """What stands in the document's `values` without ever having been set is taken over only as far as it could be."""
    typist = make_typist(5)
    with typist.doc.transaction():
        typist.doc["values"] = Map(
            {"/good": 1, "bad": 1, "/" + "x" * 300: 1, "/big": b"x" * 50, "/shared": Map({"a": 1})}
        )
    bench = make_bench(limits=RoomLimits(value_bytes=40))
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.updates[-1]))
    again = bench.reopened(limits=RoomLimits(value_bytes=40))
    again.join(1)
    assert [each.address for each in of(m.ValueChanged, again.take(1))] == ["/good"]


# --- floods ----------------------------------------------------------------------------------


def test_many_questions_of_a_turn_are_answered_once(bench, typist):
    """A flood of Steps 1 and queries costs one answer a turn: documents and presence are large."""
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("x")))
    bench.heard.clear()
    bench.say(1, *[m.SyncStep1(b"\x00"), m.QueryAwareness()] * 1_000)
    heard = bench.take(1)
    assert len(of(m.SyncStep2, heard)) == 1
    assert len(of(m.AwarenessUpdate, heard)) == 1


def test_question_of_a_paused_member_waits(make_bench, typist):
    """Who asks for a large document while its connection is full gets it afterwards, and is not closed for it."""
    bench = make_bench(limits=RoomLimits(held_bytes=1_000))
    bench.join(1)
    bench.join(2)
    bench.say(2, m.SyncUpdate(typist.type("x" * 5_000)))
    bench.heard.clear()
    bench.put(e.Paused(1))
    bench.say(1, m.SyncStep1(b"\x00"), m.QueryAwareness())
    assert bench.take(1) == []
    bench.put(e.Resumed(1))
    assert of(m.SyncStep2, bench.take(1)) == [m.SyncStep2(bench.room.document.encoded())]
    assert bench.closed == {}


def test_updates_that_wait_are_bounded_and_looked_at_once(make_bench, make_typist):
    """Updates whose dependency never comes are bounded by their number too; the rest of the room pays nothing."""
    limits = RoomLimits(waiting_updates=50)
    bench = make_bench(limits=limits)
    lost = make_typist(7)
    lost.type("never sent")
    bench.join(1)
    bench.say(1, *(m.SyncUpdate(lost.type("x")) for _ in range(50)))
    assert len(of(m.SyncStep1, bench.take(1))) == 2, "the welcome's, and one for all that wait"
    assert bench.closed == {}
    bench.say(1, m.SyncUpdate(lost.type("x")))
    code, reason = bench.closed[1]
    assert code == CloseCode.LIMIT_EXCEEDED
    assert "waiting_updates = 50" in reason


def test_updates_that_waited_come_in_order(make_bench, make_typist):
    """A chain of updates that arrives backwards is whole when its beginning comes."""
    bench = make_bench()
    typist = make_typist(7)
    updates = [typist.type(letter) for letter in "abcdefgh"]
    bench.join(1)
    for update in reversed(updates):
        bench.say(1, m.SyncUpdate(update))
    assert str(bench.room.document.doc.get("text", type=Text)) == "abcdefgh"
    assert (bench.room.document.waiting, bench.room.document.waiting_bytes) == (0, 0)
    bench.store()
    acknowledged = [each.update for each in of(m.SyncUpdate, bench.take(1))]
    assert sorted(acknowledged) == sorted(updates)


def test_reader_has_no_large_updates_read(make_bench, typist):
    """Who may only read cannot have the server read through megabytes, well formed or not."""
    bench = make_bench(limits=RoomLimits(reader_update_bytes=100))
    bench.join(1, write=False)
    bench.say(1, m.SyncUpdate(b"\xff" * 200))
    assert [each.code for each in of(m.Refused, bench.take(1))] == ["read_only"]
    assert bench.closed == {}


def test_what_the_disk_does_not_take_is_bounded(make_bench, typist):
    """While nothing can be stored, members may change so much and no more; what was taken is stored afterwards."""
    bench = make_bench(limits=RoomLimits(unstored_bytes=300))
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("x" * 100)))
    bench.put(e.StoreFailed("the disk is full"))
    bench.say(1, m.SyncUpdate(typist.type("y" * 100)))
    assert bench.closed == {}
    bench.say(1, m.SyncUpdate(typist.type("z" * 100)))
    assert bench.closed[1][0] == CloseCode.TRY_AGAIN_LATER
    bench.appended.clear()
    bench.wait(1.0)
    bench.store()
    assert [len(each.update) > 100 for each in bench.records] == [True, True]
    assert bench.room.log.unstored_bytes == 0


# --- presence --------------------------------------------------------------------------------


def present(client: int, clock: int = 1, state: str = "{}") -> m.AwarenessUpdate:
    return m.AwarenessUpdate((m.AwarenessState(client, clock, state),))


def test_presence_of_one_never_closes_another(make_bench):
    """A member that fills the room's presence is not shown; who was there before moves on unharmed."""
    limits = RoomLimits(awareness_clients=4, member_awareness_clients=3)
    bench = make_bench(limits=limits)
    bench.join(1)
    bench.join(2)
    bench.say(1, present(1))
    bench.say(2, present(21), present(22), present(23))
    bench.join(3)
    bench.say(3, present(3))
    bench.say(1, present(1, 2, '{"a":1}'))
    bench.wait(1.0)
    bench.join(4)
    (shown,) = of(m.AwarenessUpdate, bench.take(4))
    assert {each.client for each in shown.states} == {1, 21, 22, 23}
    assert m.AwarenessState(1, 2, '{"a":1}') in shown.states
    assert bench.closed == {}


def test_departed_presence_is_bounded(make_bench):
    """Clients that come and go by the thousand are not remembered by the thousand, and take no one's place."""
    bench = make_bench(limits=RoomLimits(awareness_clients=10, awareness_bytes=1_000))
    bench.join(1)
    bench.join(2)
    for client in range(100, 1_100):
        bench.say(1, present(client), present(client, 2, "null"))
        bench.wait(0.1)
    bench.say(2, present(5, 1, '{"a":1}'))
    bench.wait(0.1)
    bench.join(3)
    (shown,) = of(m.AwarenessUpdate, bench.take(3))
    assert [each.client for each in shown.states] == [5]
    assert len(bench.room._presence._known) < 30


@pytest.mark.parametrize("clock", [MAX_INTEGER - 1, MAX_INTEGER])
def test_last_clock_of_presence_ends_no_room(bench, clock):
    """A client with the highest clock there is leaves like any other: the room can still say that it is gone."""
    bench.join(1)
    bench.join(2)
    bench.say(1, present(11, clock))
    bench.put(e.Left(1))
    bench.wait(1.0)
    assert of(m.AwarenessUpdate, bench.take(2))[-1] == present(11, MAX_INTEGER, "null")


# --- programs --------------------------------------------------------------------------------


def test_outputs_of_an_evaluation_are_bounded_together(make_bench):
    """Rich outputs and errors have a bound in all; an output that is shown anew makes room for itself."""
    bench = make_bench(PLAN, limits=RoomLimits(output_bytes=1_000, evaluation_bytes=1_500))
    bench.join(1)
    bench.say(1, m.Evaluate(1, "e1", "a", "x"))
    big = {"text/plain": "x" * 900}
    bench.put(p.EngineSaid("python", engine.Started("e1", 1)))
    for event in (
        engine.Display("e1", big, display="d"),
        *(engine.Display("e1", big, display="d", update=True),) * 5,
        engine.Display("e1", big),
        engine.Raised("e1", "E", "v" * 900, []),
    ):
        bench.put(p.EngineSaid("python", event))
        bench.wait(0.1)
    outputs = bench.room.document.doc.get("cells", type=Array).to_py()[0]["outputs"]
    assert outputs[0]["data"] == big
    assert "not shown" in outputs[1]["data"]["text/plain"]
    assert "not shown" in outputs[2]["evalue"]


def test_terminal_modes_are_bounded(make_bench):
    """A program that sets modes without end does not fill the room's memory, nor newcomers' screens."""
    bench = make_bench(PLAN)
    bench.join(1)
    bench.say(1, m.TerminalResize("t", 80, 24))
    for number in range(0, 5_000, 50):
        data = b"".join(b"\x1b[?%dh" % (10_000 + number + i) for i in range(50)) + b"\x1b[3J"
        bench.put(p.TerminalWrote("t", data))
    bench.join(2)
    (screen,) = of(m.TerminalScreen, bench.take(2))
    assert len(screen.data) < 2_000
