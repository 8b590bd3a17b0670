"""The poisonous updates: how each is made.

`python -m tests.poison.recipes` writes them into `updates.json`, as data that no change of our own code can change
with it. Each comes to a document that holds `HONEST`, by client 5:

    clocks 0-3    "a😀b" in the root Text `text`
    clock 4       a Map below `m` in the root Map `map`
    clock 5       an Array below `list` in it; clock 6, the number 1 in that
    clock 7       a Text below `note`; clocks 8-9, "hi" in that
    clock 10      an XmlElement `p`, first in the root XmlFragment `page`
    clock 11      an XmlText in it; clock 12, "x" in that
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from engineroom.protocols.lib0 import any_value, buf, var_string, var_uint

PLACE = Path(__file__).with_name("updates.json")
NOTHING = b"\x00"

HONEST_CLIENT = var_uint(5)
CLIENT = var_uint(9)


def update(
    *structs: bytes, clock: int = 0, client: bytes = CLIENT, deletes: bytes = NOTHING
) -> bytes:
    """One client's structs."""
    return b"\x01" + var_uint(len(structs)) + client + var_uint(clock) + b"".join(structs) + deletes


def clients(*lists: tuple[bytes, Sequence[bytes]], deletes: bytes = NOTHING) -> bytes:
    """Structs of several clients, each from clock 0 on."""
    parts = (
        var_uint(len(structs)) + client + b"\x00" + b"".join(structs) for client, structs in lists
    )
    return var_uint(len(lists)) + b"".join(parts) + deletes


def in_root(kind: int, content: bytes, name: str = "text") -> bytes:
    """The first item of a root."""
    return bytes([kind, 1]) + var_string(name) + content


def keyed(kind: int, content: bytes, key: str = "k", name: str = "map") -> bytes:
    """An item under a key of a root."""
    return bytes([kind | 0x20, 1]) + var_string(name) + var_string(key) + content


def within(kind: int, content: bytes, clock: int, client: bytes = HONEST_CLIENT) -> bytes:
    """An item in the type with that id."""
    return bytes([kind, 0]) + client + var_uint(clock) + content


def after(kind: int, content: bytes, clock: int, client: bytes = HONEST_CLIENT) -> bytes:
    """An item behind the one with that id."""
    return bytes([kind | 0x80]) + client + var_uint(clock) + content


def before(kind: int, content: bytes, clock: int, client: bytes = HONEST_CLIENT) -> bytes:
    """An item ahead of the one with that id."""
    return bytes([kind | 0x40]) + client + var_uint(clock) + content


def deletions(*spans: tuple[int, int], client: bytes = HONEST_CLIENT) -> bytes:
    """Deletions of one client's clocks: first, and how many."""
    ranges = b"".join(var_uint(clock) + var_uint(length) for clock, length in spans)
    return b"\x01" + client + var_uint(len(spans)) + ranges


TEXT, TYPE, ANY = 4, 7, 8
ARRAY, MAP, NOTE = b"\x00", b"\x01", b"\x02"
GCLEF = var_string("𝄞𝄞")
A = var_string("a")

HONEST = update(
    in_root(TEXT, var_string("a😀b")),
    keyed(TYPE, MAP, "m"),
    b"\x27\x00" + HONEST_CLIENT + var_uint(4) + var_string("list") + ARRAY,
    within(ANY, b"\x01" + any_value(1), 5),
    b"\x27\x00" + HONEST_CLIENT + var_uint(4) + var_string("note") + NOTE,
    within(TEXT, var_string("hi"), 7),
    in_root(TYPE, b"\x03" + var_string("p"), "page"),
    within(TYPE, b"\x06", 10),
    within(TEXT, var_string("x"), 11),
    client=HONEST_CLIENT,
)
CHAIN = 20_000


def chain(kind: int, content: bytes, first: bytes, count: int = CHAIN) -> bytes:
    """Items that follow each other, each a struct of its own."""
    return update(first, *(after(kind, content, clock, CLIENT) for clock in range(count - 1)))


def nested(count: int) -> bytes:
    """Arrays, each in the one before it."""
    return update(
        in_root(TYPE, ARRAY, "a"), *(within(TYPE, ARRAY, n, CLIENT) for n in range(count - 1))
    )


def circle() -> bytes:
    """Two clients' items, each behind a later one of the other's."""
    six, seven = var_uint(6), var_uint(7)
    return clients(
        (six, [after(TEXT, A, 1, seven), in_root(TEXT, A)]),
        (seven, [after(TEXT, A, 1, six), in_root(TEXT, A)]),
    )


def subdocument(**options: object) -> bytes:
    """A subdocument with these options."""
    return update(in_root(9, var_string("guid") + any_value(options), "docs"))  # type: ignore[arg-type]


def many_clients(count: int) -> bytes:
    """So many clients, each with one character at the same place."""
    return clients(*((var_uint(1_000 + n), [in_root(TEXT, A)]) for n in range(count)))


RECIPES: dict[str, tuple[str, bytes]] = {
    # malformed
    "empty": ("No bytes at all.", b""),
    "cut short": ("An update that ends in the middle.", HONEST[:-5]),
    "trailing bytes": ("An update with another one behind it.", HONEST + HONEST),
    "more clients than bytes": (
        "A count of clients that no message could hold.",
        b"\xff\xff\xff\xff\x7f\x00",
    ),
    "number without end": ("A number of eleven bytes.", b"\x01\x01" + b"\xff" * 11 + b"\x00"),
    "client past 2^53": (
        "A client id that JavaScript cannot hold.",
        update(in_root(TEXT, A), client=b"\xff" * 8 + b"\x7f"),
    ),
    "clock near 2^53": (
        "A clock that yrs cuts to 32 bits.",
        update(in_root(TEXT, A), clock=2**53 - 1),
    ),
    "clock past 2^31": (
        "A clock that yrs takes for a negative number.",
        bytes.fromhex("01010181c8f3a80a00070101010103"),
    ),
    "length past 2^31": (
        "A collected struct that runs past every clock.",
        update(b"\x00" + var_uint(2**31)),
    ),
    "version 2": (
        "An update in Yjs's second encoding.",
        bytes.fromhex("000004010a0b0c050004746578746100010001010000"),
    ),
    "empty version 2": (
        "The empty update of Yjs's second encoding.",
        bytes.fromhex("00000000000001000000000000"),
    ),
    "text that is no UTF-8": (
        "A lone surrogate, written in three bytes.",
        update(in_root(TEXT, buf(b"\xed\xa0\x80"))),
    ),
    "overlong UTF-8": ("A slash in two bytes.", update(in_root(TEXT, buf(b"\xc0\xaf")))),
    # what pycrdt accepts and panics on later
    "collected without length": (
        "Accepted by pycrdt, and every later encoding panics.",
        bytes.fromhex("01016101000000"),
    ),
    "text without length": (
        "Accepted by pycrdt, and every later encoding panics.",
        update(in_root(TEXT, b"\x00")),
    ),
    "deletion without length": (
        "An item that deletes nothing, which yrs cannot split.",
        update(in_root(1, b"\x00")),
    ),
    "client without structs": (
        "Accepted by pycrdt, which then has a list without an end.",
        b"\x01\x00\x09\x00\x00",
    ),
    "element without length": (
        "JSON-like values, none of them.",
        update(in_root(ANY, b"\x00", "a")),
    ),
    "skip without length": ("A gap of no clocks.", update(b"\x0a\x00", in_root(TEXT, A))),
    "client twice": (
        "Two lists of structs for one client.",
        clients((CLIENT, [in_root(TEXT, A)]), (CLIENT, [in_root(TEXT, A)])),
    ),
    "deletions twice": (
        "Two lists of deletions for one client.",
        b"\x00\x02" + (HONEST_CLIENT + b"\x01\x00\x01") * 2,
    ),
    # references
    "own later item": (
        "An item behind one of its own that comes later.",
        update(after(TEXT, A, 3, CLIENT)),
    ),
    "itself as parent": ("A type in itself.", update(within(TYPE, ARRAY, 0, CLIENT))),
    "circle": ("Items of two clients that wait for one another.", circle()),
    "text as parent": (
        "An item in a piece of text of the same update.",
        update(in_root(TEXT, A), within(TEXT, A, 0, CLIENT)),
    ),
    "honest text as parent": (
        "An item in a piece of the document's text: yrs gives up half-way.",
        update(within(TEXT, A, 0)),
    ),
    "number as parent": (
        "An item in a number of the document.",
        update(within(ANY, b"\x01\x7e", 6)),
    ),
    "unknown parent": (
        "An item in a type that nobody ever made: it waits for ever.",
        update(within(TEXT, A, 3, var_uint(77))),
    ),
    "unknown origin": (
        "An item behind one that nobody ever made: it waits for ever.",
        update(after(TEXT, A, 3, var_uint(77))),
    ),
    "neighbours the wrong way round": (
        "An item between two in the other order.",
        update(b"\xc4" + HONEST_CLIENT + b"\x03" + HONEST_CLIENT + b"\x00" + A),
    ),
    "neighbours of two parents": (
        "An item between a text and a list.",
        update(b"\xc8" + HONEST_CLIENT + b"\x03" + HONEST_CLIENT + b"\x06" + b"\x01\x7e"),
    ),
    "no parent kind": (
        "A parent that is neither named nor an id.",
        update(b"\x04\x02" + var_string("t") + A),
    ),
    # text where there may be none
    "clef in an Array": (
        "yrs never returns from reading an Array with a character past U+FFFF.",
        update(within(TEXT, GCLEF, 5)),
    ),
    "clef behind an element": ("The same, by its neighbour.", update(after(TEXT, GCLEF, 6))),
    "clef before an element": ("The same, by its other neighbour.", update(before(TEXT, GCLEF, 6))),
    "accent in an Array": (
        "yrs never returns from deleting text past ASCII in an Array.",
        update(within(TEXT, var_string("é"), 5)),
    ),
    "accent in an element": (
        "The same in an XmlElement.",
        update(within(TEXT, var_string("é"), 10)),
    ),
    "letters, then a clef": (
        "ASCII in an Array, and a clef behind it.",
        update(within(TEXT, A, 5), after(TEXT, GCLEF, 0, CLIENT)),
    ),
    "a list that says it is a text": (
        "The document's Array sent again as a Text, and a clef in it.",
        update(
            b"\x27\x00" + HONEST_CLIENT + var_uint(4) + var_string("list") + NOTE,
            b"\x00\x07",
            within(TEXT, GCLEF, 5),
            client=HONEST_CLIENT,
            clock=5,
        ),
    ),
    "clef in a new Array": (
        "An Array with a clef, in one update.",
        update(in_root(TYPE, ARRAY, "new"), within(TEXT, GCLEF, 0, CLIENT)),
    ),
    "clef in the cells": (
        "Text in the root that holds a notebook's cells.",
        update(in_root(TEXT, GCLEF, "cells")),
    ),
    "binary in a Text": (
        "Bytes in a Text, which pycrdt cannot take out again.",
        update(within(3, buf(b"xy"), 7)),
    ),
    "values in a Text": (
        "JSON-like values in a root Text.",
        update(in_root(ANY, b"\x03" + b"\x7e" * 3)),
    ),
    "format in an Array": (
        "A format mark in an Array.",
        update(within(6, var_string("b") + var_string("true"), 5)),
    ),
    "Map in a fragment": (
        "A Map among XML's children, on which pycrdt panics when asked for it.",
        update(in_root(TYPE, MAP, "page")),
    ),
    "key in a text": ("A root Text with a key.", update(keyed(ANY, b"\x01\x7e", "k", "text"))),
    # halves of characters
    "half a pair deleted": ("The first half of an emoji is deleted.", NOTHING + deletions((1, 1))),
    "text within a pair": (
        "A character between the halves of an emoji.",
        update(after(TEXT, A, 1)),
    ),
    # nesting
    "values a million deep": (
        "JSON-like values nested until the decoder's stack ends.",
        update(in_root(ANY, b"\x01" + b"\x75\x01" * 1_000_000 + b"\x7e", "a")),
    ),
    "JSON twenty thousand deep": (
        "JSON nested until the decoder's stack ends.",
        update(in_root(5, var_string("[" * 20_000 + "]" * 20_000))),
    ),
    "types deeper than allowed": ("Types nested 600 deep.", nested(600)),
    "types a hundred thousand deep": (
        "Types nested until freeing them ends the process.",
        nested(100_000),
    ),
    # JSON
    "no JSON": ("An embedded object that is none.", update(in_root(5, var_string("{")))),
    "JSON with half a pair": (
        "A lone surrogate in JSON.",
        update(in_root(5, var_string('"\\ud800"'))),
    ),
    "JSON with too large a number": (
        "A whole number that yrs cannot hold.",
        update(in_root(5, var_string("9223372036854775808"))),
    ),
    "large JSON": (
        "A flat list of 100,000 numbers.",
        update(in_root(5, var_string("[" + "1," * 99_999 + "1]"))),
    ),
    "odd numbers": (
        "Not a number, infinity, minus zero, the smallest and the largest whole number.",
        update(
            in_root(
                ANY,
                b"\x05"
                b"\x7b\x7f\xf8"
                + bytes(6)
                + b"\x7b\x7f\xf0"
                + bytes(6)
                + b"\x7d\x40"
                + b"\x7a\x80"
                + bytes(7)
                + b"\x7a\x7f"
                + b"\xff" * 7,
                "a",
            )
        ),
    ),
    # kinds
    "JSON of old Yjs": (
        "Kind 2, of which yrs reads one string too many.",
        update(in_root(2, b"\x01\x011", "a")),
    ),
    "XML hook": (
        "A type whose name yrs does not read.",
        update(in_root(TYPE, b"\x05" + var_string("h"), "page")),
    ),
    "weak link": (
        "A type that Yjs 13 fails on.",
        update(in_root(TYPE, b"\x07\x00" + HONEST_CLIENT + b"\x00")),
    ),
    "move": (
        "A move, which neither knows.",
        update(in_root(11, b"\x00" + HONEST_CLIENT + b"\x00")),
    ),
    "undefined type": ("Type 15.", update(in_root(TYPE, b"\x0f"))),
    "collected item with an origin": (
        "A collected struct that has neighbours.",
        update(b"\x80" + HONEST_CLIENT + b"\x00\x01"),
    ),
    # subdocuments
    "options that are no map": (
        "A subdocument whose options are null.",
        update(in_root(9, var_string("g") + b"\x7e")),
    ),
    "nasty options": (
        "A subdocument with options of every wrong kind.",
        subdocument(gc="x", autoLoad=[1], encoding=7, meta={"a": [None]}, guid=0, shouldLoad=None),
    ),
    "subdocument without a name": (
        "An empty guid.",
        update(in_root(9, var_string("") + any_value({}))),
    ),
    "one subdocument twice": (
        "Two subdocuments with one guid.",
        update(*(in_root(9, var_string("g") + any_value({}), name) for name in "ab")),
    ),
    # deletions
    "deletes what nobody made": (
        "A deletion of an unknown client's: it waits for ever.",
        NOTHING + deletions((0, 1), client=var_uint(88)),
    ),
    "deletes what is to come": ("A deletion of clocks to come.", NOTHING + deletions((500, 5))),
    "deletions out of order": (
        "Deletions in descending order.",
        NOTHING + deletions((2, 1), (0, 1)),
    ),
    "deletions that overlap": ("Deletions of the same clock.", NOTHING + deletions((0, 2), (1, 2))),
    "deletes nothing": ("A deletion of no clock.", NOTHING + deletions((0, 0))),
    # gaps, and clocks that are known
    "gap alone": ("A gap and nothing else.", update(b"\x0a\x05")),
    "gap, then text": ("Text behind a gap.", update(b"\x0a\x05", in_root(TEXT, A))),
    "other content": (
        "Other text for clocks that the document has.",
        update(in_root(TEXT, var_string("zzzz")), client=HONEST_CLIENT),
    ),
    "collected anew": (
        "The document's own clocks, as collected.",
        update(b"\x00\x0d", client=HONEST_CLIENT),
    ),
    "half known": (
        "Clocks that the document has, and one more, as another kind.",
        update(b"\x00\x0e", client=HONEST_CLIENT),
    ),
    "behind what was collected": (
        "A character behind a collected struct.",
        update(b"\x00\x05", after(TEXT, A, 2, CLIENT)),
    ),
    # names
    "key of JavaScript's": ("The key __proto__.", update(keyed(ANY, b"\x01\x7e", "__proto__"))),
    "root without a name": ("A root whose name is empty.", update(in_root(TEXT, A, ""))),
    "long names": (
        "A root and a key of 200,000 characters, which yrs hashes at each change.",
        update(keyed(ANY, b"\x01\x7e", "k" * 200_000, "r" * 200_000)),
    ),
    "names as long as allowed": (
        "A root, a key, an element and a format of 8,192 characters.",
        update(
            keyed(ANY, b"\x01\x7e", "k" * 8_192, "r" * 8_192),
            in_root(TYPE, b"\x03" + var_string("p" * 8_192), "page"),
            in_root(6, var_string("b" * 8_192) + var_string("true")),
        ),
    ),
    "zero characters": (
        "Text, a key and a root of zero characters.",
        update(in_root(TEXT, var_string("\0\0"), "\0"), keyed(ANY, b"\x01\x7e", "\0", "\0")),
    ),
    "client 0": ("The client id 0.", update(in_root(TEXT, A), client=b"\x00")),
    "largest client": (
        "The client id 2^53 - 1.",
        update(in_root(TEXT, A), client=var_uint(2**53 - 1)),
    ),
    # what takes pycrdt long
    "pushed one by one": (
        "20,000 elements, each a struct: pycrdt takes 26 s and 9 GB.",
        chain(ANY, b"\x01\x7e", in_root(ANY, b"\x01\x7e", "a")),
    ),
    "typed one by one": (
        "20,000 characters, each a struct.",
        chain(TEXT, A, in_root(TEXT, A, "long")),
    ),
    "one place": (
        "20,000 characters between the same two neighbours.",
        update(*[after(TEXT, A, 0)] * CHAIN),
    ),
    "one key": (
        "20,000 values of one key, none of which knows another.",
        update(*[keyed(ANY, b"\x01\x7e")] * CHAIN),
    ),
    "a long text in pieces": (
        "A megabyte of text, and every hundredth character of it deleted.",
        update(
            in_root(TEXT, var_string("é" * (1 << 20)), "long"),
            deletes=deletions(*((n, 1) for n in range(0, 1 << 20, 100)), client=CLIENT),
        ),
    ),
    "many clients": (
        "2,000 clients with one character each, all at one place.",
        many_clients(2_000),
    ),
    "many subdocuments": (
        "2,000 subdocuments.",
        update(*(in_root(9, var_string(str(n)) + any_value({}), "docs") for n in range(2_000))),
    ),
}


def encoded() -> str:
    """The corpus as text."""
    entries = [
        {"name": name, "says": says, "update": base64.b64encode(zlib.compress(data, 9)).decode()}
        for name, (says, data) in RECIPES.items()
    ]
    honest = base64.b64encode(zlib.compress(HONEST, 9)).decode()
    return json.dumps({"honest": honest, "poison": entries}, indent=1, ensure_ascii=False) + "\n"


def read() -> tuple[bytes, dict[str, tuple[str, bytes]]]:
    """The honest document and, by name, each poison with its sentence."""
    data = json.loads(PLACE.read_text())
    poison = {
        entry["name"]: (entry["says"], zlib.decompress(base64.b64decode(entry["update"])))
        for entry in data["poison"]
    }
    return zlib.decompress(base64.b64decode(data["honest"])), poison


if __name__ == "__main__":
    PLACE.write_text(encoded())
