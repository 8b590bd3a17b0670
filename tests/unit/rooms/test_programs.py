"""Evaluations, outputs and terminals, as the room sees them."""

from __future__ import annotations

import pytest
from pycrdt import Array, Doc

from engineroom.errors import CloseCode
from engineroom.protocols import engine
from engineroom.protocols import messages as m
from engineroom.protocols.lib0 import var_string, var_uint
from engineroom.rooms import effects as e
from engineroom.rooms import programs as p
from engineroom.rooms.cells import seed_client_id
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.outputs import overtyped
from engineroom.rooms.plan import CellPlan, Plan, TerminalPlan

PLAN = Plan(
    "run",
    "1",
    cells=(CellPlan("a", "python", "1 + 1"), CellPlan("b", "python", "2")),
    terminals=(TerminalPlan("t", ("bash", "-l")),),
)


@pytest.fixture
def bench(make_bench):
    """A room of a page with two cells and a terminal, and one member in it."""
    bench = make_bench(PLAN)
    bench.join(1)
    bench.heard.clear()
    return bench


def cell(bench, name="a"):
    cells = bench.room.document.doc.get("cells", type=Array).to_py()
    return next(each for each in cells if each["id"] == name)


def notes(bench, name="a"):
    return cell(bench, name)["metadata"].get("evaluation")


def ask(bench, evaluation="e1", name="a", code="1 + 1", member=1):
    bench.say(member, m.Evaluate(1, evaluation, name, code))


def say(bench, *events):
    bench.put(*(p.EngineSaid("python", event) for event in events))


def of(kind, items):
    return [each for each in items if isinstance(each, kind)]


# --- evaluations -----------------------------------------------------------------------------


def test_evaluation_from_question_to_result(bench):
    """An evaluation is queued, runs, shows its result and is done, all in the document."""
    ask(bench)
    assert bench.orders == [p.AskEngine("python", engine.Evaluate("e1", "1 + 1", "last"))]
    assert notes(bench)["state"] == "queued"
    assert notes(bench)["by"] == "somebody"
    say(bench, engine.Started("e1", 1))
    assert cell(bench)["execution_state"] == "running"
    say(
        bench,
        engine.Display("e1", {"text/plain": "2"}, result=True),
        engine.Done("e1", "ok", 1, 0.25),
    )
    assert notes(bench)["state"] == "done"
    assert notes(bench)["seconds"] == 0.25
    assert cell(bench)["execution_count"] == 1
    (output,) = cell(bench)["outputs"]
    assert output["output_type"] == "execute_result"
    assert output["data"] == {"text/plain": "2"}


def test_every_member_sees_the_outputs(bench):
    """What an evaluation writes reaches all members as ordinary updates."""
    bench.join(2)
    bench.heard.clear()
    ask(bench)
    say(
        bench,
        engine.Started("e1", 1),
        engine.Stream("e1", "stdout", "hi\n"),
        engine.Done("e1", "ok", 1, 0.1),
    )
    assert of(m.SyncUpdate, bench.take(2))


def test_asked_twice_runs_once(bench):
    """A client that asks again after a reconnection does not run its code again."""
    ask(bench)
    ask(bench)
    assert len(of(p.AskEngine, bench.orders)) == 1


def test_one_at_a_time_in_order(bench):
    """The second evaluation waits until the first has ended."""
    ask(bench, "e1", "a")
    ask(bench, "e2", "b")
    assert notes(bench, "b")["state"] == "queued"
    assert [each.request.id for each in of(p.AskEngine, bench.orders)] == ["e1"]
    say(bench, engine.Started("e1", 1), engine.Done("e1", "error", 1, 0.1))
    assert notes(bench, "a")["state"] == "failed"
    assert [each.request.id for each in of(p.AskEngine, bench.orders)] == ["e1", "e2"]


def test_who_asked_is_shown(bench):
    """The name that a member has given itself stands beside what it runs."""
    bench.say(1, m.AwarenessUpdate((m.AwarenessState(5, 1, '{"user": {"name": "Ada"}}'),)))
    ask(bench)
    assert notes(bench)["by"] == "Ada"


def test_interrupt_drops_the_queue(bench):
    """Interrupt stops what runs and forgets what waits."""
    ask(bench, "e1", "a")
    ask(bench, "e2", "b")
    bench.say(1, m.Interrupt(3, "python"))
    assert p.InterruptEngine("python") in bench.orders
    assert notes(bench, "b")["state"] == "interrupted"
    say(bench, engine.Started("e1", 1), engine.Done("e1", "interrupted", 1, 0.1))
    assert notes(bench, "a")["state"] == "interrupted"
    assert len(of(p.AskEngine, bench.orders)) == 1


def test_engine_that_dies_says_so(bench):
    """When the engine dies, what ran has failed, with the reason; the next evaluation is asked for as usual."""
    ask(bench)
    say(bench, engine.Started("e1", 1))
    bench.put(p.EngineChanged("python", "dead", "killed: out of memory"))
    assert notes(bench)["state"] == "failed"
    assert notes(bench)["reason"] == "killed: out of memory"
    assert m.EngineState("python", "dead", "killed: out of memory") in bench.take(1)
    ask(bench, "e2")
    assert of(p.AskEngine, bench.orders)[-1].request.id == "e2"


def test_server_crash_leaves_it_lost(bench):
    """What ran when the server was killed is marked as lost, with its outputs, when the room opens again."""
    ask(bench)
    say(bench, engine.Started("e1", 1), engine.Stream("e1", "stdout", "so far\n"))
    bench.wait(1.0)
    bench.store()
    again = bench.reopened()
    again.join(1)
    assert notes(again)["state"] == "lost"
    assert cell(again)["execution_state"] == "idle"
    assert cell(again)["outputs"][0]["text"] == "so far\n"


def test_room_stays_for_a_running_evaluation(bench):
    """A room whose members have left does not end before its evaluation does."""
    ask(bench)
    say(bench, engine.Started("e1", 1))
    bench.put(e.Left(1))
    bench.store()
    bench.wait(100.0)
    assert not bench.ended
    say(bench, engine.Done("e1", "ok", 1, 100.0))
    bench.store()
    bench.wait(1.0)
    bench.store()
    assert bench.ended


def test_evaluation_has_a_lifetime_limit(bench):
    """An evaluation that never ends keeps a room without members for `evaluation_seconds` at the most."""
    ask(bench)
    say(bench, engine.Started("e1", 1))
    bench.put(e.Left(1))
    bench.store()
    bench.wait(bench.limits.evaluation_seconds + 1)
    bench.store()
    assert bench.ended


def test_input_is_asked_and_answered(bench):
    """`input()` shows its prompt to all; any member who may run can answer; the answer is shown and handed on."""
    bench.join(2)
    ask(bench)
    say(bench, engine.Started("e1", 1), engine.InputRequest("e1", "Name? "))
    assert notes(bench)["prompt"] == "Name? "
    bench.say(2, m.AnswerInput(4, "e1", "Ada"))
    assert bench.orders[-1] == p.AskEngine("python", engine.Answer("e1", "Ada"))
    assert "prompt" not in notes(bench)
    say(bench, engine.Done("e1", "ok", 1, 0.1))
    assert cell(bench)["outputs"][0]["text"] == "Name? Ada\n"


def test_password_is_not_shown(bench):
    """The answer to a password prompt does not stand in the document."""
    ask(bench)
    say(bench, engine.Started("e1", 1), engine.InputRequest("e1", "Key: ", password=True))
    bench.say(1, m.AnswerInput(4, "e1", "s3cret"))
    say(bench, engine.Done("e1", "ok", 1, 0.1))
    assert "s3cret" not in str(cell(bench))


@pytest.mark.parametrize(
    "request_",
    [
        m.Evaluate(9, "e", "nope", "1"),
        m.Interrupt(9, "nope"),
        m.Restart(9, "nope"),
        m.Complete(9, "nope", "x", 0),
        m.AnswerInput(9, "nope", "x"),
    ],
)
def test_what_the_page_does_not_have_is_refused(bench, request_):
    """A visitor can only name what the page states."""
    bench.heard.clear()
    bench.say(1, request_)
    (answer,) = bench.take(1)
    assert (answer.request, answer.code) == (9, "program")
    assert bench.orders == []


def test_member_without_the_right_runs_nothing(bench):
    """Without the right to run, nothing reaches a program."""
    bench.join(2, run=False)
    bench.heard.clear()
    bench.say(
        2,
        m.Evaluate(1, "e", "a", "1"),
        m.Restart(2, "python"),
        m.TerminalResize("t", 80, 24),
        m.TerminalInput("t", b"ls\n"),
    )
    assert bench.orders == []
    assert {each.code for each in of(m.Refused, bench.take(2))} == {"forbidden"}


def test_queue_is_bounded(make_bench):
    """Past `queued_evaluations` the next one is refused."""
    bench = make_bench(PLAN, limits=RoomLimits(queued_evaluations=2))
    bench.join(1)
    for i in range(4):
        ask(bench, f"e{i}")
    assert [each.code for each in of(m.Refused, bench.take(1))] == ["limit"]


def test_completion_counts_utf16_units(bench):
    """Offsets are UTF-16 units on the page's side and code points on the engine's."""
    bench.say(1, m.Complete(6, "a", "'😀'.up", 7))
    assert bench.orders == [p.AskEngine("python", engine.Complete("1:6", "'😀'.up", 6))]
    say(bench, engine.Completions("1:6", 4, 6, ["upper"]))
    assert m.Completions(6, 5, 7, ("upper",)) in bench.take(1)


# --- outputs ---------------------------------------------------------------------------------


def run(bench, *events):
    ask(bench)
    say(bench, engine.Started("e1", 1), *events, engine.Done("e1", "ok", 1, 0.1))
    return cell(bench)["outputs"]


def test_outputs_are_coalesced(bench):
    """Twenty thousand prints within a second make a few dozen updates, not twenty thousand."""
    ask(bench)
    say(bench, engine.Started("e1", 1))
    bench.heard.clear()
    for i in range(20_000):
        say(bench, engine.Stream("e1", "stdout", f"{i}\n"))
        bench.wait(0.00005)
    say(bench, engine.Done("e1", "ok", 1, 1.0))
    assert len(of(m.SyncUpdate, bench.take(1))) < 40
    assert cell(bench)["outputs"][0]["text"].splitlines() == [str(i) for i in range(20_000)]


def test_streams_keep_their_order(bench):
    """What goes to stdout and stderr in turn is shown in turn."""
    outputs = run(
        bench,
        engine.Stream("e1", "stdout", "a"),
        engine.Stream("e1", "stderr", "b"),
        engine.Display("e1", {"text/html": "<b>c</b>"}),
        engine.Stream("e1", "stdout", "d"),
    )
    assert [each.get("text") or each.get("data") for each in outputs] == [
        "a",
        "b",
        {"text/html": "<b>c</b>"},
        "d",
    ]


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["10%\r", "20%\r", "done\n"], "done\n"),
        (["abc\rX\n"], "Xbc\n"),
        (["one\r\ntwo\r\n"], "one\ntwo\n"),
        (["ab\bC\n"], "aC\n"),
        (["a\nb\r", "c"], "a\nc"),
        (["\x1b[31mlong line\x1b[0m\r", "short"], "short"),
        (["é\r", "ü€"], "ü€"),
    ],
)
def test_carriage_returns_are_applied(bench, texts, shown):
    """The document holds what a reader of a terminal would see, however the text was cut into pieces."""
    ask(bench)
    say(bench, engine.Started("e1", 1))
    for text in texts:
        say(bench, engine.Stream("e1", "stdout", text))
        bench.wait(0.1)
    assert cell(bench)["outputs"][0]["text"] == shown


def test_overtyping_in_pieces_is_overtyping_at_once():
    """Where the text is cut makes no difference."""
    text = "a\rbc\n\bd\re\nfgh\b\bX\r\n"
    whole, column = overtyped("", 0, text)
    for cut in range(len(text)):
        first, at = overtyped("", 0, text[:cut])
        head, newline, last = first.rpartition("\n")
        second, end = overtyped(last, at, text[cut:])
        assert (head + newline + second, end) == (whole, column)


def test_long_stream_keeps_its_end_and_loses_nothing(make_bench):
    """The document holds the end of a long stream; beginning and end together, beside it, are the whole."""
    bench = make_bench(PLAN, limits=RoomLimits(stream_bytes=1_000))
    bench.join(1)
    text = "".join(f"line {i} é\n" for i in range(1_000))
    events = [engine.Stream("e1", "stdout", text[i : i + 777]) for i in range(0, len(text), 777)]
    ask(bench)
    say(bench, engine.Started("e1", 1))
    for event in events:
        say(bench, event)
        bench.wait(0.05)
    output = cell(bench)["outputs"][0]
    assert text.endswith(output["text"])
    assert len(output["text"].encode()) <= 1_250
    assert output["omitted"] == len(text) - len(output["text"])
    assert output["whole"] == "/-/outputs/e1/0/write@abc"
    say(bench, engine.Done("e1", "ok", 1, 1.0))
    assert "".join(each.text for each in bench.kept) == text


def test_flood_in_one_piece(make_bench):
    """Twenty megabytes at once are cut before they come near the document."""
    bench = make_bench(PLAN)
    bench.join(1)
    text = "0123456789abcde\n" * (20 << 16)
    outputs = run(bench, engine.Stream("e1", "stdout", text))
    assert len(outputs[0]["text"]) <= bench.limits.stream_bytes
    assert "".join(each.text for each in bench.kept) == text


def test_display_is_updated_in_place(bench):
    """An update replaces the content of the display it names, and adds no output."""
    outputs = run(
        bench,
        engine.Display("e1", {"text/plain": "1"}, display="d"),
        engine.Stream("e1", "stdout", "between\n"),
        engine.Display("e1", {"text/plain": "2"}, display="d", update=True),
    )
    assert outputs[0]["data"] == {"text/plain": "2"}
    assert len(outputs) == 2


def test_clear_output(bench):
    """Clearing removes what was shown; with `wait`, when the next output comes."""
    ask(bench)
    say(
        bench,
        engine.Started("e1", 1),
        engine.Stream("e1", "stdout", "old"),
        engine.ClearOutput("e1", wait=True),
    )
    bench.wait(0.1)
    assert cell(bench)["outputs"][0]["text"] == "old"
    say(bench, engine.Stream("e1", "stdout", "new"))
    bench.wait(0.1)
    assert [each["text"] for each in cell(bench)["outputs"]] == ["new"]


def test_error_is_an_output(bench):
    """An exception shows its traceback among the outputs."""
    (output,) = run(bench, engine.Raised("e1", "ValueError", "no", ["Traceback", "ValueError: no"]))
    assert (output["ename"], output["evalue"]) == ("ValueError", "no")
    assert output["traceback"] == ["Traceback", "ValueError: no"]


def test_outputs_are_bounded_in_number_and_size(make_bench):
    """Past `outputs` one note is shown instead of the rest; a rich output past `output_bytes` is named, not shown."""
    bench = make_bench(PLAN, limits=RoomLimits(evaluation_outputs=3, output_bytes=10))
    bench.join(1)
    outputs = run(
        bench, *(engine.Display("e1", {"text/plain": "x" * (5 + 10 * (i == 0))}) for i in range(9))
    )
    assert len(outputs) == 3
    assert "not shown" in outputs[0]["data"]["text/plain"]
    assert "rest is not shown" in outputs[2]["text"]


def test_second_run_begins_with_no_outputs(bench):
    """Outputs of the last run are removed when the next one begins."""
    run(bench, engine.Stream("e1", "stdout", "first"))
    ask(bench, "e2")
    say(bench, engine.Started("e2", 2))
    assert cell(bench)["outputs"] == []


def test_member_may_have_broken_the_document(bench):
    """A cell whose outputs a member has replaced by something else still runs and shows what comes."""
    bench.put(
        e.Edit(lambda doc: doc.get("cells", type=Array)[0].update({"outputs": 5, "metadata": "x"}))
    )
    outputs = run(bench, engine.Stream("e1", "stdout", "fine"))
    assert outputs[0]["text"] == "fine"


def test_text_among_the_outputs_does_not_stop_the_room(bench):
    """A member that puts text among the outputs, which no list holds, is sent away; the next run shows what comes."""
    doc = bench.room.document.doc
    update = doc.get_update()
    clock = next(c for c in range(100) if _is_outputs(update, c))
    hostile = b"\x01\x01\x09\x00\x04\x00" + var_uint(seed_client_id(PLAN)) + var_uint(clock)
    bench.say(1, m.SyncUpdate(hostile + var_string("😀😀") + b"\x00"))
    assert bench.closed[1][0] == CloseCode.PROTOCOL_ERROR
    outputs = run(bench, engine.Stream("e1", "stdout", "fine"))
    assert outputs[0]["text"] == "fine"


def _is_outputs(update, clock):
    """Whether the seed's item at `clock` is the Array `outputs` of the first cell."""
    doc = Doc()
    doc.apply_update(update)
    probe = b"\x01\x01\x09\x00\x08\x00" + var_uint(seed_client_id(PLAN)) + var_uint(clock)
    try:
        doc.apply_update(probe + b"\x01\x77\x01x\x00")
        return len(doc.get("cells", type=Array)[0]["outputs"]) == 1
    except RuntimeError:
        return False


def test_cell_that_was_removed_shows_nothing(bench):
    """Outputs of a cell that a member removed from the document go nowhere, and nothing fails."""
    ask(bench)
    bench.put(e.Edit(lambda doc: doc.get("cells", type=Array).clear()))
    say(
        bench,
        engine.Started("e1", 1),
        engine.Stream("e1", "stdout", "x"),
        engine.Done("e1", "ok", 1, 0.1),
    )
    assert not bench.closed


# --- terminals -------------------------------------------------------------------------------


def test_terminal_starts_when_it_is_shown(bench):
    """The first member who shows a terminal starts it, at the size it has there."""
    bench.say(1, m.TerminalResize("t", 100, 30))
    assert bench.orders == [p.StartTerminal("t", ("bash", "-l"), 100, 30)]


def test_input_reaches_the_program_alone(bench):
    """What a member types goes to the program and to no other member."""
    bench.join(2)
    bench.say(1, m.TerminalResize("t", 80, 24))
    bench.heard.clear()
    bench.say(1, m.TerminalInput("t", b"ls\n"))
    assert bench.orders[-1] == p.WriteTerminal("t", b"ls\n")
    assert bench.take(2) == []


def test_output_reaches_all_members(bench):
    """What the program writes in a turn reaches all members, in one message."""
    bench.join(2)
    bench.say(1, m.TerminalResize("t", 80, 24))
    bench.heard.clear()
    bench.put(p.TerminalWrote("t", b"one "), p.TerminalWrote("t", b"two"))
    assert bench.take(1) == bench.take(2) == [m.TerminalOutput("t", b"one two")]


def test_newcomer_sees_the_screen_once(bench):
    """A newcomer gets the screen so far, also what came in its own turn, and nothing twice."""
    bench.say(1, m.TerminalResize("t", 80, 24))
    bench.put(p.TerminalWrote("t", b"one "))
    bench.put(p.TerminalWrote("t", b"two"), e.Joined(2, *_visitor(bench)))
    heard = [
        each for each in bench.take(2) if isinstance(each, m.TerminalScreen | m.TerminalOutput)
    ]
    assert heard == [m.TerminalScreen("t", 80, 24, b"one two")]


def _visitor(bench):
    member = bench.room.members[1]
    return member.user, member.access, member.dialect


def test_smallest_size_counts(bench):
    """The terminal has the smallest of its members' sizes, and grows again when that one leaves."""
    bench.join(2)
    bench.say(1, m.TerminalResize("t", 100, 30))
    bench.say(2, m.TerminalResize("t", 80, 40))
    assert bench.orders[-1] == p.ResizeTerminal("t", 80, 30)
    bench.put(e.Left(2))
    assert bench.orders[-1] == p.ResizeTerminal("t", 100, 30)


def test_ended_terminal_starts_again_at_a_key(bench):
    """When the program has ended everybody is told; the next key starts it again."""
    bench.say(1, m.TerminalResize("t", 80, 24))
    bench.put(p.TerminalExited("t", 0, "exit code 0"))
    assert m.TerminalEnded("t", "exit code 0") in bench.take(1)
    bench.orders.clear()
    bench.say(1, m.TerminalInput("t", b"\r"))
    assert of(p.StartTerminal, bench.orders)


def test_screen_is_bounded_and_keeps_modes(make_bench):
    """The screen so far is bounded, begins at a line, and says which modes are in force."""
    bench = make_bench(PLAN, limits=RoomLimits(screen_bytes=1_000))
    bench.join(1)
    bench.say(1, m.TerminalResize("t", 80, 24))
    bench.put(p.TerminalWrote("t", b"\x1b[?20"), p.TerminalWrote("t", b"04h"))
    for i in range(1_000):
        bench.put(p.TerminalWrote("t", b"line %d\r\n" % i))
    bench.join(2)
    (screen,) = of(m.TerminalScreen, bench.take(2))
    assert screen.data.startswith(b"\x1b[?2004hline ")
    assert screen.data.endswith(b"line 999\r\n")
    assert len(screen.data) < 2_100


def test_paused_member_gets_the_screen(bench):
    """A member that could not keep up with a terminal is shown the screen when it can."""
    bench.say(1, m.TerminalResize("t", 80, 24))
    bench.put(e.Paused(1))
    bench.heard.clear()
    bench.put(p.TerminalWrote("t", b"missed"))
    assert bench.take(1) == []
    bench.put(e.Resumed(1))
    assert of(m.TerminalScreen, bench.take(1)) == [m.TerminalScreen("t", 80, 24, b"missed")]


def test_input_is_bounded(bench):
    """More than `input_bytes` at once is refused."""
    bench.say(1, m.TerminalResize("t", 80, 24))
    bench.say(1, m.TerminalInput("t", b"x" * (bench.limits.input_bytes + 1)))
    assert [each.code for each in of(m.Refused, bench.take(1))] == ["limit"]
