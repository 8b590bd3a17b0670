"""The menu of a site: a tree from the names of its pages. Pure: it reads nothing but the pages it is given."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from .names import readable_name
from .page import Page


@dataclass(frozen=True, slots=True)
class MenuItem:
    """An entry of the menu: a page, a folder with an index page, or one without (`page` and `url` are None)."""

    title: str
    page: str | None
    url: str | None
    children: tuple[MenuItem, ...] = ()


@dataclass(slots=True)
class _Node:
    """A name in the tree: a page, a folder, or both (`guide.md` beside `guide/`)."""

    name: str
    page: Page | None = None
    folder: dict[str, _Node] = field(default_factory=dict)


def make_menu(pages: Mapping[str, Page]) -> tuple[MenuItem, ...]:
    """The menu's top level. The index comes first, then by `order`, by the number that a name begins with, by name."""
    root = _Node("")
    for path, page in pages.items():
        node = root
        for part in path.split("/"):
            node = node.folder.setdefault(part, _Node(part))
        node.page = page
    return tuple(_items(root.folder.values()))


def menu_order(menu: Iterable[MenuItem]) -> Iterator[str]:
    """The names of the pages, as one reads the menu from top to bottom."""
    for item in menu:
        if item.page is not None:
            yield item.page
        yield from menu_order(item.children)


def _items(nodes: Iterable[_Node]) -> Iterator[MenuItem]:
    for node in sorted(nodes, key=_sort_key):
        if node.page is not None:
            yield MenuItem(node.page.title, node.page.path, node.page.url)
        if node.folder:
            yield _folder_item(node)


def _folder_item(node: _Node) -> MenuItem:
    index = node.folder.get("index")
    if index is None or index.page is None:
        return MenuItem(readable_name(node.name), None, None, tuple(_items(node.folder.values())))
    rest = [child for child in node.folder.values() if child is not index]
    if index.folder:
        rest.append(_Node("index", folder=index.folder))
    return MenuItem(index.page.title, index.page.path, index.page.url, tuple(_items(rest)))


def _sort_key(node: _Node) -> tuple[bool, float, str, str]:
    index = node.folder.get("index")
    speaker = node.page or (index.page if index else None)
    number = re.match(r"\d{1,9}(?=[-_. ])", node.name)
    order = float(number[0]) if number else math.inf
    if speaker is not None and speaker.order is not None:
        order = speaker.order
    return (node.name != "index", order, node.name.casefold(), node.name)
