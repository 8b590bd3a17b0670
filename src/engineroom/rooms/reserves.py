"""What restoring a page's document leaves alone: what programs and the room itself write there.

The law: restoring brings back what people wrote. Outputs, execution counts and values are programs' work, may be under
way at this moment, and come back by running again. The room's own notes say what was seeded, once and for ever.
"""

from __future__ import annotations

from typing import Final

from engineroom.protocols.items import Item as DocumentItem
from engineroom.protocols.items import Items, Node
from engineroom.protocols.lib0 import any_value
from engineroom.protocols.plain import Plain, plain_value
from engineroom.protocols.restoring import Reserve

from . import cells, values

_PROGRAMS: Final = frozenset({"outputs", "execution_count", "execution_state"})


class PageReserve(Reserve):
    """For the room of a page; `present` is its document now."""

    def __init__(self, present: Items) -> None:
        self._seeded = _seeded(present)

    def leaves_root(self, name: str) -> bool:
        """Values are the room's table's shadow; notes are its own."""
        return name in (values.ROOT, cells.NOTES)

    def leaves_entry(self, node: Node, key: str) -> bool:
        """What programs have written into a cell."""
        return key in _PROGRAMS if _is_cell(node) else key == "evaluation" and _is_metadata(node)

    def spares(self, item: DocumentItem) -> bool:
        """A cell that the page states: it was added to the page since."""
        if item.node is None or not _is_cell(item.node):
            return False
        own = item.node.entries().get("id")
        name = plain_value(own, own.length - 1) if own is not None else None
        return isinstance(name, str) and f"cell:{name}" in self._seeded

    def instead(self, node: Node, key: str) -> bytes | None:
        """A cell that comes back is not running."""
        if key == "execution_state" and _is_cell(node):
            return any_value("idle")
        return any_value(None) if key == "evaluation" and _is_metadata(node) else None


def _is_cell(node: Node) -> bool:
    """Whether it stands in the root of cells, now or then."""
    parent = node.item.parent if node.item is not None else None
    return parent is not None and parent.item is None and parent.name == cells.ROOT


def _is_metadata(node: Node) -> bool:
    holder = node.item
    if holder is None or holder.key != "metadata" or holder.parent is None:
        return False
    return _is_cell(holder.parent)


def _seeded(present: Items) -> frozenset[str]:
    notes = present.roots.get(cells.NOTES)
    entry = notes.entries().get(cells.SEEDED) if notes is not None else None
    seeded: Plain = plain_value(entry, 0) if entry is not None else None
    return frozenset(seeded) if isinstance(seeded, dict) else frozenset()
