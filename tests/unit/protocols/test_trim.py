"""Updates without what a document has: what is left says what Yjs would have said."""

import pytest
from pycrdt import Doc

from engineroom.protocols.lib0 import any_value, var_string, var_uint
from engineroom.protocols.trim import trimmed
from engineroom.protocols.updates import read_update


def update(*structs: bytes, client: int = 9, clock: int = 0, deletes: bytes = b"\x00") -> bytes:
    """One client's structs."""
    head = b"\x01" + var_uint(len(structs)) + var_uint(client) + var_uint(clock)
    return head + b"".join(structs) + deletes


ROOT = b"\x01\x01t"
BEHIND = b"\x84\x09\x01"  # text behind 9:1
CASES = {
    "text": (b"\x04" + ROOT + var_string("hello"), BEHIND + var_string("llo")),
    "wide text": (b"\x04" + ROOT + var_string("é日𝄞x"), BEHIND + var_string("𝄞x")),
    "half a pair": (b"\x04" + ROOT + var_string("a𝄞x"), BEHIND + var_string("\ufffdx")),
    "with a right origin": (
        b"\xc4\x05\x00\x05\x01" + var_string("hello"),
        b"\xc4\x09\x01\x05\x01" + var_string("llo"),
    ),
    "before something": (
        b"\x44\x05\x01" + var_string("abc"),
        b"\xc4\x09\x01\x05\x01" + var_string("c"),
    ),
    "values": (
        b"\x08" + ROOT + b"\x03" + any_value(1) + any_value("é") + any_value([2]),
        b"\x88\x09\x01\x01" + any_value([2]),
    ),
    "deleted": (b"\x01" + ROOT + b"\x05", b"\x81\x09\x01\x03"),
    "collected": (b"\x00\x05", b"\x00\x03"),
}


@pytest.mark.parametrize(("whole", "rest"), CASES.values(), ids=CASES.keys())
def test_half_known_is_what_stands_behind_the_known_half(whole: bytes, rest: bytes) -> None:
    """Of a struct whose first two clocks are known, the rest stands behind them, and names no parent."""
    sent = update(whole)
    assert trimmed(sent, read_update(sent), {9: 2}) == update(rest, clock=2)


def test_what_is_not_half_known_is_left_alone() -> None:
    """New and wholly known updates stay the same bytes, and so do those of others."""
    sent = update(b"\x04" + ROOT + var_string("hello"))
    for clocks in ({}, {9: 0}, {9: 5}, {9: 7}, {8: 2}):
        assert trimmed(sent, read_update(sent), clocks) is sent


def test_all_the_rest_stays() -> None:
    """Structs and clients that are known go, later ones and the deletions stay."""
    deletes = b"\x01\x09\x01\x00\x01"
    sent = update(
        b"\x04" + ROOT + b"\x01a", b"\x84\x09\x00\x02bc", b"\x0a\x02", b"\x00\x01", deletes=deletes
    )
    kept = update(b"\x84\x09\x01\x01c", b"\x0a\x02", b"\x00\x01", clock=2, deletes=deletes)
    assert trimmed(sent, read_update(sent), {9: 2}) == kept


def test_pycrdt_has_the_same_document() -> None:
    """An honest update that is half known leaves the same document, trimmed or not."""
    first, whole = update(b"\x04" + ROOT + b"\x02he"), update(b"\x04" + ROOT + b"\x05hello")
    plain: Doc[object] = Doc()
    trim: Doc[object] = Doc()
    for doc, then in ((plain, whole), (trim, trimmed(whole, read_update(whole), {9: 2}))):
        doc.apply_update(first)
        doc.apply_update(then)
    assert trim.get_update() == plain.get_update()
