"""The token bucket."""

from __future__ import annotations

from engineroom.rooms.allowance import Allowance


def test_two_seconds_may_be_used_at_once() -> None:
    """A bucket begins full, with what two seconds bring."""
    allowance = Allowance(10, now=0.0)
    assert [allowance.take(1, 0.0) for _ in range(21)] == [True] * 20 + [False]


def test_it_fills_with_time() -> None:
    """After half a second there is half a second's worth."""
    allowance = Allowance(10, now=0.0)
    allowance.take(20, 0.0)
    assert [allowance.take(1, 0.5) for _ in range(6)] == [True] * 5 + [False]


def test_a_clock_that_is_set_back_adds_nothing_and_takes_nothing() -> None:
    """Time that goes backwards leaves the bucket as it is."""
    allowance = Allowance(10, now=100.0)
    allowance.take(20, 100.0)
    assert not allowance.take(1, 50.0)
    assert allowance.take(1, 50.2)


def test_one_large_piece_passes_a_full_bucket() -> None:
    """A message larger than the allowance is not refused for ever, but what follows waits for it."""
    allowance = Allowance(10, now=0.0)
    assert allowance.take(50, 0.0)
    assert not allowance.take(1, 1.0)
    assert allowance.take(1, 3.2)
