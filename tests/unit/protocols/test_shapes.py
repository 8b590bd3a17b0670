"""Where items stand: text past ASCII comes into no list, whichever way it takes, and no type too deep."""

import pytest
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from engineroom.errors import ProtocolError
from engineroom.protocols.lib0 import var_string, var_uint
from engineroom.protocols.shapes import MAX_DEPTH, Shapes
from engineroom.protocols.updates import read_update

NINE = b"\x09"
LIST, NOTE, ELEMENT = b"\x00", b"\x02", b"\x03\x01p"


def update(*structs: bytes, client: bytes = NINE, clock: int = 0) -> bytes:
    """One client's structs."""
    return b"\x01" + var_uint(len(structs)) + client + var_uint(clock) + b"".join(structs) + b"\x00"


def a_type(content: bytes) -> bytes:
    """A type in the root `r`."""
    return b"\x07\x01\x01r" + content


def within(clock: int, text: str, client: bytes = NINE) -> bytes:
    """Text in the type with that id."""
    return b"\x04\x00" + client + var_uint(clock) + var_string(text)


def after(clock: int, text: str, client: bytes = NINE) -> bytes:
    """Text behind the item with that id."""
    return b"\x84" + client + var_uint(clock) + var_string(text)


def take(shapes: Shapes, bytes_: bytes) -> None:
    """What a room does with an update."""
    shapes.take(bytes_, read_update(bytes_))


BASE = update(
    a_type(LIST), b"\x08\x00\x09\x00\x01\x7e", a_type(NOTE), within(2, "hi"), a_type(ELEMENT)
)
OTHER = b"\x07"


@pytest.mark.parametrize(
    "hostile",
    [
        update(within(0, "é", NINE), client=OTHER),
        update(after(1, "𝄞"), client=OTHER),
        update(b"\x44\x09\x01" + var_string("é"), client=OTHER),
        update(b"\xc4\x09\x03\x09\x01" + var_string("é"), client=OTHER),
        update(within(5, "é"), client=OTHER),
        update(within(0, "a"), after(0, "é", OTHER), client=OTHER),
        update(a_type(LIST), within(0, "é", OTHER), client=OTHER),
        update(a_type(NOTE), b"\x00\x05", within(0, "é"), clock=0),
    ],
    ids=["parent", "origin", "right", "either", "element", "by ASCII", "new", "said to be a text"],
)
def test_text_comes_into_no_list(hostile: bytes) -> None:
    """By its parent, by a neighbour, by what came before it, or by another word for what is known: it is refused."""
    with pytest.raises(ProtocolError, match="holds none"):
        take(Shapes.of(BASE), hostile)


@pytest.mark.parametrize(
    "honest",
    [
        update(within(2, "é"), client=OTHER),
        update(after(3, "𝄞"), client=OTHER),
        update(after(4, "𝄞"), client=OTHER),
        update(b"\x04\x01\x01r" + var_string("é"), client=OTHER),
        update(b"\x24\x00\x09\x05\x01k" + var_string("é"), client=OTHER),
        update(within(0, "ascii"), client=OTHER),
        update(b"\x88\x09\x01\x01\x77" + var_string("é"), client=OTHER),
    ],
    ids=["text", "in a text", "typing", "root", "attribute", "ASCII", "value"],
)
def test_text_comes_where_it_belongs(honest: bytes) -> None:
    """In texts, in roots, as attributes and as values; and ASCII does no harm anywhere."""
    take(Shapes.of(BASE), honest)


def test_a_refused_update_leaves_nothing_behind() -> None:
    """What was refused may come again with other content, and is judged by that."""
    shapes = Shapes.of(BASE)
    with pytest.raises(ProtocolError):
        take(shapes, update(a_type(LIST), within(0, "é", OTHER), client=OTHER))
    take(shapes, update(a_type(NOTE), within(0, "é", OTHER), client=OTHER))


def test_typing_goes_on_where_it_was() -> None:
    """Hours of typing in one place are one range; each keystroke is judged by the one before it."""
    shapes = Shapes.of(BASE)
    for clock in range(500):
        before = after(3, "é") if clock == 0 else after(clock - 1, "é", OTHER)
        take(shapes, update(before, client=OTHER, clock=clock))
    assert len(shapes._ranges[7].starts) == 1
    take(shapes, update(within(0, "a", NINE), client=b"\x08"))
    with pytest.raises(ProtocolError):
        take(shapes, update(after(0, "é", b"\x08"), client=b"\x08", clock=1))


def nested(count: int, first: int = 0) -> bytes:
    """Arrays, each in the one before it."""
    begun = [a_type(LIST)] if not first else []
    inner = [b"\x07\x00\x09" + var_uint(n - 1) + LIST for n in range(max(1, first), first + count)]
    return update(*begun, *inner, clock=first)


def test_depth_is_counted_over_all_updates() -> None:
    """Types are as deep as allowed, whether they come at once or one by one, in this opening or an earlier one."""
    take(Shapes(), nested(MAX_DEPTH))
    with pytest.raises(ProtocolError, match="nested"):
        take(Shapes(), nested(MAX_DEPTH + 1))
    shapes = Shapes.of(nested(MAX_DEPTH - 1))
    take(shapes, nested(1, MAX_DEPTH - 1))
    with pytest.raises(ProtocolError, match="nested"):
        take(shapes, nested(1, MAX_DEPTH))


def test_depth_is_counted_through_texts() -> None:
    """A type behind a character in a nested text is as deep as that."""
    shapes = Shapes()
    take(shapes, update(a_type(NOTE)))
    deeper = [
        update(within(clock, "a"), b"\x87\x09" + var_uint(clock + 1) + NOTE, clock=clock + 1)
        for clock in range(0, 2 * MAX_DEPTH, 2)
    ]
    for each in deeper[:-1]:
        take(shapes, each)
    with pytest.raises(ProtocolError, match="nested"):
        take(shapes, deeper[-1])


def test_text_that_is_there_is_named() -> None:
    """Of a document that nobody judged, the text in its lists is named, and it may be sent again."""
    poisoned = update(a_type(LIST), within(0, "é", NINE), within(0, "plain", NINE))
    shapes = Shapes.of(poisoned)
    assert shapes.misplaced == [(9, 1, 2)]
    take(shapes, poisoned)


def test_what_libraries_write_is_in_its_place() -> None:
    """Types of every kind, filled by pycrdt, hold nothing that should not be there."""
    doc: Doc[object] = Doc()
    with doc.transaction():
        doc["m"] = Map({"l": Array(["é", "𝄞", Map({"t": Text("𝄞")})]), "t": Text("é")})
        doc["l"] = Array([Array(["𝄞"]), Text("𝄞")])
        doc["x"] = XmlFragment([XmlElement("p", {"é": "𝄞"}, [XmlText("𝄞"), XmlElement("q")])])
        doc["t"] = Text("𝄞")
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    shapes = Shapes.of(doc.get_update())
    assert shapes.misplaced == []
    doc.get("m", type=Map)["t"].insert(2, "é𝄞")
    doc.get("m", type=Map)["l"].append("𝄞")
    del doc.get("m", type=Map)["t"][0:2]
    for each in updates:
        take(shapes, each)
