"""What every store refuses, and what every store counts.

Pure: where a document's log ends and a call go in, where it ends afterwards comes out, or a
`StoreError`. A store checks numbers itself and trusts no caller with them: when a commit fails, the
appends queued behind it are refused too, until the caller begins again where the log ends. So a log
never has a hole that an acknowledgement has passed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from engineroom.errors import StoreError
from engineroom.rooms.storage import Record, Version

Durability: TypeAlias = Literal["disk", "os"]
DurabilityOf: TypeAlias = Callable[[str], Durability]
"""What "stored" promises for a document of this path."""

MAX_VERSION_ID = 64


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


def check_history(history_since: float) -> None:
    """Let a bound of the history through.

    Raises:
        StoreError: it is no number.
    """
    if math.isnan(history_since):
        raise StoreError("history_since must be a number of seconds since the epoch")


def check_version(path: str, version: Version, encoding: bytes) -> None:
    """Let a version through that can be stored.

    Raises:
        StoreError: its id is not 1 to 64 printable ASCII characters, its size is not its
        encoding's, its time is no finite number, or a text of it is not Unicode.
    """
    check_path(path)
    name = version.id
    if not (0 < len(name) <= MAX_VERSION_ID and name.isascii() and name.isprintable()):
        raise StoreError(
            f"{name!r} cannot be a version's id: it has 1 to {MAX_VERSION_ID} ASCII characters"
        )
    if version.bytes != len(encoding):
        raise StoreError(
            f"version {name!r} of document {path!r} says {version.bytes} bytes and has "
            f"{len(encoding)}"
        )
    texts = (version.kind, version.name, version.user)
    if not math.isfinite(version.time) or not all(_is_unicode(text) for text in texts):
        raise StoreError(
            f"version {name!r} of document {path!r} cannot be stored: "
            "its time must be a finite number, and kind, name and user Unicode text"
        )


def check_new_version(path: str, version: Version, *, document: bool, taken: bool) -> None:
    """Let a version through whose document is there and whose id is free.

    Raises:
        StoreError: there is no such document, or the id is taken.
    """
    if not document:
        raise StoreError(f"there is no document {path!r} to keep a version of")
    if taken:
        raise StoreError(f"document {path!r} has a version {version.id!r} already")


def check_version_name(path: str, name: str) -> None:
    """Let a version's new name through.

    Raises:
        StoreError: it is not Unicode text.
    """
    check_path(path)
    if not _is_unicode(name):
        raise StoreError(f"{name!r} cannot name a version: it is not Unicode text")


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
