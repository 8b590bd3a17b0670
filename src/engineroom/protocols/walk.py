"""The walk through an update: every byte is read, every number checked, before a document sees any of it.

The general case of `updates.read_update`. It is the slow one, some microseconds a struct, so it is made of steps: a
caller may do other things between them. Where a number is malformed it is refused; where updates that are each in
order are not in order together (a circle, a parent that is none), it is refused too.

Source: yjs `utils/encoding.js`, `structs/Item.js`, `utils/DeleteSet.js`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Generator, Hashable
from heapq import heappop, heappush
from typing import Final, NamedTuple

from engineroom.errors import LimitExceeded, ProtocolError

from .contents import ANY, CONTENTS, DELETED, DOCUMENT, STRING, TYPE, read_name, utf16_units
from .lib0 import Reader
from .summaries import MAX_CLOCK, ClockRange, UpdateSummary

GC: Final = 0
SKIP: Final = 10
HAS_ORIGIN: Final = 0x80
HAS_RIGHT_ORIGIN: Final = 0x40
HAS_KEY: Final = 0x20
KIND: Final = 0x1F

STEP_STRUCTS: Final = 1_000
"""Structs, or deletions, read between two steps: a few milliseconds."""

MAX_REPEATS: Final = 1_000
"""How often one client may insert between the same two neighbours, in one update. An honest client does it once: its
first item is a neighbour from then on. yrs looks at all earlier ones for each, so thousands take it minutes."""


class _Link(NamedTuple):
    """The item of `client` at `clock` names the one of `target` at `target_clock`, perhaps as its parent."""

    client: int
    clock: int
    target: int
    target_clock: int
    parent: bool


class _Structs:
    """One client's structs: their first clocks and kinds, and the ranges without gaps that they make."""

    __slots__ = ("clocks", "ends", "kinds", "starts")

    def __init__(self) -> None:
        self.clocks: list[int] = []
        self.kinds: list[int] = []
        self.starts: list[int] = []
        self.ends: list[int] = []

    def add(self, clock: int, end: int, kind: int) -> None:
        """Put a struct behind the others."""
        self.clocks.append(clock)
        self.kinds.append(kind)
        if self.ends and self.ends[-1] == clock:
            self.ends[-1] = end
        else:
            self.starts.append(clock)
            self.ends.append(end)

    def start_of_range(self, clock: int) -> int | None:
        """Where the range that holds `clock` begins; None when the update does not bring it."""
        index = bisect_right(self.starts, clock) - 1
        return self.starts[index] if index >= 0 and clock < self.ends[index] else None

    def kind_at(self, clock: int) -> int:
        """The kind of the struct that holds `clock`, which must be in a range."""
        return self.kinds[bisect_right(self.clocks, clock) - 1]


class Walk:
    """One walk through an update, from its first byte to its last.

    `_run_start` is the clock since which the structs being read have no gap. What an item says of its own client's
    run is there, so it is not kept as a link; a long document is nearly nothing else.
    """

    __slots__ = (
        *("_count", "_deletes", "_last_kind", "_links", "_max_structs", "_places", "_reader"),
        *("_run", "_run_start", "_run_structs", "_structs", "_wide"),
    )

    def __init__(self, update: bytes, max_structs: int | None = None) -> None:
        self._reader = Reader(update)
        self._max_structs = len(update) if max_structs is None else max_structs
        self._structs: dict[int, _Structs] = {}
        self._links: list[_Link] = []
        self._deletes: dict[int, list[tuple[int, int]]] = {}
        self._count = 0
        self._wide = False
        self._run = 1
        # Of the client whose structs are being read:
        self._places: dict[Hashable, int] = {}
        self._run_start = 0
        self._run_structs = 1
        self._last_kind = SKIP

    def steps(self) -> Generator[None, None, UpdateSummary]:
        """The summary, after as many steps as the update is long.

        Raises:
            ProtocolError, LimitExceeded: as `read_update`.
        """
        reader = self._reader
        for _ in range(reader.count(3)):
            yield from self._read_client()
        for _ in range(reader.count(2)):
            yield from self._read_deletes()
        reader.finish()
        self._check_parents()
        yield
        _check_order(self._structs, self._links)
        yield
        kinds = (structs.kinds for structs in self._structs.values())
        types = sum(each.count(TYPE) + each.count(DOCUMENT) for each in kinds)
        return UpdateSummary(
            self._inserts(), self._needs(), self._deleted(), types,
            structs=self._count, wide=self._wide, run=self._run,
        )  # fmt: skip

    # reading

    def _read_client(self) -> Generator[None]:
        reader = self._reader
        count = reader.count(2)
        client = reader.var_uint()
        clock = self._clock()
        if client in self._structs:
            raise ProtocolError(f"client {client} has two lists of structs")
        if count == 0:
            raise ProtocolError(f"client {client} has an empty list of structs")
        structs = self._structs[client] = _Structs()
        self._places = {}
        self._run_start, self._last_kind = clock, SKIP
        for _ in range(count):
            self._step()
            if not self._count % STEP_STRUCTS:
                yield
            info = reader.byte()
            plain = info in (GC, SKIP)
            length = reader.var_uint() if plain else self._read_item(info, client, clock)
            end = clock + length
            if length == 0 or end > MAX_CLOCK:
                raise ProtocolError(
                    f"length {length} of the struct {client}:{clock} is out of range"
                )
            if info == SKIP:
                self._run_start = end
            else:
                structs.add(clock, end, info & KIND)
            self._last_kind = info & KIND
            clock = end

    def _step(self) -> None:
        self._count += 1
        if self._count > self._max_structs:
            raise LimitExceeded("update_structs", self._max_structs)

    def _read_item(self, info: int, client: int, clock: int) -> int:
        reader = self._reader
        kind = info & KIND
        read_content = CONTENTS.get(kind)
        if read_content is None:
            raise ProtocolError(f"struct kind {kind} of {client}:{clock} is not supported")
        left = self._read_link(client, clock) if info & HAS_ORIGIN else None
        right = self._read_link(client, clock) if info & HAS_RIGHT_ORIGIN else None
        place: Hashable = (left, right)
        if left is None and right is None:
            start = reader.position
            self._read_parent(info, client, clock)
            place = reader.data[start : reader.position]
        if left == (client, clock - 1):
            self._continue_run(kind)
        else:
            self._run_structs = 1
            self._check_place(place, client, clock)
        if kind == STRING:
            text = reader.var_string()
            self._wide = self._wide or not text.isascii()
            return utf16_units(text)
        return read_content(reader)

    def _continue_run(self, kind: int) -> None:
        """What yrs may melt into the struct before it, at a cost that grows with the square of their number."""
        if kind == self._last_kind and kind in (STRING, ANY):
            self._run_structs += 1
            self._run = max(self._run, self._run_structs)
        else:
            self._run_structs = 1

    def _check_place(self, place: Hashable, client: int, clock: int) -> None:
        times = self._places[place] = self._places.get(place, 0) + 1
        if times > MAX_REPEATS:
            raise ProtocolError(
                f"{client}:{clock} stands where {MAX_REPEATS} others of its client do"
            )

    def _read_parent(self, info: int, client: int, clock: int) -> None:
        reader = self._reader
        by_name = reader.var_uint()
        if by_name == 1:
            read_name(reader)
        elif by_name == 0:
            self._read_link(client, clock, parent=True)
        else:
            raise ProtocolError(f"{by_name} tells no parent of {client}:{clock}")
        if info & HAS_KEY:
            read_name(reader)

    def _read_link(self, client: int, clock: int, *, parent: bool = False) -> tuple[int, int]:
        target = self._reader.var_uint()
        target_clock = self._clock()
        if target == client and target_clock >= clock:
            raise ProtocolError(f"{client}:{clock} refers to {target_clock}, which comes later")
        if parent or target != client or target_clock < self._run_start:
            self._links.append(_Link(client, clock, target, target_clock, parent))
        return target, target_clock

    def _read_deletes(self) -> Generator[None]:
        reader = self._reader
        client = reader.var_uint()
        if client in self._deletes:
            raise ProtocolError(f"client {client} has two lists of deletions")
        ranges = self._deletes[client] = []
        last = 0
        for number in range(reader.count(2)):
            if not number % STEP_STRUCTS:
                yield
            clock = self._clock()
            length = reader.var_uint()
            end = clock + length
            if clock < last or length == 0 or end > MAX_CLOCK:
                raise ProtocolError(
                    f"deletion {client}:{clock}, {length} long, is out of order or range"
                )
            ranges.append((clock, end))
            last = end

    def _clock(self) -> int:
        clock = self._reader.var_uint()
        if clock >= MAX_CLOCK:
            raise ProtocolError(f"clock {clock} is past {MAX_CLOCK}")
        return clock

    # judging

    def _start_of_range(self, client: int, clock: int) -> int | None:
        structs = self._structs.get(client)
        return None if structs is None else structs.start_of_range(clock)

    def _check_parents(self) -> None:
        """yrs gives up in the middle when a parent is no shared type, nor one that is gone."""
        for link in self._links:
            if link.parent and self._start_of_range(link.target, link.target_clock) is not None:
                kind = self._structs[link.target].kind_at(link.target_clock)
                if kind not in (TYPE, DELETED, GC):
                    raise ProtocolError(
                        f"the parent {link.target}:{link.target_clock} is no shared type"
                    )

    def _inserts(self) -> tuple[ClockRange, ...]:
        return tuple(
            (client, start, end)
            for client, structs in sorted(self._structs.items())
            for start, end in zip(structs.starts, structs.ends, strict=True)
        )

    def _deleted(self) -> tuple[ClockRange, ...]:
        return tuple(
            (client, start, end)
            for client, ranges in sorted(self._deletes.items())
            for start, end in ranges
        )

    def _needs(self) -> tuple[tuple[int, int], ...]:
        needs: dict[int, int] = {}

        def need(client: int, end: int) -> None:
            if end > needs.get(client, 0):
                needs[client] = end

        for client, structs in self._structs.items():
            need(client, structs.starts[-1] if structs.starts else 0)
        for link in self._links:
            if self._start_of_range(link.target, link.target_clock) is None:
                need(link.target, link.target_clock + 1)
        for client, ranges in self._deletes.items():
            need(client, self._end_of_foreign(client, ranges))
        return tuple(sorted(needs.items()))

    def _end_of_foreign(self, client: int, ranges: list[tuple[int, int]]) -> int:
        """Where, in deletions in ascending order, the last ends that the update does not bring itself."""
        for start, end in reversed(ranges):
            while end > start and (brought := self._start_of_range(client, end - 1)) is not None:
                end = brought
            if end > start:
                return end
        return 0


def _check_order(structs: dict[int, _Structs], links: list[_Link]) -> None:
    """Refuses items that wait for one another in a circle: no document would ever take them."""
    waiting: dict[int, deque[_Link]] = defaultdict(deque)
    for link in links:
        brings = structs.get(link.target) if link.target != link.client else None
        if brings is not None and brings.start_of_range(link.target_clock) is not None:
            waiting[link.client].append(link)
    asleep: dict[int, list[tuple[int, int]]] = defaultdict(list)  # heaps of clock, client
    ready = list(waiting)
    while ready:
        client = ready.pop()
        queue = waiting[client]
        while queue:
            _, _, target, target_clock, _ = queue[0]
            ahead = waiting.get(target)
            if ahead and ahead[0].clock <= target_clock:
                heappush(asleep[target], (target_clock, client))
                break
            queue.popleft()
        sleepers = asleep[client]
        while sleepers and (not queue or sleepers[0][0] < queue[0].clock):
            ready.append(heappop(sleepers)[1])
    if any(waiting.values()):
        raise ProtocolError("items of the update wait for one another")
