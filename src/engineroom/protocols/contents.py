"""The contents of an update's items: how long each is, and that it can be read.

One table, kind to reader. A reader takes the content and returns its length in clock ticks: UTF-16
units for text, elements for sequences, 1 for anything else. Accepted is only what Yjs 13 and yrs
read alike, which leaves out
 - kind 2, JSON of Yjs before 13: yrs reads one string too many;
 - the type XmlHook: yrs does not read its name, and never sends it;
 - types past XmlText (weak links, yrs' own): Yjs 13 fails on them.

Source: yjs `structs/Content*.js`; yrs 0.27 `block.rs`, `any.rs`, tried against pycrdt 0.14.13 (yrs
0.28).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from engineroom.errors import ProtocolError

from .lib0 import MAX_NESTING, Reader

STRING: Final = 4
TYPE: Final = 7
ANY: Final = 8
DOCUMENT: Final = 9
DELETED: Final = 1

_XML_ELEMENT: Final = 3
_PLAIN_TYPES: Final = frozenset({0, 1, 2, 4, 6})  # Array, Map, Text, XmlFragment, XmlText

MAX_NAME_CHARACTERS: Final = 8_192
"""The name of a root, a key, a format or an element. yrs hashes a key for each change of what it names: with names of
megabytes, a thousand changes take it seconds."""

_JSON: Final = msgspec.json.Decoder()


def utf16_units(text: str) -> int:
    """How long JavaScript, and so every clock, counts `text`."""
    if text.isascii() or max(text) <= "\uffff":
        return len(text)
    return len(text.encode("utf-16-le")) // 2


def _read_json(reader: Reader) -> None:
    """Passes over JSON, as far as yrs takes it: no lone surrogate, no number that it cannot hold."""
    start = reader.position
    try:
        value = _JSON.decode(reader.var_string())
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(f"the content at byte {start} is not JSON: {error}") from None
    _check_json(value)


def check_plain_json(data: bytes) -> None:
    """Checks that JSON text holds nothing that a document cannot: text that is no Unicode, numbers
    past 64 bits, nesting past `MAX_NESTING`.

    Raises:
        ProtocolError: it does, or it is no JSON.
    """
    try:
        value = _JSON.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ProtocolError(f"the value is not JSON: {error}") from None
    _check_json(value, refused=lambda number: not -(2**63) <= number < 2**63)


def _refused_by_yrs(number: int) -> bool:
    return 2**63 <= number < 2**64  # what is larger yet, it reads as a float


def _check_json(value: object, refused: Callable[[int], bool] = _refused_by_yrs) -> None:
    level = [value]
    for _ in range(MAX_NESTING + 1):
        inner: list[object] = []
        for entry in level:
            if isinstance(entry, list):
                inner += entry
            elif isinstance(entry, dict):
                inner += entry.values()
            elif isinstance(entry, int) and refused(entry):
                raise ProtocolError(f"the whole number {entry} in JSON is past 2**63 - 1")
        if not inner:
            return
        level = inner
    raise ProtocolError(f"JSON is nested more than {MAX_NESTING} deep")


def _deleted(reader: Reader) -> int:
    return reader.var_uint()


def _binary(reader: Reader) -> int:
    reader.buf()
    return 1


def _string(reader: Reader) -> int:
    return utf16_units(reader.var_string())


def _embed(reader: Reader) -> int:
    _read_json(reader)
    return 1


def read_name(reader: Reader) -> None:
    """Passes over the name of a root, a key, a format or an element.

    Raises:
        ProtocolError: malformed, or longer than `MAX_NAME_CHARACTERS`.
    """
    name = reader.var_string()
    if len(name) > MAX_NAME_CHARACTERS:
        raise ProtocolError(f"the name {name[:20]!r}… is longer than {MAX_NAME_CHARACTERS}")


def _format(reader: Reader) -> int:
    read_name(reader)
    _read_json(reader)
    return 1


def _type(reader: Reader) -> int:
    kind = reader.byte()
    if kind == _XML_ELEMENT:
        read_name(reader)
    elif kind not in _PLAIN_TYPES:
        raise ProtocolError(f"shared type {kind} is not supported")
    return 1


def _any(reader: Reader) -> int:
    count = reader.count()
    for _ in range(count):
        reader.any()
    return count


def _document(reader: Reader) -> int:
    reader.var_string()
    if not isinstance(reader.any(), dict):
        raise ProtocolError("the options of a subdocument are no map")
    return 1


CONTENTS: Final[dict[int, Callable[[Reader], int]]] = {
    DELETED: _deleted,
    3: _binary,
    STRING: _string,
    5: _embed,
    6: _format,
    TYPE: _type,
    ANY: _any,
    DOCUMENT: _document,
}
"""Kind of content to its reader."""
