"""Grants: which rights one has in which rooms, by patterns over addresses. Pure.

A pattern is matched against the whole address, segment by segment; `/` separates segments.

    notes/today      that address
    notes/*          `*` stands for any characters within one segment, also for none: notes/today, notes/a@b
    notes/**         a segment `**` stands for one or more segments: notes/today, notes/2026/may; not notes
    **               every address
    write@*          every room of the page `write`
    =notes/**        after `=` nothing is special: the address `notes/**` itself

All patterns that match count: what one has is the union of their rights. The order makes no difference, no pattern
takes away what another one gives, and so one more pattern can never lock anybody out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from engineroom.rooms.address import Address

from .rights import NO_RIGHTS, Rights

Grants: TypeAlias = Mapping[str, Rights]

EVERYWHERE = "**"
MAX_PATTERNS = 200
MAX_PATTERN_BYTES = 512

_T = TypeVar("_T")


def granted(grants: Grants, address: Address) -> Rights:
    """What these grants give at `address`."""
    name = str(address)
    found = NO_RIGHTS
    for pattern, rights in grants.items():
        if not rights <= found and matches(pattern, name):
            found |= rights
    return found


def exactly(address: Address) -> str:
    """The pattern for this address alone, whatever characters it has."""
    return "=" + str(address)


def matches(pattern: str, name: str) -> bool:
    """Whether `pattern` stands for the address `name`, which is in its canonical form."""
    if pattern.startswith("="):
        return pattern[1:] == name
    segments: list[str] = []
    for segment in pattern.split("/"):
        # `**` is one segment at least: one of any kind, and then any number more.
        segments += ["*", "**"] if segment == "**" else [segment]
    return _fits(segments, name.split("/"), "**", _matches_segment)


def check_pattern(text: str) -> str:
    """`text` normalised to NFC, as addresses are, when it may be a pattern.

    Raises:
        ValueError: it is too long, or has an empty, `.` or `..` segment.
    """
    text = unicodedata.normalize("NFC", text)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_PATTERN_BYTES:
        raise ValueError(f"a pattern has at most {MAX_PATTERN_BYTES} bytes")
    if any(segment in ("", ".", "..") for segment in text.removeprefix("=").split("/")):
        raise ValueError(f"{text!r} is no pattern: it has an empty, '.' or '..' segment")
    return text


def _matches_segment(pattern: str, segment: str) -> bool:
    return _fits(pattern, segment, "*", lambda one, other: one == other)


def _fits(
    pattern: Sequence[_T], items: Sequence[_T], many: _T, is_one: Callable[[_T, _T], bool]
) -> bool:
    """Whether the items are what the pattern says, in which each `many` stands for any number of them.

    The last `many` alone is tried again when what follows does not fit, so the time is at most the product of both
    lengths.
    """
    at = position = 0
    retry_at, retry_position = -1, 0
    while position < len(items):
        if at < len(pattern) and pattern[at] == many:
            at, retry_at, retry_position = at + 1, at + 1, position
        elif at < len(pattern) and is_one(pattern[at], items[position]):
            at, position = at + 1, position + 1
        elif retry_at >= 0:
            retry_position += 1
            at, position = retry_at, retry_position
        else:
            return False
    return all(part == many for part in pattern[at:])
