"""Marks: how a document's history is told from another's, inside the document and unseen.

A mark is a client id that no client ever has. A document that is stored has one struct of it: one clock that was
collected (GC), so it has no content, and shows in state vectors alone. Every replica carries it from then on. Yjs's
clients draw ids of 32 bits and pycrdt's of 53, so a mark is above 2^52 and ends in 24 check bits: one in 2^25 of
pycrdt's ids would look like one.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final
from zlib import crc32

from .lib0 import var_uint

_TOP: Final = 1 << 52
_CHECK_BITS: Final = 24
_SALT: Final = b"engineroom mark"


def mark_of(lineage: str) -> int:
    """The mark of the history with this lineage; always the same."""
    return _with_check(int.from_bytes(sha256(lineage.encode()).digest()[:4], "big") >> 4)


def is_mark(client: int) -> bool:
    """Whether a client id is a mark."""
    return client >= _TOP and client == _with_check((client - _TOP) >> _CHECK_BITS)


def marks_in(clients: Iterable[int]) -> tuple[int, ...]:
    """The marks among client ids, in their order."""
    return tuple(client for client in clients if client >= _TOP and is_mark(client))


def mark_update(mark: int) -> bytes:
    """The update (V1) that puts `mark` into a document: one GC struct of length 1, nothing deleted."""
    return b"\x01\x01" + var_uint(mark) + b"\x00\x00\x01\x00"


def _with_check(number: int) -> int:
    check = crc32(number.to_bytes(8, "big"), crc32(_SALT)) & ((1 << _CHECK_BITS) - 1)
    return _TOP | (number << _CHECK_BITS) | check
