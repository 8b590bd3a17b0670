"""Characters past U+FFFF, which take two clocks, and the updates that come between the two.

The law: no update splits such a character in a document. Clocks count UTF-16 units, so Yjs's clients may delete half of
an emoji, or put a letter into it; Yjs shows U+FFFD for a half. yrs keeps the character whole and a text without
characters for the second half, which it leaves out of every encoding: who joins then lacks a clock, and all that its
author types from then on. So what would be split is deleted as a whole before, in the document and for everybody; and
where an update splits what it brings itself, both halves are U+FFFD from the beginning, as they are for Yjs.

Source: yjs `structs/ContentString.js` (`splice`); yrs 0.27 `block.rs` (`split_str`).
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from .contents import STRING
from .lib0 import Reader, var_string
from .scan import Scan, Struct, links_of
from .summaries import ClockRange, UpdateSummary
from .walk import GC, HAS_ORIGIN, HAS_RIGHT_ORIGIN, KIND, SKIP

_ENCODED: Final = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")
_LEADS: Final = tuple(bytes([lead]) for lead in range(0xF0, 0xF5))
_CHARACTER: Final = re.compile("[\U00010000-\U0010ffff]")


def may_hold_pairs(update: bytes) -> bool:
    """Whether there may be a character past U+FFFF in these bytes; when not, there is none."""
    for lead in _LEADS:  # `find` is ten times as fast as an expression over all
        at = update.find(lead)
        while at >= 0:
            if _ENCODED.match(update, at):
                return True
            at = update.find(lead, at + 1)
    return False


class Pairs:
    """The clocks of the first halves in a document, in order, by client."""

    def __init__(self) -> None:
        self._firsts: dict[int, array[int]] = {}

    @classmethod
    def of(cls, encoding: bytes) -> Pairs:
        """Those of a whole document.

        Raises:
            ProtocolError: malformed.
        """
        pairs = cls()
        pairs.take(encoding)
        return pairs

    def take(self, update: bytes) -> None:
        """Know those that an update brings."""
        for struct, firsts in _pairs_in(update):
            known = self._firsts.setdefault(struct.client, array("I"))
            for first in firsts:
                index = bisect_left(known, first)
                if index == len(known) or known[index] != first:
                    known.insert(index, first)

    def split_by(self, update: bytes, summary: UpdateSummary) -> list[ClockRange]:
        """The characters of the document that an update would split, in order."""
        if not self._firsts:
            return []
        return sorted(
            {(client, first, first + 2) for client, first in self._split(update, summary)}
        )

    def _split(self, update: bytes, summary: UpdateSummary) -> Iterator[tuple[int, int]]:
        for client, first in _cuts(update, summary):
            if client in self._firsts and self._holds(client, first):
                yield client, first

    def _holds(self, client: int, first: int) -> bool:
        known = self._firsts[client]
        index = bisect_left(known, first)
        return index < len(known) and known[index] == first


def without_own_splits(update: bytes, summary: UpdateSummary) -> bytes:
    """The update, in which a character of its own that it splits is two U+FFFD; nearly always, itself."""
    if not summary.wide or not may_hold_pairs(update):
        return update
    own = {(s.client, first) for s, firsts in _pairs_in(update) for first in firsts}
    split = own.intersection(_cuts(update, summary))
    return _replaced(update, split) if split else update


def _cuts(update: bytes, summary: UpdateSummary) -> Iterator[tuple[int, int]]:
    """The clocks after which an update cuts what is there."""
    for client, start, end in summary.deletes:
        yield client, start - 1
        yield client, end - 1
    if summary.beside:
        origin, *right = summary.beside
        yield origin
        yield from ((client, clock - 1) for client, clock in right)
    elif summary.inserts:
        yield from _cuts_by_items(update)


def _cuts_by_items(update: bytes) -> Iterator[tuple[int, int]]:
    for struct in Scan(update):
        if struct.info in (GC, SKIP) or not struct.info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN):
            continue
        links = links_of(update, struct)
        if struct.info & HAS_ORIGIN:
            yield links[0]
        if struct.info & HAS_RIGHT_ORIGIN:
            client, clock = links[-1]
            yield client, clock - 1


def _pairs_in(update: bytes) -> Iterator[tuple[Struct, list[int]]]:
    """The texts of an update with characters past U+FFFF, and the clocks of the first halves."""
    for struct in Scan(update):
        if struct.info in (GC, SKIP) or struct.info & KIND != STRING:
            continue
        if _ENCODED.search(update, struct.content, struct.end):
            text = Reader(update, struct.content).var_string()
            found = enumerate(_CHARACTER.finditer(text))
            # Each of those before it has taken one unit more than it is characters.
            yield struct, [struct.clock + match.start() + before for before, match in found]


def _replaced(update: bytes, split: set[tuple[int, int]]) -> bytes:
    parts, copied = [], 0
    for struct, firsts in _pairs_in(update):
        halves = [first - struct.clock for first in firsts if (struct.client, first) in split]
        if halves:
            units = bytearray(Reader(update, struct.content).var_string().encode("utf-16-le"))
            for at in halves:
                units[2 * at : 2 * at + 4] = "\ufffd\ufffd".encode("utf-16-le")
            parts += [update[copied : struct.content], var_string(units.decode("utf-16-le"))]
            copied = struct.end
    return b"".join([*parts, update[copied:]])
