"""A document's items in their order, read from its whole encoding (V1), without a CRDT library.

The law: what `read_items` returns has the order, the parents and the deletions that any Yjs client would show for
the same bytes, and every unit of it keeps its identity: the client that made it, and its clock. A library that shows
texts and maps hides who wrote what; and pycrdt may not be asked to read what strangers wrote into odd places.

Knows encodings of *whole* documents, as versions and snapshots are, not updates that need another. It copies what it
reads, never changes it, and bounds its own work: `MAX_STEPS`.

Source: yjs `structs/Item.js` (`getMissing`, `integrate`), `utils/StructStore.js`; K. Nicolaescu et al., "Near
Real-Time Peer-to-Peer Shared Editing on Extensible Data Types" (YATA), 2016.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from engineroom.errors import LimitExceeded, ProtocolError

from .contents import CONTENTS, DELETED, STRING, TYPE, utf16_units
from .lib0 import Reader
from .updates import ClockRange, read_update

COLLECTED: Final = 0
BINARY: Final = 3
EMBED: Final = 5
FORMAT: Final = 6
ANY: Final = 8
SUBDOCUMENT: Final = 9

MAX_STEPS: Final = 5_000_000
"""Neighbours looked at while items are put in order. Honest documents take a few for each item; a hostile one can
be made to take the square of its size."""

MAX_ITEMS: Final = 500_000
"""Each takes some 300 bytes of memory here. A library merges what was typed in a row, so honest documents have far
fewer."""

Id: TypeAlias = tuple[int, int]
"""Client and clock: one unit, for ever."""


@dataclass(slots=True, eq=False)
class Item:
    """A run of units that one client inserted together: `length` clocks from `clock` on.

    `content` is the text (as many UTF-16 units as `length`), or else the encoding of each element. `node` is the
    shared type that it holds, when its kind is `TYPE`. An item without a `parent` stands nowhere: it was collected.
    """

    client: int
    clock: int
    length: int
    kind: int
    content: str | tuple[bytes, ...]
    origin: Id | None = None
    right_origin: Id | None = None
    parent: Node | None = None
    key: str | None = None
    deleted: bool = False
    node: Node | None = None
    left: Item | None = None
    right: Item | None = None

    @property
    def end(self) -> int:
        """The clock after the last."""
        return self.clock + self.length

    @property
    def last(self) -> Id:
        """The identity of its last unit."""
        return self.client, self.clock + self.length - 1


@dataclass(slots=True, eq=False)
class Node:
    """A shared type: a sequence of items, and items by key. `item` holds it; None for a root, whose `name` is its own.

    For an XML element `name` is its tag. `kind` is the type's number on the wire; a root does not say it (-1).
    """

    name: str
    kind: int = -1
    item: Item | None = None
    first: Item | None = None
    newest: dict[str, Item] = field(default_factory=dict)

    def sequence(self) -> Iterator[Item]:
        """The items of the sequence that are not deleted, in order; formats are among them."""
        item = self.first
        while item is not None:
            if not item.deleted:
                yield item
            item = item.right

    def entries(self) -> dict[str, Item]:
        """The item that counts for each key, without those that are deleted."""
        return {key: item for key, item in self.newest.items() if not item.deleted}


@dataclass(frozen=True, slots=True)
class Items:
    """A whole document: its roots by name, and how many clocks each client has used."""

    roots: dict[str, Node]
    clocks: dict[int, int]


def read_items(encoding: bytes) -> Items:
    """The document that `encoding`, one V1 update, holds.

    Raises:
        ProtocolError: it is malformed, or needs what it does not bring.
        LimitExceeded: it has too many items, or putting them in order takes too long.
    """
    summary = read_update(encoding)
    if summary.needs:
        raise ProtocolError("this is no whole document: it needs what it does not bring")
    order = _Order()
    for structs in _read_structs(encoding):
        order.queue(structs)
    order.integrate()
    order.delete(summary.deletes)
    return Items(order.roots, order.reached)


def cut(content: str | tuple[bytes, ...], start: int, end: int) -> str | tuple[bytes, ...]:
    """The units `start` to `end` of an item's content. Half a surrogate pair becomes U+FFFD, as in Yjs."""
    if isinstance(content, tuple) or content.isascii() or max(content) <= "\uffff":
        return content[start:end]
    return content.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le", "replace")


# --- reading ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Struct:
    """An item as it stands in the bytes, with the parent that it names, if any."""

    item: Item
    parent: str | Id | None


def _read_structs(encoding: bytes) -> Iterator[list[_Struct]]:
    """The structs of each client, by clock. `read_update` has checked the bytes."""
    reader = Reader(encoding)
    left = MAX_ITEMS
    for _ in range(reader.var_uint()):
        structs = []
        count, client, clock = reader.var_uint(), reader.var_uint(), reader.var_uint()
        left -= count
        if left < 0:
            raise LimitExceeded("history_items", MAX_ITEMS)
        for _ in range(count):
            struct = _read_struct(reader, client, clock)
            structs.append(struct)
            clock = struct.item.end
        yield structs


def _read_struct(reader: Reader, client: int, clock: int) -> _Struct:
    info = reader.byte()
    if info == COLLECTED:
        return _Struct(Item(client, clock, reader.var_uint(), COLLECTED, "", deleted=True), None)
    origin = (reader.var_uint(), reader.var_uint()) if info & 0x80 else None
    right_origin = (reader.var_uint(), reader.var_uint()) if info & 0x40 else None
    parent: str | Id | None = None
    key = None
    if origin is None and right_origin is None:
        by_name = reader.var_uint()
        parent = reader.var_string() if by_name else (reader.var_uint(), reader.var_uint())
        key = reader.var_string() if info & 0x20 else None
    kind = info & 0x1F
    content, length = _read_content(reader, kind)
    item = Item(client, clock, length, kind, content, origin, right_origin, None, key)
    if kind == DELETED:
        item.deleted = True
    elif kind == TYPE:
        item.node = _node(item)
    return _Struct(item, parent)


def _read_content(reader: Reader, kind: int) -> tuple[str | tuple[bytes, ...], int]:
    if kind == STRING:
        text = reader.var_string()
        return text, utf16_units(text)
    if kind == ANY:
        values = tuple(_raw(reader, Reader.any) for _ in range(reader.var_uint()))
        return values, len(values)
    if kind == DELETED:
        return "", reader.var_uint()
    return (_raw(reader, CONTENTS[kind]),), 1


def _raw(reader: Reader, read: object) -> bytes:
    start = reader.position
    assert callable(read)
    read(reader)
    return reader.data[start : reader.position]


def _node(item: Item) -> Node:
    reader = Reader(item.content[0]) if isinstance(item.content, tuple) else Reader(b"\x00")
    kind = reader.byte()
    name = reader.var_string() if reader.remaining else ""
    return Node(name, kind, item)


# --- putting in order ------------------------------------------------------------------------


class _Run:
    """One client's items that have their place, by clock."""

    __slots__ = ("clocks", "items")

    def __init__(self) -> None:
        self.clocks: list[int] = []
        self.items: list[Item] = []

    def index(self, clock: int) -> int:
        return bisect_right(self.clocks, clock) - 1


class _Order:
    """Puts items into their places, whatever the order in which they come."""

    def __init__(self) -> None:
        self.roots: dict[str, Node] = {}
        self.reached: dict[int, int] = {}
        self._runs: dict[int, _Run] = {}
        self._queues: dict[int, list[_Struct]] = {}
        self._steps = 0

    def queue(self, structs: list[_Struct]) -> None:
        """All structs of one client."""
        client = structs[0].item.client
        self._queues[client] = structs[::-1]
        self._runs[client] = _Run()
        self.reached[client] = 0

    def integrate(self) -> None:
        """Place all that is queued: an item after those that it names."""
        for first in self._queues:
            waiting = [first]
            while waiting:
                queue = self._queues[waiting[-1]]
                while queue:
                    lacking = self._lacking(queue[-1])
                    if lacking is not None:
                        waiting.append(lacking)
                        break
                    self._place(queue.pop())
                else:
                    waiting.pop()

    def delete(self, ranges: tuple[ClockRange, ...]) -> None:
        """Mark what the encoding says is deleted."""
        for client, start, end in ranges:
            run = self._runs[client]
            self._starting(client, start)
            if end < self.reached[client]:
                self._starting(client, end)
            for item in run.items[run.index(start) : run.index(end - 1) + 1]:
                item.deleted = True

    def _lacking(self, struct: _Struct) -> int | None:
        """A client that must get on before `struct` can be placed."""
        item, parent = struct.item, struct.parent
        for named in (item.origin, item.right_origin, parent):
            if isinstance(named, tuple) and self.reached[named[0]] <= named[1]:
                return named[0]
        return None

    def _place(self, struct: _Struct) -> None:
        item = struct.item
        left = self._ending(item.origin) if item.origin else None
        right = self._starting(*item.right_origin) if item.right_origin else None
        self._find_parent(struct, left, right)
        if item.parent is None:
            item.deleted = True
        else:
            self._insert(item, item.parent, left, right)
        run = self._runs[item.client]
        run.clocks.append(item.clock)
        run.items.append(item)
        self.reached[item.client] = item.end

    def _find_parent(self, struct: _Struct, left: Item | None, right: Item | None) -> None:
        item, parent = struct.item, struct.parent
        if item.kind == COLLECTED:
            return
        if isinstance(parent, str):
            item.parent = self.roots.setdefault(parent, Node(parent))
        elif parent is not None:
            item.parent = self._item(*parent).node
        elif all(each is None or each.parent is not None for each in (left, right)):
            neighbour = left or right
            assert neighbour is not None
            item.parent, item.key = neighbour.parent, neighbour.key

    def _insert(self, item: Item, parent: Node, left: Item | None, right: Item | None) -> None:
        beside = left is not None and left.right is right
        if not beside and (left is not None or right is None or right.left is not None):
            left = self._after_rivals(item, parent, left, right)
        if left is not None:
            item.left, item.right = left, left.right
            left.right = item
        else:
            item.right = self._leftmost(parent, item.key)
            if item.key is None:
                parent.first = item
        if item.right is not None:
            item.right.left = item
        elif item.key is not None:
            parent.newest[item.key] = item  # the rightmost counts, whatever is said of the others

    def _after_rivals(
        self, item: Item, parent: Node, left: Item | None, right: Item | None
    ) -> Item | None:
        """The left neighbour, where others have inserted between the same two: YATA's rule."""
        other = left.right if left is not None else self._leftmost(parent, item.key)
        passed: set[int] = set()
        conflicting: set[int] = set()
        while other is not None and other is not right:
            self._step()
            passed.add(id(other))
            conflicting.add(id(other))
            if other.origin == item.origin:
                if other.client < item.client:
                    left = other
                    conflicting.clear()
                elif other.right_origin == item.right_origin:
                    break
            elif other.origin is not None and id(self._item(*other.origin)) in passed:
                if id(self._item(*other.origin)) not in conflicting:
                    left = other
                    conflicting.clear()
            else:
                break
            other = other.right
        return left

    def _leftmost(self, parent: Node, key: str | None) -> Item | None:
        if key is None:
            return parent.first
        item = parent.newest.get(key)
        while item is not None and item.left is not None:
            self._step()
            item = item.left
        return item

    def _item(self, client: int, clock: int) -> Item:
        run = self._runs[client]
        return run.items[run.index(clock)]

    def _starting(self, client: int, clock: int) -> Item:
        """The item that begins at `clock`, after a split where it does not."""
        run = self._runs[client]
        index = run.index(clock)
        item = run.items[index]
        if item.clock == clock:
            return item
        right = _split(item, clock - item.clock)
        run.clocks.insert(index + 1, clock)
        run.items.insert(index + 1, right)
        return right

    def _ending(self, last: Id) -> Item:
        """The item of which `last` is the last unit, after a split where it is not."""
        client, clock = last
        run = self._runs[client]
        item = run.items[run.index(clock)]
        if item.end != clock + 1:
            self._starting(client, clock + 1)
        return item

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise LimitExceeded("history_steps", MAX_STEPS)


def _split(item: Item, at: int) -> Item:
    """Cut `item` after `at` units; its right part."""
    right = Item(
        item.client, item.clock + at, item.length - at, item.kind,
        cut(item.content, at, item.length), (item.client, item.clock + at - 1), item.right_origin,
        item.parent, item.key, item.deleted, None, item, item.right,
    )  # fmt: skip
    item.content = cut(item.content, 0, at)
    item.length = at
    if item.parent is not None:
        if right.right is not None:
            right.right.left = right
        elif item.key is not None:
            item.parent.newest[item.key] = right
        item.right = right
    return right
