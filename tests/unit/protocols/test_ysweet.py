"""The y-sweet dialect, byte for byte as its client sends it."""

from __future__ import annotations

import pytest

from engineroom.errors import ProtocolError
from engineroom.protocols.messages import (
    CheckDurable,
    Durable,
    FromMember,
    QueryAwareness,
    SyncStatus,
    SyncStep1,
    SyncUpdate,
)
from engineroom.protocols.ysweet import MAX_TOKEN_BYTES, YSweetDialect, is_step2, is_sync_status

DIALECT = YSweetDialect()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("00000100", SyncStep1(b"\x00")),
        ("0002020000", SyncUpdate(b"\x00\x00")),
        ("66" + "01" + "07", CheckDurable(b"\x07")),
        ("66" + "02" + "ac02", CheckDurable(b"\xac\x02")),
        ("03", QueryAwareness()),
        ("03" + "03" + "010203", QueryAwareness()),
    ],
)
def test_each_message_is_read_from_its_bytes(frame: str, message: FromMember) -> None:
    """y-websocket's messages, a version to be checked, and a query with or without the presence behind it."""
    assert DIALECT.decode(bytes.fromhex(frame)) == message


def test_the_answer_has_the_bytes_of_the_question() -> None:
    """A version comes back as it was sent, even when it is written longer than it need be."""
    for question in ("660107", "6602ac02", "66028700"):
        message = DIALECT.decode(bytes.fromhex(question))
        assert isinstance(message, CheckDurable)
        assert DIALECT.encode(Durable(message.token)) == bytes.fromhex(question)


@pytest.mark.parametrize("frame", ["0200046e6f7065", "65", "7f"])
def test_other_types_are_ignored(frame: str) -> None:
    """A type that neither y-websocket nor y-sweet has is None."""
    assert DIALECT.decode(bytes.fromhex(frame)) is None


@pytest.mark.parametrize(
    "frame", ["", "66", "6602ff", "660100ff", "66" + "41" + "00" * 65, "0003020000"]
)
def test_a_broken_message_of_a_known_type_is_a_protocol_error(frame: str) -> None:
    """Short, long, or a version that is no version: each is a `ProtocolError`."""
    assert MAX_TOKEN_BYTES == 64
    with pytest.raises(ProtocolError):
        DIALECT.decode(bytes.fromhex(frame))


def test_what_others_are_told_has_no_bytes() -> None:
    """y-sweet's clients are told of durability in their own words alone."""
    assert DIALECT.encode(SyncStatus(True)) is None


def test_what_the_socket_looks_for_is_told_by_the_first_bytes() -> None:
    """A question and a Step 2 are told without reading them."""
    assert is_sync_status(b"\x66\x01\x07")
    assert not is_sync_status(b"\x00\x01\x00")
    assert is_step2(b"\x00\x01\x02\x00\x00")
    assert not is_step2(b"\x00\x02\x02\x00\x00")
    assert not is_sync_status(b"")
