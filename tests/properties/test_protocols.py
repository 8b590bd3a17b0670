"""Laws of the codecs, for any message, any bytes and any edits."""

import json
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text

from engineroom.errors import ProtocolError
from engineroom.protocols import lib0, lines, messages, updates
from engineroom.protocols.engine import decode_event
from engineroom.protocols.frames import Bundle
from engineroom.protocols.lib0 import MAX_INTEGER, Reader
from engineroom.protocols.messages import Value, ValueKind
from engineroom.protocols.page import MAX_TERMINAL_SIZE, PageDialect
from engineroom.protocols.updates import UpdateSummary, read_state_vector, read_update
from engineroom.protocols.walk import Walk
from engineroom.protocols.yjs import YjsDialect

few = settings(deadline=None)
many = settings(deadline=None, max_examples=400)

YJS = YjsDialect()
PAGE = PageDialect()

# --- strategies ------------------------------------------------------------------------------

numbers = st.integers(0, MAX_INTEGER)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
blobs = st.binary(max_size=200)
sizes = st.integers(1, MAX_TERMINAL_SIZE)
json_texts = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
).map(json.dumps)
values = st.builds(Value, st.just(ValueKind.JSON), json_texts.map(str.encode)) | st.builds(
    Value, st.just(ValueKind.BYTES), blobs
)
documents = st.one_of(
    st.builds(messages.SyncStep1, blobs),
    st.builds(messages.SyncStep2, blobs),
    st.builds(messages.SyncUpdate, blobs),
    st.builds(messages.QueryAwareness),
    st.builds(
        messages.AwarenessUpdate,
        st.lists(st.builds(messages.AwarenessState, numbers, numbers, json_texts), max_size=4).map(
            tuple
        ),
    ),
)
from_members = st.one_of(
    documents,
    st.builds(messages.SetValue, numbers, names, values),
    st.builds(messages.Evaluate, numbers, names, names, texts),
    st.builds(messages.Interrupt, numbers, names),
    st.builds(messages.Restart, numbers, names),
    st.builds(messages.Complete, numbers, names, texts, numbers),
    st.builds(messages.AnswerInput, numbers, names, texts),
    st.builds(messages.TerminalInput, names, blobs),
    st.builds(messages.TerminalResize, names, sizes, sizes),
)
to_members = st.one_of(
    documents,
    st.builds(messages.Welcome, texts),
    st.builds(messages.ValueChanged, texts, numbers, values),
    st.builds(messages.Done, numbers),
    st.builds(messages.Refused, numbers, texts, texts),
    st.builds(
        messages.Completions, numbers, numbers, numbers, st.lists(texts, max_size=4).map(tuple)
    ),
    st.builds(messages.EngineState, texts, texts, texts),
    st.builds(messages.TerminalOutput, texts, blobs),
    st.builds(messages.TerminalScreen, texts, sizes, sizes, blobs),
    st.builds(messages.TerminalSize, texts, sizes, sizes),
    st.builds(messages.TerminalEnded, texts, texts),
    st.builds(messages.PageChanged, texts),
    st.builds(messages.Trouble, texts, texts),
)
any_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | texts
    | blobs,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)

# --- messages --------------------------------------------------------------------------------


@few
@given(documents)
def test_yjs_decodes_what_it_encodes(message: messages.DocumentMessage) -> None:
    """In the Yjs dialect decoding undoes encoding."""
    frame = YJS.encode(message)
    assert frame is not None
    assert YJS.decode(frame) == message


@few
@given(from_members)
def test_page_decodes_what_members_encode(message: messages.FromMember) -> None:
    """In the page dialect a room reads exactly what a client wrote."""
    assert PAGE.decode(PAGE.encode_from_member(message)) == message


@few
@given(to_members)
def test_page_decodes_what_rooms_encode(message: messages.ToMember) -> None:
    """In the page dialect a client reads exactly what a room wrote."""
    assert PAGE.decode_to_member(PAGE.encode(message)) == message


@few
@given(from_members, st.data())
def test_no_part_of_a_frame_is_a_message(message: messages.FromMember, data: st.DataObject) -> None:
    """A frame cut short, or with a byte behind it, is refused."""
    frame = PAGE.encode_from_member(message)
    cut = data.draw(st.integers(0, len(frame) - 1))
    for broken in (frame[:cut], frame + b"\x00"):
        with pytest.raises(ProtocolError):
            PAGE.decode(broken)


@few
@given(any_values)
def test_any_decodes_what_it_encodes(value: lib0.AnyValue) -> None:
    """lib0's `any` holds every JSON-like value with 64-bit whole numbers, and bytes."""
    reader = Reader(lib0.any_value(value))
    assert reader.any() == value
    reader.finish()


@few
@given(st.lists(st.binary(max_size=300), max_size=5))
def test_a_bundle_holds_its_payloads(payloads: list[bytes]) -> None:
    """A reader of RFC 6455 finds the payloads in a bundle's wire form, in order."""
    wire, found = Bundle(tuple(payloads)).wire, []
    while wire:
        assert wire[0] == 0x82
        length, wire = wire[1], wire[2:]
        if length == 126:
            length, wire = int.from_bytes(wire[:2], "big"), wire[2:]
        found.append(wire[:length])
        wire = wire[length:]
    assert found == payloads


addresses = texts
ids = st.none() | st.integers(-(2**63), 2**63 - 1) | texts


@few
@given(addresses, values, ids)
def test_what_a_program_sets_is_what_the_room_hears(
    address: str, value: Value, request_id: lines.RequestId
) -> None:
    """A value's line, written as a reply and read as a request, is the same value."""
    reply = json.loads(lines.encode_reply(lines.ValueIs(address, value, request_id)))
    line = {"set": reply.pop("address"), **reply}
    request = lines.decode_request(json.dumps(line).encode())
    assert isinstance(request, lines.Set)
    assert (request.address, request.id) == (address, request_id)
    assert request.value.kind == value.kind
    if value.kind is ValueKind.BYTES:
        assert request.value.data == value.data
    else:
        assert json.loads(request.value.data) == json.loads(value.data)


@pytest.mark.parametrize(
    "decode",
    [
        YJS.decode,
        PAGE.decode,
        PAGE.decode_to_member,
        read_update,
        read_state_vector,
        decode_event,
        lines.decode_request,
    ],
)
@few
@given(frame=st.binary(max_size=80))
@example(frame=b"")
def test_any_bytes_are_a_message_or_a_protocol_error(
    decode: Callable[[bytes], object], frame: bytes
) -> None:
    """No bytes bring anything but a message, None or a `ProtocolError`."""
    try:
        decode(frame)
    except ProtocolError as error:
        assert error.reason  # noqa: PT017


# --- updates ---------------------------------------------------------------------------------

edits = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(
            ["type", "type", "erase", "bold", "key", "nest", "push", "pull", "replace"]
            + ["sync"] * 4
        ),
        st.integers(0, 30),
    ),
    min_size=1,
    max_size=40,
)


def whole_walk(update: bytes) -> UpdateSummary:
    """The summary by the walk alone."""
    steps = Walk(update).steps()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def _edit(document: Doc, kind: str, number: int) -> None:  # type: ignore[type-arg]
    """One edit; `number` chooses where and what. pycrdt counts places in a text in bytes of UTF-8."""
    text = document.get("text", type=Text)
    items = document.get("items", type=Array)
    keys = document.get("keys", type=Map)
    content = str(text)
    at = number % (len(content) + 1)
    start, stop = (len(content[:end].encode()) for end in (at, at + 1 + number % 3))
    match kind:
        case "type":
            text.insert(start, "aé日 hello"[number % 5 : number % 5 + 1 + number % 4])
        case "erase":
            del text[start:stop]
        case "replace":
            text[start:stop] = "new"
        case "bold" if start < stop:
            text.format(start, stop, {"bold": number % 2 == 0})
        case "key":
            keys[f"k{number % 3}"] = [1, -2.5, "s", None, True, {"a": [b"x", 2**40]}][number % 6]
        case "nest":
            items.insert(number % (len(items) + 1), Map({"inner": Text("deep"), "n": number}))
        case "push":
            items.append([number, {"a": None}])
        case "pull" if len(items):
            del items[number % len(items)]


def _written(script: list[tuple[int, str, int]]) -> list[bytes]:
    """The updates of three people who edit by turns, and now and then hear of one another."""
    people = [Doc(client_id=client) for client in (1, 200, 3_000_000_001)]
    written: list[bytes] = []
    for who, kind, number in script:
        if kind == "sync":
            people[who].apply_update(people[number % 3].get_update(people[who].get_state()))
            continue
        watch = people[who].observe(lambda event: written.append(event.update))
        with people[who].transaction():
            _edit(people[who], kind, number)
        people[who].unobserve(watch)
    return written


def _knows(document: Doc, summary: UpdateSummary) -> bool:  # type: ignore[type-arg]
    clocks = read_state_vector(document.get_state())
    return all(clocks.get(client, 0) >= clock for client, clock in summary.needs)


def _has_whole(document: Doc, summary: UpdateSummary) -> bool:  # type: ignore[type-arg]
    """Whether the document has integrated all that an update inserts and deletes."""
    clocks = read_state_vector(document.get_state())
    deleted = read_update(document.get_update()).deletes
    return all(clocks.get(client, 0) >= end for client, _, end in summary.inserts) and all(
        any(client == c and s <= start and end <= e for c, s, e in deleted)
        for client, start, end in summary.deletes
    )


@many
@given(edits, st.randoms(use_true_random=False))
def test_needs_are_met_exactly_when_pycrdt_integrates(
    script: list[tuple[int, str, int]], random
) -> None:  # type: ignore[no-untyped-def]
    """An update is integrated wholly if, and only if, the document's state vector reaches its needs."""
    written = _written(script)
    random.shuffle(written)
    room: Doc[object] = Doc()
    for update in written:
        summary = read_update(update)
        if _knows(room, summary):
            room.apply_update(update)
            assert _has_whole(room, summary)
        else:
            trial: Doc[object] = Doc()
            trial.apply_update(room.get_update())
            trial.apply_update(update)
            assert not _has_whole(trial, summary)


@many
@given(edits)
def test_what_pycrdt_writes_is_read(script: list[tuple[int, str, int]]) -> None:
    """Updates and whole encodings of pycrdt are accepted, by the pattern and by the walk alike."""
    room: Doc[object] = Doc()
    for update in _written(script):
        assert read_update(update) == whole_walk(update)
        room.apply_update(update)
    whole = read_update(room.get_update())
    assert whole.needs == ()
    assert updates.is_whole(room.get_update(), room.get_state())


_BYTES_THAT_MEAN_SOMETHING = st.sampled_from(
    bytes(range(12)) + b"\x20\x40\x44\x47\x80\x84\x87\xc4\xff"
)
_changes = st.lists(
    st.tuples(
        st.integers(0, 2**16),
        st.sampled_from(["put", "insert", "remove", "cut"]),
        _BYTES_THAT_MEAN_SOMETHING | st.integers(0, 255),
    ),
    min_size=1,
    max_size=3,
)


def _changed(update: bytes, changes: list[tuple[int, str, int]]) -> bytes:
    mutant = bytearray(update)
    for position, kind, byte in changes:
        at = position % (len(mutant) + 1)
        if kind == "put":
            mutant[at : at + 1] = bytes([byte])
        elif kind == "insert":
            mutant[at:at] = bytes([byte])
        else:
            del mutant[at : at + 1 if kind == "remove" else None]
    return bytes(mutant)


@many
@given(edits, st.integers(0, 100), _changes)
def test_what_is_read_does_not_harm_a_document(
    script: list[tuple[int, str, int]], choice: int, changes: list[tuple[int, str, int]]
) -> None:
    """An update that the reader accepts, with its needs met, is taken whole, and the document can be encoded.

    Left out is what the bytes alone do not tell: a parent in the document that is no shared type (an error, no
    panic), surrogate pairs, and other content for clocks that the document has.
    """
    written = _written(script)
    assume(written)
    index = choice % len(written)
    mutant = _changed(written[index], changes)
    room: Doc[object] = Doc()
    for update in written[:index]:
        room.apply_update(update)
    clocks = read_state_vector(room.get_state())
    try:
        summary = read_update(mutant)
    except ProtocolError:
        return
    assume(_knows(room, summary))
    assume(all(start >= clocks.get(client, 0) for client, start, _ in summary.inserts))
    assume(not any(byte >= 0xF0 for byte in mutant))
    try:
        room.apply_update(mutant)
    except RuntimeError as error:
        assert "block parent" in str(error)  # noqa: PT017
        return
    assert _has_whole(room, summary)
    assert updates.is_whole(room.get_update(), room.get_state())
    copy: Doc[object] = Doc()
    copy.apply_update(room.get_update())
    assert copy.get_update(room.get_state()) == b"\x00\x00" or read_update(copy.get_update())
    assert read_state_vector(copy.get_state()) == read_state_vector(room.get_state())
