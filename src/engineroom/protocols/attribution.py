"""Who wrote what, as a document's items tell it: by client and clock. Which user that was, the caller knows.

Lengths are in UTF-16 units for text, as clocks are, and in elements for anything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import msgspec

from .contents import TYPE
from .items import FORMAT, Item, Items, Node

Whose: TypeAlias = Callable[[int, int, int], Iterable[tuple[int, int, str | None]]]
"""The clocks `start` to `end` of a client, cut where its user changes: start, end and user (None: not known)."""


class Span(msgspec.Struct, frozen=True):
    """`length` units in a row, which `user`, being `client`, inserted from its `clock` on."""

    client: int
    clock: int
    length: int
    user: str | None


class Count(msgspec.Struct):
    """What one user has put into a document: all units ever, those that still stand, and of these the text."""

    inserted: int = 0
    standing: int = 0
    text: int = 0


def spans(items: Items, whose: Whose) -> dict[str, list[Span]]:
    """For each root the authors of its sequence, in order. Together they are as long as the text that it shows."""
    return {
        name: list(_spans(node, whose)) for name, node in sorted(items.roots.items()) if node.first
    }


def tally(items: Items, whose: Whose) -> dict[str | None, Count]:
    """What each user has put in; whatever was deleted meanwhile, text or not, counts as inserted."""
    counts: defaultdict[str | None, Count] = defaultdict(Count)
    for client, reached in items.clocks.items():
        for start, end, user in whose(client, 0, reached):
            counts[user].inserted += end - start
    for item in _standing(items):
        for start, end, user in whose(item.client, item.clock, item.end):
            counts[user].standing += end - start
            if isinstance(item.content, str):
                counts[user].text += end - start
    return dict(counts)


def _spans(node: Node, whose: Whose) -> Iterator[Span]:
    client = clock = end = 0
    for item in node.sequence():
        if item.kind == FORMAT:
            continue
        if (item.client, item.clock) != (client, end):
            yield from _cut(client, clock, end, whose)
            client, clock = item.client, item.clock
        end = item.end
    yield from _cut(client, clock, end, whose)


def _cut(client: int, clock: int, end: int, whose: Whose) -> Iterator[Span]:
    for start, stop, user in whose(client, clock, end):
        yield Span(client, start, stop - start, user)


def _standing(items: Items) -> Iterator[Item]:
    """Every item that can be seen, at any depth."""
    nodes = list(items.roots.values())
    while nodes:
        node = nodes.pop()
        for item in (*node.sequence(), *node.entries().values()):
            yield item
            if item.kind == TYPE and item.node is not None:
                nodes.append(item.node)
