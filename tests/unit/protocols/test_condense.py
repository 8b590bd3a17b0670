"""Updates in pieces: pycrdt takes them quickly, and has the same document afterwards."""

from random import Random

import pytest
from pycrdt import Array, Doc, Text

from engineroom.protocols.condense import MAX_DELETIONS, MAX_RUN, deletions, in_pieces, quick_pieces
from engineroom.protocols.lib0 import var_string, var_uint
from engineroom.protocols.updates import read_update

NINE = b"\x09"


def chain(kind: int, first: bytes, more: list[bytes], deletes: bytes = b"\x00") -> bytes:
    """Items of client 9, each behind the one before it; each is one clock."""
    inner = (bytes([kind | 0x80]) + NINE + var_uint(n) + content for n, content in enumerate(more))
    return b"\x01" + var_uint(1 + len(more)) + NINE + b"\x00" + first + b"".join(inner) + deletes


def pieces_of(update: bytes) -> list[bytes]:
    """What a room does with it."""
    return in_pieces(update, read_update(update))


def document(*updates: bytes) -> Doc[object]:
    """A document of these updates, each in its own transaction."""
    doc: Doc[object] = Doc(client_id=1)
    for update in updates:
        doc.apply_update(update)
    return doc


def test_nearly_every_update_is_one_piece() -> None:
    """A keystroke, a deletion and a short run are applied as they came."""
    short = chain(4, b"\x04\x01\x01t\x01a", [b"\x01b"] * (MAX_RUN - 1))
    for update in (b"\x00\x00", b"\x00\x01\x09\x01\x00\x01", short):
        assert pieces_of(update) == [update]


@pytest.mark.parametrize(
    ("kind", "first", "more"),
    [
        (4, b"\x04\x01\x01t\x01a", [b"\x01b"] * 300),
        (4, b"\x04\x01\x01t\x02" + "é".encode(), [var_string("日")] * 300),
        (8, b"\x08\x01\x01t\x01\x7e", [b"\x01\x77\x01x"] * 300),
    ],
)
def test_a_run_becomes_one_item(kind: int, first: bytes, more: list[bytes]) -> None:
    """Text typed and elements pushed one by one are one item, and the document encodes to the same bytes."""
    update = chain(kind, first, more)
    (piece,) = pieces_of(update)
    assert len(piece) < len(update) / 2
    assert read_update(piece).structs == 1
    assert read_update(piece).inserts == read_update(update).inserts
    assert document(piece).get_update() == document(update).get_update()


def test_what_is_no_run_stays_as_it_is() -> None:
    """Other content, another right neighbour, a gap, and values of one key end a run, and nothing is lost."""
    mixed = [b"\x04\x01\x01t\x01a", *(b"\x84\x09" + var_uint(n) + b"\x01b" for n in range(60))]
    mixed.append(b"\x88\x09" + var_uint(60) + b"\x01\x7e")
    mixed.append(b"\xc4\x09" + var_uint(61) + b"\x09\x03\x01c")
    mixed += [b"\x0a\x05", b"\x00\x02", b"\x00\x01"]
    update = b"\x01" + var_uint(len(mixed)) + NINE + b"\x00" + b"".join(mixed) + b"\x00"
    summary = read_update(update)
    (piece,) = in_pieces(update, summary)
    again = read_update(piece)
    assert (again.inserts, again.needs, again.structs) == (summary.inserts, summary.needs, 6)


def test_values_of_a_key_are_not_put_together() -> None:
    """A key that was set a hundred times has its last value, and the others are gone."""
    update = chain(8, b"\x28\x01\x01m\x01k\x01\x7e", [b"\x01\x77\x01x"] * 100)
    assert document(*pieces_of(update)).get_update() == document(update).get_update()


def test_deletions_are_made_from_the_middle() -> None:
    """Many deletions are one update each, and leave what all of them at once leave."""
    text = b"\x01\x01\x09\x00\x04\x01\x01t" + var_string("é𝄞ab" * 100) + b"\x00"
    spans = tuple((9, n, n + 1) for n in range(0, 500, 5))
    pieces = pieces_of(deletions(spans))
    assert len(pieces) == 1 + len(spans) > MAX_DELETIONS
    assert read_update(pieces[1]).deletes == (spans[len(spans) // 2],)
    assert document(text, *pieces).get_update() == document(text, deletions(spans)).get_update()


def test_deletions_come_after_what_they_delete() -> None:
    """An update that deletes much of what it brings brings it first."""
    deletes = deletions(tuple((9, n, n + 1) for n in range(0, 300, 3)))[1:]
    update = chain(4, b"\x04\x01\x01t\x01a", [b"\x01b"] * 300, deletes)
    assert document(*pieces_of(update)).get_update() == document(update).get_update()


def test_merged_histories_stay_the_same() -> None:
    """Whatever people wrote one character at a time, condensed updates make the same document as their own."""
    random = Random(3)
    updates: list[bytes] = []
    people = [Doc(client_id=client) for client in (3, 400, 2**40)]
    for person in people:
        person.observe(lambda event: updates.append(event.update))
    for _ in range(400):
        person = random.choice(people)
        text, items = person.get("t", type=Text), person.get("l", type=Array)
        if random.random() < 0.5:
            text.insert(len(text) if random.random() < 0.8 else 0, "a")
        else:
            items.append(random.randrange(9))
        if random.random() < 0.05:
            written = random.choice(people).get_update(person.get_state())
            person.apply_update(written)
    merged: dict[int, list[bytes]] = {}
    for update in updates:
        summary = read_update(update)
        if summary.structs == 1 and summary.inserts and not summary.deletes:
            client = summary.inserts[0][0]
            merged.setdefault(client, []).append(update)
    for client, parts in merged.items():
        head = len(b"\x01\x01" + var_uint(client))
        bodies = [part[head:-1] for part in parts]
        clocks = [read_update(part).inserts[0][1] for part in parts]
        assert clocks[0] == 0
        structs = b"".join(
            body[len(var_uint(at)) :] for body, at in zip(bodies, clocks, strict=True)
        )
        whole = b"\x01" + var_uint(len(parts)) + var_uint(client) + b"\x00" + structs + b"\x00"
        if read_update(whole).needs:
            continue
        assert document(*pieces_of(whole)).get_update() == document(*parts).get_update()


def test_replicas_take_long_runs_in_a_moment() -> None:
    """What others relay comes to a replica as it was; the replica takes it as the server does."""
    doc = Doc()
    array = doc.get("list", type=Array)
    with doc.transaction():
        for number in range(1_000):
            array.append(number)
    update = doc.get_update()
    replica = Doc()
    for piece in quick_pieces(update):
        replica.apply_update(piece)
    assert replica.get("list", type=Array).to_py() == list(range(1_000))
    assert quick_pieces(b"\x00\x00") == [b"\x00\x00"]
