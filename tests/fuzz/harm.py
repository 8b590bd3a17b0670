"""What updates do to a document: taken as a room takes them, then everything a server does with a document.

The law that is tested: whatever the bytes, they are refused, or wait, or are taken; and afterwards the document is
encoded, told apart, read, edited and opened again as if nobody had meant harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from pycrdt import Array, Doc, Map, Text, XmlFragment

from engineroom.errors import ProtocolError
from engineroom.protocols.items import read_items
from engineroom.protocols.lib0 import var_uint
from engineroom.protocols.updates import is_whole, read_state_vector, read_update
from engineroom.rooms.document import Document, EditFailed

MANY = 50
"""Clients whose differences are encoded; a document may have thousands."""


def taken(updates: Sequence[bytes]) -> tuple[Document, list[bytes]]:
    """A document that was offered these updates one by one, and those that it took or keeps waiting."""
    document = Document(client_id=1)
    kept: list[bytes] = []
    for update in updates:
        try:
            summary = read_update(update)
        except ProtocolError:
            continue
        if document.forges(summary):
            continue
        if document.lacks(summary):
            document.wait(update, summary, None)
            kept.append(update)
            continue
        document.expect(summary)
        if document.apply([(update, summary)])[0]:
            kept.append(update)
        while ready := document.take_ready():
            document.apply([(item.update, item.summary) for item in ready])
    return document, kept


def check(updates: Sequence[bytes]) -> None:
    """Take the updates, and do with the document whatever a server does.

    Raises:
        BaseException: one of these things cannot be done any more.
    """
    document, kept = taken(updates)
    _check_encoding(document)
    _read(document)
    _edit(document)
    assert _clocks(taken(kept)[0]) == _clocks(taken(kept)[0]), "two openings of one log differ"


def _clocks(document: Document) -> dict[int, int]:
    return read_state_vector(document.state_vector())


def _check_encoding(document: Document) -> None:
    encoded, state = document.encoded(), document.state_vector()
    clocks = read_state_vector(state)
    for client, clock in islice(clocks.items(), MANY):
        for known in {0, 1, clock // 2, max(0, clock - 1)}:
            document.difference(b"\x01" + var_uint(client) + var_uint(known))
    assert is_whole(encoded, state), "the encoding lacks something"
    fresh: Doc[Any] = Doc()
    fresh.apply_update(encoded)
    assert read_state_vector(fresh.get_state()) == clocks
    with suppress(ProtocolError):
        read_items(encoded)


def _read(document: Document) -> None:
    doc = document.doc
    for name in list(doc.keys()):
        str(doc.get(name, type=Text))
        _try(lambda name=name: doc.get(name, type=Map).to_py())
        if document.may_read_as(name, XmlFragment):
            _try(lambda name=name: str(doc.get(name, type=XmlFragment)))
        if document.may_read_as(name, Array):
            _try(lambda name=name: doc.get(name, type=Array).to_py())
            _try(lambda name=name: list(doc.get(name, type=Array)))


def _edit(document: Document) -> None:
    """What a server's own code does: write, and take out of lists. It may fail, and the document is as it was then."""
    for change in (_write, *(_emptied(name, document) for name in list(document.doc.keys()))):
        before = _clocks(document)
        try:
            document.edit(change)
        except EditFailed:
            assert _clocks(document) == before
    fresh: Doc[Any] = Doc()
    fresh.apply_update(document.encoded())
    assert read_state_vector(fresh.get_state()) == _clocks(document)


def _write(doc: Doc[Any]) -> None:
    doc.get("text", type=Text).insert(0, "é")


def _emptied(name: str, document: Document) -> Any:
    def change(doc: Doc[Any]) -> None:
        for value in list(doc.get(name, type=Map).values()):
            if isinstance(value, Array):
                value.clear()
        if document.may_read_as(name, Array):
            doc.get(name, type=Array).clear()

    return change


def _try(read: Any) -> None:
    """Read what may be nonsense: an error or a panic is one, a reader that never returns is none."""
    try:
        read()
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
