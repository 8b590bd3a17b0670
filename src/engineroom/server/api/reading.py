"""A document's roots, as JSON or as plain text.

The law: what members wrote can neither fail a reader nor keep it for ever. A CRDT library may not be asked for it
(pycrdt panics, or never returns, where a root is read as what it is not): items are read from the encoding itself,
within bounds, and a root is given as a kind only when it holds what that kind holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from engineroom.errors import LimitExceeded, ProtocolError
from engineroom.protocols.items import Items, Node, read_items
from engineroom.protocols.plain import Aspect, Plain, aspects, plain_aspect

from .asked import BYTES_TYPE, JSON_TYPE, TEXT_TYPE, UPDATE_TYPE
from .markup import markup
from .problems import Problem

Kind: TypeAlias = Literal["Text", "Array", "Map", "XmlFragment"]
ASPECTS: Mapping[str, Aspect] = {
    "Text": "text",
    "Array": "array",
    "Map": "map",
    "XmlFragment": "xml",
}

ROOT_PREFIX = "root."
RESERVED = frozenset({"root", "state_vector", "token"})
MAX_ROOTS = 50


def offers_for(fields: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The forms that a query leaves open, best first."""
    names = {name for name, _ in fields}
    if "state_vector" in names:
        return (UPDATE_TYPE, BYTES_TYPE)
    if "root" in names:
        return (TEXT_TYPE,)
    if names:
        return (JSON_TYPE,)
    return (UPDATE_TYPE, BYTES_TYPE, JSON_TYPE)


def roots_of(fields: Sequence[tuple[str, str]]) -> dict[str, Kind]:
    """The roots that a query names, and as what each is to be read: `?text=Text&root.root=Map`.

    Raises:
        Problem: `bad_query`, `roots_missing`.
    """
    roots: dict[str, Kind] = {}
    for field, kind in fields:
        name = field.removeprefix(ROOT_PREFIX)
        if field in RESERVED:
            raise Problem("bad_query", f"{field!r} does not go with roots; write root.{field}=….")
        if name in roots:
            raise Problem("bad_query", f"The root {name!r} stands there twice.")
        roots[name] = kind_of(kind)
    if not roots:
        raise Problem("roots_missing", "A document does not know its roots: ?text=Text&list=Array")
    if len(roots) > MAX_ROOTS:
        raise Problem("bad_query", f"At most {MAX_ROOTS} roots are read at once.")
    return roots


def kind_of(text: str) -> Kind:
    """The kind with this name.

    Raises:
        Problem: `bad_query`.
    """
    match text:
        case "Text" | "Array" | "Map" | "XmlFragment":
            return text
        case _:
            raise Problem("bad_query", f"A root is {', '.join(ASPECTS)}, not {text[:40]!r}.")


def as_json(encoded: bytes, roots: Mapping[str, Kind]) -> bytes:
    """An object with each root by its name.

    Raises:
        Problem: `unreadable_root`.
    """
    items = items_of(encoded)
    return msgspec.json.encode({name: _read(items, name, kind) for name, kind in roots.items()})


def as_text(encoded: bytes, root: str) -> bytes:
    """A root Text, in UTF-8.

    Raises:
        Problem: `unreadable_root`.
    """
    return str(_read(items_of(encoded), root, "Text")).encode("utf-8", "replace")


def items_of(encoded: bytes) -> Items:
    """The items of a whole document.

    Raises:
        Problem: `unreadable_root`: putting them in order takes too long.
    """
    try:
        return read_items(encoded)
    except (ProtocolError, LimitExceeded) as error:
        raise Problem("unreadable_root", f"The document cannot be read as JSON: {error}") from error


def root_of(items: Items, name: str, kind: Kind) -> Node | None:
    """The root `name`, when it holds nothing but what a `kind` holds; None when nothing stands there.

    Raises:
        Problem: `unreadable_root`.
    """
    node = items.roots.get(name)
    found = aspects(node)
    # Characters of XML at its top are a text to whoever looks at the root alone.
    fits = kind == "XmlFragment" and found == ["text"]
    if found and found != [ASPECTS[kind]] and not fits and not _is_list_of_xml(kind, found):
        known = " and a ".join(found)
        raise Problem("unreadable_root", f"The root {name!r} is a {known}, not a {kind}.")
    return node


def _is_list_of_xml(kind: Kind, found: list[Aspect]) -> bool:
    """Whether an Array of XML elements is meant: only its client knows that it is no fragment."""
    return kind == "Array" and found == ["xml"]


def _read(items: Items, name: str, kind: Kind) -> Plain:
    node = root_of(items, name, kind)
    try:
        if kind == "XmlFragment":
            return markup(node) if node is not None else ""
        return plain_aspect(node, ASPECTS[kind])
    except LimitExceeded as error:
        raise Problem(
            "unreadable_root", f"The root {name!r} is nested too deep: {error}"
        ) from error
