"""Characters of two clocks: what would split one is told, whichever way it does."""

import pytest

from engineroom.protocols.lib0 import var_string, var_uint
from engineroom.protocols.pairs import Pairs, without_own_splits
from engineroom.protocols.updates import read_update


def update(*structs: bytes, client: int = 9, clock: int = 0, deletes: bytes = b"\x00") -> bytes:
    """One client's structs."""
    head = b"\x01" + var_uint(len(structs)) + var_uint(client) + var_uint(clock)
    return head + b"".join(structs) + deletes


def root(text: str) -> bytes:
    """Text at the beginning of a root."""
    return b"\x04\x01\x01t" + var_string(text)


def deletions(client: int, *spans: tuple[int, int]) -> bytes:
    """Deletions: first clock, and how many."""
    ranges = b"".join(var_uint(clock) + var_uint(length) for clock, length in spans)
    return b"\x01" + var_uint(client) + var_uint(len(spans)) + ranges


# clocks: a 0, 😀 1-2, é 3, 𝄞 4-5, 😀 6-7, b 8
BASE = update(root("a😀é𝄞😀b"))
TWO = [(9, 1, 3), (9, 6, 8)]


def split(other: bytes) -> list[tuple[int, int, int]]:
    """What an update would split."""
    return Pairs.of(BASE).split_by(other, read_update(other))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (b"\x00" + deletions(9, (1, 1)), TWO[:1]),
        (b"\x00" + deletions(9, (2, 1)), TWO[:1]),
        (b"\x00" + deletions(9, (2, 5)), TWO),
        (b"\x00" + deletions(9, (1, 2), (4, 4)), []),
        (b"\x00" + deletions(9, (0, 9)), []),
        (update(b"\x84\x09\x01\x01x", client=5), TWO[:1]),
        (update(b"\xc4\x09\x01\x09\x02\x01x", client=5), TWO[:1]),
        (update(b"\x44\x09\x07\x01x", client=5), TWO[1:]),
        (update(b"\x84\x09\x02\x01x", client=5), []),
        (update(b"\x44\x09\x01\x01x", client=5), []),
        (update(b"\x84\x09\x06\x01x", b"\x81\x09\x01\x01", client=5), TWO),
        (update(b"\x84\x08\x01\x01x", client=5), []),
    ],
)
def test_what_is_split_is_told(other: bytes, told: list[tuple[int, int, int]]) -> None:
    """A deletion that ends or begins within a character, and an item that stands within it; nothing else."""
    assert split(other) == told


def test_typed_characters_are_known() -> None:
    """Characters that come later are known like those that were there, in whatever order."""
    pairs = Pairs()
    for clock in (2, 0, 4, 2):
        pairs.take(update(root("😀"), clock=clock))
    other = b"\x00" + deletions(9, (1, 1), (3, 2))
    assert pairs.split_by(other, read_update(other)) == [(9, 0, 2), (9, 2, 4), (9, 4, 6)]


@pytest.mark.parametrize(
    ("structs", "deletes", "text"),
    [
        ([root("a😀é😀")], deletions(9, (2, 1)), "a\ufffd\ufffdé😀"),
        ([root("😀"), b"\x84\x09\x00\x01x"], b"\x00", "\ufffd\ufffd"),
        ([root("😀é")], deletions(9, (0, 2)), "😀é"),
    ],
)
def test_what_an_update_splits_of_its_own_is_replaced(
    structs: list[bytes], deletes: bytes, text: str
) -> None:
    """Where it brings a character and splits it, both halves are U+FFFD, as they are for Yjs; clocks are the same."""
    sent = update(*structs, deletes=deletes)
    made = without_own_splits(sent, read_update(sent))
    assert made == update(root(text), *structs[1:], deletes=deletes)
    assert read_update(made).inserts == read_update(sent).inserts
