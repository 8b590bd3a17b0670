"""The page dialect, byte for byte as `docs/reference/page-protocol.md` has it."""

import pytest

from engineroom.errors import ProtocolError
from engineroom.protocols import lib0, page
from engineroom.protocols.messages import (
    AnswerInput,
    Complete,
    Completions,
    Done,
    EngineState,
    Evaluate,
    FromMember,
    Interrupt,
    PageChanged,
    Refused,
    Restart,
    SetValue,
    SyncUpdate,
    TerminalEnded,
    TerminalInput,
    TerminalOutput,
    TerminalResize,
    TerminalScreen,
    TerminalSize,
    ToMember,
    Trouble,
    Value,
    ValueChanged,
    ValueKind,
    Welcome,
)
from engineroom.protocols.page import PageDialect

DIALECT = PageDialect()
JSON = ValueKind.JSON
BYTES = ValueKind.BYTES


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"\x00\x02\x02\x00\x00", SyncUpdate(b"\x00\x00")),
        (b"\x65\x07\x06/speed\x00\x013", SetValue(7, "/speed", Value(JSON, b"3"))),
        (b"\x65\x80\x01\x02/p\x01\x02\xff\x00", SetValue(128, "/p", Value(BYTES, b"\xff\x00"))),
        (b"\x6e\x01\x01e\x01c\x0212", Evaluate(1, "e", "c", "12")),
        (b"\x6f\x02\x06python", Interrupt(2, "python")),
        (b"\x70\x03\x06python", Restart(3, "python")),
        (b"\x71\x04\x01c\x03a.b\x02", Complete(4, "c", "a.b", 2)),
        (b"\x73\x05\x01e\x02hi", AnswerInput(5, "e", "hi")),
        (b"\x78\x01t\x03ls\r", TerminalInput("t", b"ls\r")),
        (b"\x79\x01t\x50\x18", TerminalResize("t", 80, 24)),
    ],
)
def test_each_message_of_a_member_has_its_bytes(frame: bytes, message: FromMember) -> None:
    """Every message that members send is read from its bytes, and a client writes the same."""
    assert DIALECT.decode(frame) == message
    assert DIALECT.encode_from_member(message) == frame


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"\x00\x02\x02\x00\x00", SyncUpdate(b"\x00\x00")),
        (b"\x64\x02{}", Welcome("{}")),
        (b"\x66\x06/speed\x09\x00\x013", ValueChanged("/speed", 9, Value(JSON, b"3"))),
        (b"\x67\x07", Done(7)),
        (b"\x68\x07\x06denied\x02no", Refused(7, "denied", "no")),
        (b"\x72\x04\x02\x03\x02\x01b\x02bc", Completions(4, 2, 3, ("b", "bc"))),
        (b"\x74\x06python\x04dead\x04gone", EngineState("python", "dead", "gone")),
        (b"\x7a\x01t\x02\x1b[", TerminalOutput("t", b"\x1b[")),
        (b"\x7b\x01t\x50\x18\x01x", TerminalScreen("t", 80, 24, b"x")),
        (b"\x7c\x01t\x0bexit code 1", TerminalEnded("t", "exit code 1")),
        (b"\x7d\x01t\x50\x18", TerminalSize("t", 80, 24)),
        (b"\x82\x01\x03abc", PageChanged("abc")),
        (b"\x83\x01\x05saved\x00", Trouble("saved", "")),
    ],
)
def test_each_message_to_a_member_has_its_bytes(frame: bytes, message: ToMember) -> None:
    """Every message that rooms send is written as its bytes, and a client reads the same."""
    assert DIALECT.encode(message) == frame
    assert DIALECT.decode_to_member(frame) == message


def _long(count: int) -> bytes:
    return lib0.buf(b"a" * count)


@pytest.mark.parametrize(
    ("frame", "because"),
    [
        (b"", "ends early"),
        (b"\x65\x07\x06/spe", "ends early"),
        (b"\x67\x07", "members send no message of type 103"),
        (b"\x02\x00\x00", "members send no message of type 2"),
        (b"\xff\x7f", "members send no message of type 16383"),
        (b"\x6f\x02\x06python!", "1 bytes follow"),
        (b"\x6f\x02\x01\xff", "not UTF-8"),
        (b"\x65\x07\x01/\x02\x00", "unknown kind of value 2"),
        (b"\x65\x07\x01/\x00\x01{", "not JSON"),
        (b"\x79\x01t\x00\x18", "0 is not within 1 to 1000"),
        (b"\x79\x01t\x50\xe9\x07", "1001 is not within 1 to 1000"),
        (b"\x6f\x02" + _long(page.MAX_NAME_BYTES + 1), "at most 255"),
        (b"\x6e\x01\x01e\x01c" + _long(page.MAX_CODE_BYTES + 1), "at most"),
        (b"\x71\x01\x01c" + _long(page.MAX_CODE_BYTES + 1) + b"\x00", "at most"),
        (b"\x73\x05\x01e" + _long(page.MAX_INPUT_BYTES + 1), "at most"),
        (b"\x78\x01t" + _long(page.MAX_TYPED_BYTES + 1), "at most"),
        (b"\x65\x07\x01/\x01" + _long(page.MAX_VALUE_BYTES + 1), "at most"),
    ],
)
def test_what_a_member_may_not_send_is_a_protocol_error(frame: bytes, because: str) -> None:
    """A broken frame, a message that only rooms send, or one past its bound is refused with the reason."""
    with pytest.raises(ProtocolError, match=because):
        DIALECT.decode(frame)


def test_a_client_passes_over_what_it_does_not_know() -> None:
    """A type that a newer server sends is None to an older client, so that it goes on."""
    assert DIALECT.decode_to_member(b"\xc8\x01whatever") is None


def test_a_client_refuses_broken_frames_too() -> None:
    """A short message to a member is a `ProtocolError`."""
    with pytest.raises(ProtocolError):
        DIALECT.decode_to_member(b"\x64\x05{}")
