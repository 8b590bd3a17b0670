"""Where the items of nested types stand, so that no text comes where there may be none, and no type too deep.

The law: text past ASCII stands in a nested Text or XmlText, under a key, or in a root, and types are nested at most
`MAX_DEPTH` deep. yrs counts a text in an Array in one unit and reads it in another: it never returns from reading an
Array with a character past U+FFFF in it, nor from deleting anything past ASCII there. Honest clients write no text
into Arrays: strings in them are JSON-like values. And yrs frees nested types by recursion.

Knows an item's *place*: how deep it is, and in what. Not what a root is: that is decided by who reads it. Places are
kept as ranges of clocks, so someone who types for an hour in one paragraph is one range. Items of roots have no entry.
It costs a walk over the whole document to begin with: a caller does that when something comes that must be judged.

Source: yrs 0.27 `block_iter.rs` (`slice`, `delete`), `update.rs` (`missing_dependency`), `block.rs`
(`integrate_item`), tried against pycrdt 0.14.13 (yrs 0.28).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from engineroom.errors import ProtocolError

from .contents import STRING, TYPE
from .lib0 import Reader
from .scan import Scan, Struct, links_of
from .summaries import ClockRange, UpdateSummary
from .walk import GC, HAS_KEY, HAS_ORIGIN, HAS_RIGHT_ORIGIN, KIND, SKIP

MAX_DEPTH: Final = 500
"""Each level takes some hundred bytes of stack when a type is freed or shown as JSON; a thread has 8 MiB."""

_TEXTS: Final = frozenset({2, 6})  # Text, XmlText

# A place: twice the depth, plus one where text past ASCII may not stand. 0 is a root.
_Place: TypeAlias = int
_ROOT: Final = 0
_UNKNOWN: Final = -1
_SETTLING: Final = -2


def _strictest(places: Iterable[_Place]) -> _Place:
    """An item's neighbours say where it is. Honest ones agree; and where one is gone, yrs goes by the other."""
    depth, barred = 0, 0
    for place in places:
        depth, barred = max(depth, place >> 1), barred | place & 1
    return depth << 1 | barred


class _Ranges:
    """The places of one client's items, by clock. What is not in here is in a root."""

    __slots__ = ("ends", "places", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.places: list[_Place] = []

    def at(self, clock: int) -> _Place:
        """The place of the item that holds `clock`."""
        index = bisect_right(self.starts, clock) - 1
        return self.places[index] if index >= 0 and clock < self.ends[index] else _ROOT

    def add(self, start: int, end: int, place: _Place) -> None:
        """Put the items from `start` to `end` there. What is known already stays as it is."""
        index = bisect_right(self.starts, start)
        if index and self.ends[index - 1] > start:
            start = self.ends[index - 1]
        if index < len(self.starts):
            end = min(end, self.starts[index])
        if start >= end:
            return
        if index and self.ends[index - 1] == start and self.places[index - 1] == place:
            self.ends[index - 1] = end
            return
        self.starts.insert(index, start)
        self.ends.insert(index, end)
        self.places.insert(index, place)


class Shapes:
    """The places of a document's items."""

    def __init__(self) -> None:
        self._ranges: dict[int, _Ranges] = {}
        self._types: dict[tuple[int, int], _Place] = {}
        self._clocks: dict[int, int] = {}
        self.depth = 0
        """How deep types are nested."""
        self.misplaced: list[ClockRange] = []
        """Text that should not be where it is, and was there before anyone looked."""

    @classmethod
    def of(cls, encoding: bytes) -> Shapes:
        """Those of a whole document, whatever it holds; `misplaced` says what it should not.

        Raises:
            ProtocolError: malformed.
        """
        shapes = cls()
        types = False
        for struct in Scan(encoding):
            types = types or struct.info & KIND == TYPE
            shapes._clocks[struct.client] = struct.clock + struct.length
        if types:
            clocks, shapes._clocks = shapes._clocks, {}
            news = _News(shapes, encoding)
            shapes._keep(news)
            shapes.misplaced = list(news.barred_text())
            shapes._clocks = clocks
        return shapes

    def check(self, summary: UpdateSummary) -> None:
        """Judge, in a document that was just looked through, what one update has brought.

        Raises:
            ProtocolError: as `take`.
        """
        for client, start, end in self.misplaced:
            if any(client == c and start < e and s < end for c, s, e in summary.inserts):
                raise ProtocolError(f"{client}:{start} is text in something that holds none")
        if summary.types and self.depth > MAX_DEPTH:
            raise ProtocolError(f"types are nested {self.depth} deep; {MAX_DEPTH} are allowed")

    def take(self, update: bytes, summary: UpdateSummary) -> None:
        """Judge an update whose needs are met, and know its items from now on.

        Raises:
            ProtocolError: it puts text where there may be none, or nests types too deep; nothing is kept of it then.
        """
        if summary.beside:
            self._judge_typing(summary)
        elif self._types or summary.types:
            self._judge(update)
        for client, _, end in summary.inserts:
            self._clocks[client] = max(end, self._clocks.get(client, 0))

    def _judge(self, update: bytes) -> None:
        news = _News(self, update)
        for client, clock, _ in news.barred_text():
            raise ProtocolError(f"{client}:{clock} is text in something that holds none")
        if news.depth > MAX_DEPTH:
            raise ProtocolError(f"types are nested {news.depth} deep; {MAX_DEPTH} are allowed")
        self._keep(news)

    def _judge_typing(self, summary: UpdateSummary) -> None:
        """One text and nothing else: a keystroke."""
        place = _strictest(self.place_of(*each) for each in summary.beside)
        if place == _ROOT:
            return
        ((client, start, end),) = summary.inserts
        known = self.known(client)
        if start < known:
            place = _strictest((place, self.place_of(client, known - 1)))
        if summary.wide and place & 1 and known < end:
            raise ProtocolError(f"{client}:{start} is text in something that holds none")
        self._put(client, max(start, known), end, place)

    def known(self, client: int) -> int:
        """The clock that is known of a client: what comes below it again is not taken."""
        return self._clocks.get(client, 0)

    def place_of(self, client: int, clock: int) -> _Place:
        """The place of an item."""
        ranges = self._ranges.get(client)
        return ranges.at(clock) if ranges is not None else _ROOT

    def inside_of(self, client: int, clock: int) -> _Place:
        """The place of what stands in the type with this id."""
        return self._types.get((client, clock), _ROOT)

    def _keep(self, news: _News) -> None:
        self.depth = max(self.depth, news.depth)
        self._types.update(news.types)
        for (client, start, end), place in news.placed():
            self._put(client, start, end, place)

    def _put(self, client: int, start: int, end: int, place: _Place) -> None:
        if place != _ROOT:
            self._ranges.setdefault(client, _Ranges()).add(start, end, place)


class _News:
    """The items of one update, each with its place. One may stand beside another that comes later in the bytes."""

    def __init__(self, shapes: Shapes, update: bytes) -> None:
        self._shapes = shapes
        self._update = update
        self._structs: dict[int, list[Struct]] = {}
        self._clocks: dict[int, list[int]] = {}
        self._places: dict[int, list[_Place]] = {}
        self.types: dict[tuple[int, int], _Place] = {}
        self.depth = 0
        for struct in Scan(update):
            if struct.client not in self._structs:
                self._structs[struct.client], self._clocks[struct.client] = [], []
            self._structs[struct.client].append(struct)
            self._clocks[struct.client].append(struct.clock)
        for client, structs in self._structs.items():
            self._places[client] = [_UNKNOWN] * len(structs)
        for client, structs in self._structs.items():
            for index in range(len(structs)):
                self._settle(client, index)

    def placed(self) -> Iterator[tuple[ClockRange, _Place]]:
        """Every item with its place."""
        for client, structs in self._structs.items():
            known = self._shapes.known(client)
            for struct, place in zip(structs, self._places[client], strict=True):
                start, end = max(struct.clock, known), struct.clock + struct.length
                if start < end:
                    yield (client, start, end), place

    def barred_text(self) -> Iterator[ClockRange]:
        """Text past ASCII where it may not stand."""
        for client, structs in self._structs.items():
            known = self._shapes.known(client)
            for struct, place in zip(structs, self._places[client], strict=True):
                end = struct.clock + struct.length
                if place & 1 and struct.info & KIND == STRING and known < end:
                    text = Reader(self._update, struct.content).buf()
                    if not text.isascii():
                        yield client, struct.clock, end

    def _settle(self, client: int, index: int) -> None:
        """Find the place of an item, and before it those that it depends on."""
        waiting = [(client, index)]
        while waiting:
            client, index = waiting[-1]
            places = self._places[client]
            if places[index] >= 0:
                waiting.pop()
                continue
            struct = self._structs[client][index]
            needed, parent = self._named_by(struct)
            unsettled = [
                each for each in map(self._find, needed)
                if each is not None and self._places[each[0]][each[1]] == _UNKNOWN
            ]  # fmt: skip
            if unsettled and places[index] == _UNKNOWN:
                places[index] = _SETTLING
                waiting += unsettled
                continue
            places[index] = self._place(struct, needed, parent=parent)
            if struct.info & KIND == TYPE and struct.clock >= self._shapes.known(client):
                self._know_type(struct, places[index])
            waiting.pop()

    def _place(self, struct: Struct, needed: list[tuple[int, int]], *, parent: bool) -> _Place:
        place = self._inside(needed[0]) if parent else _strictest(map(self._at, needed))
        if struct.info & HAS_KEY and parent:
            place &= ~1
        known = self._shapes.known(struct.client)
        if struct.clock >= known:
            return place
        before = self._shapes.place_of(struct.client, min(known, struct.clock + struct.length) - 1)
        return before if struct.clock + struct.length <= known else _strictest((place, before))

    def _named_by(self, struct: Struct) -> tuple[list[tuple[int, int]], bool]:
        """The items that tell where this one stands, and whether that is a parent (else, neighbours)."""
        if struct.info in (GC, SKIP):
            return [], False
        if struct.info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN):
            return links_of(self._update, struct), False
        reader = Reader(self._update, struct.start + 1)
        if reader.var_uint() == 1:
            return [], False
        return [(reader.var_uint(), reader.var_uint())], True

    def _find(self, item: tuple[int, int]) -> tuple[int, int] | None:
        """The client and the index of the struct that holds `item`; None when the update does not bring it."""
        client, clock = item
        clocks = self._clocks.get(client)
        index = bisect_right(clocks, clock) - 1 if clocks else -1
        if index < 0:
            return None
        struct = self._structs[client][index]
        return (client, index) if clock < struct.clock + struct.length else None

    def _at(self, item: tuple[int, int]) -> _Place:
        found = self._find(item)
        if found is None:
            return self._shapes.place_of(*item)
        return max(self._places[found[0]][found[1]], _ROOT)

    def _inside(self, parent: tuple[int, int]) -> _Place:
        return self.types.get(parent) or self._shapes.inside_of(*parent)

    def _know_type(self, struct: Struct, place: _Place) -> None:
        depth = (place >> 1) + 1
        self.depth = max(self.depth, depth)
        text = self._update[struct.content] in _TEXTS
        self.types[struct.client, struct.clock] = depth << 1 | (not text)
