import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engineroom.pages.fields import (
    Command,
    Language,
    Name,
    Number,
    ValueAddress,
    read_fields,
)
from engineroom.pages.tags import FrontMatter, Slider, Terminal


@pytest.mark.parametrize("text", ["", " ", "a b", "-a", ".a", "a/b", "a\n", "a" * 65, "<b>", "a\0"])
def test_what_is_no_name_is_refused(text: str) -> None:
    """A name holds letters, digits, `_`, `-` and `.`, begins with no mark, and has at most 64 characters."""
    with pytest.raises(ValueError, match="is no name"):
        Name(text)


@pytest.mark.parametrize("text", ["a", "plot-2", "Übung_1.b", "x" * 64])
def test_names_stay_as_they_are(text: str) -> None:
    """A good name is kept letter by letter, in any script."""
    assert Name(text) == text


def test_a_language_is_in_small_letters() -> None:
    """`Python` and `python` are the same language; `c++` is one."""
    assert Language("Python") == "python"
    assert Language("c++") == "c++"
    with pytest.raises(ValueError, match="no language"):
        Language("a b")


@pytest.mark.parametrize("text", ["speed", "", "/", "/a//b", "#a", "/" + "a" * 255])
def test_what_is_no_address_is_refused(text: str) -> None:
    """A value's address follows the rooms' rules."""
    with pytest.raises(ValueError, match="is no value's address"):
        ValueAddress(text)


def test_a_command_is_split_as_a_shell_would() -> None:
    """Quotes hold arguments together; nothing is expanded."""
    assert Command("bash -c 'echo $HOME; ls'") == ("bash", "-c", "echo $HOME; ls")


@pytest.mark.parametrize("text", ["", "  ", "'open", "''", "a\0b", "# comment'"])
def test_what_is_no_command_is_refused(text: str) -> None:
    """An empty command, an unclosed quote, and a NUL are refused."""
    with pytest.raises(ValueError):
        Command(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999", "one", "", "0x10"])
def test_what_is_no_number_is_refused(text: str) -> None:
    """A number is decimal and finite."""
    with pytest.raises(ValueError, match="number"):
        Number(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_written_is_the_number(value: float) -> None:
    """The text of a number is JSON for the same number."""
    assert json.loads(str(Number(value))) == value


def test_whole_numbers_are_written_without_a_point() -> None:
    """`3.0` is written `3`, so that programs read an integer."""
    assert [str(Number(text)) for text in ("3", "3.0", "0.50", "-2", "1e3")] == [
        "3", "3", "0.5", "-2", "1000",
    ]  # fmt: skip


def test_a_wrong_field_has_its_default_and_the_others_are_read() -> None:
    """One mistake costs one field."""
    fields = read_fields(
        Slider, {"value": "/a", "min": "x", "max": "7"}, called="<x-slider>", what="attribute"
    )
    assert fields.struct == Slider(ValueAddress("/a"), max=Number(7))
    assert [wrong.reason for wrong in fields.wrong] == ["<x-slider>: min: 'x' is no number"]


def test_a_missing_required_field_leaves_nothing() -> None:
    """Without a required field there is no struct, and the reason names the field."""
    fields = read_fields(Terminal, {}, called="<x-terminal>", what="attribute")
    assert fields.struct is None
    assert fields.wrong[0].reason == '<x-terminal> needs command="…"'


def test_an_unknown_key_is_met_with_the_nearest_one() -> None:
    """A misspelt key is answered with the key that was meant."""
    fields = read_fields(FrontMatter, {"titel": "x"}, called="front matter", what="key")
    assert fields.struct == FrontMatter()
    assert fields.wrong[0].reason == "front matter has no key 'titel' (did you mean 'title'?)"


@pytest.mark.parametrize(
    ("key", "given", "said"),
    [
        ("room", "private", "use one of own, shared"),
        ("title", 2024, "expected `str`, got `int`"),
        ("network", "maybe", "expected `bool`"),
        ("order", [1], "expected text"),
        ("order", True, "expected text"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(key: str, given: object, said: str) -> None:
    """What is wrong with a value is said in words."""
    fields = read_fields(FrontMatter, {key: given}, called="front matter", what="key")
    assert fields.struct == FrontMatter()
    assert said in fields.wrong[0].reason
