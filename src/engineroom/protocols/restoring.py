"""The update that makes a document say again what an earlier state of it says.

The law: it is an update like any other. What both states show is not touched, so its cursors, its authors and its
comments stay; what the present shows alone is deleted; what the earlier state shows alone is inserted, in its old
place, by a new client. Made against one present, it merges with whatever others do meanwhile, and undoing it is
restoring once more.

Knows items and their wire form. What must not be touched, a `Reserve` says.

Source: yjs `types/AbstractType.js` (`typeListInsertGenericsAfter`, `typeMapSet`), `structs/Item.js` (`write`).
"""

from __future__ import annotations

from typing import Final

from .alignment import Added, Kept, Piece, Removed, align, equal_values
from .contents import STRING, TYPE
from .items import ANY, Id, Item, Items, Node, cut
from .lib0 import buf, var_string, var_uint
from .plain import check_depth

_ORIGIN: Final = 0x80
_RIGHT_ORIGIN: Final = 0x40
_KEY: Final = 0x20


class Reserve:
    """What restoring leaves alone. This one: nothing."""

    def leaves_root(self, name: str) -> bool:
        """Whether the root stays as it is."""
        return False

    def leaves_entry(self, node: Node, key: str) -> bool:
        """Whether the entry of a shared type stays as it is; `node` is the present's."""
        return False

    def spares(self, item: Item) -> bool:
        """Whether an element of a sequence stays, although the earlier state has no such element."""
        return False

    def instead(self, node: Node, key: str) -> bytes | None:
        """The encoding of a value (an `any`) to write instead of an entry of a type that comes back."""
        return None


def restoring(present: Items, earlier: Items, client: int, reserve: Reserve | None = None) -> bytes:
    """The update (V1) that turns `present` into `earlier`; `client` must be new to the document.

    Empty (`00 00`) when nothing is different.

    Raises:
        LimitExceeded: types are nested past `plain.MAX_DEPTH`.
    """
    assert client not in present.clocks, "the client of a new update must be new"
    writer = _Writer(client, reserve or Reserve())
    for name in sorted({*present.roots, *earlier.roots}):
        if not writer.reserve.leaves_root(name):
            old, new = present.roots.get(name), earlier.roots.get(name)
            writer.turn(old or Node(name), new or Node(name), 0)
    return writer.update()


class _Writer:
    """Writes the structs of one client, and what they make of the present."""

    def __init__(self, client: int, reserve: Reserve) -> None:
        self.reserve = reserve
        self._client = client
        self._clock = 0
        self._structs: list[bytes] = []
        self._deleted: dict[int, list[tuple[int, int]]] = {}

    def update(self) -> bytes:
        """All that was written, as one update."""
        head = b"\x00"
        if self._structs:
            numbers = (1, len(self._structs), self._client, 0)
            head = b"".join(map(var_uint, numbers)) + b"".join(self._structs)
        return head + self._deletions()

    def turn(self, present: Node, earlier: Node, depth: int) -> None:
        """Make one shared type of the present equal to its earlier state."""
        check_depth(depth)
        self._turn_entries(present, earlier, depth)
        self._turn_sequence(present, earlier, depth)

    # --- entries -----------------------------------------------------------------------------

    def _turn_entries(self, present: Node, earlier: Node, depth: int) -> None:
        now, then = present.entries(), earlier.entries()
        for key in sorted({*now, *then}):
            if self.reserve.leaves_entry(present, key):
                continue
            was, is_ = then.get(key), now.get(key)
            if was and is_ and was.node and is_.node and was.last == is_.last:
                self.turn(is_.node, was.node, depth + 1)
            elif was is None:
                assert is_ is not None
                self._delete(is_.client, is_.clock, is_.end)
            elif is_ is None or not equal_values(is_, was, depth):
                self._set(present, key, was, depth)

    def _set(self, present: Node, key: str, item: Item, depth: int) -> None:
        newest = present.newest.get(key)
        if newest is not None and not newest.deleted:
            self._delete(newest.client, newest.clock, newest.end)
        origin = newest.last if newest is not None else None
        last = item.length - 1
        whole = item.kind == STRING
        piece = Piece(item, 0 if whole else last, item.length)
        self._insert(piece, origin, None, _parent_of(present), key=key, depth=depth)

    # --- sequences ---------------------------------------------------------------------------

    def _turn_sequence(self, present: Node, earlier: Node, depth: int) -> None:
        place = _Place(present)
        for step in align(present, earlier):
            match step:
                case Kept(now, then):
                    place.pass_by(now)
                    same = (now.item.client, now.item.clock) == (then.item.client, then.item.clock)
                    if now.item.node and then.item.node and same:
                        self.turn(now.item.node, then.item.node, depth + 1)
                case Removed(now):
                    place.pass_by(now)
                    if not self.reserve.spares(now.item):
                        start = now.item.clock + now.start
                        self._delete(now.item.client, start, start + now.length)
                case Added(then):
                    parent = _parent_of(present)
                    place.left = self._insert(then, place.left, place.right, parent, depth=depth)

    # --- writing -----------------------------------------------------------------------------

    def _insert(
        self,
        piece: Piece,
        origin: Id | None,
        right_origin: Id | None,
        parent: bytes,
        *,
        key: str | None = None,
        depth: int,
        value: bytes | None = None,
    ) -> Id:
        """Write a struct that copies `piece`, or holds `value`; its last unit."""
        item = piece.item
        kind = item.kind if value is None else ANY
        info = kind | (_ORIGIN if origin else 0) | (_RIGHT_ORIGIN if right_origin else 0)
        parts = [_id(each) for each in (origin, right_origin) if each]
        if not parts:
            info |= 0 if key is None else _KEY
            parts.append(parent if key is None else parent + var_string(key))
        content = _content(piece) if value is None else var_uint(1) + value
        self._structs.append(b"".join((bytes([info]), *parts, content)))
        own = self._clock
        self._clock += piece.length
        if kind == TYPE:
            assert item.node is not None
            self._copy(item.node, (self._client, own), depth + 1)
        return self._client, own + piece.length - 1

    def _copy(self, node: Node, own: Id, depth: int) -> None:
        """Write what a type held, below the copy of the type."""
        check_depth(depth)
        parent = var_uint(0) + _id(own)
        for key, item in sorted(node.entries().items()):
            last = Piece(item, 0 if item.kind == STRING else item.length - 1, item.length)
            value = self.reserve.instead(node, key)
            self._insert(last, None, None, parent, key=key, depth=depth, value=value)
        left: Id | None = None
        for item in node.sequence():
            left = self._insert(Piece(item, 0, item.length), left, None, parent, depth=depth)

    def _delete(self, client: int, start: int, end: int) -> None:
        self._deleted.setdefault(client, []).append((start, end))

    def _deletions(self) -> bytes:
        parts = [var_uint(len(self._deleted))]
        for client, ranges in sorted(self._deleted.items(), reverse=True):
            merged = _merged(ranges)
            parts += [var_uint(client), var_uint(len(merged))]
            parts += [var_uint(start) + var_uint(end - start) for start, end in merged]
        return b"".join(parts)


class _Place:
    """Where one is in a sequence of the present, deleted items among it: an insertion stands between two units."""

    def __init__(self, node: Node) -> None:
        self.left: Id | None = None
        self.right: Id | None = (node.first.client, node.first.clock) if node.first else None

    def pass_by(self, piece: Piece) -> None:
        """Go behind these units."""
        item, end = piece.item, piece.item.clock + piece.end
        self.left = item.client, end - 1
        if end < item.end:
            self.right = item.client, end
        else:
            self.right = (item.right.client, item.right.clock) if item.right else None


def _parent_of(node: Node) -> bytes:
    item = node.item
    if item is None:
        return var_uint(1) + var_string(node.name)
    return var_uint(0) + _id((item.client, item.clock))


def _id(own: Id) -> bytes:
    return var_uint(own[0]) + var_uint(own[1])


def _content(piece: Piece) -> bytes:
    item = piece.item
    part = cut(item.content, piece.start, piece.end)
    if isinstance(part, str):
        return buf(part.encode())
    return (var_uint(len(part)) if item.kind == ANY else b"") + b"".join(part)


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and merged[-1][1] >= start:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
