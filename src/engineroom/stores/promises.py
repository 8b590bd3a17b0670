"""What every store refuses, and what every store counts.

Pure: where a document's log ends and a call go in, where it ends afterwards comes out, or a
`StoreError`. A store checks numbers itself and trusts no caller with them: when a commit fails, the
appends queued behind it are refused too, until the caller begins again where the log ends. So a log
never has a hole that an acknowledgement has passed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engineroom.errors import StoreError
from engineroom.rooms.storage import Record


@dataclass(frozen=True, slots=True)
class Head:
    """Where a document's log ends, and where its snapshot does (0: no snapshot)."""

    lineage: str
    last_number: int = 0
    snapshot_number: int = 0


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """What a store has to do and has done since it was opened.

    `queued_calls` and `queued_bytes` (of updates and snapshots) are what was handed in and not yet
    reported.
    """

    queued_calls: int = 0
    queued_bytes: int = 0
    commits: int = 0
    failed_commits: int = 0


def check_path(path: str) -> None:
    """Let a path through that can be stored.

    Raises:
        StoreError: it is empty, or not Unicode text.
    """
    if not path or not _is_unicode(path):
        raise StoreError(f"{path!r} cannot name a document: a path is Unicode text and not empty")


def head_after_append(
    path: str, head: Head | None, lineage: str, records: Sequence[Record]
) -> Head:
    """The head after `records`; `head` is None for a document that does not exist.

    Raises:
        StoreError: the lineage is another, a number does not follow the one before it, or a record
        cannot be stored.
    """
    check_path(path)
    head = head or Head(_checked_lineage(path, lineage))
    if lineage != head.lineage:
        raise StoreError(
            f"document {path!r} has lineage {head.lineage!r}, not {lineage!r}: load it again"
        )
    last = head.last_number
    for record in records:
        last += 1
        if record.number != last:
            raise StoreError(
                f"record {record.number} of document {path!r} cannot be stored: "
                f"the next number is {last}"
            )
        if not math.isfinite(record.time) or not _is_unicode(record.user):
            raise StoreError(
                f"record {last} of document {path!r} cannot be stored: "
                "its time must be a finite number and its user Unicode text"
            )
    return Head(lineage, last, head.snapshot_number)


def head_after_compaction(path: str, head: Head | None, number: int) -> Head:
    """The head once a snapshot covers the records up to `number`.

    Raises:
        StoreError: there is no such document or record, or a newer snapshot stands already.
    """
    if head is None:
        raise StoreError(f"there is no document {path!r} to compact")
    if not max(1, head.snapshot_number) <= number <= head.last_number:
        raise StoreError(
            f"document {path!r} cannot be compacted up to {number}: its snapshot covers "
            f"{head.snapshot_number}, its log ends at {head.last_number}"
        )
    return Head(head.lineage, head.last_number, number)


def _checked_lineage(path: str, lineage: str) -> str:
    if not _is_unicode(lineage):
        raise StoreError(f"the lineage {lineage!r} of document {path!r} is not Unicode text")
    return lineage


def _is_unicode(text: str) -> bool:
    """Whether `text` has a UTF-8 form: a lone surrogate has none, and would fail the commit that
    others share.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
