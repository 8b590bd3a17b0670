"""What has changed between two states of a document, for people and for programs.

Texts: pieces kept, removed and added, at whole words or at whole lines, each with the client that wrote it. All else:
operations of JSON Patch (RFC 6902) that turn the old value into the new one, and XML as the JSON of its elements.

Knows two states of one document; nothing of versions, stores or requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from .alignment import Added, Kept, Removed, align, equal_values
from .contents import TYPE
from .items import FORMAT, Item, Items, Node
from .plain import Aspect, Plain, aspects, plain_text, plain_value, text_of

Edge: TypeAlias = Callable[[str, str], bool]
"""Whether a text may be cut between two characters."""


class TextPiece(msgspec.Struct, frozen=True):
    """A run of text, and the client that wrote it (of kept text, too)."""

    op: Literal["keep", "remove", "add"]
    text: str
    client: int


class Operation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One operation of JSON Patch; `value` is set where `op` is not `remove`."""

    op: Literal["add", "remove", "replace"]
    path: str
    value: Any = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class TextChange:
    """How a root's text has changed."""

    root: str
    pieces: tuple[TextPiece, ...]


@dataclass(frozen=True, slots=True)
class JsonChange:
    """How a root's entries, elements or XML have changed."""

    root: str
    aspect: Aspect
    operations: tuple[Operation, ...]


Change: TypeAlias = TextChange | JsonChange


def compare(old: Items, new: Items) -> list[Change]:
    """What is different in `new`, by root; roots without a difference are left out.

    Raises:
        LimitExceeded: types are nested past `plain.MAX_DEPTH`.
    """
    changes: list[Change] = []
    for name in sorted({*old.roots, *new.roots}):
        before, after = old.roots.get(name), new.roots.get(name)
        for aspect in aspects(before, after):
            change: Change
            if aspect == "text":
                change = TextChange(name, tuple(text_pieces(before, after)))
                changed = any(piece.op != "keep" for piece in change.pieces)
            else:
                change = JsonChange(name, aspect, tuple(_patch(before, after, aspect)))
                changed = bool(change.operations)
            if changed:
                changes.append(change)
    return changes


# --- texts -----------------------------------------------------------------------------------


def word_edge(left: str, right: str) -> bool:
    """Not within a word."""
    return not (_in_word(left) and _in_word(right))


def line_edge(left: str, _right: str) -> bool:
    """After the end of a line."""
    return left == "\n"


def text_pieces(old: Node | None, new: Node | None, edge: Edge = word_edge) -> Iterator[TextPiece]:
    """The texts of two states as one run of pieces, changed at whole words (or as `edge` has it)."""
    return _merged(_widened(list(_merged(_exact(old, new))), edge))


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _exact(old: Node | None, new: Node | None) -> Iterator[TextPiece]:
    for step in align(old, new):
        match step:
            case Kept(piece, _):
                op: Literal["keep", "remove", "add"] = "keep"
            case Removed(piece):
                op = "remove"
            case Added(piece):
                op = "add"
        text = piece.text or text_of(piece.item)[: piece.length]
        if text:
            yield TextPiece(op, text, piece.item.client)


def _merged(pieces: Iterable[TextPiece]) -> Iterator[TextPiece]:
    """Neighbours of one kind and client as one; what is removed goes before what is added in its place."""
    removed: list[TextPiece] = []
    added: list[TextPiece] = []
    kept: list[TextPiece] = []
    for piece in pieces:
        if piece.op == "keep":
            yield from (*_joined(removed), *_joined(added))
            removed, added = [], []
            kept.append(piece)
        else:
            yield from _joined(kept)
            kept = []
            (removed if piece.op == "remove" else added).append(piece)
    yield from (*_joined(kept), *_joined(removed), *_joined(added))


def _joined(pieces: list[TextPiece]) -> Iterator[TextPiece]:
    start = 0
    for index in range(1, len(pieces) + 1):
        if index == len(pieces) or pieces[index].client != pieces[start].client:
            text = "".join(piece.text for piece in pieces[start:index])
            yield TextPiece(pieces[start].op, text, pieces[start].client)
            start = index


def _widened(pieces: list[TextPiece], edge: Edge) -> Iterator[TextPiece]:
    """Has every change begin and end at an edge: kept text around it counts as removed and added again."""
    texts = _Neighbours(pieces)
    for index, piece in enumerate(pieces):
        if piece.op != "keep":
            yield piece
            continue
        text = piece.text
        head = _to_edge(texts.before(index), text, edge)
        tail = len(text) - _to_edge(texts.after(index), text[::-1], lambda a, b: edge(b, a))
        if head >= tail:
            yield from _both(piece, text, inside=bool(head or tail < len(text)))
        else:
            yield from _both(piece, text[:head], inside=True)
            yield TextPiece("keep", text[head:tail], piece.client)
            yield from _both(piece, text[tail:], inside=True)


class _Neighbours:
    """The characters beside a kept piece that are changed: of the old text, and of the new one."""

    def __init__(self, pieces: list[TextPiece]) -> None:
        self._pieces = pieces

    def before(self, index: int) -> set[str]:
        """Those that end the change before it."""
        return self._ends(range(index - 1, -1, -1), -1)

    def after(self, index: int) -> set[str]:
        """Those that begin the change after it."""
        return self._ends(range(index + 1, len(self._pieces)), 0)

    def _ends(self, indices: range, place: int) -> set[str]:
        found: dict[str, str] = {}
        for index in indices:
            piece = self._pieces[index]
            if piece.op == "keep":
                # What is only added, or only removed, stands in the other text between two kept pieces.
                found.setdefault("add", piece.text[place])
                found.setdefault("remove", piece.text[place])
                break
            found.setdefault(piece.op, piece.text[place])
        changed = any(self._pieces[i].op != "keep" for i in indices[:1])
        return set(found.values()) if changed else set()


def _to_edge(beside: set[str], text: str, edge: Edge) -> int:
    """How much of the beginning of `text` belongs to what is `beside` it."""
    if not beside or all(edge(other, text[0]) for other in beside):
        return 0
    for index in range(1, len(text)):
        if edge(text[index - 1], text[index]):
            return index
    return len(text)


def _both(piece: TextPiece, text: str, *, inside: bool) -> Iterator[TextPiece]:
    if not inside:
        yield piece
    elif text:
        yield TextPiece("remove", text, piece.client)
        yield TextPiece("add", text, piece.client)


# --- JSON ------------------------------------------------------------------------------------


def _patch(old: Node | None, new: Node | None, aspect: Aspect) -> Iterator[Operation]:
    before, after = old or Node(""), new or Node("")
    return _entries(before, after, "") if aspect == "map" else _elements(before, after, "")


def _entries(old: Node, new: Node, path: str) -> Iterator[Operation]:
    before, after = old.entries(), new.entries()
    for key in sorted({*before, *after}):
        place = f"{path}/{_escaped(key)}"
        was, is_ = before.get(key), after.get(key)
        if is_ is None:
            yield Operation("remove", place)
        elif was is None:
            yield Operation("add", place, plain_value(is_, is_.length - 1))
        elif was.node and is_.node and _same(was, is_):
            yield from _within(was.node, is_.node, place)
        elif not equal_values(was, is_):
            yield Operation("replace", place, plain_value(is_, is_.length - 1))


def _elements(old: Node, new: Node, path: str) -> Iterator[Operation]:
    index = 0
    for step in align(old, new):
        match step:
            case Kept(was, is_):
                if was.item.node and is_.item.node and _same(was.item, is_.item):
                    yield from _within(was.item.node, is_.item.node, f"{path}/{index}")
                index += _count(is_.item, is_.text, is_.length)
            case Removed(was):
                for _ in range(_count(was.item, was.text, was.length)):
                    yield Operation("remove", f"{path}/{index}")
            case Added(is_):
                for value in _values(is_.item, is_.text, range(is_.start, is_.end)):
                    yield Operation("add", f"{path}/{index}", value)
                    index += 1


def _within(old: Node, new: Node, path: str) -> Iterator[Operation]:
    """What has changed in one shared type."""
    if new.kind in (2, 6):
        if plain_text(old) != plain_text(new):
            yield Operation("replace", path, plain_text(new))
        return
    is_element = new.kind == 3
    yield from _entries(old, new, f"{path}/attributes" if is_element else path)
    yield from _elements(old, new, f"{path}/children" if is_element else path)


def _same(old: Item, new: Item) -> bool:
    return old.kind == TYPE and (old.client, old.clock) == (new.client, new.clock)


def _count(item: Item, text: str, length: int) -> int:
    return 0 if item.kind == FORMAT else len(text) or length


def _values(item: Item, text: str, indices: range) -> Iterator[Plain]:
    if item.kind == FORMAT:
        return iter(())
    return iter(text) if text else (plain_value(item, index) for index in indices)


def _escaped(key: str) -> str:
    """A key in a JSON Pointer. Source: RFC 6901, section 3."""
    return key.replace("~", "~0").replace("/", "~1")
