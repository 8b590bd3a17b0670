"""What a room keeps beside its document's snapshot: facts that no update tells.

A store carries notes as bytes, in the commit of the snapshot. They may be lost (a crash before the first compaction):
nothing that was acknowledged may depend on them.
"""

from __future__ import annotations

import msgspec

from .authors import AuthorNotes

FORM = 1


class Notes(msgspec.Struct, omit_defaults=True):
    """What the core keeps beside a document's snapshot. A part of the core that wants notes adds a field here."""

    form: int = FORM
    authors: AuthorNotes = msgspec.field(default_factory=AuthorNotes)


def decode_notes(data: bytes) -> Notes:
    """The notes that a compaction left; fresh ones where there are none, or of a form that is not known here."""
    if not data:
        return Notes()
    try:
        notes = msgspec.msgpack.decode(data, type=Notes)
    except msgspec.DecodeError:
        return Notes()
    return notes if notes.form == FORM else Notes()


def encode_notes(notes: Notes) -> bytes:
    """The notes as a compaction keeps them."""
    return msgspec.msgpack.encode(notes)
