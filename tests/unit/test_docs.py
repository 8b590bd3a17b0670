"""The documentation hangs together: each link leads somewhere, each page can be found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from engineroom.errors import CloseCode

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs/README.md"
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "examples/embedding/**/*.md", "bench/**/*.md")
    for page in ROOT.glob(pattern)
    if "node_modules" not in page.parts
)
FENCE = re.compile(r"^ {0,3}(?P<ticks>`{3,}).*?^ {0,3}(?P=ticks)`*\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
LINK = re.compile(r"\[[^\[\]]*\]\(([^()\s]+)\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
IMAGE_LINK = re.compile(r"!\[[^\[\]]*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?)(?: +#+)?\s*$", re.MULTILINE)


def prose(page: Path) -> str:
    """A page without its fenced code, in which nothing is a link nor a heading."""
    return FENCE.sub("", page.read_text())


def links(page: Path) -> Iterator[str]:
    """Each target of a link or an image that is not on another host."""
    text = CODE.sub("", prose(page))
    for match in (*LINK.finditer(text), *IMAGE_LINK.finditer(text)):
        target = next(group for group in match.groups() if group)
        if not urlsplit(target).scheme:
            yield target


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them: `-1`, `-2` behind one that repeats."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in HEADING.findall(prose(page)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def resolved(page: Path, target: str) -> tuple[Path, str]:
    """The file that a link on `page` leads to, and the anchor in it."""
    parts = urlsplit(target)
    return (page.parent / unquote(parts.path)).resolve() if parts.path else page, parts.fragment


def where_it_leads(page: Path, target: str) -> str:
    """What is wrong with a link; empty when nothing is."""
    path, anchor = resolved(page, target)
    if not path.exists():
        return "there is no such file"
    if not path.is_relative_to(ROOT):
        return "it leads out of the repository"
    if anchor and (path.suffix != ".md" or anchor not in anchors(path)):
        return "there is no such heading"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    """Each relative link names a file that is there, and each anchor one of its headings."""
    wrong = {target: why for target in links(page) if (why := where_it_leads(page, target))}
    assert wrong == {}


def test_every_page_is_found_from_the_index() -> None:
    """By links alone a reader of docs/README.md comes to each page of the documentation."""
    reached, to_read = set(), [INDEX]
    while to_read:
        page = to_read.pop()
        if page in reached:
            continue
        reached.add(page)
        ends = (resolved(page, target)[0] for target in links(page))
        read = (end / "README.md" if end.is_dir() else end for end in ends)
        to_read += [end for end in read if end.suffix == ".md" and end.exists()]
    assert set(PAGES) - reached == set()


def test_the_index_itself_names_every_page_of_docs() -> None:
    """No page is found only through another one."""
    named = {resolved(INDEX, target)[0] for target in links(INDEX)}
    records = ROOT / "docs/decisions"
    pages = {page for page in ROOT.glob("docs/**/*.md") if page.parent != records}
    assert pages - {INDEX} - named == set()


def test_every_decision_is_in_its_list() -> None:
    """docs/decisions/README.md names each record."""
    index = ROOT / "docs/decisions/README.md"
    named = {resolved(index, target)[0] for target in links(index)}
    assert set(index.parent.glob("0*.md")) - named == set()


def test_every_close_code_of_ours_is_told() -> None:
    """The page protocol says of each code above 4000 what it means."""
    text = (ROOT / "docs/reference/page-protocol.md").read_text()
    rows = re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE)
    told = {int(code) for row in rows for code in row.split(",")}
    assert {int(code) for code in CloseCode if code > 4000} - told == set()


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nowhere.md", "there is no such file"),
        ("architecture.md#nowhere", "there is no such heading"),
        ("../../outside.md", "there is no such file"),
        ("../..", "it leads out of the repository"),
        ("architecture.md#the-path-of-an-update", ""),
        ("../README.md", ""),
    ],
)
def test_a_link_that_leads_nowhere_is_noticed(target: str, why: str) -> None:
    """Each way in which a link can be wrong is found, and a good one is left alone."""
    assert where_it_leads(INDEX, target) == why


def test_code_holds_no_links(tmp_path: Path) -> None:
    """What stands in code is neither a link nor a heading; all else that is one is found."""
    page = tmp_path / "page.md"
    page.write_text(
        "# One [page](a.md)\n\n`[no](no.md)` and ![yes](yes.png), [two](b.md#c)\n\n"
        "````markdown\n```sh\n# no heading\n[no](no.md)\n```\n````\n\n## One page\n"
        "[there](https://example.org/) [by name][x]\n\n[x]: d.md\n"
    )
    assert sorted(set(links(page))) == ["a.md", "b.md#c", "d.md", "yes.png"]
    assert anchors(page) == {"one-page", "one-page-1"}
