"""What was asked of an engine."""

from __future__ import annotations

import pytest

from engineroom.errors import LimitExceeded
from engineroom.programs.backend.asked import MAX_REQUESTS, Asked
from engineroom.protocols import engine


def test_evaluations_in_order() -> None:
    """The oldest evaluation is the one that runs; busy lasts until all are done."""
    asked = Asked()
    assert (asked.busy, asked.oldest) == (False, None)
    asked.accept(engine.Evaluate("a", ""))
    asked.accept(engine.Evaluate("b", ""))
    assert (asked.busy, asked.oldest, asked.has_started("a")) == (True, "a", False)
    assert asked.concerns(engine.Started("a", 1))
    assert asked.has_started("a")
    assert asked.concerns(engine.Done("a", "ok", 1, 0.1))
    assert asked.oldest == "b"
    assert asked.concerns(engine.Done("b", "ok", 2, 0.1))
    assert not asked.busy


@pytest.mark.parametrize(
    "event",
    [
        engine.Started("x", 1),
        engine.Stream("x", "stdout", ""),
        engine.InputRequest("x", ""),
        engine.Done("x", "ok", 1, 0.0),
        engine.Completions("x", 0, 0, []),
    ],
)
def test_events_about_nothing_asked(event: engine.Event) -> None:
    """What an engine says about something that was never asked, or is done, concerns nobody."""
    asked = Asked()
    asked.accept(engine.Evaluate("a", ""))
    assert not asked.concerns(event)
    asked.accept(engine.Evaluate("x", ""))
    asked.accept(engine.Complete("x", "", 0))
    assert asked.concerns(event)


def test_output_of_no_evaluation() -> None:
    """Output that belongs to no evaluation, a background thread's, concerns the caller."""
    assert Asked().concerns(engine.Stream("", "stdout", "late"))


def test_answers() -> None:
    """One answer goes to each question, and none to an evaluation that does not ask or is done."""
    asked = Asked()
    answer = engine.Answer("a", "text")
    asked.accept(engine.Evaluate("a", ""))
    assert not asked.accept(answer)
    asked.concerns(engine.InputRequest("a", "?"))
    assert asked.accept(answer)
    assert not asked.accept(answer)
    asked.concerns(engine.InputRequest("a", "?"))
    asked.concerns(engine.Done("a", "ok", 1, 0.0))
    assert not asked.accept(answer)


def test_bound() -> None:
    """Only so many requests wait at a time."""
    asked = Asked()
    for number in range(MAX_REQUESTS):
        asked.accept(engine.Complete(str(number), "", 0))
    with pytest.raises(LimitExceeded):
        asked.accept(engine.Complete("more", "", 0))
    asked.concerns(engine.Completions("0", 0, 0, []))
    assert asked.accept(engine.Complete("more", "", 0))
