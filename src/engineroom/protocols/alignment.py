"""What stays, what goes and what comes between two states of one sequence.

The law: units that both states show stand in the same order in both, because their identity fixes their place. So
what has stayed is found by identity, in linear time, and is never guessed. Only what lies between is compared by
value, word by word, so that text which was deleted and written again (as restoring does) counts as the same.

Knows items; no documents, no diffs, no updates.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final, Literal, NamedTuple, TypeAlias

from .contents import TYPE, utf16_units
from .items import Item, Node, cut
from .plain import canonical, check_depth

MAX_GAP_TOKENS: Final = 1_000
"""Of each side of a gap; comparing takes their product. What is longer counts as replaced, but for its ends."""

_TOKEN: Final = re.compile(r"\w+|[^\S\n]+|.", re.DOTALL)


class Piece(NamedTuple):
    """The units `start` to `end` of an item."""

    item: Item
    start: int
    end: int

    @property
    def length(self) -> int:
        """How many units."""
        return self.end - self.start

    @property
    def text(self) -> str:
        """Its text; empty when it is none."""
        content = self.item.content
        if not isinstance(content, str):
            return ""
        if self.start == 0 and self.end == self.item.length:
            return content
        part = cut(content, self.start, self.end)
        assert isinstance(part, str)
        return part


class Kept(NamedTuple):
    """Equal pieces of both states, most often the very same units."""

    old: Piece
    new: Piece


class Removed(NamedTuple):
    """A piece of the old state alone."""

    old: Piece


class Added(NamedTuple):
    """A piece of the new state alone."""

    new: Piece


Step: TypeAlias = Kept | Removed | Added


def align(old: Node | None, new: Node | None) -> list[Step]:
    """How the sequence of `old` becomes that of `new`, in order. None is an empty one.

    Raises:
        LimitExceeded: types are nested past `plain.MAX_DEPTH`.
    """
    before = list(old.sequence()) if old else []
    after = list(new.sequence()) if new else []
    steps: list[Step] = []
    gone: list[Piece] = []
    come: list[Piece] = []
    for step in _by_identity(before, after):
        if isinstance(step, Removed):
            gone.append(step.old)
        elif isinstance(step, Added):
            come.append(step.new)
        else:
            steps += _by_value(gone, come)
            gone, come = [], []
            steps.append(step)
    return steps + _by_value(gone, come)


def same_units(step: Kept) -> bool:
    """Whether both pieces are the very same units, not only equal ones."""
    old, new = step.old, step.new
    same_client = old.item.client == new.item.client
    return same_client and old.item.clock + old.start == new.item.clock + new.start


# --- by identity -----------------------------------------------------------------------------


class _Shown:
    """The clocks that a state shows, by client."""

    def __init__(self, items: Iterable[Item]) -> None:
        ranges: dict[int, list[tuple[int, int]]] = {}
        for item in items:
            ranges.setdefault(item.client, []).append((item.clock, item.end))
        self._starts: dict[int, list[int]] = {}
        self._ends: dict[int, list[int]] = {}
        for client, its in ranges.items():
            its.sort()
            self._starts[client] = [start for start, _ in its]
            self._ends[client] = [end for _, end in its]

    def stretch(self, client: int, clock: int, end: int) -> tuple[bool, int]:
        """Whether `clock` is shown, and up to where, `end` at most, the same holds."""
        starts = self._starts.get(client, [])
        index = bisect_right(starts, clock) - 1
        if index >= 0 and clock < self._ends[client][index]:
            return True, min(end, self._ends[client][index])
        following = starts[index + 1] if index + 1 < len(starts) else end
        return False, min(end, following)


class _Cursor:
    """Goes through items, piece by piece."""

    def __init__(self, items: list[Item]) -> None:
        self._items = items
        self._index = 0
        self.offset = 0

    @property
    def item(self) -> Item | None:
        return self._items[self._index] if self._index < len(self._items) else None

    def take(self, length: int) -> Piece:
        """The next `length` units, which are all of one item."""
        item = self._items[self._index]
        piece = Piece(item, self.offset, self.offset + length)
        self.offset += length
        if self.offset == item.length:
            self._index, self.offset = self._index + 1, 0
        return piece


def _by_identity(before: list[Item], after: list[Item]) -> Iterator[Step]:
    was, is_ = _Shown(before), _Shown(after)
    old, new = _Cursor(before), _Cursor(after)
    while (item := old.item) is not None:
        clock = item.clock + old.offset
        stays, end = is_.stretch(item.client, clock, item.end)
        if not stays:
            yield Removed(old.take(end - clock))
            continue
        while (other := new.item) is not None:
            its_clock = other.clock + new.offset
            if (other.client, its_clock) == (item.client, clock):
                length = min(end - clock, other.end - its_clock)
                yield Kept(old.take(length), new.take(length))
                break
            known, its_end = was.stretch(other.client, its_clock, other.end)
            if known:  # the units of two documents that are no states of one: no order to go by
                yield Removed(old.take(end - clock))
                break
            yield Added(new.take(its_end - its_clock))
        else:
            yield Removed(old.take(end - clock))
    while (rest := new.item) is not None:
        yield Added(new.take(rest.length - new.offset))


# --- by value --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Token:
    """What is compared: a word, or one element. A word may go over several items."""

    value: Hashable
    pieces: list[Piece]


def _by_value(gone: list[Piece], come: list[Piece]) -> list[Step]:
    if not gone or not come:
        return [*map(Removed, gone), *map(Added, come)]
    old, new = _tokens(gone), _tokens(come)
    steps: list[Step] = []
    for tag, a, b, c, d in _opcodes([t.value for t in old], [t.value for t in new]):
        left = [piece for token in old[a:b] for piece in token.pieces]
        right = [piece for token in new[c:d] for piece in token.pieces]
        steps += (
            _pairs(left, right) if tag == "equal" else [*map(Removed, left), *map(Added, right)]
        )
    return steps


def _opcodes(
    old: list[Hashable], new: list[Hashable]
) -> Iterator[tuple[Literal["equal", "replace"], int, int, int, int]]:
    shorter = min(len(old), len(new))
    head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    rest = shorter - head
    tail = next((i for i in range(rest) if old[-1 - i] != new[-1 - i]), rest)
    if head:
        yield "equal", 0, head, 0, head
    a, b, c, d = head, len(old) - tail, head, len(new) - tail
    if max(b - a, d - c) <= MAX_GAP_TOKENS:
        matcher = SequenceMatcher(None, old[a:b], new[c:d], autojunk=False)
        for tag, i, j, k, n in matcher.get_opcodes():
            yield "equal" if tag == "equal" else "replace", a + i, a + j, c + k, c + n
    else:
        yield "replace", a, b, c, d
    if tail:
        yield "equal", b, len(old), d, len(new)


def _tokens(pieces: list[Piece]) -> list[_Token]:
    tokens: list[_Token] = []
    open_word = False  # the last token is a word that the next piece may go on with
    for piece in pieces:
        content = piece.item.content
        if not isinstance(content, str):
            tokens += [
                _Token(_value(piece.item, i), [Piece(piece.item, i, i + 1)])
                for i in range(piece.start, piece.end)
            ]
            open_word = False
            continue
        position = piece.start
        for match in _TOKEN.finditer(piece.text):
            word = match.group()
            part = Piece(piece.item, position, position + utf16_units(word))
            is_word = word[0] == "_" or word[0].isalnum()
            if open_word and is_word and position == piece.start:
                tokens[-1].value = f"{tokens[-1].value}{word}"
                tokens[-1].pieces.append(part)
            else:
                tokens.append(_Token(word, [part]))
            position, open_word = part.end, is_word
    return tokens


def _value(item: Item, index: int) -> Hashable:
    if item.kind == TYPE:
        assert item.node is not None
        return _fingerprint(item.node, 1)
    return item.kind, canonical(item, index)


def _fingerprint(node: Node, depth: int) -> Hashable:
    """Equal for shared types that hold the same, whoever wrote it."""
    check_depth(depth)
    parts: list[Hashable] = []
    text: list[str] = []
    for item in node.sequence():
        if isinstance(item.content, str):
            text.append(item.content)
            continue
        parts.append("".join(text))
        text.clear()
        parts += [_deep(item, index, depth) for index in range(item.length)]
    parts.append("".join(text))
    entries = tuple(
        (key, _deep(item, item.length - 1, depth)) for key, item in sorted(node.entries().items())
    )
    return node.kind, node.name, tuple(parts), entries


def _deep(item: Item, index: int, depth: int) -> Hashable:
    if item.kind == TYPE:
        assert item.node is not None
        return _fingerprint(item.node, depth + 1)
    return item.kind, canonical(item, index)


def equal_values(old: Item, new: Item, depth: int = 0) -> bool:
    """Whether the last elements of two items, as entries have them, hold the same."""
    return _deep(old, old.length - 1, depth) == _deep(new, new.length - 1, depth)


def _pairs(old: list[Piece], new: list[Piece]) -> Iterator[Step]:
    """Equal pieces that are cut in different places."""
    left, right = old[::-1], new[::-1]
    while left:
        a, b = left.pop(), right.pop()
        length = min(a.length, b.length)
        yield Kept(a._replace(end=a.start + length), b._replace(end=b.start + length))
        if a.length > length:
            left.append(a._replace(start=a.start + length))
        if b.length > length:
            right.append(b._replace(start=b.start + length))
