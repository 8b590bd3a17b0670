"""Laws of reading, comparing and restoring documents, for any edits of any number of writers."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText, merge_updates

from engineroom.protocols.attribution import spans, tally
from engineroom.protocols.comparison import TextChange, compare, line_edge, text_pieces
from engineroom.protocols.items import read_items
from engineroom.protocols.plain import plain_roots, plain_text
from engineroom.protocols.restoring import restoring
from engineroom.protocols.updates import read_update

laws = settings(deadline=None, max_examples=60)
WRITERS = 3

# One edit: who makes it, of what, and where (as parts of the length, so that each is possible).
words = st.text("ab \n😀é", min_size=1, max_size=6)
places = st.floats(0, 1)
edits = st.tuples(
    st.integers(0, WRITERS - 1),
    st.sampled_from(["insert", "delete", "set", "nest", "add", "remove", "deep", "bold", "sync"]),
    places,
    places,
    words,
)
histories = st.lists(edits, max_size=25)


def edit(doc: Doc[Any], kind: str, at: float, to: float, word: str) -> None:
    """Make one edit where it can be made."""
    text, entries, array = (
        doc.get("text", type=Text), doc.get("map", type=Map), doc.get("array", type=Array)
    )  # fmt: skip
    start, end = sorted((int(at * len(str(text))), int(to * len(str(text)))))
    place = int(at * len(array))
    match kind:
        case "insert":
            text.insert(_byte(text, start), word)
        case "delete" if end > start:
            del text[_byte(text, start) : _byte(text, end)]
        case "bold" if end > start:
            text.format(_byte(text, start), _byte(text, end), {"bold": True})
        case "set":
            entries[word[0]] = {"word": word, "at": at}
        case "nest":
            entries[word[0]] = Map({"text": Text(word), "list": Array([1, word])})
        case "add":
            array.insert(place, word if at < 0.5 else Map({"id": word, "source": Text(word)}))
        case "remove" if len(array):
            del array[min(place, len(array) - 1)]
        case "deep" if len(array) and isinstance(array[min(place, len(array) - 1)], Map):
            array[min(place, len(array) - 1)]["source"] += word


def _byte(text: Text, position: int) -> int:
    """Where pycrdt, which counts bytes, has the character at `position`."""
    return len(str(text)[:position].encode())


def play(docs: list[Doc[Any]], history: list[tuple[int, str, float, float, str]]) -> None:
    """Everybody edits their own replica; `sync` is when one hears from the next."""
    for who, kind, at, to, word in history:
        if kind == "sync":
            docs[who].apply_update(docs[(who + 1) % WRITERS].get_update(docs[who].get_state()))
        else:
            edit(docs[who], kind, at, to, word)


def writers() -> list[Doc[Any]]:
    return [Doc(client_id=number) for number in (70_000, 3, 900)]


def merged(docs: list[Doc[Any]]) -> Doc[Any]:
    whole: Doc[Any] = Doc(client_id=1)
    for doc in docs:
        whole.apply_update(doc.get_update())
    return whole


def shown(doc: Doc[Any]) -> dict[str, Any]:
    """What pycrdt shows of the document."""
    roots = {
        "text": str(doc.get("text", type=Text)),
        "map": doc.get("map", type=Map).to_py(),
        "array": doc.get("array", type=Array).to_py(),
    }
    return {name: value for name, value in roots.items() if value}


@laws
@given(histories)
def test_items_say_what_the_library_shows(history: list[Any]) -> None:
    """A document read from its bytes says what pycrdt shows of it, whoever wrote what at the same time."""
    docs = writers()
    play(docs, history)
    whole = merged(docs)
    assert plain_roots(read_items(whole.get_update())) == shown(whole)


duels = st.lists(
    st.tuples(
        st.integers(0, WRITERS - 1),
        st.sampled_from(["insert", "insert", "insert", "delete", "sync"]),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.sampled_from(["a", "b", "cd"]),
    ),
    min_size=6,
    max_size=30,
)


@settings(deadline=None, max_examples=200)
@given(duels)
def test_items_have_the_order_that_all_agree_on(history: list[Any]) -> None:
    """Whoever inserts where others do, at the same time and again and again, stands where pycrdt has it; also where
    updates were only put together.
    """
    docs = writers()
    play(docs, history)
    whole = merged(docs)
    expected = shown(whole)
    assert plain_roots(read_items(whole.get_update())) == expected
    together = merge_updates(*(doc.get_update() for doc in docs))
    assert plain_roots(read_items(together)) == expected


@laws
@given(histories, histories)
def test_restoring_brings_the_earlier_state_back(before: list[Any], after: list[Any]) -> None:
    """After restoring, the document says what it said, formats included, and its bytes are sound."""
    docs = writers()
    play(docs, before)
    whole = merged(docs)
    earlier, formatted = whole.get_update(), whole.get("text", type=Text).diff()
    said = shown(whole)
    play(docs, after)
    present = merged([whole, *docs])
    update = restoring(read_items(present.get_update()), read_items(earlier), 12345)
    read_update(update)
    present.apply_update(update)
    assert shown(present) == said
    assert _runs(present.get("text", type=Text).diff()) == _runs(formatted)
    assert restoring(read_items(present.get_update()), read_items(earlier), 4321) == b"\x00\x00"


def _runs(pieces: list[Any]) -> list[tuple[Any, Any]]:
    """Formatted pieces, with neighbours of the same format joined."""
    runs: list[tuple[Any, Any]] = []
    for content, formats in pieces:
        formats = {k: v for k, v in (formats or {}).items() if v is not None}
        if runs and runs[-1][1] == formats:
            runs[-1] = (runs[-1][0] + content, formats)
        else:
            runs.append((content, formats))
    return runs


@laws
@given(histories, histories, histories)
def test_restoring_merges_with_what_others_do_meanwhile(
    before: list[Any], after: list[Any], meanwhile: list[Any]
) -> None:
    """Replicas that take the restoring update and concurrent edits in any order are equal."""
    docs = writers()
    play(docs, before)
    whole = merged(docs)
    earlier = whole.get_update()
    play(docs, after)
    present = merged([whole, *docs])
    update = restoring(read_items(present.get_update()), read_items(earlier), 12345)
    play(docs, meanwhile)
    one, other = merged([present]), merged([present])
    one.apply_update(update)
    for doc in docs:
        one.apply_update(doc.get_update())
        other.apply_update(doc.get_update())
    other.apply_update(update)
    assert shown(one) == shown(other)
    assert plain_roots(read_items(one.get_update())) == shown(one)


@laws
@given(histories, histories)
def test_a_comparison_leads_from_one_state_to_the_other(
    before: list[Any], after: list[Any]
) -> None:
    """Without what was added a comparison is the old text, without what was removed the new one; patches apply."""
    docs = writers()
    play(docs, before)
    whole = merged(docs)
    old = read_items(whole.get_update())
    play(docs, after)
    new = read_items(merged([whole, *docs]).get_update())
    old_roots, new_roots = plain_roots(old), plain_roots(new)
    for change in compare(old, new):
        if isinstance(change, TextChange):
            assert _side(change.pieces, "add") == old_roots.get("text", "")
            assert _side(change.pieces, "remove") == new_roots.get("text", "")
        else:
            empty: Any = {} if change.aspect == "map" else []
            value = json.loads(json.dumps(old_roots.get(change.root, empty)))
            for operation in change.operations:
                value = _patched(value, operation.op, operation.path, operation.value)
            assert value == new_roots.get(change.root, empty)
    lines = list(text_pieces(old.roots.get("text"), new.roots.get("text"), line_edge))
    for side in ("add", "remove"):
        rest = "".join(piece.text for piece in lines if piece.op != side)
        assert rest == (old_roots if side == "add" else new_roots).get("text", "")


def _side(pieces: tuple[Any, ...], without: str) -> str:
    return "".join(piece.text for piece in pieces if piece.op != without)


def _patched(value: Any, op: str, path: str, new: Any) -> Any:
    """JSON Patch, as RFC 6902 has it."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
    target = value
    for part in parents:
        target = target[int(part)] if isinstance(target, list) else target[part]
    place: Any = int(last) if isinstance(target, list) else last
    if op == "remove":
        del target[place]
    elif op == "add" and isinstance(target, list):
        target.insert(place, new)
    else:
        if op == "add":
            assert place not in target
        target[place] = new
    return value


@laws
@given(histories)
def test_every_character_has_its_author(history: list[Any]) -> None:
    """Spans cover the text in order, and every writer's characters are where its own replica had put them."""
    docs = writers()
    play(docs, history)
    items = read_items(merged(docs).get_update())
    text = plain_text(items.roots["text"]) if "text" in items.roots else ""
    covered = spans(items, by_client).get("text", [])
    assert sum(span.length for span in covered) == len(text.encode("utf-16-le")) // 2
    counts = tally(items, by_client)
    assert all(count.text <= count.standing <= count.inserted for count in counts.values())
    assert set(counts) <= {str(doc.client_id) for doc in docs}


def by_client(client: int, start: int, end: int) -> list[tuple[int, int, str | None]]:
    return [(start, end, str(client))] if end > start else []


@laws
@given(st.lists(st.tuples(st.integers(0, 3), places, words), max_size=12))
def test_xml_comes_back_as_it_was(steps: list[tuple[int, float, str]]) -> None:
    """Elements, their attributes and their texts are restored, as rich text editors keep them."""
    doc: Doc[Any] = Doc(client_id=9)
    root = doc.get("xml", type=XmlFragment)
    earlier, said = doc.get_update(), str(root)
    for index, (kind, at, word) in enumerate(steps):
        place = int(at * len(root.children))
        if kind == 0 or not len(root.children):
            root.children.insert(place, XmlElement("p", {"level": word}, [XmlText(word)]))
        elif kind == 1:
            del root.children[min(place, len(root.children) - 1)]
        elif kind == 2:
            root.children[min(place, len(root.children) - 1)].attributes["level"] = word
        else:
            root.children[min(place, len(root.children) - 1)].children.append(XmlText(word))
        if index == len(steps) // 2:
            earlier, said = doc.get_update(), str(root)
    doc.apply_update(restoring(read_items(doc.get_update()), read_items(earlier), 77))
    assert str(root) == said
