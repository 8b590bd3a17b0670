"""Updates without what a document has already.

The law: what a trimmed update says of an item that is half known is what Yjs would have said to somebody with this
state: it stands behind its own first half. pycrdt goes by the parent that the whole item names instead. A client that
names another one for clocks that it has used makes lists there longer than what is in them, and pycrdt never returns
from emptying such a list.

Source: yjs `structs/Item.js` (`write` with an offset); yrs 0.27 `update.rs` (`exclude`).
"""

from __future__ import annotations

from collections.abc import Mapping

from .contents import ANY, DELETED, STRING
from .lib0 import Reader, var_string, var_uint
from .scan import Scan, Struct, right_origin_of
from .summaries import UpdateSummary
from .walk import GC, HAS_ORIGIN, HAS_RIGHT_ORIGIN, KIND, SKIP


def trimmed(update: bytes, summary: UpdateSummary, clocks: Mapping[int, int]) -> bytes:
    """The update for a document that has these clocks; nearly always, itself."""
    for client, start, end in summary.inserts:
        if start < clocks.get(client, 0) < end:
            return _rewritten(update, clocks)
    return update


def _rewritten(update: bytes, clocks: Mapping[int, int]) -> bytes:
    scan = Scan(update)
    lists: dict[int, list[bytes]] = {}
    starts: dict[int, int] = {}
    for struct in scan:
        known = clocks.get(struct.client, 0)
        if struct.clock + struct.length <= known:
            continue
        offset = max(0, known - struct.clock)
        data = _cut(update, struct, offset) if offset else update[struct.start : struct.end]
        lists.setdefault(struct.client, []).append(data)
        starts.setdefault(struct.client, struct.clock + offset)
    parts = (
        var_uint(len(structs)) + var_uint(client) + var_uint(starts[client]) + b"".join(structs)
        for client, structs in lists.items()
    )
    return var_uint(len(lists)) + b"".join(parts) + update[scan.deletions_at :]


def _cut(update: bytes, struct: Struct, offset: int) -> bytes:
    """What is left of a struct without its first `offset` clocks."""
    if struct.info in (GC, SKIP):
        return bytes([struct.info]) + var_uint(struct.length - offset)
    kind = struct.info & KIND
    info = kind | HAS_ORIGIN | (struct.info & HAS_RIGHT_ORIGIN)
    head = var_uint(struct.client) + var_uint(struct.clock + offset - 1)
    return bytes([info]) + head + right_origin_of(update, struct) + _rest(update, struct, offset)


def _rest(update: bytes, struct: Struct, offset: int) -> bytes:
    kind = struct.info & KIND
    reader = Reader(update, struct.content)
    if kind == DELETED:
        return var_uint(struct.length - offset)
    if kind == STRING:
        units = reader.var_string().encode("utf-16-le")[2 * offset :]
        # Half of a surrogate pair is no character: Yjs shows this one in its place.
        return var_string(units.decode("utf-16-le", "replace"))
    assert kind == ANY, "no other content is longer than one clock"
    reader.var_uint()
    for _ in range(offset):
        reader.any()
    return var_uint(struct.length - offset) + update[reader.position : struct.end]
