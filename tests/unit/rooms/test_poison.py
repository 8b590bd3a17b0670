"""The corpus of poisonous updates, each in a room among people who type: it harms nobody, and loses nothing."""

from __future__ import annotations

import pytest
from pycrdt import Doc, Text
from tests.fuzz.harm import check
from tests.fuzz.trial import outcome
from tests.poison.recipes import PLACE, encoded, read

from engineroom.protocols import messages as m
from engineroom.protocols.items import read_items
from engineroom.protocols.plain import plain_text
from engineroom.protocols.updates import is_whole
from engineroom.rooms import effects as e
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.storage import StoredDocument

HONEST, POISON = read()
SECONDS = 60


def test_corpus_is_what_its_recipes_make():
    """The data are those of `python -m tests.poison.recipes`."""
    assert PLACE.read_text() == encoded()


@pytest.mark.parametrize("name", POISON)
def test_poison_harms_no_document(name):
    """After each, the document is encoded, read, edited and opened again; none makes pycrdt panic, hang or end."""
    assert outcome(lambda: check([HONEST, POISON[name][1]]), seconds=SECONDS) == ""


def test_poisons_together_harm_no_document():
    """All of them one after the other, each on what the others left."""
    everything = [HONEST, *(update for _, update in POISON.values())]
    assert outcome(lambda: check(everything), seconds=6 * SECONDS) == ""


@pytest.mark.parametrize("name", POISON)
def test_poison_harms_nobody_in_its_room(make_bench, make_typist, name):
    """Two who type next to it stay, hear each other and are acknowledged; the room is joined, compacted, reopened."""
    problem = outcome(lambda: _among_typists(make_bench, make_typist, name), seconds=SECONDS)
    assert problem == ""


def _among_typists(make_bench, make_typist, name):
    bench = make_bench(limits=RoomLimits(compact_bytes=1))
    ann, bob = make_typist(2**33), make_typist(2**33 + 1)
    for member in (1, 2, 9):
        bench.join(member)
    bench.say(9, m.SyncUpdate(HONEST))
    bench.heard.clear()
    typed = [ann.type("ann ", "typed"), bob.type("bob ", "typed")]
    bench.put(
        e.Received(1, m.SyncUpdate(typed[0])),
        e.Received(9, m.SyncUpdate(POISON[name][1])),
        e.Received(2, m.SyncUpdate(typed[1])),
    )
    typed += [ann.type("again", "typed"), bob.type("again", "typed")]
    bench.say(1, m.SyncUpdate(typed[2]))
    bench.say(2, m.SyncUpdate(typed[3]))
    bench.store()
    assert not {1, 2} & set(bench.closed)
    for member in (1, 2):
        heard = [each.update for each in bench.take(member) if isinstance(each, m.SyncUpdate)]
        assert [each for each in heard if each in typed].sort() == typed.sort()
    _check(bench)
    _check(bench.reopened())
    _check(_compacted(bench))


def _compacted(bench):
    """The room as it opens from a snapshot, where one may be made."""
    document = bench.room.document
    encoding, number = document.encoded(), bench.records[-1].number
    if document.waiting:
        return bench.reopened()
    return type(bench)(stored=StoredDocument("lineage", encoding, number, (), number), client_id=8)


def _check(bench):
    """Who joins now has everything that was typed, and it can be read as JSON."""
    bench.join(3)
    bench.say(3, m.SyncStep1(b"\x00"))
    doc = Doc()
    for each in bench.take(3):
        if isinstance(each, m.SyncStep2 | m.SyncUpdate):
            doc.apply_update(each.update)
    words = str(doc.get("typed", type=Text))
    assert sorted(words.replace("again", "").split()) == ["ann", "bob"]
    assert words.count("again") == 2
    assert is_whole(bench.room.document.encoded(), bench.room.document.state_vector())
    assert plain_text(read_items(bench.room.document.encoded()).roots["typed"]) == words
