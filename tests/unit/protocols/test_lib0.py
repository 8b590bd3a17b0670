"""lib0's primitives, byte for byte."""

import pytest

from engineroom.errors import ProtocolError
from engineroom.protocols import lib0
from engineroom.protocols.lib0 import MAX_INTEGER, MAX_NESTING, Reader


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (3_000_000_001, "81bcc1960b"),
        (MAX_INTEGER, "ffffffffffffff0f"),
    ],
)
def test_var_uint_is_seven_bits_a_byte_lowest_first(number: int, encoded: str) -> None:
    """A varUint holds seven bits a byte, the lowest first, and every byte but the last has bit 8."""
    assert lib0.var_uint(number).hex() == encoded
    reader = Reader(bytes.fromhex(encoded))
    assert reader.var_uint() == number
    reader.finish()


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(0, "00"), (63, "3f"), (64, "8001"), (-1, "41"), (-64, "c001"), (-5000, "c84e")],
)
def test_var_int_has_its_sign_in_the_first_byte(number: int, encoded: str) -> None:
    """A varInt's first byte holds six bits and, in bit 7, the sign."""
    assert lib0.var_int(number).hex() == encoded
    assert Reader(bytes.fromhex(encoded)).var_int() == number


def test_the_length_of_text_is_in_bytes() -> None:
    """A varString counts bytes of UTF-8, not characters."""
    assert lib0.var_string("é😀") == b"\x06" + "é😀".encode()
    assert Reader(lib0.var_string("é😀")).var_string() == "é😀"


def test_a_lone_surrogate_is_written_as_a_question_mark() -> None:
    """Text that UTF-8 cannot hold is written all the same."""
    assert lib0.var_string("a\ud800b") == b"\x03a?b"


def test_any_reads_what_lib0_writes() -> None:
    """Each tag of an `any` reads as its Python value, as captured from lib0 in npm."""
    captured = (
        "760d05756e6465667f036e756c7e03696e747d45036269677c538000000468616c667c3f0000000574656e7468"
        "7b3fb999999999999a06626967696e747a10000000000000000379657378026e6f7904746578747702c3a9046c"
        "69737475027d0175017d02066f626a65637476010161760101627d010562797465737402"
        "0102"
    )
    reader = Reader(bytes.fromhex(captured))
    assert reader.any() == {
        "undef": None,
        "nul": None,
        "int": -5,
        "big": 2.0**40,
        "half": 0.5,
        "tenth": 0.1,
        "bigint": 2**60,
        "yes": True,
        "no": False,
        "text": "é",
        "list": [1, [2]],
        "object": {"a": {"b": 1}},
        "bytes": b"\x01\x02",
    }
    reader.finish()


@pytest.mark.parametrize(
    ("encoded", "reads"),
    [
        ("", "var_uint"),
        ("80", "var_uint"),
        ("ff" * 30, "var_uint"),
        ("ffffffffffffff10", "var_uint"),
        ("ffffffffffffff7f", "var_int"),
        ("", "byte"),
        ("0261", "buf"),
        ("ffffffff0f", "buf"),
        ("01ff", "var_string"),
        ("0361c3", "var_string"),
        ("73", "any"),
        ("7b0000", "any"),
        ("75ffffff7f7e", "any"),
        ("760161" + "7e", "any"),
    ],
)
def test_a_wrong_or_short_read_is_a_protocol_error(encoded: str, reads: str) -> None:
    """Whatever the bytes lack or break is a `ProtocolError`, never another exception."""
    with pytest.raises(ProtocolError):
        getattr(Reader(bytes.fromhex(encoded)), reads)()


def test_nesting_is_bounded() -> None:
    """As many levels as `MAX_NESTING` are read, one more is refused."""
    assert Reader(b"\x75\x01" * MAX_NESTING + b"\x7e").any() != []
    with pytest.raises(ProtocolError, match="nested"):
        Reader(b"\x75\x01" * (MAX_NESTING + 1) + b"\x7e").any()


def test_a_count_never_exceeds_what_follows() -> None:
    """A count is refused before anything is made from it, when the bytes left could not hold so many."""
    assert Reader(b"\x02abcd").count(2) == 2
    with pytest.raises(ProtocolError, match="count"):
        Reader(b"\x03abcd").count(2)


def test_trailing_bytes_are_refused() -> None:
    """`finish` says how many bytes were left over."""
    reader = Reader(b"\x01\x02\x03")
    reader.byte()
    assert reader.remaining == 2
    with pytest.raises(ProtocolError, match="2 bytes"):
        reader.finish()


@pytest.mark.parametrize("number", [-1, MAX_INTEGER + 1])
def test_what_javascript_cannot_read_is_not_written(number: int) -> None:
    """A number out of range is our own mistake: a ValueError."""
    with pytest.raises(ValueError, match="not within"):
        lib0.var_uint(number)


def test_whole_numbers_past_javascripts_are_written_as_bigint() -> None:
    """An `any` of 2**53 or more travels in 64 bits."""
    assert lib0.any_value(2**60) == b"\x7a\x10" + bytes(7)
    with pytest.raises(ValueError, match="not within"):
        lib0.var_int(-(2**53))
