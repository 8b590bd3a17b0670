"""XML of a document as text: elements, their attributes, and text with its marks.

What members wrote is escaped, and names that are none in XML are left out: the text is well-formed, whatever stands
in the document. Marks of a text (bold, links) become elements around it, as in Yjs' own `toString`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

import msgspec

from engineroom.errors import LimitExceeded
from engineroom.protocols.contents import TYPE
from engineroom.protocols.items import FORMAT, Item, Node
from engineroom.protocols.lib0 import Reader
from engineroom.protocols.plain import MAX_DEPTH, plain_value, text_of

_ELEMENT = 3
# XML 1.0, production 5, for ASCII; and production 2: what no document may hold, escaped or not.
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9._:-]*")
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markup(node: Node) -> str:
    """What stands in a fragment or an element, without its own tag.

    Raises:
        LimitExceeded: elements are nested past `MAX_DEPTH`.
    """
    return "".join(_pieces(node, 0))


def _pieces(node: Node, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise LimitExceeded("document_depth", MAX_DEPTH)
    marks: dict[str, object] = {}
    for item in node.sequence():
        if item.kind == FORMAT:
            _mark(item, marks)
        elif item.kind == TYPE and item.node is not None:
            yield from _child(item.node, depth + 1)
        else:
            text = escape(_NO_CHARACTER.sub("\ufffd", text_of(item)))
            yield _marked(text, marks) if text else ""


def _child(node: Node, depth: int) -> Iterator[str]:
    if node.kind != _ELEMENT:
        yield from _pieces(node, depth)
        return
    name = node.name if _NAME.fullmatch(node.name) else "element"
    attributes = [
        (key, _text_of_value(plain_value(item, item.length - 1, depth)))
        for key, item in sorted(node.entries().items())
    ]
    yield _open(name, attributes)
    yield from _pieces(node, depth)
    yield f"</{name}>"


def _mark(item: Item, marks: dict[str, object]) -> None:
    reader = Reader(item.content[0] if isinstance(item.content, tuple) else b"")
    name = reader.var_string()
    value: object = msgspec.json.decode(reader.var_string())
    if value is None:
        marks.pop(name, None)
    else:
        marks[name] = value


def _marked(text: str, marks: dict[str, object]) -> str:
    for name, value in sorted(marks.items(), reverse=True):
        if _NAME.fullmatch(name):
            pairs = sorted(value.items()) if isinstance(value, dict) else []
            attributes = [(str(key), _text_of_value(each)) for key, each in pairs]
            text = f"{_open(name, attributes)}{text}</{name}>"
    return text


def _open(name: str, attributes: list[tuple[str, str]]) -> str:
    stated = [f" {key}={quoteattr(value)}" for key, value in attributes if _NAME.fullmatch(key)]
    return f"<{name}{''.join(stated)}>"


def _text_of_value(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return _NO_CHARACTER.sub("\ufffd", text)
