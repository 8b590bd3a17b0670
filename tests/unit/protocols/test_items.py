"""Documents read item by item: what is no document, what takes too long, and differences of odd states."""

from __future__ import annotations

from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text, merge_updates

from engineroom.errors import LimitExceeded, ProtocolError
from engineroom.protocols import items as module
from engineroom.protocols.comparison import TextChange, compare, line_edge, text_pieces
from engineroom.protocols.items import read_items
from engineroom.protocols.plain import plain_roots
from engineroom.protocols.restoring import restoring
from engineroom.protocols.unified import unified, unified_changes


def text_doc(text: str, client_id: int = 1) -> Doc[Any]:
    doc: Doc[Any] = Doc(client_id=client_id)
    doc.get("text", type=Text).insert(0, text)
    return doc


def pieces(old: Doc[Any], new: Doc[Any]) -> list[tuple[str, str]]:
    """How the root Text differs; what several clients wrote in a row is one piece."""
    changes = compare(read_items(old.get_update()), read_items(new.get_update()))
    assert all(isinstance(change, TextChange) for change in changes)
    found: list[tuple[str, str]] = []
    for piece in (p for change in changes for p in change.pieces):  # type: ignore[union-attr]
        if found and found[-1][0] == piece.op:
            found[-1] = (piece.op, found[-1][1] + piece.text)
        else:
            found.append((piece.op, piece.text))
    return found


def copy_of(doc: Doc[Any], client_id: int) -> Doc[Any]:
    copy: Doc[Any] = Doc(client_id=client_id)
    copy.apply_update(doc.get_update())
    return copy


# --- reading ---------------------------------------------------------------------------------


def test_the_empty_document_is_a_document() -> None:
    """Nothing has no roots."""
    assert plain_roots(read_items(b"\x00\x00")) == {}


def test_a_part_of_a_document_is_none() -> None:
    """An update that needs another cannot be read alone."""
    doc = text_doc("Hello")
    state = doc.get_state()
    doc.get("text", type=Text).insert(5, " world")
    with pytest.raises(ProtocolError, match="whole"):
        read_items(doc.get_update(state))


def test_garbage_is_refused() -> None:
    """Bytes that are no update are told as such."""
    with pytest.raises(ProtocolError):
        read_items(b"\x01\x02\x03")


def test_merged_updates_say_the_same() -> None:
    """Updates that were only put together, so that what overwrites what is not said, read as when applied."""
    first: Doc[Any] = Doc(client_id=1)
    first.get("map", type=Map)["key"] = "old"
    second = copy_of(first, 2)
    updates = [first.get_update()]
    for doc, value in ((first, "one"), (second, "two")):
        state = doc.get_state()
        doc.get("map", type=Map)["key"] = value
        updates.append(doc.get_update(state))
    whole: Doc[Any] = Doc()
    for update in updates:
        whole.apply_update(update)
    expected = {"map": whole.get("map", type=Map).to_py()}
    assert plain_roots(read_items(merge_updates(*updates))) == expected


def test_items_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More structs than the bound are refused before they are read; as many are not."""
    doc = text_doc("a")
    for client_id in range(2, 12):
        doc = copy_of(doc, client_id)
        doc.get("text", type=Text).insert(0, "b")
    encoding = doc.get_update()
    monkeypatch.setattr(module, "MAX_ITEMS", 11)
    read_items(encoding)
    monkeypatch.setattr(module, "MAX_ITEMS", 10)
    with pytest.raises(LimitExceeded, match="history_items"):
        read_items(encoding)


def test_hostile_order_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many who write at one place at once make work: up to a bound."""
    updates = [text_doc("x", client_id).get_update() for client_id in range(1, 200)]
    encoding = merge_updates(*updates)
    assert plain_roots(read_items(encoding)) == {"text": "x" * 199}
    monkeypatch.setattr(module, "MAX_STEPS", 100)
    with pytest.raises(LimitExceeded, match="history_steps"):
        read_items(encoding)


def test_deep_documents_are_bounded() -> None:
    """Types nested too deep are neither shown nor compared nor restored, and harm nobody."""
    doc: Doc[Any] = Doc()
    inner = doc.get("deep", type=Array)
    for _ in range(150):
        inner.append(Array())
        inner = inner[0]
    inner.append("end")
    deep, empty = read_items(doc.get_update()), read_items(b"\x00\x00")
    with pytest.raises(LimitExceeded, match="document_depth"):
        plain_roots(deep)
    with pytest.raises(LimitExceeded, match="document_depth"):
        compare(empty, deep)
    with pytest.raises(LimitExceeded, match="document_depth"):
        restoring(empty, deep, 5)


def test_a_root_used_as_two_things_is_shown_as_both() -> None:
    """A root that holds entries and a text is both, and restoring brings both back."""
    doc = text_doc("words")
    doc.get("text", type=Map)["key"] = 1
    earlier = doc.get_update()
    assert plain_roots(read_items(earlier)) == {"text": [{"key": 1}, "words"]}
    del doc.get("text", type=Map)["key"]
    text = doc.get("text", type=Text)
    del text[0:5]
    doc.apply_update(restoring(read_items(doc.get_update()), read_items(earlier), 99))
    assert plain_roots(read_items(doc.get_update())) == {"text": [{"key": 1}, "words"]}


# --- differences -----------------------------------------------------------------------------


def test_what_moved_is_removed_and_added() -> None:
    """A word that was cut and pasted elsewhere is not taken for one that stayed."""
    old = text_doc("one two ")
    new = copy_of(old, 2)
    text = new.get("text", type=Text)
    del text[0:4]
    text.insert(4, "one ")
    assert pieces(old, new) == [("remove", "one "), ("keep", "two "), ("add", "one ")]


def test_text_that_was_written_again_counts_as_the_same() -> None:
    """What was deleted and came back in its place is no difference, word by word."""
    old = text_doc("The quick brown fox")
    new = copy_of(old, 2)
    text = new.get("text", type=Text)
    del text[0:19]
    text.insert(0, "The slow brown fox")
    assert pieces(old, new) == [
        ("keep", "The "),
        ("remove", "quick"),
        ("add", "slow"),
        ("keep", " brown fox"),
    ]


def test_changes_are_widened_to_words() -> None:
    """Part of a word that changed is shown with the whole of it; beside a space nothing is widened."""
    old = text_doc("walking home")
    new = copy_of(old, 2)
    new.get("text", type=Text).insert(4, "er, talk")
    assert pieces(old, new) == [
        ("remove", "walking"),
        ("add", "walker, talking"),
        ("keep", " home"),
    ]
    joined = copy_of(old, 2)
    text = joined.get("text", type=Text)
    del text[7:8]
    assert pieces(old, joined) == [("remove", "walking home"), ("add", "walkinghome")]
    fast = copy_of(old, 2)
    fast.get("text", type=Text).insert(8, "fast ")
    assert pieces(old, fast) == [("keep", "walking "), ("add", "fast "), ("keep", "home")]


def test_unrelated_documents_are_replaced() -> None:
    """Two documents with no history in common differ in everything that they do not share by value."""
    assert pieces(text_doc("old", 1), text_doc("new", 2)) == [("remove", "old"), ("add", "new")]


def test_states_that_contradict_each_other_still_lead_from_one_to_the_other() -> None:
    """The same identities in another order, as in no two states of one document, end in a true difference."""
    one, other = text_doc("a", 1), text_doc("b", 2)
    first, second = copy_of(one, 2), copy_of(other, 1)
    first.get("text", type=Text).insert(1, "b")
    second.get("text", type=Text).insert(1, "a")
    found = pieces(first, second)
    assert "".join(text for op, text in found if op != "add") == "ab"
    assert "".join(text for op, text in found if op != "remove") == "ba"


def test_a_large_gap_is_replaced_but_for_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound of a comparison by value only a common beginning and end count as kept."""
    monkeypatch.setattr("engineroom.protocols.alignment.MAX_GAP_TOKENS", 3)
    old = text_doc("a b c d e f g h")
    new = copy_of(old, 2)
    text = new.get("text", type=Text)
    del text[0:15]
    text.insert(0, "a X c d Y f g h")
    assert pieces(old, new) == [
        ("keep", "a "),
        ("remove", "b c d e"),
        ("add", "X c d Y"),
        ("keep", " f g h"),
    ]


# --- unified diffs ---------------------------------------------------------------------------


def diff(old: str, *edits: tuple[int, int, str]) -> str:
    """The unified diff after edits: at, so many deleted, what is inserted."""
    before = text_doc(old)
    after = copy_of(before, 2)
    text = after.get("text", type=Text)
    for at, count, insert in edits:
        if count:
            del text[at : at + count]
        text.insert(at, insert)
    return unified_changes(
        read_items(before.get_update()), read_items(after.get_update()), "old", "new"
    )


def test_hunks_have_three_lines_around_them() -> None:
    """Far changes are hunks of their own, near ones share one; numbers are those of `diff -u`."""
    lines = "".join(f"{number}\n" for number in range(1, 21))
    found = diff(lines, (4, 0, "x"), (lines.index("18") + 1, 0, "y"))
    assert found == (
        "--- text\told\n+++ text\tnew\n"
        "@@ -1,6 +1,6 @@\n 1\n 2\n-3\n+x3\n 4\n 5\n 6\n"
        "@@ -15,6 +15,6 @@\n 15\n 16\n 17\n-18\n+y18\n 19\n 20\n"
    )


def test_a_last_line_without_an_end_is_told() -> None:
    """As `diff -u` does."""
    assert diff("one\ntwo", (7, 0, "!")) == (
        "--- text\told\n+++ text\tnew\n"
        "@@ -1,2 +1,2 @@\n one\n-two\n\\ No newline at end of file\n"
        "+two!\n\\ No newline at end of file\n"
    )


def test_a_text_that_begins_or_ends_is_told() -> None:
    """An empty side has no lines and begins at 0."""
    empty = read_items(b"\x00\x00").roots.get("text")
    full = read_items(text_doc("one\ntwo\n").get_update()).roots["text"]
    assert unified("text", text_pieces(empty, full, line_edge), "a", "b").endswith(
        "@@ -0,0 +1,2 @@\n+one\n+two\n"
    )
    assert unified("text", text_pieces(full, empty, line_edge), "a", "b").endswith(
        "@@ -1,2 +0,0 @@\n-one\n-two\n"
    )
    assert unified("text", text_pieces(full, full, line_edge), "a", "b") == ""


def test_a_name_cannot_break_the_diff() -> None:
    """Roots and versions are named by members: control characters are written as JSON."""
    found = diff("one\n", (0, 0, "x"))
    assert found.splitlines()[0] == "--- text\told"
    doc: Doc[Any] = Doc()
    doc.get("a\n+++ b", type=Text).insert(0, "x")
    empty = read_items(b"\x00\x00")
    text = unified_changes(empty, read_items(doc.get_update()), "o\nld", "new")
    assert text.splitlines()[0] == '--- "a\\n+++ b"\t"o\\nld"'
