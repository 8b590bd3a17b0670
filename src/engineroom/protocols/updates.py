"""What an update carries, and what it needs, read from its bytes alone (V1).

The law: what `read_update` accepts, a document with the needed state takes whole, and can be encoded
afterwards. pycrdt applies without validating: some updates are accepted and make every later encoding
panic, some end the process. So nothing reaches a document that was not read here first.

Knows bytes, not a document's content. What shows only against that content stays with the room, which
must expect an error, a panic or damage from it:
 - an item whose parent in the document is no shared type, or whose neighbours have another parent;
 - an item or a deletion that splits a surrogate pair of a text in the document (see `is_whole`);
 - other content for clocks that the document already has;
 - shared types nested tens of thousands deep over many updates, whose deletion ends the process.

    update    = varUint clients, each: varUint structs, varUint client, varUint first clock, structs;
                then deletions
    struct    = 00 varUint length (collected) | 0a varUint length (skipped) | item
    item      = info, [origin], [right origin], [parent, [key]] where there is neither, content
    info      = 80 origin + 40 right origin + 20 key + kind of content (see `contents`)
    deletions = varUint clients, each: varUint client, varUint ranges, each: varUint clock, varUint length

Source: yjs `utils/encoding.js`, `structs/Item.js`, `utils/DeleteSet.js`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict, deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final, NamedTuple, TypeAlias

from engineroom.errors import ProtocolError

from .contents import CONTENTS, DELETED, TYPE, utf16_units
from .lib0 import MAX_INTEGER, Reader

MAX_CLOCK: Final = 2**31 - 1
"""yrs keeps clocks in 32 bits and subtracts them as signed. Nobody types two billion characters."""

ClockRange: TypeAlias = tuple[int, int, int]
"""Client, first clock, and the clock after the last."""

_GC: Final = 0
_SKIP: Final = 10
_HAS_ORIGIN: Final = 0x80
_HAS_RIGHT_ORIGIN: Final = 0x40
_HAS_KEY: Final = 0x20
_KIND: Final = 0x1F


@dataclass(frozen=True, slots=True)
class UpdateSummary:
    """What an update says about clocks. All three are sorted and free of overlaps.

    `inserts` are the ranges that it carries, `deletes` those that it deletes. `needs` has, for a
    client, the clock that a document's state vector must have reached for the update to integrate
    wholly; what the update itself brings is not needed. `types` counts the shared types that it
    carries: as many may be nested in one another, and yrs collects a deleted one by recursion, at
    some 200 bytes of stack a level.
    """

    inserts: tuple[ClockRange, ...]
    needs: tuple[tuple[int, int], ...]
    deletes: tuple[ClockRange, ...]
    types: int = 0


def read_update(update: bytes) -> UpdateSummary:
    """The summary of one V1 update.

    Raises:
        ProtocolError: malformed, unsupported, or such that it would damage a document.
    """
    return _read_typing(update) or _read_erasing(update) or _Walk(update).summary()


def read_state_vector(state_vector: bytes) -> dict[int, int]:
    """The clock that each client has reached.

    A state vector is varUint n, n times varUint client, varUint clock (V1).

    Raises:
        ProtocolError: malformed, a client named twice, or a clock out of range.
    """
    reader = Reader(state_vector)
    clocks: dict[int, int] = {}
    for _ in range(reader.count(2)):
        client = reader.var_uint()
        clock = reader.var_uint()
        if client in clocks or clock > MAX_CLOCK:
            raise ProtocolError(f"client {client} comes twice or with a clock past {MAX_CLOCK}")
        clocks[client] = clock
    reader.finish()
    return clocks


def is_whole(encoding: bytes, state_vector: bytes) -> bool:
    """Whether a document's full encoding carries all that the document's state vector names.

    yrs's does not once an update has split a surrogate pair, which Yjs clients may do: text of length 0 stands in
    for the second half, and every later clock of that client moves. Log records replaced by such a snapshot are lost.
    """
    try:
        inserts = read_update(encoding).inserts
    except ProtocolError:
        return False
    carried = {client: end for client, start, end in inserts if start == 0}
    named = read_state_vector(state_vector)
    return carried == {client: clock for client, clock in named.items() if clock}


# --- the common cases ------------------------------------------------------------------------
# Nearly every update is one person's keystroke: one text item beside another, or one deletion. These
# two shapes are read by a pattern, three times as fast as by the walk. What is in any way odd is left
# to the walk, which then says what is wrong.

_VAR: Final = rb"([\x80-\xff]{0,7}[\x00-\x7f])"
_TYPING: Final = re.compile(
    rb"\x01\x01" + _VAR + _VAR  # one client, one struct; its client, its clock
    + rb"(?:\x84|(\xc4))" + _VAR + _VAR  # a text with an origin
    + rb"(?(3)" + _VAR + _VAR + rb")"  # and perhaps a right origin
    + rb"([\x01-\x7f])(.+)\x00",  # length and text; no deletions
    re.DOTALL,
)  # fmt: skip
_ERASING: Final = re.compile(rb"\x00\x01" + _VAR + rb"\x01" + _VAR + _VAR)


def _number(encoded: bytes) -> int:
    value = 0
    for byte in reversed(encoded):
        value = value << 7 | byte & 0x7F
    return value


def _read_typing(update: bytes) -> UpdateSummary | None:
    match = _TYPING.fullmatch(update)
    if match is None:
        return None
    author, at, right, left_client, left_at, right_client, right_at, length, text = match.groups()
    client, clock = _number(author), _number(at)
    needs = {client: clock} if clock else {}
    neighbours = ((left_client, left_at), (right_client, right_at))
    for its_client, its_at in neighbours if right else neighbours[:1]:
        neighbour = client if its_client == author else _number(its_client)
        after = _number(its_at) + 1
        if after > (clock if neighbour == client else MAX_CLOCK) or neighbour > MAX_INTEGER:
            return None
        if after > needs.get(neighbour, 0):
            needs[neighbour] = after
    try:
        end = clock + utf16_units(text.decode())
    except UnicodeDecodeError:
        return None
    if length[0] != len(text) or client > MAX_INTEGER or end > MAX_CLOCK:
        return None
    return UpdateSummary(((client, clock, end),), tuple(sorted(needs.items())), ())


def _read_erasing(update: bytes) -> UpdateSummary | None:
    match = _ERASING.fullmatch(update)
    if match is None:
        return None
    client, clock, length = map(_number, match.groups())
    end = clock + length
    if not length or client > MAX_INTEGER or end > MAX_CLOCK:
        return None
    return UpdateSummary((), ((client, end),), ((client, clock, end),))


# --- the general case ------------------------------------------------------------------------


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


class _Walk:
    """One walk through an update, from its first byte to its last.

    `_run_start` is the clock since which the structs being read have no gap. What an item says of its own client's
    run is there, so it is not kept as a link; a long document is nearly nothing else.
    """

    __slots__ = ("_deletes", "_links", "_reader", "_run_start", "_structs")

    def __init__(self, update: bytes) -> None:
        self._reader = Reader(update)
        self._structs: dict[int, _Structs] = {}
        self._links: list[_Link] = []
        self._run_start = 0
        self._deletes: dict[int, list[tuple[int, int]]] = {}

    def summary(self) -> UpdateSummary:
        reader = self._reader
        for _ in range(reader.count(3)):
            self._read_client()
        for _ in range(reader.count(2)):
            self._read_deletes()
        reader.finish()
        self._check_parents()
        _check_order(self._structs, self._links)
        types = sum(structs.kinds.count(TYPE) for structs in self._structs.values())
        return UpdateSummary(self._inserts(), self._needs(), self._deleted(), types)

    # reading

    def _read_client(self) -> None:
        reader = self._reader
        count = reader.count(2)
        client = reader.var_uint()
        clock = self._clock()
        if client in self._structs:
            raise ProtocolError(f"client {client} has two lists of structs")
        if count == 0:
            raise ProtocolError(f"client {client} has an empty list of structs")
        structs = self._structs[client] = _Structs()
        self._run_start = clock
        for _ in range(count):
            info = reader.byte()
            plain = info in (_GC, _SKIP)
            length = reader.var_uint() if plain else self._read_item(info, client, clock)
            end = clock + length
            if length == 0 or end > MAX_CLOCK:
                raise ProtocolError(
                    f"length {length} of the struct {client}:{clock} is out of range"
                )
            if info == _SKIP:
                self._run_start = end
            else:
                structs.add(clock, end, info & _KIND)
            clock = end

    def _read_item(self, info: int, client: int, clock: int) -> int:
        reader = self._reader
        read_content = CONTENTS.get(info & _KIND)
        if read_content is None:
            raise ProtocolError(f"struct kind {info & _KIND} of {client}:{clock} is not supported")
        if info & _HAS_ORIGIN:
            self._read_link(client, clock)
        if info & _HAS_RIGHT_ORIGIN:
            self._read_link(client, clock)
        if not info & (_HAS_ORIGIN | _HAS_RIGHT_ORIGIN):
            self._read_parent(info, client, clock)
        return read_content(reader)

    def _read_parent(self, info: int, client: int, clock: int) -> None:
        reader = self._reader
        by_name = reader.var_uint()
        if by_name == 1:
            reader.var_string()
        elif by_name == 0:
            self._read_link(client, clock, parent=True)
        else:
            raise ProtocolError(f"{by_name} tells no parent of {client}:{clock}")
        if info & _HAS_KEY:
            reader.var_string()

    def _read_link(self, client: int, clock: int, *, parent: bool = False) -> None:
        target = self._reader.var_uint()
        target_clock = self._clock()
        if target == client and target_clock >= clock:
            raise ProtocolError(f"{client}:{clock} refers to {target_clock}, which comes later")
        if parent or target != client or target_clock < self._run_start:
            self._links.append(_Link(client, clock, target, target_clock, parent))

    def _read_deletes(self) -> None:
        reader = self._reader
        client = reader.var_uint()
        if client in self._deletes:
            raise ProtocolError(f"client {client} has two lists of deletions")
        ranges = self._deletes[client] = []
        last = 0
        for _ in range(reader.count(2)):
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
                if kind not in (TYPE, DELETED, _GC):
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
