"""The Hocuspocus dialect, byte for byte as its providers and its server were seen to speak."""

from __future__ import annotations

import pytest

from engineroom.errors import ProtocolError
from engineroom.protocols import hocuspocus, lib0
from engineroom.protocols.hocuspocus import (
    MAX_KEY_BYTES,
    MAX_STATELESS_BYTES,
    MAX_TOKEN_BYTES,
    Credentials,
    HocuspocusDialect,
    Kind,
)
from engineroom.protocols.messages import (
    AwarenessState,
    AwarenessUpdate,
    Durable,
    FromMember,
    QueryAwareness,
    RightsChanged,
    Stateless,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    ToMember,
    Trouble,
    Welcome,
)

D = HocuspocusDialect(b"d")
SESSION = b"notes\x00k3v9"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("0164" + "00" + "000100", SyncStep1(b"\x00")),
        ("0164" + "00" + "01020000", SyncStep2(b"\x00\x00")),
        ("0164" + "00" + "02020000", SyncUpdate(b"\x00\x00")),
        ("0164" + "03", QueryAwareness()),
        ("0164" + "05" + "026869", Stateless("hi")),
        (
            "0164" + "01" + "08" + "01" + "07" + "05" + "04" + "6e756c6c",
            AwarenessUpdate((AwarenessState(7, 5, "null"),)),
        ),
    ],
)
def test_each_message_of_members_has_its_bytes(frame: str, message: FromMember) -> None:
    """What both sides may say is read from, and written as, the provider's bytes."""
    assert D.decode(bytes.fromhex(frame)) == message
    assert D.encode(message) == bytes.fromhex(frame)


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        (SyncStatus(True), "0164" + "0801"),
        (SyncStatus(False), "0164" + "0800"),
        (RightsChanged(("read", "write")), "0164" + "0202" + "0a" + b"read-write".hex()),
        (RightsChanged(("read",)), "0164" + "0202" + "08" + b"readonly".hex()),
    ],
)
def test_what_only_rooms_say_has_its_bytes(message: ToMember, frame: str) -> None:
    """The status of an update and the scope of a member are the bytes that were captured."""
    assert D.encode(message) == bytes.fromhex(frame)


def test_the_handshake_has_the_bytes_that_were_captured() -> None:
    """Auth with a version, let in, denied, closed: as provider 4.8.0 and its server exchange them."""
    auth = bytes.fromhex("0164" + "02" + "00" + "02") + b"rw" + b"\x05" + b"4.8.0"
    head = hocuspocus.read_head(auth)
    assert (head.key, head.kind) == (b"d", Kind.AUTH)
    assert hocuspocus.read_credentials(auth, head) == Credentials("rw", "4.8.0")
    assert hocuspocus.authenticated(b"d", write=True) == b"\x01d\x02\x02\x0aread-write"
    assert hocuspocus.authenticated(b"d", write=False) == b"\x01d\x02\x02\x08readonly"
    assert hocuspocus.denied(b"d", "nope") == b"\x01d\x02\x01\x04nope"
    assert hocuspocus.closed(b"d", "provider_initiated") == b"\x01d\x07\x12provider_initiated"


def test_providers_before_4_tell_no_version() -> None:
    """An Auth that ends with its token is one of version 2 or 3."""
    auth = b"\x01d\x02\x00\x02rw"
    assert hocuspocus.read_credentials(auth, hocuspocus.read_head(auth)) == Credentials("rw", None)


def test_a_session_is_answered_with_its_key() -> None:
    """With session awareness, the key is the name, a NUL and the session's id; the name is what is before it."""
    dialect = HocuspocusDialect(SESSION)
    assert hocuspocus.document_name(SESSION) == "notes"
    assert dialect.encode(SyncStatus(True)) == b"\x0a" + SESSION + b"\x08\x01"
    assert dialect.name != D.name


def test_a_step_1_is_told_from_other_sync_messages() -> None:
    """Only `00 00` behind the key is a Step 1."""
    for frame, expected in (
        (b"\x01d\x00\x00\x01\x00", True),
        (b"\x01d\x00\x02\x02\x00\x00", False),
    ):
        assert hocuspocus.is_step1(frame, hocuspocus.read_head(frame)) is expected
    assert not hocuspocus.is_step1(b"\x01d\x03", hocuspocus.read_head(b"\x01d\x03"))


@pytest.mark.parametrize("kind", [Kind.AUTH, Kind.CLOSE, Kind.SYNC_STATUS, 4, 9, 10, 42, 300])
def test_what_concerns_the_socket_and_unknown_types_are_ignored(kind: int) -> None:
    """Auth, Close and a type that is not in the table are None, whatever follows them."""
    assert D.decode(b"\x01d" + lib0.var_uint(kind) + b"\xff") is None


def test_clients_do_not_broadcast() -> None:
    """Only servers send type 6."""
    with pytest.raises(ProtocolError, match="stateless"):
        D.decode(b"\x01d\x06\x02hi")


@pytest.mark.parametrize("frame", ["", "80", "0164", "02", "0264", "016480", "ff01"])
def test_a_frame_without_a_whole_head_is_a_protocol_error(frame: str) -> None:
    """A short key or a missing type is a `ProtocolError`."""
    with pytest.raises(ProtocolError):
        hocuspocus.read_head(bytes.fromhex(frame))


@pytest.mark.parametrize(
    "body", ["00", "000301", "0002020000ff", "0003020000", "05", "0502ff", "0502fffe", "0300", "01"]
)
def test_a_broken_message_of_a_known_type_is_a_protocol_error(body: str) -> None:
    """Short, long, not UTF-8: each is a `ProtocolError`."""
    with pytest.raises(ProtocolError):
        D.decode(b"\x01d" + bytes.fromhex(body))


@pytest.mark.parametrize(
    "body", ["", "01016e", "0202", "0002", "000161ff", "0001ff", "00016101ff", "000161016200"]
)
def test_a_broken_auth_is_a_protocol_error(body: str) -> None:
    """What only servers say, a short token, bytes behind the version: each is a `ProtocolError`."""
    frame = b"\x01d\x02" + bytes.fromhex(body)
    with pytest.raises(ProtocolError):
        hocuspocus.read_credentials(frame, hocuspocus.read_head(frame))


def test_keys_tokens_and_stateless_messages_are_bounded() -> None:
    """Each has its longest length, and one byte more is refused."""
    longest = lib0.buf(b"k" * MAX_KEY_BYTES) + b"\x03"
    assert len(hocuspocus.read_head(longest).key) == MAX_KEY_BYTES
    with pytest.raises(ProtocolError, match="name"):
        hocuspocus.read_head(lib0.buf(b"k" * (MAX_KEY_BYTES + 1)) + b"\x03")
    auth = b"\x01d\x02\x00" + lib0.buf(b"t" * (MAX_TOKEN_BYTES + 1))
    head = hocuspocus.read_head(auth)
    with pytest.raises(ProtocolError, match="token"):
        hocuspocus.read_credentials(auth, head)
    assert D.decode(b"\x01d\x05" + lib0.buf(b"s" * MAX_STATELESS_BYTES)) is not None
    with pytest.raises(ProtocolError, match="stateless"):
        D.decode(b"\x01d\x05" + lib0.buf(b"s" * (MAX_STATELESS_BYTES + 1)))


def test_a_name_that_is_not_utf8_is_a_protocol_error() -> None:
    """The session's id may be anything; the document's name is text."""
    assert hocuspocus.document_name(b"d\x00\xff") == "d"
    with pytest.raises(ProtocolError):
        hocuspocus.document_name(b"\xff\x00d")


@pytest.mark.parametrize("message", [Welcome("{}"), Trouble("saved", ""), Durable(b"\x01")])
def test_what_only_others_are_told_has_no_bytes(message: ToMember) -> None:
    """This dialect has no word for what pages and y-sweet's clients are told."""
    assert D.encode(message) is None
