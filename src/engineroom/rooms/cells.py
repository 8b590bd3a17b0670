"""Cells in the document: where they are, how they are seeded, what stands in them.

The shape is that of jupyter_ydoc's cells. Members may have written anything into the document, so nothing is taken for
granted when it is read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pycrdt import Array, Doc, Map, Text

from .document import holds_text
from .plan import CellPlan, Plan

ROOT = "cells"
MAX_CELLS = 2_000  # entries of the root Array that are looked at: members can put millions there
NOTES = "engineroom"
SEEDED = "seeded"


def _root(doc: Doc[Any]) -> Array[Any] | None:
    """The root Array; None when members have put text there: yrs may never come back from reading it then."""
    return None if holds_text(doc, ROOT) else doc.get(ROOT, type=Array)


def cells(doc: Doc[Any]) -> Iterator[Map[Any]]:
    """The cells that are Maps."""
    for cell in islice(_root(doc) or (), MAX_CELLS):
        if isinstance(cell, Map):
            yield cell


def find_cell(doc: Doc[Any], cell_id: str) -> Map[Any] | None:
    """The cell of this id."""
    for cell in cells(doc):
        if cell.get("id") == cell_id:
            return cell
    return None


def child_map(parent: Map[Any], key: str) -> Map[Any]:
    """The Map under `key`, made when something else is there."""
    child = parent.get(key)
    if not isinstance(child, Map):
        parent[key] = Map({})
        child = parent[key]
    return child


def child_array(parent: Map[Any], key: str) -> Array[Any]:
    """The Array under `key`, made when something else is there."""
    child = parent.get(key)
    if not isinstance(child, Array):
        parent[key] = Array([])
        child = parent[key]
    return child


# --- seeding ---------------------------------------------------------------------------------


def seed_client_id(plan: Plan) -> int:
    """The client id of a page's seed: one for a page's content, so that the same seed twice is the same seed once."""
    return zlib.crc32(f"{plan.page}\n{plan.version}".encode()) or 1


def seed_update(plan: Plan) -> bytes | None:
    """What a new room's document begins with, as one update (V1); None for an empty plan."""
    doc: Doc[Any] = Doc(client_id=seed_client_id(plan))
    with doc.transaction():
        add_missing(doc, plan)
    update = doc.get_update()
    return None if update == b"\x00\x00" else update


def lacks_any(doc: Doc[Any], plan: Plan) -> bool:
    """Whether the page states something that this room was never seeded with."""
    return next(_missing(doc, plan), None) is not None


def add_missing(doc: Doc[Any], plan: Plan) -> None:
    """Add what the page states and this room was never seeded with; to be called inside a transaction."""
    missing = list(_missing(doc, plan))
    if not missing:
        return
    notes = doc.get(NOTES, type=Map)
    seeded = child_map(notes, SEEDED)
    for key in missing:
        seeded[key] = True
    for editor in plan.editors:
        if f"editor:{editor.name}" in missing:
            text = doc.get(editor.name, type=Text)
            if editor.text and not len(text):
                text.insert(0, editor.text)
    array = _root(doc)
    if array is None:
        return
    for cell in plan.cells:
        if f"cell:{cell.id}" in missing and find_cell(doc, cell.id) is None:
            array.append(_cell(cell))


def _missing(doc: Doc[Any], plan: Plan) -> Iterator[str]:
    seeded = doc.get(NOTES, type=Map).get(SEEDED)
    known = set(seeded.keys()) if isinstance(seeded, Map) else set()
    keys = [f"editor:{e.name}" for e in plan.editors] + [f"cell:{c.id}" for c in plan.cells]
    return (key for key in keys if key not in known)


def _cell(plan: CellPlan) -> Map[Any]:
    return Map(
        {
            "id": plan.id,
            "cell_type": "code",
            "source": Text(plan.source),
            "metadata": Map({"engine": plan.engine}),
            "outputs": Array([]),
            "execution_count": None,
            "execution_state": "idle",
        }
    )
