"""The bounded reader of updates: what Yjs 13 sends is read, what harms pycrdt is refused."""

import json
from pathlib import Path

import pytest
from pycrdt import Doc, Text

from engineroom.errors import ProtocolError
from engineroom.protocols.lib0 import MAX_NESTING, var_string, var_uint
from engineroom.protocols.updates import (
    MAX_CLOCK,
    UpdateSummary,
    is_whole,
    read_state_vector,
    read_update,
)
from engineroom.protocols.walk import Walk

# Captured from yjs 13.6.33 with client id 3000000001; the names say what was done.
YJS: dict[str, str] = json.loads((Path(__file__).parent / "yjs_updates.json").read_text())
READ = {name: bytes.fromhex(update) for name, update in YJS.items() if name != "an xml hook"}

A = 3_000_000_001


def whole_walk(update: bytes) -> UpdateSummary:
    """The summary by the walk alone."""
    steps = Walk(update).steps()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _update(*structs: bytes, clock: int = 0, deletes: bytes = b"\x00") -> bytes:
    """An update with the structs of client 5, from `clock` on."""
    return b"\x01" + bytes([len(structs), 5]) + var_uint(clock) + b"".join(structs) + deletes


TEXT = b"\x04\x01\x01t\x01a"  # "a", the first item of the root t


@pytest.mark.parametrize("update", READ.values(), ids=READ.keys())
def test_what_yjs_sends_is_read_and_applied(update: bytes) -> None:
    """Every kind of content and struct that Yjs 13 sends is accepted, and pycrdt takes it."""
    summary = read_update(update)
    document: Doc[object] = Doc()
    document.apply_update(update)
    assert read_update(document.get_update()) is not None
    if not summary.needs:
        assert read_state_vector(document.get_state()) == {
            client: end for client, _, end in summary.inserts
        }


@pytest.mark.parametrize("update", READ.values(), ids=READ.keys())
def test_the_two_readers_agree(update: bytes) -> None:
    """The pattern for the common cases and the walk for all of them give the same summary."""
    assert read_update(update) == whole_walk(update)


@pytest.mark.parametrize(
    ("name", "summary"),
    [
        ("empty", UpdateSummary((), (), ())),
        ("first text", UpdateSummary(((A, 0, 2),), (), ())),
        ("typing at the end", UpdateSummary(((A, 2, 3),), ((A, 2),), ())),
        ("typing within", UpdateSummary(((A, 2, 3),), ((A, 2),), ())),
        ("an emoji", UpdateSummary(((A, 2, 4),), ((A, 2),), ())),
        ("erasing", UpdateSummary((), ((A, 1),), ((A, 0, 1),))),
        ("replacing", UpdateSummary(((A, 2, 3),), ((A, 2),), ((A, 0, 1),))),
        ("shared types", UpdateSummary(((A, 0, 6),), (), (), types=3)),
        ("collected", UpdateSummary(((A, 0, 2),), (), ((A, 0, 2),))),
        ("skipped", UpdateSummary(((A, 0, 1), (A, 2, 3)), ((A, 2),), ())),
        ("merged", UpdateSummary(((A, 0, 3),), (), ())),
        ("two clients", UpdateSummary(((7, 0, 2), (9, 0, 1)), (), ())),
    ],
)
def test_a_summary_names_clock_ranges(name: str, summary: UpdateSummary) -> None:
    """Inserts, needs and deletes are the update's own, counted in UTF-16 units."""
    assert read_update(READ[name]) == summary


@pytest.mark.parametrize(
    ("update", "needs"),
    [
        (_update(TEXT, clock=3), ((5, 3),)),
        (_update(b"\x0a\x04", TEXT, clock=3), ((5, 7),)),
        (_update(b"\x84\x09\x04\x01a"), ((9, 5),)),
        (_update(b"\xc4\x09\x04\x0b\x00\x01a"), ((9, 5), (11, 1))),
        (_update(b"\x04\x00\x09\x04\x01a"), ((9, 5),)),
        (_update(TEXT, b"\x84\x05\x00\x01b"), ()),
        (_update(TEXT, deletes=b"\x01\x05\x01\x00\x01"), ()),
        (_update(TEXT, deletes=b"\x01\x05\x01\x00\x03"), ((5, 3),)),
        (_update(TEXT, clock=2, deletes=b"\x01\x05\x01\x00\x03"), ((5, 2),)),
        (b"\x00\x01\x05\x02\x00\x01\x04\x02", ((5, 6),)),
        (b"\x00\x01\x05\x00", ()),
    ],
)
def test_needs_are_what_the_document_must_have(
    update: bytes, needs: tuple[tuple[int, int], ...]
) -> None:
    """Gaps, skips, origins, parents and deletions are needed, except what the update itself brings."""
    assert read_update(update).needs == needs


def _apply_and_encode(document: Doc[object], update: bytes) -> None:
    document.apply_update(update)
    document.get_update()


# Each is accepted by pycrdt 0.14.13 after `before`, and makes it panic, then or at the next encoding.
POISONS = {
    "a collected struct without length": (b"", "01016101000000"),
    "a text without length": (_update(TEXT), "01010500040101740000"),
    "a deletion without length": (_update(TEXT), "01010500010101740000"),
    "a client without structs": (_update(TEXT), "0100050000"),
    "a clock past 2**31": (b"", "01010181c8f3a80a00070101010103"),
}


@pytest.mark.parametrize(("before", "poison"), POISONS.values(), ids=POISONS.keys())
def test_poison_is_refused(before: bytes, poison: str) -> None:
    """What makes pycrdt panic is refused, and still worth refusing: pycrdt panics on it."""
    with pytest.raises(ProtocolError):
        read_update(bytes.fromhex(poison))
    document: Doc[object] = Doc()
    if before:
        document.apply_update(before)
    with pytest.raises(BaseException, match=r".") as caught:
        _apply_and_encode(document, bytes.fromhex(poison))
    assert type(caught.value).__name__ == "PanicException"


def test_values_nested_without_end_are_refused() -> None:
    """An `any` a million levels deep, which overflows yrs' stack and ends the process, is refused."""
    with pytest.raises(ProtocolError, match="nested"):
        read_update(_update(b"\x08\x01\x01t\x01" + b"\x75\x01" * 1_000_000 + b"\x7e"))


@pytest.mark.parametrize(
    ("update", "because"),
    [
        (b"", "ends early"),
        (b"\x00", "ends early"),
        (b"\x00\x00\x00", "1 bytes follow"),
        (b"\xff\xff\xff\x7f", "larger than what follows"),
        (b"\x01\xff\xff\x7f\x05\x00\x00", "larger than what follows"),
        (_update(TEXT)[:-3], "ends early"),
        (_update(b"\x04\x01\x01t\x01\xff"), "not UTF-8"),
        (_update(b"\x04\x01\x01\xff\x01a"), "not UTF-8"),
        (_update(b"\x0a\x00", TEXT), "length 0"),
        (_update(b"\x08\x01\x01t\x00"), "length 0"),
        (_update(b"\x00" + var_uint(MAX_CLOCK + 1)), "out of range"),
        (_update(TEXT, clock=MAX_CLOCK), "past"),
        (_update(b"\x84\x05\x00\x01a"), "comes later"),
        (_update(TEXT, b"\xc4\x05\x00\x05\x01\x01a"), "comes later"),
        (_update(b"\x04\x00\x05\x07\x01a"), "comes later"),
        (_update(b"\x04\x02\x01t\x01a"), "tells no parent"),
        (_update(TEXT, b"\x04\x00\x05\x00\x01a"), "no shared type"),
        (b"\x02" + _update(TEXT)[1:-1] * 2 + b"\x00", "two lists of structs"),
        (b"\x00\x02" + b"\x05\x01\x00\x01" * 2, "two lists of deletions"),
        (b"\x00\x01\x05\x01\x00\x00", "deletion"),
        (b"\x00\x01\x05\x02\x04\x02\x00\x01", "out of order"),
        (b"\x00\x01\x05\x02\x00\x02\x01\x02", "out of order"),
        (b"\x00\x01\x05\x01\x00" + var_uint(MAX_CLOCK + 1), "out of order or range"),
        (b"\x01\x01" + var_uint(2**53 - 1)[:-1] + b"\x10\x00\x00\x01\x00", "larger than"),
        # what yrs reads otherwise than Yjs
        (_update(b"\x02\x01\x01t\x01\x011"), "kind 2"),
        (bytes.fromhex(YJS["an xml hook"]), "shared type 5"),
        (_update(b"\x07\x01\x01t\x07\x00\x05\x00"), "shared type 7"),
        (_update(b"\x07\x01\x01t\x09"), "shared type 9"),
        (_update(b"\x0b\x01\x01t\x00"), "kind 11"),
        (_update(b"\x14\x01\x01t\x01a"), "kind 20"),
        (_update(b"\x80\x09\x00\x01"), "kind 0"),
        (_update(b"\x8a\x09\x00\x01"), "kind 10"),
        (_update(b"\x05\x01\x01t\x01{"), "not JSON"),
        (_update(b'\x05\x01\x01t\x08"\\ud800"'), "not JSON"),
        (_update(b"\x05\x01\x01t\x051e999"), "not JSON"),
        (_update(b"\x05\x01\x01t\x139223372036854775808"), "past"),
        (_update(b"\x06\x01\x01t\x01b\x01{"), "not JSON"),
        (_update(b"\x05\x01\x01t" + var_uint(240) + b"[" * 120 + b"]" * 120), "deep"),
        (_update(b"\x05\x01\x01t" + var_uint(40_000) + b"[" * 20_000 + b"]" * 20_000), "JSON"),
        (_update(b"\x09\x01\x01t\x01g\x7e"), "no map"),
        (_update(b"\x08\x01\x01t\x01\x73"), "unknown kind of value"),
        (_update(b"\x04\x01" + var_string("r" * 8_193) + b"\x01a"), "longer than 8192"),
        (_update(b"\x28\x01\x01t" + var_string("k" * 8_193) + b"\x01\x7e"), "longer than 8192"),
        (_update(b"\x06\x01\x01t" + var_string("b" * 8_193) + b"\x04true"), "longer than 8192"),
        (_update(b"\x07\x01\x01t\x03" + var_string("p" * 8_193)), "longer than 8192"),
    ],
)
def test_malformed_and_unsupported_updates_are_refused(update: bytes, because: str) -> None:
    """Each way of being wrong is a `ProtocolError` that says so."""
    with pytest.raises(ProtocolError, match=because):
        read_update(update)


def _two(six: list[bytes], seven: list[bytes]) -> bytes:
    """An update with items of clients 6 and 7, from clock 0 on."""
    parts = [b"\x02", bytes([len(six), 6, 0]), *six, bytes([len(seven), 7, 0]), *seven, b"\x00"]
    return b"".join(parts)


def _after(client: int, clock: int) -> bytes:
    """One character whose origin is that item."""
    return b"\x84" + bytes([client, clock]) + b"\x01a"


@pytest.mark.parametrize(
    "update",
    [
        _two([_after(7, 1), TEXT], [_after(6, 1), TEXT]),
        _two([TEXT, _after(7, 0), _after(7, 1)], [_after(6, 0), _after(6, 2)]),
    ],
)
def test_items_that_wait_for_one_another_are_refused(update: bytes) -> None:
    """Items of two clients, each built on a later one of the other, would never be integrated."""
    with pytest.raises(ProtocolError, match="wait for one another"):
        read_update(update)


def test_items_that_build_on_one_another_are_read() -> None:
    """Items of two clients that refer to each other in turn need nothing but themselves."""
    update = _two([TEXT, _after(7, 0)], [_after(6, 0), _after(6, 1)])
    assert read_update(update) == UpdateSummary(((6, 0, 2), (7, 0, 2)), (), ())
    document: Doc[object] = Doc()
    document.apply_update(update)
    assert read_state_vector(document.get_state()) == {6: 2, 7: 2}


def test_nesting_up_to_the_bound_is_applied() -> None:
    """As deep as the reader allows, pycrdt takes arrays and JSON."""
    deep_any = b"\x75\x01" * MAX_NESTING + b"\x7e"
    deep_json = b"[" * (MAX_NESTING + 1) + b"]" * (MAX_NESTING + 1)
    for content in (b"\x08\x01\x01t\x01" + deep_any, b"\x05\x01\x01t\xca\x01" + deep_json):
        read_update(_update(content))
        document: Doc[object] = Doc()
        document.apply_update(_update(content))
        assert read_state_vector(document.get_state()) == {5: 1}


def test_a_state_vector_names_clients_and_clocks() -> None:
    """A state vector is read as a mapping, and refused when it is malformed."""
    assert read_state_vector(b"\x00") == {}
    assert read_state_vector(b"\x02\x05\x03\x81\xbc\xc1\x96\x0b\x00") == {5: 3, A: 0}
    for wrong in (
        b"",
        b"\x01\x05",
        b"\x00\x00",
        b"\x02\x05\x03\x05\x04",
        b"\x01\x05" + var_uint(2**31),
    ):
        with pytest.raises(ProtocolError):
            read_state_vector(wrong)


def test_a_document_with_a_split_surrogate_pair_is_not_whole() -> None:
    """pycrdt loses a clock when half an emoji is deleted, as Yjs clients may do; `is_whole` tells."""
    document: Doc[Text] = Doc()
    document.apply_update(_update(b"\x04\x01\x01t\x06\xf0\x9f\x98\x80ab"))
    assert is_whole(document.get_update(), document.get_state())
    document.apply_update(b"\x00\x01\x05\x01\x00\x01")
    assert not is_whole(document.get_update(), document.get_state())


def test_an_encoding_that_cannot_be_read_is_not_whole() -> None:
    """Neither a damaged encoding nor one of an older state is whole."""
    assert not is_whole(b"\x01", b"\x00")
    assert not is_whole(_update(TEXT), b"\x01\x05\x02")
    assert is_whole(_update(TEXT), b"\x01\x05\x01")
