"""Which form of a document a request wants, and whether the client has it already.

Pure: header texts in, decisions out. The form follows from the query and the `Accept` header; an ETag names the
document's history, its newest number and the form, so that `If-None-Match` and `If-Match` need no document.

Source: RFC 9110, sections 8.8.3 (ETag), 12.5.1 (Accept), 13.1 (conditions).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .asked import BYTES_TYPE, JSON_TYPE, TEXT_TYPE, UPDATE_TYPE
from .problems import Problem

FORMS = {UPDATE_TYPE: "", BYTES_TYPE: "", JSON_TYPE: ".json", TEXT_TYPE: ".text"}
_TAG = re.compile(r'(?:W/)?"([^"]*)"|(\*)')
_OURS = re.compile(r"([A-Za-z0-9-]{1,64})\.(\d{1,19})(?:\.json|\.text)?")
MAX_HEADER_CHARACTERS = 4_096


@dataclass(frozen=True, slots=True)
class State:
    """A document at one moment: the identity of its history, and its newest number."""

    lineage: str
    number: int

    def etag(self, media_type: str = UPDATE_TYPE) -> str:
        """The ETag of one form of the document."""
        return f'"{self.lineage}.{self.number}{FORMS[media_type]}"'


def choose(accept: Sequence[str], offers: Sequence[str]) -> str:
    """The one of `offers` (best first) that the `Accept` headers like best.

    Raises:
        Problem: `not_acceptable`.
    """
    ranges = _ranges(accept)
    if not ranges:
        return offers[0]
    best = max(offers, key=lambda offer: _quality(offer, ranges))  # the first of equals
    if _quality(best, ranges) <= 0:
        raise Problem("not_acceptable", f"There is: {', '.join(offers)}.")
    return best


def _ranges(accept: Sequence[str]) -> list[tuple[str, float]]:
    ranges = []
    for part in ",".join(accept)[:MAX_HEADER_CHARACTERS].split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name:
            ranges.append((name, _weight(parameters)))
    return ranges


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if re.fullmatch(r"[01](\.\d{0,3})?", value.strip()) else 0.0
    return 1.0


def _quality(offer: str, ranges: list[tuple[str, float]]) -> float:
    """The weight of the most specific range that holds `offer`."""
    for name in (offer, offer.partition("/")[0] + "/*", "*/*"):
        weights = [weight for known, weight in ranges if known == name]
        if weights:
            return max(weights)
    return 0.0


# --- conditions ------------------------------------------------------------------------------


def is_known(if_none_match: Sequence[str], etag: str) -> bool:
    """Whether the client has the form that `etag` names (compared weakly)."""
    return any(star or f'"{tag}"' == etag for star, tag in _tags(if_none_match))


@dataclass(frozen=True, slots=True)
class Condition:
    """What `If-Match` and `If-None-Match: *` demand of a document before it is changed."""

    states: frozenset[State] | None = None
    """One of these; None: any."""
    existing: bool = False
    """There is one."""
    missing: bool = False
    """There is none."""

    def check(self, state: State | None) -> None:
        """Let a change of the document at `state` (None: there is no document) pass.

        Raises:
            Problem: `changed`, with the ETag of now.
        """
        now = {"etag": state.etag()} if state is not None else {}
        if self.existing and state is None:
            raise Problem("changed", "There is no such document.")
        if self.states is not None and state not in self.states:
            raise Problem("changed", "It has another ETag now.", headers=now)
        if self.missing and state is not None:
            raise Problem("changed", "There is such a document.", headers=now)

    @property
    def demands(self) -> bool:
        """Whether anything is demanded."""
        return self.existing or self.missing or self.states is not None


def condition(if_match: Sequence[str], if_none_match: Sequence[str]) -> Condition:
    """The condition that these headers state. Tags of ours count in every form; others match nothing."""
    tags = _tags(if_match)
    if any(star for star, _ in tags):
        return Condition(existing=True, missing=any(star for star, _ in _tags(if_none_match)))
    states = None
    if if_match:
        found = (_OURS.fullmatch(tag) for _, tag in tags)
        states = frozenset(State(m[1], int(m[2])) for m in found if m)
    missing = any(star for star, _ in _tags(if_none_match))
    return Condition(states=states, existing=states is not None, missing=missing)


def _tags(values: Sequence[str]) -> list[tuple[bool, str]]:
    """The tags of a header: whether it is `*`, and the text between the quotes."""
    text = ",".join(values)[:MAX_HEADER_CHARACTERS]
    return [(bool(match[2]), match[1] or "") for match in _TAG.finditer(text)]
