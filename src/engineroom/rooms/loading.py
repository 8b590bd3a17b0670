"""How a room opens: from what the store has of its document, or from its page's seed.

Every record is read and applied by itself here. One that cannot be is set aside and counted, and the others count.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from engineroom.errors import ProtocolError
from engineroom.protocols.updates import UpdateSummary, read_update

from .address import Address
from .cells import seed_update
from .document import Document
from .limits import RoomLimits
from .log import RECORD_BYTES, Log
from .plan import Plan
from .room import Room
from .storage import StoredDocument


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
    refused: tuple[int, ...] = ()
    if stored is not None:
        refused = _load(document, stored)
        tail = sum(len(r.update) + RECORD_BYTES for r in stored.records)
        size = len(stored.snapshot or b"")
        log = Log(stored.last_number, tail, size, keep_all=bool(refused))
    elif begin is not None:
        log = Log(0, 0, 0)
        if document.apply([(begin, read_update(begin))]) != [True]:
            raise ProtocolError("what the document should begin with cannot be applied")
        log.add(begin, "", 0.0)
    else:
        log = Log(0, 0, 0)
        seed = seed_update(plan)
        if seed is not None:
            document.apply([(seed, read_update(seed))])
            log.add(seed, "", 0.0, seed=True)
    if stored is not None:
        lineage = stored.lineage
    elif plan.page and begin is None:
        lineage = seed_lineage(address, plan)
    notes = stored.notes if stored is not None else b""
    room = Room(address, plan, document, log, lineage=lineage, limits=limits, notes=notes)
    return Opened(room, refused)


def seed_lineage(address: Address, plan: Plan) -> str:
    """The lineage of a page's room that holds nothing but the seed: the same at every opening, as the seed is."""
    return hashlib.sha256(f"{address}\n{plan.version}".encode()).hexdigest()[:32]


def _load(document: Document, stored: StoredDocument) -> tuple[int, ...]:
    """Bring all that is stored in, in one transaction; the numbers of what could not be."""
    refused: list[int] = []
    numbers: list[int] = []
    ready: list[tuple[bytes, UpdateSummary]] = []
    if stored.snapshot is not None and not document.load(stored.snapshot):
        refused.append(0)
    for number, update in ((record.number, record.update) for record in stored.records):
        try:
            summary = read_update(update)
        except ProtocolError:
            refused.append(number)
            continue
        if document.lacks(summary):
            document.wait(update, summary, number)
            continue
        document.expect(summary)
        freed = document.take_ready() if document.waiting else []
        ready += [(update, summary), *((item.update, item.summary) for item in freed)]
        numbers += [number, *(item.token for item in freed if isinstance(item.token, int))]
    applied = document.apply(ready)
    refused += [number for number, ok in zip(numbers, applied, strict=True) if not ok]
    return tuple(sorted(refused))
