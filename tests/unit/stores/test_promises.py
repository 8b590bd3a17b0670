"""What every store refuses, in pure functions."""

import pytest

from engineroom.errors import StoreError
from engineroom.rooms.storage import Record
from engineroom.stores.promises import Head, check_path, head_after_append, head_after_compaction


def test_a_new_document_begins_at_one() -> None:
    """The first record of a document has number 1 and brings its lineage."""
    assert head_after_append("a", None, "x", [Record(1, 1.0, "", b"")]) == Head("x", 1)
    with pytest.raises(
        StoreError, match="record 2 of document 'a' cannot be stored: the next number is 1"
    ):
        head_after_append("a", None, "x", [Record(2, 1.0, "", b"")])


def test_an_append_keeps_the_snapshot() -> None:
    """Numbers go on after the last, whatever the snapshot covers."""
    head = head_after_append("a", Head("x", 7, 5), "x", [Record(8, 1.0, "", b"")])
    assert head == Head("x", 8, 5)


def test_another_lineage_names_both() -> None:
    """The error says which history the document has, and which was offered."""
    with pytest.raises(StoreError, match="'a' has lineage 'x', not 'y': load it again"):
        head_after_append("a", Head("x", 7), "y", [])


@pytest.mark.parametrize("path", ["", "a\udc80"])
def test_a_path_is_text(path: str) -> None:
    """A path is not empty and has a UTF-8 form."""
    with pytest.raises(StoreError, match="cannot name a document"):
        check_path(path)


def test_a_lineage_is_text() -> None:
    """A lineage has a UTF-8 form."""
    with pytest.raises(StoreError, match="the lineage"):
        head_after_append("a", None, "\ud800", [])


@pytest.mark.parametrize("number", [0, 4, 8])
def test_a_snapshot_covers_what_is_there(number: int) -> None:
    """A snapshot neither goes back behind the present one nor beyond the log."""
    with pytest.raises(StoreError, match="its snapshot covers 5, its log ends at 7"):
        head_after_compaction("a", Head("x", 7, 5), number)


def test_a_snapshot_may_be_replaced() -> None:
    """A snapshot may take the place of one that covers as much."""
    assert head_after_compaction("a", Head("x", 7, 5), 5) == Head("x", 7, 5)
    assert head_after_compaction("a", Head("x", 7, 5), 7) == Head("x", 7, 7)
