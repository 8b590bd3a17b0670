"""What sockets hold of unfinished messages."""

from __future__ import annotations

from collections import Counter

from engineroom.server.unfinished import FREE_BYTES, NO_BOUND, CommonPurse, Unfinished


def test_little_is_free() -> None:
    """A socket that holds less than the free amount takes nothing from the purse."""
    purse = CommonPurse(0)
    assert Unfinished(purse, NO_BOUND).grow(FREE_BYTES)
    assert purse.queued_bytes == 0


def test_all_sockets_together_are_bounded_and_the_limit_is_counted() -> None:
    """The socket that would pass the bound is refused; the others go on."""
    reached: Counter[str] = Counter()
    purse = CommonPurse(300_000, reached)
    first, second = Unfinished(purse, NO_BOUND), Unfinished(purse, NO_BOUND)
    assert first.grow(200_000)
    assert not second.grow(200_000)
    assert reached == {"unfinished_bytes": 1}
    first.end()
    assert purse.queued_bytes == 0
    assert second.grow(1)


def test_one_socket_has_a_bound_of_its_own() -> None:
    """A stranger may not take all that strangers have."""
    purse = CommonPurse(1 << 30)
    assert not Unfinished(purse, 100_000).grow(100_001)
    assert purse.queued_bytes == 0


def test_who_is_known_now_counts_among_the_known() -> None:
    """What it holds moves from one purse to the other."""
    strangers, known = CommonPurse(1 << 30), CommonPurse(1 << 30)
    message = Unfinished(strangers, 1 << 20)
    message.grow(200_000)
    assert message.move(known, NO_BOUND)
    assert (strangers.queued_bytes, known.queued_bytes) == (0, 200_000)
    message.end()
    assert known.queued_bytes == 0
