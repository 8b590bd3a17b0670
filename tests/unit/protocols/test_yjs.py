"""The Yjs dialect, byte for byte as its clients send it."""

import pytest

from engineroom.errors import ProtocolError
from engineroom.protocols import lib0
from engineroom.protocols.messages import (
    AwarenessState,
    AwarenessUpdate,
    DocumentMessage,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    ToMember,
    Trouble,
    Welcome,
)
from engineroom.protocols.yjs import (
    MAX_AWARENESS_STATE_BYTES,
    MAX_AWARENESS_STATES,
    YjsDialect,
)

DIALECT = YjsDialect()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("00000100", SyncStep1(b"\x00")),
        ("0001020000", SyncStep2(b"\x00\x00")),
        ("0002020000", SyncUpdate(b"\x00\x00")),
        ("03", QueryAwareness()),
        (
            "0108" + "01" + "07" + "05" + "04" + "6e756c6c",
            AwarenessUpdate((AwarenessState(7, 5, "null"),)),
        ),
        ("010100", AwarenessUpdate(())),
    ],
)
def test_each_message_has_its_bytes(frame: str, message: DocumentMessage) -> None:
    """Sync, awareness and query awareness are read from, and written as, the bytes of y-protocols."""
    assert DIALECT.decode(bytes.fromhex(frame)) == message
    assert DIALECT.encode(message) == bytes.fromhex(frame)


@pytest.mark.parametrize("frame", ["0200046e6f7065", "0273617665", "6601", "7f", "ac02", "04ff"])
def test_other_types_are_ignored(frame: str) -> None:
    """A type that y-websocket's servers do not know (auth, y-sweet's 102, …) is None, whatever follows it."""
    assert DIALECT.decode(bytes.fromhex(frame)) is None


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "80",
        "00",
        "0003020000",
        "00020300",
        "000202000000",
        "0300",
        "01",
        "0101",
        "010101",
        "01020000",
        "010501070501ff",
        "0105010705017b",
        "0104010705" + "00",
    ],
)
def test_a_broken_message_of_a_known_type_is_a_protocol_error(frame: str) -> None:
    """Short, long, unknown within its type, not UTF-8 or not JSON: each is a `ProtocolError`."""
    with pytest.raises(ProtocolError):
        DIALECT.decode(bytes.fromhex(frame))


def test_presence_is_kept_as_it_was_written() -> None:
    """The JSON of a state is checked and not rewritten: spaces and the order of keys stay."""
    text = '{ "user" : {"name":"\\u00e9"},"a":1 }'
    frame = DIALECT.encode(AwarenessUpdate((AwarenessState(2**53 - 1, 3, text),)))
    assert frame is not None
    assert DIALECT.decode(frame) == AwarenessUpdate((AwarenessState(2**53 - 1, 3, text),))


def _awareness(*states: tuple[int, int, str]) -> bytes:
    body = lib0.var_uint(len(states))
    for client, clock, text in states:
        body += lib0.var_uint(client) + lib0.var_uint(clock) + lib0.var_string(text)
    return b"\x01" + lib0.buf(body)


def test_the_number_of_states_is_bounded() -> None:
    """More states than any room has members are refused."""
    states = [(client, 1, "1") for client in range(MAX_AWARENESS_STATES + 1)]
    assert DIALECT.decode(_awareness(*states[1:])) is not None
    with pytest.raises(ProtocolError, match="states"):
        DIALECT.decode(_awareness(*states))


def test_the_size_of_a_state_is_bounded() -> None:
    """A state past its limit is refused, and the error names the client."""
    with pytest.raises(ProtocolError, match="client 7"):
        DIALECT.decode(_awareness((7, 1, '"' + "a" * MAX_AWARENESS_STATE_BYTES + '"')))


def test_deeply_nested_presence_is_refused() -> None:
    """JSON that nests past the parser's depth is a `ProtocolError`, not a RecursionError."""
    with pytest.raises(ProtocolError, match="JSON"):
        DIALECT.decode(_awareness((7, 1, "[" * 20_000 + "]" * 20_000)))


@pytest.mark.parametrize("message", [Welcome("{}"), Trouble("not_saved", "the disk is full")])
def test_what_only_pages_are_told_has_no_bytes(message: ToMember) -> None:
    """The Yjs dialect has no word for messages from 100 up."""
    assert DIALECT.encode(message) is None
