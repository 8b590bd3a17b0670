"""The ledger alone: which changes are durable, told from echoes."""

from engineroom.client.ledger import EMPTY_UPDATE, Ledger

TYPED = b"\x01typed"
ERASED = b"\x00erased"


def ledger_of(*updates: bytes) -> Ledger:
    """One change for each update, sent."""
    ledger = Ledger()
    for update in updates:
        ledger.change()
        ledger.sent(update)
    return ledger


def test_a_change_is_durable_when_its_update_has_come_back() -> None:
    """The echo of an update makes the changes durable that it covers."""
    ledger = Ledger()
    ledger.change()
    ledger.change()
    assert ledger.sent(TYPED) == [TYPED]
    assert ledger.unacknowledged == 2
    assert ledger.echoed(TYPED)
    assert ledger.unacknowledged == 0


def test_what_is_not_ours_is_no_echo() -> None:
    """Another's update, and an echo that came before, are told apart from ours."""
    ledger = ledger_of(TYPED)
    assert not ledger.echoed(b"\x01another")
    assert ledger.echoed(TYPED)
    assert not ledger.echoed(TYPED)


def test_a_change_that_was_not_sent_stays_unacknowledged() -> None:
    """Changes made after the last sending are not covered by its echo."""
    ledger = ledger_of(TYPED)
    ledger.change()
    ledger.echoed(TYPED)
    assert (ledger.made, ledger.durable) == (2, 1)


def test_echoes_out_of_order_wait_for_the_oldest() -> None:
    """A server may keep one update back: nothing after it counts before it has come back."""
    ledger = ledger_of(b"\x01a", b"\x01b", b"\x01c")
    assert ledger.echoed(b"\x01b")
    assert ledger.durable == 0
    assert ledger.echoed(b"\x01a")
    assert ledger.durable == 2
    assert ledger.echoed(b"\x01c")
    assert ledger.durable == 3


def test_equal_updates_are_counted() -> None:
    """Two sendings of the same bytes need two echoes."""
    ledger = ledger_of(TYPED, TYPED)
    ledger.echoed(TYPED)
    assert ledger.durable == 1
    ledger.echoed(TYPED)
    assert ledger.durable == 2


def test_a_deletion_needs_the_echo_of_what_follows_it() -> None:
    """Another member's equal deletion, relayed to us, does not make ours durable."""
    ledger = Ledger()
    ledger.change()
    assert ledger.sent(ERASED) == [ERASED, EMPTY_UPDATE]
    ledger.echoed(ERASED)
    assert ledger.unacknowledged == 1
    ledger.echoed(EMPTY_UPDATE)
    assert ledger.unacknowledged == 0


def test_an_empty_update_is_sent_alone() -> None:
    """The answer to Step 1 that brings nothing is not followed by another one."""
    assert Ledger().sent(EMPTY_UPDATE) == [EMPTY_UPDATE]


def test_a_lost_connection_leaves_nothing_acknowledged_that_was_under_way() -> None:
    """After a reconnection one Step 2 covers what had been sent and what had not."""
    ledger = ledger_of(b"\x01a", b"\x01b")
    ledger.echoed(b"\x01a")
    ledger.disconnected()
    ledger.change()
    assert not ledger.echoed(b"\x01b")
    assert ledger.unacknowledged == 2
    ledger.sent(TYPED)
    ledger.echoed(TYPED)
    assert ledger.unacknowledged == 0
