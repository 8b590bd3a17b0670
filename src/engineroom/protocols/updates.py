"""What an update carries, and what it needs, read from its bytes alone (V1).

The law: what `read_update` accepts, a document with the needed state takes whole, and can be encoded
afterwards. pycrdt applies without validating: some updates are accepted and make every later encoding
panic, some end the process, some take it hours. So nothing reaches a document that was not read here first.

Knows bytes, not a document's content. What shows only against that content stays with the room, which
must expect an error, a panic or damage from it:
 - an item whose parent in the document is no shared type, or whose neighbours have another parent;
 - an item or a deletion that splits a surrogate pair of a text in the document (see `is_whole`);
 - other content for clocks that the document already has;
 - text in an Array of the document, and shared types nested too deep (see `shapes`).

    update    = varUint clients, each: varUint structs, varUint client, varUint first clock, structs;
                then deletions
    struct    = 00 varUint length (collected) | 0a varUint length (skipped) | item
    item      = info, [origin], [right origin], [parent, [key]] where there is neither, content
    info      = 80 origin + 40 right origin + 20 key + kind of content (see `contents`)
    deletions = varUint clients, each: varUint client, varUint ranges, each: varUint clock, varUint length

Source: yjs `utils/encoding.js`, `structs/Item.js`, `utils/DeleteSet.js`.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Final

from engineroom.errors import ProtocolError

from .contents import utf16_units
from .lib0 import MAX_INTEGER, Reader
from .scan import inserts_of
from .summaries import MAX_CLOCK as MAX_CLOCK
from .summaries import ClockRange as ClockRange
from .summaries import UpdateSummary as UpdateSummary
from .walk import Walk


def read_update(update: bytes, *, max_structs: int | None = None) -> UpdateSummary:
    """The summary of one V1 update.

    Raises:
        ProtocolError: malformed, unsupported, or such that it would damage a document.
        LimitExceeded: it has more than `max_structs` structs.
    """
    quick = _read_typing(update) or _read_erasing(update)
    if quick is not None:
        return quick
    steps = Walk(update, max_structs).steps()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            summary: UpdateSummary = end.value
            return summary


def reading(
    update: bytes, *, max_structs: int | None = None
) -> Generator[None, None, UpdateSummary]:
    """`read_update` in steps of a few milliseconds each, for who has other things to do between them.

    Raises:
        ProtocolError, LimitExceeded: as `read_update`, in the step that finds it.
    """
    return Walk(update, max_structs).steps()


def read_state_vector(state_vector: bytes) -> dict[int, int]:
    """The clock that each client has reached.

    A state vector is varUint n, n times varUint client, varUint clock (V1).

    Raises:
        ProtocolError: malformed, a client named twice, or a clock out of range.
    """
    reader = Reader(state_vector)
    clocks: dict[int, int] = {}
    for _ in range(reader.count(2)):
        client = reader.var_uint()
        clock = reader.var_uint()
        if client in clocks or clock > MAX_CLOCK:
            raise ProtocolError(f"client {client} comes twice or with a clock past {MAX_CLOCK}")
        clocks[client] = clock
    reader.finish()
    return clocks


def is_whole(encoding: bytes, state_vector: bytes) -> bool:
    """Whether a document's full encoding carries all that the document's state vector names.

    yrs's does not once an update has split a surrogate pair, which Yjs clients may do: text of length 0 stands in
    for the second half, and every later clock of that client moves. Log records replaced by such a snapshot are lost.
    """
    try:
        carried = {client: end for client, start, end in inserts_of(encoding) if start == 0}
    except ProtocolError:
        return False
    named = read_state_vector(state_vector)
    return carried == {client: clock for client, clock in named.items() if clock}


# --- the common cases ------------------------------------------------------------------------
# Nearly every update is one person's keystroke: one text item beside another, or one deletion. These
# two shapes are read by a pattern, three times as fast as by the walk. What is in any way odd is left
# to the walk, which then says what is wrong.

_VAR: Final = rb"([\x80-\xff]{0,7}[\x00-\x7f])"
_TYPING: Final = re.compile(
    rb"\x01\x01" + _VAR + _VAR  # one client, one struct; its client, its clock
    + rb"(?:\x84|(\xc4))" + _VAR + _VAR  # a text with an origin
    + rb"(?(3)" + _VAR + _VAR + rb")"  # and perhaps a right origin
    + rb"([\x01-\x7f])(.+)\x00",  # length and text; no deletions
    re.DOTALL,
)  # fmt: skip
_ERASING: Final = re.compile(rb"\x00\x01" + _VAR + rb"\x01" + _VAR + _VAR)


def _number(encoded: bytes) -> int:
    value = 0
    for byte in reversed(encoded):
        value = value << 7 | byte & 0x7F
    return value


def _read_typing(update: bytes) -> UpdateSummary | None:
    match = _TYPING.fullmatch(update)
    if match is None:
        return None
    author, at, right, left_client, left_at, right_client, right_at, length, text = match.groups()
    client, clock = _number(author), _number(at)
    needs = {client: clock} if clock else {}
    neighbours = ((left_client, left_at), (right_client, right_at))
    beside: tuple[tuple[int, int], ...] = ()
    for its_client, its_at in neighbours if right else neighbours[:1]:
        neighbour = client if its_client == author else _number(its_client)
        after = _number(its_at) + 1
        beside += ((neighbour, after - 1),)
        if after > (clock if neighbour == client else MAX_CLOCK) or neighbour > MAX_INTEGER:
            return None
        if after > needs.get(neighbour, 0):
            needs[neighbour] = after
    wide = not text.isascii()
    try:
        end = clock + (utf16_units(text.decode()) if wide else len(text))
    except UnicodeDecodeError:
        return None
    if length[0] != len(text) or client > MAX_INTEGER or end > MAX_CLOCK:
        return None
    return UpdateSummary(
        ((client, clock, end),), tuple(sorted(needs.items())), (), wide=wide, beside=beside
    )


def _read_erasing(update: bytes) -> UpdateSummary | None:
    match = _ERASING.fullmatch(update)
    if match is None:
        return None
    client, clock, length = map(_number, match.groups())
    end = clock + length
    if not length or client > MAX_INTEGER or end > MAX_CLOCK:
        return None
    return UpdateSummary((), ((client, end),), ((client, clock, end),))
