"""The replica without any I/O: messages in, frames out."""

from collections.abc import Iterator
from typing import Any

import pytest
from pycrdt import Awareness, Doc, Text

from engineroom.client.ledger import EMPTY_UPDATE
from engineroom.client.replica import MAX_PENDING_BYTES, Replica
from engineroom.errors import AccessDenied, ProtocolError
from engineroom.protocols.messages import (
    AwarenessState,
    AwarenessUpdate,
    FromMember,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
)
from engineroom.protocols.yjs import YjsDialect

DIALECT = YjsDialect()
NOTHING = b"\x00"


class Bench:
    """A replica, and what a server would see of it."""

    def __init__(self, document: Doc[Any] | None = None) -> None:
        self.document: Doc[Any] = document or Doc()
        self.text = self.document.get("text", type=Text)
        self.awareness = Awareness(self.document)
        self.changes = 0
        self.replica = Replica(self.document, self.awareness, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def sent(self) -> list[FromMember | None]:
        """The messages that are to be sent now."""
        frames = self.replica.take_frames()
        self.replica.sent()
        return [DIALECT.decode(frame) for frame in frames]

    def updates(self) -> list[bytes]:
        """The updates among them."""
        return [m.update for m in self.sent() if isinstance(m, SyncUpdate | SyncStep2)]

    def join(self, state_vector: bytes = NOTHING) -> list[FromMember | None]:
        """Connected, asked and in sync; what was sent for it. A Step 2 that brings nothing is acknowledged."""
        self.replica.connect()
        self.replica.receive(SyncStep1(state_vector))
        self.replica.receive(SyncStep2(EMPTY_UPDATE))
        messages = self.sent()
        if SyncStep2(EMPTY_UPDATE) in messages:
            self.replica.receive(SyncUpdate(EMPTY_UPDATE))
        return messages


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    with bench.replica:
        yield bench


def update_of(text: str) -> bytes:
    document: Doc[Any] = Doc()
    document.get("text", type=Text).insert(0, text)
    return document.get_update()


def test_a_connection_begins_with_step_1_and_presence(bench: Bench) -> None:
    """First comes what we have, then who we are; no update before the server has asked."""
    bench.text += "offline"
    bench.replica.connect()
    bench.text += " and early"
    first, second = bench.sent()
    assert isinstance(first, SyncStep1)
    assert isinstance(second, AwarenessUpdate)
    assert [state.client for state in second.states] == [bench.document.client_id]


def test_step_1_is_answered_with_all_that_is_lacking(bench: Bench) -> None:
    """What was changed offline goes as one Step 2, and counts as durable when it comes back."""
    bench.text += "one"
    bench.text += "two"
    messages = bench.join()
    (step2,) = [m for m in messages if isinstance(m, SyncStep2)]
    copy: Doc[Any] = Doc()
    copy.apply_update(step2.update)
    assert str(copy.get("text", type=Text)) == "onetwo"
    assert bench.replica.ledger.unacknowledged == 2
    bench.replica.receive(SyncUpdate(step2.update))
    assert bench.replica.ledger.unacknowledged == 0


def test_what_a_document_holds_already_is_to_be_acknowledged_too() -> None:
    """A document that is brought along counts as one change."""
    document: Doc[Any] = Doc()
    document.get("text", type=Text).insert(0, "brought")
    bench = Bench(document)
    with bench.replica:
        assert bench.replica.ledger.unacknowledged == 1
        bench.join()
        bench.replica.receive(SyncUpdate(document.get_update()))
        assert bench.replica.ledger.unacknowledged == 0


def test_an_update_goes_out_as_it_was_made(bench: Bench) -> None:
    """Once the server has asked, a change is sent as the bytes that the document made of it."""
    bench.join()
    made: list[bytes] = []
    bench.document.observe(lambda event: made.append(event.update))
    bench.text += "x"
    assert bench.updates() == made


def test_changes_of_one_turn_go_as_one_update(bench: Bench) -> None:
    """A loop of a thousand edits is one frame, not a thousand."""
    bench.join()
    for number in range(1000):
        bench.text += f"{number} "
    (update,) = bench.updates()
    copy: Doc[Any] = Doc()
    copy.apply_update(update)
    assert str(copy.get("text", type=Text)) == str(bench.text)
    assert bench.replica.ledger.unacknowledged == 1000
    bench.replica.receive(SyncUpdate(update))
    assert bench.replica.ledger.unacknowledged == 0


def test_what_waits_to_be_sent_is_bounded(bench: Bench) -> None:
    """Behind a channel that does not take more, changes give way to one difference that holds them all."""
    bench.text += "before "
    bench.join()
    for _ in range(20):
        bench.text += "x" * (MAX_PENDING_BYTES // 8)
        del bench.text[7:]
    bench.text += "after"
    assert bench.replica._pending_bytes <= MAX_PENDING_BYTES
    (update,) = bench.updates()
    assert len(update) < MAX_PENDING_BYTES
    copy: Doc[Any] = Doc()
    copy.get("text", type=Text)
    base: Doc[Any] = Doc(client_id=bench.document.client_id)
    base.get("text", type=Text).insert(0, "before ")
    copy.apply_update(base.get_update())
    copy.apply_update(update)
    assert str(copy.get("text", type=Text)) == "before after"


def test_a_deletion_is_followed_by_an_empty_update(bench: Bench) -> None:
    """An update that only deletes may be another's, too; so something that is never relayed goes after it."""
    bench.text += "abc"
    bench.join()
    del bench.text[0:1]
    deletion, empty = bench.updates()
    assert empty == EMPTY_UPDATE
    bench.replica.ledger.disconnected()
    assert deletion[:1] == b"\x00"


def test_what_comes_in_is_not_sent_back(bench: Bench) -> None:
    """An applied update is nobody's change of ours."""
    bench.join()
    bench.replica.receive(SyncUpdate(update_of("theirs")))
    assert str(bench.text) == "theirs"
    assert bench.updates() == []
    assert bench.replica.ledger.made == 0


def test_an_echo_is_not_applied_again(bench: Bench) -> None:
    """Our own update come back changes nothing but what is acknowledged."""
    bench.join()
    bench.text += "x"
    (update,) = bench.updates()
    bench.replica.receive(SyncUpdate(update))
    assert str(bench.text) == "x"
    assert bench.replica.ledger.unacknowledged == 0


def test_a_change_inside_a_transaction_that_took_an_update_in_is_still_ours(bench: Bench) -> None:
    """An update that arrives within an open transaction of ours does not hide what we changed there."""
    bench.join()
    with bench.document.transaction():
        bench.text += "ours "
        bench.replica.receive(SyncUpdate(update_of("theirs ")))
    (update,) = bench.updates()
    copy: Doc[Any] = Doc()
    copy.apply_update(update)
    assert "ours " in str(copy.get("text", type=Text))


def test_a_server_that_asks_again_is_answered_again(bench: Bench) -> None:
    """A second Step 1 gets the difference to what it names, with what was about to be sent in it."""
    bench.text += "abc"
    bench.join()
    bench.text += "def"
    bench.replica.receive(SyncStep1(NOTHING))
    (update,) = bench.updates()
    copy: Doc[Any] = Doc()
    copy.apply_update(update)
    assert str(copy.get("text", type=Text)) == "abcdef"


def test_a_lost_connection_forgets_what_was_under_way(bench: Bench) -> None:
    """Nothing that was to be sent goes over the next connection before that one has asked."""
    bench.join()
    bench.text += "lost"
    bench.replica.take_frames()
    bench.text += " and unsent"
    bench.replica.disconnect()
    assert not bench.replica.synced
    assert bench.replica.idle
    bench.replica.connect()
    assert not [m for m in bench.sent() if isinstance(m, SyncUpdate | SyncStep2)]
    bench.replica.receive(SyncStep1(NOTHING))
    (update,) = bench.updates()
    bench.replica.receive(SyncUpdate(update))
    assert bench.replica.ledger.unacknowledged == 0


def test_a_malformed_state_vector_is_an_error(bench: Bench) -> None:
    """What pycrdt would panic on is read first."""
    bench.replica.connect()
    with pytest.raises(ProtocolError):
        bench.replica.receive(SyncStep1(b"\xff\xff\xff"))


@pytest.mark.parametrize(
    "frame", [b"\x00", b"\x00\x05\x00", b"\x01\x02\x01", b"\x00\x02\x05abc", b"\x02\x00\x09a"]
)
def test_a_malformed_frame_is_an_error(bench: Bench, frame: bytes) -> None:
    """Bytes that do not follow the dialect are told as such."""
    with pytest.raises(ProtocolError):
        bench.replica.read(frame)


@pytest.mark.parametrize("frame", [b"\x66\x01\x00", b'\x02"save"', b"\x07"])
def test_frames_of_other_types_are_ignored(bench: Bench, frame: bytes) -> None:
    """y-sweet and JupyterLab have messages of their own."""
    assert bench.replica.read(frame) is None


def test_a_refused_change_is_told(bench: Bench) -> None:
    """A server that lets us only read says so in the words of y-protocols."""
    bench.join()
    bench.replica.check()
    assert bench.replica.read(b"\x02\x00\x04nope") is None
    with pytest.raises(AccessDenied, match="nope"):
        bench.replica.check()
    bench.replica.disconnect()
    bench.replica.check()


# --- presence --------------------------------------------------------------------------------


def states_of(messages: list[FromMember | None]) -> list[AwarenessState]:
    return [s for m in messages if isinstance(m, AwarenessUpdate) for s in m.states]


def test_only_our_own_presence_is_sent(bench: Bench) -> None:
    """The latest state goes out, once; what others say is not sent back."""
    bench.join()
    bench.awareness.set_local_state_field("user", {"name": "Ada"})
    bench.awareness.set_local_state_field("user", {"name": "Adä"})
    (state,) = states_of(bench.sent())
    assert (state.client, state.state) == (
        bench.document.client_id,
        '{"user":{"name":"Ad\\u00e4"}}',
    )
    bench.replica.receive(AwarenessUpdate((AwarenessState(7, 1, '{"user":{"name":"Bob ü"}}'),)))
    assert bench.awareness.states[7] == {"user": {"name": "Bob ü"}}
    assert states_of(bench.sent()) == []


def test_presence_is_not_kept_for_later_while_there_is_no_connection(bench: Bench) -> None:
    """Offline changes of presence go with the next connection, as its one state."""
    bench.awareness.set_local_state_field("a", 1)
    assert not bench.replica.talkative
    bench.replica.connect()
    (state,) = states_of(bench.sent())
    assert state.state == '{"a":1}'


def test_a_reconnection_has_a_higher_clock_than_what_the_server_made_of_our_leave(
    bench: Bench,
) -> None:
    """A server counts our clock up by one when we vanish; we come back with more."""
    bench.replica.connect()
    (first,) = states_of(bench.sent())
    bench.replica.disconnect()
    bench.replica.connect()
    (second,) = states_of(bench.sent())
    assert second.clock >= first.clock + 2


def test_others_are_gone_with_the_connection(bench: Bench) -> None:
    """Whom we cannot hear we do not show."""
    bench.join()
    bench.replica.receive(AwarenessUpdate((AwarenessState(7, 1, "{}"),)))
    bench.replica.disconnect()
    assert set(bench.awareness.states) == {bench.document.client_id}


def test_a_query_is_answered_with_our_presence(bench: Bench) -> None:
    """Whoever asks is told that we are here."""
    bench.join()
    bench.replica.receive(QueryAwareness())
    assert [state.client for state in states_of(bench.sent())] == [bench.document.client_id]


def test_who_says_that_we_are_gone_is_corrected(bench: Bench) -> None:
    """A stale "gone" for our own client is answered with our state, of a higher clock."""
    bench.join()
    clock = bench.awareness.meta[bench.document.client_id]["clock"]
    mine = bench.document.client_id
    bench.replica.receive(AwarenessUpdate((AwarenessState(mine, clock + 5, "null"),)))
    (state,) = states_of(bench.sent())
    assert (state.state, state.clock) == ("{}", clock + 6)


def test_a_silent_client_is_forgotten(bench: Bench) -> None:
    """Who has said nothing for 30 seconds is taken for gone, and our own state is renewed."""
    bench.join()
    bench.replica.receive(AwarenessUpdate((AwarenessState(7, 1, "{}"), AwarenessState(8, 1, "{}"))))
    bench.awareness.meta[7]["lastUpdated"] -= 31_000
    bench.replica.presence.renew()
    assert set(bench.awareness.states) == {8, bench.document.client_id}
    assert len(states_of(bench.sent())) == 1


def test_presence_that_is_too_large_is_refused_where_it_is_set(bench: Bench) -> None:
    """Whoever sets a state that no server takes is told at once, and nothing else suffers."""
    bench.join()
    with pytest.raises(ValueError, match="65536"):
        bench.awareness.set_local_state_field("much", "x" * 70_000)
    bench.replica.presence.renew()
    bench.replica.disconnect()
    bench.replica.connect()
    assert states_of(bench.sent()) == []


def test_how_many_others_are_known_is_bounded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server cannot make us remember more clients than a room may have."""
    monkeypatch.setattr("engineroom.client.presence.MAX_AWARENESS_STATES", 10)
    bench.join()
    for first in range(0, 100, 5):
        states = tuple(AwarenessState(first + i, 1, "{}") for i in range(5))
        bench.replica.receive(AwarenessUpdate(states))
    assert len(bench.awareness.meta) <= 15


def test_goodbye_says_that_we_are_gone(bench: Bench) -> None:
    """Who leaves tells the others, without changing the state that it may come back with."""
    bench.join()
    bench.replica.goodbye()
    (state,) = states_of(bench.sent())
    assert state.state == "null"
    assert bench.awareness.get_local_state() == {}
