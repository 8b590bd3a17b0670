"""How a room opens: from what the store has of its document, or from its page's seed.

Every record is read and applied by itself here. One that cannot be is set aside and counted, and the others count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engineroom.errors import ProtocolError
from engineroom.protocols.updates import UpdateSummary, read_update

from .address import Address
from .authors import Authors
from .cells import seed_update
from .document import Document
from .limits import RoomLimits
from .log import RECORD_BYTES, Log
from .notes import Notes, decode_notes
from .plan import Plan
from .room import Facts, Room
from .storage import Record, StoredDocument

_NOBODY: Final = 1  # the client id of a document that nobody edits


@dataclass(frozen=True, slots=True)
class Opened:
    """A room, and the numbers of the records that could not be applied (0: the snapshot)."""

    room: Room
    refused: tuple[int, ...]


def open_room(
    address: Address,
    plan: Plan,
    stored: StoredDocument | None,
    *,
    client_id: int,
    lineage: str,
    limits: RoomLimits,
    begin: bytes | None = None,
) -> Opened:
    """The room as it was left; `lineage` is for a document that begins here. `client_id` must be new at every opening.

    `begin` is what a document begins with that is not stored, one update (V1), in place of its page's seed.

    Raises:
        ProtocolError: `begin` is malformed, or cannot be applied.
    """
    document = Document(client_id)
    notes = decode_notes(stored.notes) if stored is not None else Notes()
    authors = Authors(limits.authors, notes.authors)
    refused: tuple[int, ...] = ()
    if stored is not None:
        refused = _load(document, stored, authors)
        tail = sum(len(r.update) + RECORD_BYTES for r in stored.records)
        size = len(stored.snapshot or b"")
        log = Log(stored.last_number, tail, size, keep_all=bool(refused))
    elif begin is not None:
        log = Log(0, 0, 0)
        if document.apply([(begin, read_update(begin))]) != [True]:
            raise ProtocolError("what the document should begin with cannot be applied")
        log.add(begin, "", 0.0)
        authors.wrote(read_update(begin).inserts, "", 0.0)
    else:
        log = Log(0, 0, 0)
        seed = seed_update(plan)
        if seed is not None:
            summary = read_update(seed)
            document.apply([(seed, summary)])
            log.add(seed, "", 0.0, seed=True)
            authors.wrote(summary.inserts, "", 0.0)
    if stored is not None:
        lineage = stored.lineage
    elif plan.page and begin is None:
        lineage = seed_lineage(address, plan)
    facts = Facts(lineage, notes, authors)
    room = Room(address, plan, document, log, facts=facts, limits=limits)
    return Opened(room, refused)


def seed_lineage(address: Address, plan: Plan) -> str:
    """The lineage of a page's room that holds nothing but the seed: the same at every opening, as the seed is."""
    return hashlib.sha256(f"{address}\n{plan.version}".encode()).hexdigest()[:32]


def encoding_after(base: bytes | None, records: Sequence[Record]) -> bytes:
    """What a document was: its encoding when `records` had come after the state `base` (None: nothing).

    Takes time that grows with all of it; touches no room, and may be called in any thread.
    """
    document = Document(_NOBODY)
    _load(document, StoredDocument("", base, 0, tuple(records), 0), Authors(0))
    return document.encoded()


def _load(document: Document, stored: StoredDocument, authors: Authors) -> tuple[int, ...]:
    """Bring all that is stored in, in one transaction; the numbers of what could not be."""
    refused: list[int] = []
    numbers: list[int] = []
    ready: list[tuple[bytes, UpdateSummary]] = []
    if stored.snapshot is not None and not document.load(stored.snapshot):
        refused.append(0)
    for record in stored.records:
        number, update = record.number, record.update
        try:
            summary = read_update(update)
        except ProtocolError:
            refused.append(number)
            continue
        authors.wrote(summary.inserts, record.user, record.time)
        if document.lacks(summary):
            document.wait(update, summary, number)
            continue
        document.expect(summary)
        freed = document.take_ready() if document.waiting else []
        ready += [(update, summary), *((item.update, item.summary) for item in freed)]
        numbers += [number, *(item.token for item in freed if isinstance(item.token, int))]
    applied = document.apply(ready)
    document.take_repairs()  # made again, of what is in the log
    refused += [number for number, ok in zip(numbers, applied, strict=True) if not ok]
    return tuple(sorted(refused))
