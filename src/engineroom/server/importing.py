"""Bringing documents of other stores in: what was read becomes records of a new document.

It appends and compacts; what it is given has been read by `stores.foreign`. A document that is
there already is left alone. One that waits for what is missing is brought in whole, waits as it did
before, and is told.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from engineroom.errors import AddressError, StoreError
from engineroom.rooms.address import Address
from engineroom.rooms.storage import Record, Store
from engineroom.stores.foreign import ForeignDocument

from .examining import ExaminationFailed, Examiner

RECORDS = 1_000  # of one append


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a document: how many updates came in, and what is to be told of it."""

    name: str
    path: str
    updates: int
    lost: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing of it was lost."""
        return not self.lost


def path_for(name: str, *, prefix: str = "", strip: str = "") -> str:
    """The path of a document that another store calls `name`.

    Raises:
        AddressError: it can be none.
    """
    return str(Address.parse(prefix + name.removesuffix(strip).lstrip("/")))


async def bring_in_one(
    store: Store, found: ForeignDocument, path: str, examiner: Examiner | None
) -> Imported:
    """Make the document `path` of what was found; without an examiner, say what would be made.

    Raises:
        StoreError: it could not be written; what was, is a document without its end.
    """
    if await _is_there(store, path, certain=examiner is not None):
        return Imported(found.name, path, 0, ("there is a document of this name already",))
    if not found.updates or examiner is None:
        lost = found.lost or (() if found.updates else ("it has no updates",))
        return Imported(found.name, path, len(found.updates), lost)
    lineage = secrets.token_hex(16)
    records = [
        Record(number, time, "", update) for number, (time, update) in enumerate(found.updates, 1)
    ]
    for first in range(0, len(records), RECORDS):
        await append(store, path, lineage, records[first : first + RECORDS])
    notes = await _settle(store, path, examiner)
    return Imported(found.name, path, len(records), found.lost, notes)


async def _is_there(store: Store, path: str, *, certain: bool) -> bool:
    """Whether there is a document; unless it must be certain, none in a store that is not there."""
    try:
        return await store.load(path) is not None
    except StoreError:
        if certain:
            raise
        return False


async def append(store: Store, path: str, lineage: str, records: Sequence[Record]) -> None:
    """Append, and wait until it is stored.

    Raises:
        StoreError: it was not.
    """
    report: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()
    store.append(path, lineage, records, report.set_result)
    error = await report
    if error is not None:
        raise error


async def _settle(store: Store, path: str, examiner: Examiner) -> tuple[str, ...]:
    """Put a snapshot in place of the updates when it carries all that they do; what is to be told."""
    stored = await store.load(path)
    assert stored is not None
    try:
        examined = await asyncio.to_thread(examiner.examine, path, stored)
    except ExaminationFailed as error:
        return (str(error),)
    if examined.replaceable:
        number = stored.last_number
        await store.compact(path, examined.encoding, number, notes=examined.notes)
        return ()
    notes = []
    if examined.waiting:
        notes.append(f"{examined.waiting} updates wait for others that are missing")
    if examined.refused:
        notes.append(f"{len(examined.refused)} updates cannot be applied")
    if not examined.whole:
        notes.append("it is kept as a log: its snapshot would lack something")
    return tuple(notes)


def nameless(found: ForeignDocument, error: AddressError) -> Imported:
    """A document whose name can be no path."""
    reason = f"{error}; give it another name with --name, --prefix or --strip"
    return Imported(found.name, "", 0, (reason, *found.lost))
