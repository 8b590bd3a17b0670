"""The operations of PATCH: their shapes, and how they change a document.

They are made on a replica, so that all are tried before the document itself is touched: one that cannot be made
leaves nothing behind. What comes out is one update, which changes the document in one transaction and, applied
twice, changes it once. Pure over bytes; takes a while for a large document, so it runs in a thread.

Positions in a text are UTF-16 code units, as in Yjs and JavaScript; an embedded object counts 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias, assert_never

import msgspec
from msgspec import Meta
from pycrdt import Array, Doc, Map, Text, XmlText

from engineroom.protocols.contents import STRING, TYPE
from engineroom.protocols.items import Items, Node
from engineroom.rooms.document import survivable

from .building import Json, build, checked
from .problems import Problem
from .reading import Kind, items_of, root_of

MAX_OPERATIONS = 1_000
MAX_PATH = 32

Segment: TypeAlias = str | Annotated[int, Meta(ge=0)]
Path: TypeAlias = Annotated[list[Segment], Meta(min_length=1, max_length=MAX_PATH)]
Position: TypeAlias = Annotated[int, Meta(ge=0)]
Length: TypeAlias = Annotated[int, Meta(ge=1)]
Attributes: TypeAlias = dict[str, Json]


class _Operation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    """`path` names the type that is changed: a root's name, then keys of Maps and indices of Arrays."""

    path: Path


class TextInsert(_Operation, frozen=True, tag="text.insert"):
    """Puts `text` at `index`, with formatting `attributes` if any."""

    index: Position
    text: str
    attributes: Attributes | None = None


class TextAppend(_Operation, frozen=True, tag="text.append"):
    """Puts `text` at the end."""

    text: str
    attributes: Attributes | None = None


class TextDelete(_Operation, frozen=True, tag="text.delete"):
    """Takes `length` units out, from `index` on."""

    index: Position
    length: Length


class TextReplace(_Operation, frozen=True, tag="text.replace"):
    """Puts `text` in place of `length` units from `index` on."""

    index: Position
    length: Length
    text: str


class TextFormat(_Operation, frozen=True, tag="text.format"):
    """Formats `length` units from `index` on; an attribute that is null is taken away."""

    index: Position
    length: Length
    attributes: Attributes


class MapSet(_Operation, frozen=True, tag="map.set"):
    """Puts `value` at `key`, in place of what stands there."""

    key: str
    value: Json


class MapDelete(_Operation, frozen=True, tag="map.delete"):
    """Takes away what stands at `key`."""

    key: str


class ArrayInsert(_Operation, frozen=True, tag="array.insert"):
    """Puts `values` before the element at `index`; the Array's length puts them at its end."""

    index: Position
    values: Annotated[list[Json], Meta(min_length=1)]


class ArrayAppend(_Operation, frozen=True, tag="array.append"):
    """Puts `values` at the end."""

    values: Annotated[list[Json], Meta(min_length=1)]


class ArrayDelete(_Operation, frozen=True, tag="array.delete"):
    """Takes `length` elements out, from `index` on."""

    index: Position
    length: Length = 1


OnText: TypeAlias = TextInsert | TextAppend | TextDelete | TextReplace | TextFormat
OnMap: TypeAlias = MapSet | MapDelete
OnArray: TypeAlias = ArrayInsert | ArrayAppend | ArrayDelete
Operation: TypeAlias = OnText | OnMap | OnArray


class Patch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of PATCH: made in order, in one transaction, all or none."""

    operations: Annotated[list[Operation], Meta(min_length=1, max_length=MAX_OPERATIONS)]


def update_of(encoded: bytes, patch: Patch) -> bytes | None:
    """The update that makes `patch` in the document `encoded`; None when it changes nothing.

    Raises:
        Problem: `operation_failed` or `unreadable_root`, with the operation's index.
    """
    _check_roots(encoded, patch.operations)

    def change(doc: Doc[Any]) -> None:
        for index, operation in enumerate(patch.operations):
            try:
                perform(doc, operation)
            except Problem as problem:
                raise Problem(problem.code, problem.detail, operation=index) from problem

    return change_of(encoded, change)


def change_of(encoded: bytes, change: Callable[[Doc[Any]], None]) -> bytes | None:
    """The update that `change` makes in a replica of the document `encoded`, in one transaction.

    Raises:
        Problem: `change`'s own; `operation_failed`, when what members wrote is in its way.
    """
    try:
        doc: Doc[Any] = Doc()
        doc.apply_update(encoded)
        updates: list[bytes] = []
        subscription = doc.observe(lambda event: updates.append(event.update))
        try:
            with doc.transaction():
                change(doc)
        finally:
            doc.unobserve(subscription)
    except Problem:
        raise
    except BaseException as error:
        if not survivable(error):
            raise
        raise Problem("operation_failed", "It cannot be made in this document.") from error
    return updates[0] if updates else None


def perform(doc: Doc[Any], operation: Operation) -> None:
    """One operation, inside the caller's transaction.

    Raises:
        Problem: `operation_failed`; what it had done by then is the caller's to throw away.
    """
    match operation:
        case TextInsert() | TextAppend() | TextDelete() | TextReplace() | TextFormat():
            target = _find(doc, operation.path, "Text", (Text, XmlText))
            _on_text(target, operation)
        case MapSet() | MapDelete():
            _on_map(_find(doc, operation.path, "Map", (Map,)), operation)
        case ArrayInsert() | ArrayAppend() | ArrayDelete():
            _on_array(_find(doc, operation.path, "Array", (Array,)), operation)
        case _:
            assert_never(operation)


# --- finding ---------------------------------------------------------------------------------

_ROOTS: dict[str, type] = {"Text": Text, "Array": Array, "Map": Map}


def _root_kind(operation: Operation) -> Kind:
    """What the root of an operation's path must be: the path says it, or else the operation."""
    if len(operation.path) > 1:
        return "Map" if isinstance(operation.path[1], str) else "Array"
    match operation:
        case MapSet() | MapDelete():
            return "Map"
        case ArrayInsert() | ArrayAppend() | ArrayDelete():
            return "Array"
        case _:
            return "Text"


def _root_name(path: Sequence[Segment]) -> str:
    if not isinstance(path[0], str):
        raise Problem("operation_failed", "A path begins with a root's name.")
    return path[0]


def _check_roots(encoded: bytes, operations: Sequence[Operation]) -> None:
    """Lets operations on when pycrdt can be trusted with every root that they name."""
    items: Items | None = None
    seen: set[tuple[str, Kind]] = set()
    for index, operation in enumerate(operations):
        try:
            wanted = (_root_name(operation.path), _root_kind(operation))
            if wanted in seen:
                continue
            seen.add(wanted)
            items = items or items_of(encoded)
            _check_arrays(root_of(items, *wanted), *wanted)
        except Problem as problem:
            raise Problem(problem.code, problem.detail, operation=index) from problem


def _check_arrays(node: Node | None, name: str, kind: Kind) -> None:
    """Text in an Array (no client of ours writes it) makes pycrdt count for ever."""
    waiting = [(node, kind == "Array")] if node is not None else []
    while waiting:
        inner, is_array = waiting.pop()
        for item in [*inner.sequence(), *inner.entries().values()]:
            if is_array and item.kind == STRING:
                raise Problem("unreadable_root", f"In {name!r} an Array holds pieces of a text.")
            if item.kind == TYPE and item.node is not None:
                waiting.append((item.node, item.node.kind == 0))


def _find(doc: Doc[Any], path: Sequence[Segment], kind: Kind, types: tuple[type, ...]) -> Any:
    """The type that a path names, when it is one of `types`."""
    if len(path) == 1:
        return doc.get(_root_name(path), type=_ROOTS[kind])
    first = Map if isinstance(path[1], str) else Array
    found: Any = doc.get(_root_name(path), type=first)
    for depth, segment in enumerate(path[1:], 1):
        found = _step(found, segment, list(path[:depth]))
    if not isinstance(found, types):
        raise Problem("operation_failed", f"At {list(path)} there is no {kind}.")
    return found


def _step(container: Any, segment: Segment, here: list[Segment]) -> Any:
    if isinstance(container, Map) and isinstance(segment, str):
        if segment not in container:
            raise Problem("operation_failed", f"There is no key {segment!r} at {here}.")
        return container[segment]
    if isinstance(container, Array) and isinstance(segment, int):
        _check_range(segment, 1, len(container), "Array")
        return container[segment]
    raise Problem("operation_failed", f"{segment!r} leads nowhere from {here}.")


# --- changing --------------------------------------------------------------------------------


def _on_text(text: Any, operation: OnText) -> None:
    # pycrdt counts UTF-8 bytes.
    match operation:
        case TextInsert(index=index, text=added, attributes=attributes):
            start = _offset(text, index)
            _insert(text, start, added, attributes)
        case TextAppend(text=added, attributes=attributes):
            _insert(text, len(text), added, attributes)
        case TextDelete(index=index, length=length):
            start, end = _offset(text, index), _offset(text, index + length)
            del text[start:end]
        case TextReplace(index=index, length=length, text=added):
            start, end = _offset(text, index), _offset(text, index + length)
            del text[start:end]
            _insert(text, start, added, None)
        case TextFormat(index=index, length=length, attributes=attributes):
            start, end = _offset(text, index), _offset(text, index + length)
            text.format(start, end, checked(attributes))
        case _:
            assert_never(operation)


def _insert(text: Any, offset: int, added: str, attributes: Attributes | None) -> None:
    if added:
        text.insert(offset, added, checked(attributes) if attributes else None)


def _offset(text: Any, index: int) -> int:
    """The offset in UTF-8 bytes of the position `index`, in UTF-16 units."""
    left, offset = index, 0
    for piece, _ in text.diff() if index else []:
        if not isinstance(piece, str):
            units, whole_bytes = 1, 1
        else:
            utf16 = piece.encode("utf-16-le")
            units, whole_bytes = len(utf16) // 2, len(piece.encode())
            if left < units:
                return offset + len(_cut(utf16, left).encode())
        if not left:
            break
        left, offset = left - units, offset + whole_bytes
    if left:
        reason = f"The text has {index - left} UTF-16 units; there is no position {index}."
        raise Problem("operation_failed", reason)
    return offset


def _cut(utf16: bytes, units: int) -> str:
    try:
        return utf16[: 2 * units].decode("utf-16-le")
    except UnicodeDecodeError:
        reason = "The position is in the middle of a character (positions are UTF-16 units)."
        raise Problem("operation_failed", reason) from None


def _on_map(entries: Any, operation: OnMap) -> None:
    match operation:
        case MapSet(key=key, value=value):
            entries[key] = build(value)
        case MapDelete(key=key):
            if key not in entries:
                raise Problem("operation_failed", f"There is no key {key!r}.")
            del entries[key]
        case _:
            assert_never(operation)


def _on_array(array: Any, operation: OnArray) -> None:
    match operation:
        case ArrayInsert(index=index, values=values):
            _check_range(index, 0, len(array), "Array")
            _insert_all(array, index, values)
        case ArrayAppend(values=values):
            _insert_all(array, len(array), values)
        case ArrayDelete(index=index, length=length):
            _check_range(index, length, len(array), "Array")
            del array[index : index + length]
        case _:
            assert_never(operation)


def _insert_all(array: Any, index: int, values: Sequence[Json]) -> None:
    for place, value in enumerate(values, index):
        array.insert(place, build(value))


def _check_range(index: int, length: int, have: int, kind: str) -> None:
    if index + length > have:
        raise Problem("operation_failed", f"The {kind} has {have} elements; {index} is past it.")
