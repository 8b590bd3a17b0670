from collections.abc import Callable
from pathlib import Path

import pytest

from engineroom.pages import Page, Site
from engineroom.pages.names import page_of_url, page_url, readable_name
from engineroom.pages.reader import MAX_PAGE_BYTES

PageOf = Callable[[str], Page]


def test_front_matter_says_what_a_page_is(page_of: PageOf) -> None:
    """Every key of the front matter reaches its place."""
    page = page_of(
        "---\ntitle: Both of us\ndescription: One sentence.\norder: 2.5\nroom: shared\n"
        "network: true\ndisplay: every\nlinger_seconds: 0\n---\n# Heading\n"
    )
    assert (page.title, page.description, page.order) == ("Both of us", "One sentence.", 2.5)
    assert page.shared
    assert (page.plan.network, page.plan.display, page.plan.linger_seconds) == (True, "every", 0)
    assert page.problems == ()


def test_a_page_without_front_matter_has_safe_defaults(page_of: PageOf) -> None:
    """Without front matter: its own room, no network, the title from the first heading."""
    page = page_of("Text\n\n## A *second* level\n\n# First")
    assert page.title == "A second level"
    assert not page.shared
    assert not page.plan.network
    assert (page.plan.display, page.plan.linger_seconds) == ("last", None)


@pytest.mark.parametrize(
    ("front_matter", "line", "reason"),
    [
        ("title: [", 2, "front matter: "),
        ("a: 1\n\tb: 2", 3, "front matter: "),
        ("- a\n- b", 1, "front matter: write lines such as"),
        ("just words", 1, "front matter: write lines such as"),
        ("title: x\ndate: 2024-01-01", 3, "front matter has no key 'date'"),
        ("a: 2024-99-99", 1, "front matter: month must be in 1..12"),
        ("title: 2024", 2, "front matter: title: expected `str`, got `int`"),
        ("title: x\nroom: mine", 3, "front matter: room: use one of own, shared"),
        ("network: often", 2, "front matter: network: "),
        ("order: first", 2, "front matter: order: 'first' is no number"),
        ("linger_seconds: -1", 2, "front matter: linger_seconds: expected `float` >= 0"),
        ("linger_seconds: .nan", 2, "front matter: linger_seconds: expected `float`"),
        ("? [a, b]\n: 1", 2, "front matter: found unhashable key"),
        ("a: !!python/object/apply:os.system ['true']", 2, "front matter: could not determine"),
        ("a: " + "[" * 3000, 1, "front matter"),
    ],
)
def test_broken_front_matter_is_a_problem(
    page_of: PageOf, front_matter: str, line: int, reason: str
) -> None:
    """What is wrong in the front matter is shown, and the page is there."""
    page = page_of(f"---\n{front_matter}\n---\n# Still here")
    problem = page.problems[0]
    assert problem.reason.startswith(reason)
    assert problem.line == line or front_matter.startswith(("a: [", "title: ["))
    assert page.html.startswith('<span class="problem" role="note">')
    assert "Still here" in page.html
    assert not page.plan.network


def test_a_page_that_is_not_utf8_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are a problem with a line, and the rest is read."""
    (tmp_path / "index.md").write_bytes(b"# Caf\xc3\xa9\n\nna\xefve")
    page = Site.load(tmp_path).page("index")
    assert page is not None
    assert page.title == "Café"
    assert page.problems[0].line == 3
    assert "is not UTF-8" in page.problems[0].reason


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    """Files from other systems have front matter too."""
    (tmp_path / "index.md").write_bytes(b"\xef\xbb\xbf---\r\ntitle: T\r\n---\r\nText\r\n")
    page = Site.load(tmp_path).page("index")
    assert page is not None
    assert (page.title, page.problems) == ("T", ())


def test_a_huge_page_is_a_problem(tmp_path: Path) -> None:
    """A page past the bound is not read into memory, and says so."""
    with (tmp_path / "index.md").open("wb") as file:
        file.truncate(MAX_PAGE_BYTES + 1)
    page = Site.load(tmp_path).page("index")
    assert page is not None
    assert "larger than 4 MiB" in page.problems[0].reason


def test_the_version_changes_with_the_file(page_of: PageOf) -> None:
    """The same file has the same version; another text, even one that shows the same, has another."""
    first = page_of("<x-editor name=a>1</x-editor>")
    assert page_of("<x-editor name=a>1</x-editor>").version == first.version
    second = page_of("<x-editor name=a>2</x-editor>")
    assert second.html == first.html
    assert second.version != first.version == first.plan.version


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("write", "Write"),
        ("01-first_steps", "First steps"),
        ("guide/index", "Guide"),
        ("index", "Index"),
        ("2024", "2024"),
        ("3-", "3"),
        ("__", "__"),
        ("a/10. ten", "Ten"),
    ],
)
def test_a_name_reads_as_a_title(name: str, title: str) -> None:
    """A title from a file name loses the number and the marks."""
    assert readable_name(name) == title


@pytest.mark.parametrize(
    ("page", "url"),
    [
        ("index", "/"),
        ("write", "/write"),
        ("guide/index", "/guide/"),
        ("guide/a b", "/guide/a%20b"),
        ("ü?", "/%C3%BC%3F"),
    ],
)
def test_pages_have_urls(page: str, url: str) -> None:
    """A page's URL is its name; an index's is its folder."""
    assert page_url(page) == url


@pytest.mark.parametrize("page", ["index", "write", "guide/index", "guide/a b"])
def test_urls_name_pages(page: str) -> None:
    """The decoded URL of a page names that page."""
    assert page_of_url(page_url(page).replace("%20", " ")) == page
