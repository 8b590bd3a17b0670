"""Joined WebSocket frames."""

import pytest

from engineroom.protocols.frames import LARGE_BYTES, Bundle, frame_header


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "8200"),
        (125, "827d"),
        (126, "827e007e"),
        (65_535, "827effff"),
        (65_536, "827f0000000000010000"),
    ],
)
def test_the_header_holds_the_length_in_7_16_or_64_bits(length: int, header: str) -> None:
    """The shortest of RFC 6455's three forms of the length is used."""
    assert frame_header(length).hex() == header


def test_a_bundle_is_its_payloads_as_frames_in_their_order() -> None:
    """The wire form joins one unmasked binary frame a payload."""
    assert Bundle((b"ab", b"", b"c")).wire == b"\x82\x02ab\x82\x00\x82\x01c"
    assert Bundle(()).wire == b""


def test_the_wire_form_is_built_once() -> None:
    """All receivers of a bundle are written the same bytes object."""
    bundle = Bundle((b"ab",))
    assert bundle.wire is bundle.wire


def test_a_large_payload_is_not_copied_for_a_bundle() -> None:
    """In parts, a large payload is the very object that was put in; what is small around it is joined."""
    large = bytes(LARGE_BYTES)
    bundle = Bundle((b"a", large, b"b", b"c"))
    assert bundle.parts[1] is large
    assert b"".join(bundle.parts) == bundle.wire
    assert len(bundle.parts) == 3


def test_a_bundle_of_small_payloads_is_one_part() -> None:
    """Without a large payload there is one part, the wire form; without any payload, none."""
    bundle = Bundle((b"a", b"b"))
    assert bundle.parts == [bundle.wire]
    assert Bundle(()).parts == []
