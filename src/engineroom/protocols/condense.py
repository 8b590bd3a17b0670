"""Updates as pycrdt takes them quickly: what takes it a time that grows with the square of their size is done here.

The law: applying the pieces in their order leaves a document as applying the update does. What others are sent, and
what is stored, stays the update as it came.

 - yrs melts items that follow each other into one, from the last to the first, copying all that came after at each
   step: 20,000 elements pushed one by one take it 26 s and 9 GB. They are melted here beforehand, as Yjs writes them.
 - yrs splits a text at each deletion in it, copying the rest. From the middle outwards the rest is halved each time;
   in the order of an update it is not.

Source: yrs 0.27 `block_store.rs` (`squash_left_range_compaction`), `block.rs` (`ItemContent::splice`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from .contents import ANY, STRING
from .lib0 import Reader, buf, var_uint
from .scan import Scan, Struct, links_of
from .summaries import ClockRange, UpdateSummary
from .updates import read_update
from .walk import HAS_KEY, HAS_ORIGIN, KIND

MAX_RUN: Final = 32
"""A run of structs that is left to yrs."""

MAX_SMALL_BYTES: Final = 1 << 10
"""An update that is too small to take long."""

MAX_DELETIONS: Final = 64
"""Deletions that are left to yrs, in their order."""


def quick_pieces(update: bytes) -> list[bytes]:
    """An update of somebody else's, for a replica that does not read updates itself: as `in_pieces`.

    Raises:
        ProtocolError: it is malformed.
    """
    return [update] if len(update) < MAX_SMALL_BYTES else in_pieces(update, read_update(update))


def in_pieces(update: bytes, summary: UpdateSummary) -> list[bytes]:
    """The update in pieces that pycrdt takes quickly; nearly always, itself."""
    few = len(summary.deletes) <= MAX_DELETIONS
    if few and summary.run <= MAX_RUN:
        return [update]
    scan = Scan(update)
    structs = b"".join(_condensed(scan)) if summary.run > MAX_RUN else None
    if structs is None:
        deque(scan, maxlen=0)
        structs = update[: scan.deletions_at]
    if few:
        return [structs + update[scan.deletions_at :]]
    return [structs + b"\x00", *(deletions([each]) for each in _halving(summary.deletes))]


def deletions(spans: Iterable[ClockRange]) -> bytes:
    """The update (V1) that deletes these ranges, in order and without overlaps, and nothing else."""
    clients: dict[int, list[bytes]] = {}
    for client, start, end in spans:
        clients.setdefault(client, []).append(var_uint(start) + var_uint(end - start))
    lists = (
        var_uint(client) + var_uint(len(all_)) + b"".join(all_) for client, all_ in clients.items()
    )
    return b"\x00" + var_uint(len(clients)) + b"".join(lists)


def _halving(spans: tuple[ClockRange, ...]) -> Iterator[ClockRange]:
    """The spans in such an order that each falls into the middle of what those before it have left whole."""
    waiting = deque([(0, len(spans))])
    while waiting:
        start, end = waiting.popleft()
        if start < end:
            middle = (start + end) // 2
            yield spans[middle]
            waiting += ((start, middle), (middle + 1, end))


class _Run:
    """Items of one client that are to be one: the first one's head, and the contents of all."""

    def __init__(self, update: bytes, struct: Struct, before: _Run | None = None) -> None:
        self._update = update
        self._head = update[struct.start : struct.content]
        self._kind = struct.info & KIND
        self._contents = [update[struct.content : struct.end]]
        self._end = struct.clock + struct.length
        links = links_of(update, struct)
        self._right = links[1:] if struct.info & HAS_ORIGIN else links
        # Values of one key are not one item: each has deleted the one before it.
        self._keyed = bool(struct.info & HAS_KEY) and not links
        if before is not None and links[:1] == [(struct.client, before._end - 1)]:
            self._keyed = before._keyed

    def take(self, struct: Struct) -> bool:
        """Take the next item in, when it is no more than what comes after this one."""
        if struct.info & KIND != self._kind or self._kind not in (STRING, ANY) or self._keyed:
            return False
        if not struct.info & HAS_ORIGIN:
            return False
        origin, *right = links_of(self._update, struct)
        if origin != (struct.client, self._end - 1) or right != self._right:
            return False
        self._contents.append(self._update[struct.content : struct.end])
        self._end += struct.length
        return True

    def encoded(self) -> bytes:
        """The one item, or whatever stood here."""
        if len(self._contents) == 1:
            return self._head + self._contents[0]
        readers = [Reader(content) for content in self._contents]
        if self._kind == STRING:
            return self._head + buf(b"".join(reader.buf() for reader in readers))
        count = sum(reader.var_uint() for reader in readers)
        elements = (reader.take(reader.remaining) for reader in readers)
        return self._head + var_uint(count) + b"".join(elements)


def _condensed(scan: Scan) -> Iterator[bytes]:
    """The part before the deletions, with every run as one item."""
    clients: list[list[_Run]] = []
    heads: list[bytes] = []
    last: Struct | None = None
    for struct in scan:
        if last is None or struct.client != last.client:
            clients.append([])
            heads.append(var_uint(struct.client) + var_uint(struct.clock))
        last = struct
        runs = clients[-1]
        if not runs or not runs[-1].take(struct):
            runs.append(_Run(scan.update, struct, runs[-1] if runs else None))
    yield var_uint(len(clients))
    for head, runs in zip(heads, clients, strict=True):
        yield var_uint(len(runs)) + head
        yield from (run.encoded() for run in runs)
