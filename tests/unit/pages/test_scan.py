import pytest
from hypothesis import given
from hypothesis import strategies as st

from engineroom.pages.scan import FoundTag, StrayEnd, scan, scan_first

PIECES = st.sampled_from(
    [
        "<x-cell>",
        "</x-cell>",
        "<x-value a=b>",
        "</x-value>",
        "<x-",
        "<!--",
        "-->",
        "<![x",
        "<",
        ">",
        '"',
        "'",
        "\n",
        "a",
        "<p>",
        "<script>",
        "</script>",
        "&lt;",
        "</",
        "\r",
        "<?",
        "<x-y/>",
    ]
)


def test_the_text_of_a_cell_is_taken_as_it_stands() -> None:
    """Between `<x-cell>` and `</x-cell>`, `<`, `&`, quotes and blank lines mean themselves."""
    source = 'if a < b && c:\n\n    print("</p> &lt; \'")'
    (found,) = scan(f"<x-cell engine=python>\n{source}\n</x-cell>")
    assert isinstance(found, FoundTag)
    assert found.text == source
    assert found.closed


def test_a_common_indentation_of_the_text_is_removed() -> None:
    """A cell within indented HTML begins at its own left margin."""
    (found,) = scan("<x-cell>\n    for i in x:\n        i\n  </x-cell>")
    assert isinstance(found, FoundTag)
    assert found.text == "for i in x:\n    i"


@pytest.mark.parametrize("inside", ["", "\n", "\n   \n", "\n\n"])
def test_nothing_between_the_tags_is_no_text(inside: str) -> None:
    """Line breaks and spaces between the tags of an empty editor are no text."""
    (found,) = scan(f"<x-editor name=a>{inside}</x-editor>")
    assert isinstance(found, FoundTag)
    assert found.text.strip() == ""
    assert "\n\n" not in found.text


def test_attributes_are_unescaped_and_keep_their_order() -> None:
    """Attributes come as HTML has them: quoted in either way or not, unescaped, empty when they have no value."""
    (found,) = scan("<X-Value B='1 &gt; 0' a=\"x>y\" c d=e></X-VALUE>")
    assert isinstance(found, FoundTag)
    assert found.name == "x-value"
    assert found.attributes == (("b", "1 > 0"), ("a", "x>y"), ("c", ""), ("d", "e"))
    assert found.end == len("<X-Value B='1 &gt; 0' a=\"x>y\" c d=e></X-VALUE>")


@pytest.mark.parametrize(
    "hidden", ["<!-- <x-cell> -->", "<script>'<x-cell>'</script>", "<style><x-cell></style>"]
)
def test_comments_scripts_and_styles_hide_tags(hidden: str) -> None:
    """What a browser would not read as a tag is none."""
    found = scan(f"{hidden}<x-value value=/a>")
    assert [each.name for each in found] == ["x-value"]


def test_a_cell_without_its_end_is_not_closed() -> None:
    """A tag that takes text and is never closed ends with its own `>`."""
    (found,) = scan("<p><x-cell engine=python> 1 + 1")
    assert found == FoundTag("x-cell", (("engine", "python"),), "", 3, 25, closed=False)


def test_an_end_without_a_beginning_is_stray() -> None:
    """A closing tag that closes nothing is reported with its place."""
    assert scan("a</x-slider >") == [StrayEnd("x-slider", 1, 13)]


def test_a_self_closing_editor_is_whole() -> None:
    """`<x-editor/>` is an editor without text, and does not swallow what follows."""
    first, second = scan('<x-editor name="a"/> and <x-value value="/b">')
    assert isinstance(first, FoundTag)
    assert (first.closed, first.text, second.name) == (True, "", "x-value")


def test_only_the_first_tag_is_read_when_asked() -> None:
    """`scan_first` finds the tag at the beginning of the text, and none further on."""
    found = scan_first('<x-value value="/a"></x-value> and <x-value value="/b">')
    assert isinstance(found, FoundTag)
    assert found.attributes == (("value", "/a"),)
    assert scan_first("and <x-value>") is None
    assert scan_first("<x-value value='/a") is None


@given(st.lists(PIECES, max_size=30).map("".join))
def test_found_tags_are_in_order_and_do_not_overlap(text: str) -> None:
    """Whatever the text, tags have places within it, one behind the other."""
    end = 0
    for found in scan(text):
        assert end <= found.start < found.end <= len(text)
        assert text[found.start] == "<"
        end = found.end
