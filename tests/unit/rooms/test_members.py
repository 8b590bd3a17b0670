"""Members: joining, leaving, presence, values, and those who cannot keep up."""

from __future__ import annotations

import json

import msgspec
import pytest
from pycrdt import Doc, Map, Text

from engineroom.errors import CloseCode
from engineroom.protocols import lines
from engineroom.protocols import messages as m
from engineroom.protocols.yjs import YjsDialect
from engineroom.rooms import effects as e
from engineroom.rooms import programs as p
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.plan import Plan, ValuePlan


def state(client, clock, name="Ada"):
    text = "null" if name is None else json.dumps({"user": {"name": name}})
    return m.AwarenessState(client, clock, text)


def present(*states):
    return m.AwarenessUpdate(tuple(states))


def number(value):
    return m.Value(m.ValueKind.JSON, json.dumps(value).encode())


def of(kind, heard):
    return [each for each in heard if isinstance(each, kind)]


# --- joining ---------------------------------------------------------------------------------


def test_page_member_is_welcomed_first(bench):
    """A page's member hears Welcome, then the room's Step 1, in its first turn."""
    bench.join(1)
    welcome, step, *_ = bench.take(1)
    facts = msgspec.json.decode(welcome.json)
    assert facts["address"] == "write@abc"
    assert facts["rights"] == ["read", "write", "run"]
    assert isinstance(step, m.SyncStep1)


def test_yjs_member_hears_only_its_dialect(bench):
    """A y-websocket client is never sent a message that its dialect does not have."""
    bench.join(1, YjsDialect())
    bench.join(2)
    bench.say(2, m.SetValue(1, "/x", number(1)))
    kinds = {type(each) for each in bench.take(1)}
    assert kinds <= {m.SyncStep1, m.SyncUpdate, m.AwarenessUpdate}


def test_too_many_members_are_refused(make_bench):
    """The member past the limit is closed with the limit's name; the others stay."""
    bench = make_bench(limits=RoomLimits(room_members=1))
    bench.join(1)
    bench.join(2)
    assert bench.closed == {2: (CloseCode.LIMIT_EXCEEDED, "limit reached: room_members = 1")}


# --- presence --------------------------------------------------------------------------------


def test_newcomer_sees_who_is_there(bench):
    """The presence of everybody is told at the join."""
    bench.join(1)
    bench.say(1, present(state(11, 1)))
    bench.join(2)
    assert of(m.AwarenessUpdate, bench.take(2)) == [present(state(11, 1))]


def test_presence_is_coalesced(bench):
    """Of many states of one client within a tick, the others hear the first at once and then the latest."""
    bench.join(1)
    bench.join(2)
    bench.heard.clear()
    for clock in range(1, 50):
        bench.say(1, present(state(11, clock)))
    bench.wait(1.0)
    heard = of(m.AwarenessUpdate, bench.take(2))
    assert heard == [present(state(11, 1)), present(state(11, 49))]


def test_presence_is_echoed_to_its_sender(bench):
    """The sender hears its own renewal: y-websocket's clients take it as a sign of life."""
    bench.join(1)
    bench.say(1, present(state(11, 1)))
    assert of(m.AwarenessUpdate, bench.take(1)) == [present(state(11, 1))]


def test_repeated_presence_is_dropped(bench):
    """A client that sends back what it heard causes nothing."""
    bench.join(1)
    bench.join(2)
    bench.say(1, present(state(11, 1)))
    bench.wait(1.0)
    bench.heard.clear()
    assert not of(e.Send, bench.say(2, present(state(11, 1))))


def test_leave_is_announced(bench):
    """When a member's connection ends, the others hear that its clients are gone."""
    bench.join(1)
    bench.join(2)
    bench.say(1, present(state(11, 1)))
    bench.wait(1.0)
    bench.heard.clear()
    bench.put(e.Left(1))
    bench.wait(0.1)
    assert of(m.AwarenessUpdate, bench.take(2)) == [present(state(11, 2, None))]


def test_no_ghosts(bench):
    """A late echo of somebody who has left does not bring them back."""
    bench.join(1)
    bench.join(2)
    bench.say(1, present(state(11, 5)))
    bench.put(e.Left(1))
    bench.say(2, present(state(11, 5)))
    bench.wait(1.0)
    bench.join(3)
    assert of(m.AwarenessUpdate, bench.take(3)) == []


def test_query_is_answered(bench):
    """Message type 3 is answered with everybody's presence."""
    bench.join(1)
    bench.say(1, present(state(11, 1)))
    bench.heard.clear()
    bench.say(1, m.QueryAwareness())
    assert present(state(11, 1)) in bench.take(1)


@pytest.mark.parametrize(
    "limit", [{"member_awareness_clients": 3}, {"member_awareness_bytes": 100}]
)
def test_presence_is_bounded(make_bench, limit):
    """A client that makes presence grow past what a member may is closed."""
    bench = make_bench(limits=RoomLimits(**limit))
    bench.join(1)
    bench.say(1, present(*(state(client, 1, "x" * 10) for client in range(1, 10))))
    code, reason = bench.closed[1]
    assert code == CloseCode.LIMIT_EXCEEDED
    assert next(iter(limit)) in reason


# --- values ----------------------------------------------------------------------------------


def test_value_reaches_everybody(bench):
    """A value that one member sets is told to all, and its setter hears that it is done."""
    bench.join(1)
    bench.join(2)
    bench.heard.clear()
    bench.say(1, m.SetValue(7, "/speed", number(3)))
    assert bench.take(2) == [m.ValueChanged("/speed", 1, number(3))]
    assert bench.take(1) == [m.ValueChanged("/speed", 1, number(3)), m.Done(7)]


@pytest.mark.parametrize("plain", [0, False, "", None, [], {"a": [1, 2.5]}])
def test_every_json_value_arrives(bench, plain):
    """Zero, false, the empty text and null are values like any other."""
    bench.join(1)
    bench.say(1, m.SetValue(1, "/v", number(plain)))
    bench.join(2)
    assert of(m.ValueChanged, bench.take(2)) == [m.ValueChanged("/v", 1, number(plain))]


def test_values_survive_the_room(bench):
    """A settled value is there when the room opens again, whole numbers as whole numbers, bytes as bytes."""
    bench.join(1)
    bench.say(1, m.SetValue(1, "/speed", number(3)))
    bench.say(1, m.SetValue(2, "/picture", m.Value(m.ValueKind.BYTES, b"\x00\xff")))
    bench.wait(2.0)
    bench.store()
    again = bench.reopened()
    again.join(1)
    values = {each.address: each.value for each in of(m.ValueChanged, again.take(1))}
    assert values == {"/speed": number(3), "/picture": m.Value(m.ValueKind.BYTES, b"\x00\xff")}


def test_slider_does_not_become_history(bench):
    """A thousand moves within a second write the document twice at the most."""
    bench.join(1)
    for step in range(1_000):
        bench.say(1, m.SetValue(0, "/speed", number(step)))
        bench.wait(0.001)
    bench.wait(2.0)
    bench.store()
    assert len(bench.records) <= 2


def test_page_states_first_values(make_bench):
    """A value's first content comes from the page; one that was set stays when the room opens again."""
    bench = make_bench(Plan("p", "1", values=(ValuePlan("/a", "1"), ValuePlan("/b", "2"))))
    bench.join(1)
    bench.say(1, m.SetValue(1, "/a", number(5)))
    bench.wait(2.0)
    bench.store()
    again = bench.reopened()
    again.join(1)
    told = {each.address: each.value for each in of(m.ValueChanged, again.take(1))}
    assert told == {"/a": number(5), "/b": number(2)}


@pytest.mark.parametrize("address", ["speed", "#sync", "/a//b", "", "/" + "x" * 300])
def test_bad_value_address_is_refused(bench, address):
    """An address that cannot name a value is refused with code `address`; nothing is set."""
    bench.join(1)
    bench.heard.clear()
    bench.say(1, m.SetValue(5, address, number(1)))
    (answer,) = bench.take(1)
    assert (answer.request, answer.code) == (5, "address")


def test_values_are_bounded(make_bench):
    """Too many values, or one too large, are refused with the limit's name."""
    bench = make_bench(limits=RoomLimits(room_values=1, value_bytes=10))
    bench.join(1)
    bench.say(1, m.SetValue(1, "/a", number(1)), m.SetValue(2, "/b", number(1)))
    bench.say(1, m.SetValue(3, "/a", number("x" * 20)))
    refused = of(m.Refused, bench.take(1))
    assert [(each.request, each.code) for each in refused] == [(2, "limit"), (3, "limit")]


def test_reader_cannot_set_values(bench):
    """A member without the right to write cannot set a value."""
    bench.join(1, write=False, run=False)
    bench.heard.clear()
    bench.say(1, m.SetValue(1, "/a", number(1)))
    assert [each.code for each in bench.take(1)] == ["forbidden"]


# --- values and programs ---------------------------------------------------------------------


def answers(bench):
    taken = [
        (each.connection, each.message)
        for each in bench.orders
        if isinstance(each, p.AnswerProgram)
    ]
    bench.orders.clear()
    return taken


def test_program_sets_and_every_member_hears(bench):
    """What a program sets reaches all members of its room."""
    bench.join(1)
    bench.join(2)
    bench.heard.clear()
    bench.put(p.ProgramAsked(9, lines.Set("/speed", number(4), "a")))
    assert bench.take(1) == bench.take(2) == [m.ValueChanged("/speed", 1, number(4))]
    assert answers(bench) == [(9, lines.Ok("a"))]


def test_program_reads_at_once(bench):
    """A read is answered at once, also with no member there, and says so when there is no such value."""
    bench.put(p.ProgramAsked(9, lines.Get("/speed", 1)))
    assert answers(bench) == [(9, lines.ValueIs("/speed", None, 1))]


def test_program_that_watches_hears_now_and_then(bench):
    """A watch tells the value as it is and every change, from members and from other programs; unwatch ends it."""
    bench.join(1)
    bench.put(p.ProgramAsked(9, lines.Watch("/speed")))
    bench.say(1, m.SetValue(0, "/speed", number(1)))
    bench.put(p.ProgramAsked(8, lines.Set("/speed", number(2))))
    bench.say(1, m.SetValue(0, "/other", number(1)))
    bench.put(p.ProgramAsked(9, lines.Unwatch("/speed")))
    bench.say(1, m.SetValue(0, "/speed", number(3)))
    assert answers(bench) == [
        (9, lines.ValueIs("/speed", None)),
        (9, lines.ValueIs("/speed", number(1))),
        (9, lines.ValueIs("/speed", number(2))),
    ]


def test_watch_below_an_address(bench):
    """`/motor/*` covers all below `/motor/`, and nothing else."""
    bench.put(p.ProgramAsked(9, lines.Watch("/motor/*")))
    for address in ("/motor/left", "/motor/a/b", "/motor", "/motors/left"):
        bench.put(p.ProgramAsked(8, lines.Set(address, number(1))))
    assert [message.address for _, message in answers(bench)] == ["/motor/left", "/motor/a/b"]


def test_program_mistake_is_answered(bench):
    """A bad address is answered with what is wrong, and harms nothing."""
    bench.put(p.ProgramAsked(9, lines.Get("speed", 3)))
    ((_, answer),) = answers(bench)
    assert isinstance(answer, lines.Failed)
    assert answer.id == 3


def test_program_that_is_gone_is_forgotten(bench):
    """After a program's connection has ended nothing is sent to it."""
    bench.put(p.ProgramAsked(9, lines.Watch("/speed")))
    bench.orders.clear()
    bench.put(p.ProgramGone(9))
    bench.put(p.ProgramAsked(8, lines.Set("/speed", number(1))))
    assert answers(bench) == []


# --- members who cannot keep up --------------------------------------------------------------


def test_paused_member_gets_one_difference(bench, typist):
    """While its outbox is full a member is sent nothing; then it gets one difference, and has everything."""
    bench.join(1)
    bench.join(2)
    first = typist.type("before ")
    bench.say(1, m.SyncUpdate(first))
    bench.heard.clear()
    bench.put(e.Paused(2))
    for _ in range(100):
        bench.say(1, m.SyncUpdate(typist.type("x")))
    bench.say(1, m.SetValue(0, "/speed", number(5)))
    assert bench.take(2) == []
    bench.put(e.Resumed(2))
    heard = bench.take(2)
    (update,) = of(m.SyncUpdate, heard)
    doc = Doc()
    doc.apply_update(first)
    doc.apply_update(update.update)
    assert str(doc.get("text", type=Text)) == typist.text()
    assert of(m.ValueChanged, heard) == [m.ValueChanged("/speed", 1, number(5))]


def test_acknowledgements_survive_the_pause(bench, typist):
    """A paused member's own updates are acknowledged once it can be told."""
    bench.join(1)
    bench.put(e.Paused(1))
    update = typist.type("x")
    bench.say(1, m.SyncUpdate(update))
    bench.store()
    bench.heard.clear()
    bench.put(e.Resumed(1))
    assert m.SyncUpdate(update) in bench.take(1)


def test_member_whose_acknowledgements_overflow_is_closed(make_bench, typist):
    """A member that never reads but writes on is closed at a bound, and nobody else is."""
    bench = make_bench(limits=RoomLimits(held_bytes=2_000))
    bench.join(1)
    bench.join(2)
    bench.put(e.Paused(1))
    while not bench.closed:
        bench.say(1, m.SyncUpdate(typist.type("x" * 50)))
        bench.store()
    assert bench.closed[1][0] == CloseCode.TOO_SLOW
    assert list(bench.closed) == [1]


# --- the end ---------------------------------------------------------------------------------


def test_room_lingers_then_ends(bench, typist):
    """After the last leave and `linger_seconds` the room ends, with all it had stored."""
    bench.join(1)
    bench.say(1, m.SyncUpdate(typist.type("x")))
    bench.put(e.Left(1))
    bench.wait(29.0)
    assert not bench.ended
    bench.wait(2.0)
    assert not bench.ended, "nothing is durable yet"
    bench.store()
    assert bench.ended


def test_room_that_is_joined_while_it_lingers_stays(bench):
    """A join during the lingering keeps the room."""
    bench.join(1)
    bench.put(e.Left(1))
    bench.wait(29.0)
    bench.join(2)
    bench.wait(100.0)
    assert not bench.ended


def test_unsettled_value_is_written_before_the_end(make_bench):
    """A value set in the last moment is in the document before the room ends."""
    bench = make_bench(limits=RoomLimits(linger_seconds=0.0))
    bench.join(1)
    bench.put(e.Received(1, m.SetValue(0, "/speed", number(9))), e.Left(1))
    bench.wait(0.1)
    bench.store()
    assert bench.ended
    assert bench.room.document.doc.get("values", type=Map).to_py() == {"/speed": 9.0}


def test_ending_tells_members_to_come_back(bench, typist):
    """When the server goes down, members are closed with 1012 and what they wrote is stored first."""
    bench.join(1)
    bench.put(e.Received(1, m.SyncUpdate(typist.type("x"))), e.Ending())
    assert bench.closed[1][0] == CloseCode.SERVICE_RESTART
    assert not bench.ended
    bench.store()
    assert bench.ended
