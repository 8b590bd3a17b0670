"""When an interrupt strikes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from engineroom.programs.engines.python.interrupts import Interrupts


def running(code: Callable[[], None]) -> None:
    """Stands for the frame above which the user's code runs."""
    code()


def resting(code: Callable[[], None]) -> None:
    """Stands for the engine's own loop."""
    code()


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    """Handles SIGINT during the test."""
    before = signal.getsignal(signal.SIGINT)
    interrupts = Interrupts(running=running.__code__, resting=resting.__code__)
    interrupts.begin()
    yield interrupts
    signal.signal(signal.SIGINT, before)


def strike() -> None:
    """SIGINT, now."""
    signal.raise_signal(signal.SIGINT)


def test_in_the_users_code(interrupts: Interrupts) -> None:
    """In the user's code an interrupt strikes at once, also beyond the engine's loop."""
    with pytest.raises(KeyboardInterrupt):
        resting(lambda: running(strike))


def test_in_the_engines_code(interrupts: Interrupts) -> None:
    """In the engine's code it waits for `check`, once."""
    resting(strike)
    with pytest.raises(KeyboardInterrupt):
        interrupts.check()
    interrupts.check()


def test_forgotten_when_idle(interrupts: Interrupts) -> None:
    """What came before an evaluation begins is forgotten."""
    resting(strike)
    interrupts.begin()
    interrupts.check()


def test_held_back(interrupts: Interrupts) -> None:
    """Held back in the user's code, it strikes as soon as it is held no more."""
    reached: list[str] = []

    def code() -> None:
        with interrupts:
            with interrupts:
                strike()
            reached.append("inside")
        reached.append("after")

    with pytest.raises(KeyboardInterrupt):
        resting(lambda: running(code))
    assert reached == ["inside"]


def test_held_back_in_the_engines_code(interrupts: Interrupts) -> None:
    """Held back in the engine's own code, it goes on waiting."""

    def code() -> None:
        with interrupts:
            strike()

    resting(code)
    with pytest.raises(KeyboardInterrupt):
        interrupts.check()


def test_stack_of_its_own(interrupts: Interrupts) -> None:
    """A stack with neither frame, as a greenlet has, is the user's."""
    with pytest.raises(KeyboardInterrupt):
        strike()
