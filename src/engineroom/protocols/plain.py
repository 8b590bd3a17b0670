"""What a document's items say, as plain JSON values: texts, objects, lists, XML.

The law: nothing that a member wrote can make this fail or never end, but nesting past `MAX_DEPTH`. Bytes stay bytes
(a JSON encoder writes them as base64), whole numbers are ints, and what JSON has no word for says what it is.

A root does not say which type it is; what stands in it does. One that members use as two (entries and a sequence)
is both: see `aspects`.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from engineroom.errors import LimitExceeded

from .contents import STRING, TYPE
from .items import ANY, BINARY, EMBED, FORMAT, SUBDOCUMENT, Item, Items, Node
from .lib0 import AnyValue, Reader, any_value

MAX_DEPTH: Final = 100
"""Shared types within one another; nobody means more."""

EMBEDDED: Final = "\ufffc"
"""Stands in a text for an embedded object (OBJECT REPLACEMENT CHARACTER)."""

Plain: TypeAlias = AnyValue
Aspect: TypeAlias = Literal["map", "text", "array", "xml"]

_ARRAY, _MAP, _TEXT, _ELEMENT, _FRAGMENT, _XML_TEXT = 0, 1, 2, 3, 4, 6
_TEXTS: Final = frozenset({_TEXT, _XML_TEXT})
_COMPOUND: Final = frozenset({0x75, 0x76})  # the tags of lists and of objects
_XML: Final = frozenset({_ELEMENT, _FRAGMENT, _XML_TEXT})


def plain_roots(items: Items) -> dict[str, Plain]:
    """The document as one JSON object, by root; empty roots are left out. A root that is two things is a list of both.

    Raises:
        LimitExceeded: types are nested past `MAX_DEPTH`.
    """
    roots: dict[str, Plain] = {}
    for name, node in sorted(items.roots.items()):
        views: list[Plain] = [plain_aspect(node, aspect) for aspect in aspects(node)]
        views = [view for view in views if view]
        if views:
            roots[name] = views[0] if len(views) == 1 else views
    return roots


def aspects(*nodes: Node | None) -> list[Aspect]:
    """What a root is, from what stands in it, in one or more states of its document."""
    found: list[Aspect] = []
    here = [node for node in nodes if node is not None]
    if any(node.entries() for node in here):
        found.append("map")
    kinds = {
        (item.kind, item.node.kind if item.node else -1) for n in here for item in n.sequence()
    }
    if any(kind in (STRING, FORMAT, EMBED) for kind, _ in kinds):
        found.append("text")
    elif kinds and all(kind == TYPE and its in _XML for kind, its in kinds):
        found.append("xml")
    elif kinds:
        found.append("array")
    return found


def plain_aspect(node: Node | None, aspect: Aspect) -> Plain:
    """One view of a root; empty where there is no such root."""
    if aspect == "map":
        return _object(node, 0) if node else {}
    if aspect == "text":
        return plain_text(node) if node else ""
    return _list(node, 0) if node else []


def plain_text(node: Node) -> str:
    """The text of a sequence, with `EMBEDDED` for each object in it."""
    return "".join(text_of(item) for item in node.sequence())


def text_of(item: Item) -> str:
    """What an item adds to a text."""
    if isinstance(item.content, str):
        return item.content
    return "" if item.kind == FORMAT else EMBEDDED * item.length


def plain_value(item: Item, index: int, depth: int = 0) -> Plain:
    """The element at `index` of an item, whatever it is.

    Raises:
        LimitExceeded: types are nested past `MAX_DEPTH`.
    """
    content = item.content
    if isinstance(content, str):
        return content
    if item.kind == TYPE:
        assert item.node is not None
        return plain_node(item.node, depth + 1)
    raw = Reader(content[index])
    if item.kind == ANY:
        return _whole(raw.any())
    if item.kind == EMBED:
        embedded: Plain = msgspec.json.decode(raw.var_string())
        return embedded
    if item.kind == BINARY:
        return raw.buf()
    if item.kind == SUBDOCUMENT:
        return {"subdocument": raw.var_string()}
    return None


def canonical(item: Item, index: int) -> str | bytes:
    """Equal for equal contents of items of one kind, types apart: yrs writes the keys of objects in any order."""
    content = item.content
    if isinstance(content, str):
        return content
    raw = content[index]
    if item.kind == ANY and raw[0] in _COMPOUND:
        return any_value(_sorted(Reader(raw).any()))
    if item.kind in (EMBED, FORMAT):
        reader = Reader(raw)
        name = reader.var_string() if item.kind == FORMAT else ""
        value = msgspec.json.decode(reader.var_string())
        return name.encode() + b"\0" + msgspec.json.encode(value, order="sorted")
    return raw


def _sorted(value: AnyValue) -> AnyValue:
    if isinstance(value, list):
        return [_sorted(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _sorted(entry) for key, entry in sorted(value.items())}
    return value


def check_depth(depth: int) -> None:
    """Goes no deeper than `MAX_DEPTH`.

    Raises:
        LimitExceeded: it would.
    """
    if depth > MAX_DEPTH:
        raise LimitExceeded("document_depth", MAX_DEPTH)


def plain_node(node: Node, depth: int = 0) -> Plain:
    """A shared type that says what it is.

    Raises:
        LimitExceeded: types are nested past `MAX_DEPTH`.
    """
    check_depth(depth)
    if node.kind == _MAP:
        return _object(node, depth)
    if node.kind in _TEXTS:
        return plain_text(node)
    if node.kind == _ELEMENT:
        children = _list(node, depth)
        return {"tag": node.name, "attributes": _object(node, depth), "children": children}
    return _list(node, depth)


def _object(node: Node, depth: int) -> dict[str, Plain]:
    entries = sorted(node.entries().items())
    return {key: plain_value(item, item.length - 1, depth) for key, item in entries}


def _list(node: Node, depth: int) -> list[Plain]:
    values: list[Plain] = []
    for item in node.sequence():
        if isinstance(item.content, str):
            values += item.content  # a text in an array: its characters
        elif item.kind != FORMAT:
            values += [plain_value(item, index, depth) for index in range(item.length)]
    return values


def _whole(value: AnyValue) -> Plain:
    """`value` with 3.0 as 3: JavaScript's numbers, which know no difference."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_whole(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _whole(entry) for key, entry in value.items()}
    return value
