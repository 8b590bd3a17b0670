from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engineroom.pages import Heading, Page, Site

PageOf = Callable[[str], Page]
SiteOf = Callable[[dict[str, str]], Site]

ODDITIES = st.sampled_from(
    [
        "<x-cell engine=python>",
        "</x-cell>",
        "<x-editor name=a>",
        "</x-editor>",
        "<x-value ",
        ">",
        "\n",
        "\n\n",
        "---\n",
        "title: x\n",
        "a: [\n",
        "::: note\n",
        ":::\n",
        "```python cell\n",
        "```\n",
        "- ",
        "> ",
        "    ",
        "|a|b|\n|-|-|\n",
        "[^1]",
        "[^1]: x\n",
        "[a](b.md)",
        "![a](b)",
        "# h",
        "<div>",
        "</div>",
        "<!--",
        "-->",
        "<![x",
        "&",
        "\\",
        "`",
        "*",
        "\0",
        "\ud7ff",
        "{a=b}",
    ]
)


def test_tables_task_lists_footnotes_and_strikethrough(page_of: PageOf) -> None:
    """The extensions of Markdown that pages have."""
    html = page_of("|a|b|\n|-|-:|\n|1|2|\n\n- [x] done\n\n~~old~~ note[^1]\n\n[^1]: Foot.").html
    assert '<div class="table-scroll"><table>' in html
    assert '<td class="align-right">2</td>' in html
    assert 'class="task-list-item-checkbox" checked="checked"' in html
    assert "<s>old</s>" in html
    assert '<section class="footnotes">' in html


def test_no_inline_style_is_made(page_of: PageOf) -> None:
    """The Content-Security-Policy forbids inline styles, so rendering makes none."""
    html = page_of("|a|b|c|\n|:-|:-:|-:|\n|1|2|3|\n\n![i](i.svg){width=3 style=x}").html
    assert "style=" not in html


def test_notes_and_details(page_of: PageOf) -> None:
    """`:::` makes asides with a title, and details that open."""
    html = page_of("::: warning Hot & wet\n*text*\n:::\n\n::: details\nmore\n:::\n").html
    assert '<aside class="note note-warning"><p class="note-title">Hot &amp; wet</p>' in html
    assert '<summary class="note-title">Details</summary>' in html
    assert html.count("</aside>") == html.count("</details>") == 1


def test_headings_have_anchors_of_their_own(page_of: PageOf) -> None:
    """Equal headings have different anchors, and one without letters has one too."""
    page = page_of("# One *two* `x`\n\n## One\n\n## One\n\n### !?")
    assert page.headings == (
        Heading(1, "One two x", "one-two-x"),
        Heading(2, "One", "one"),
        Heading(2, "One", "one-1"),
        Heading(3, "!?", "section"),
    )
    assert '<a class="anchor" href="#one-1" aria-hidden="true" tabindex="-1"></a>' in page.html


def test_fences_are_coloured(page_of: PageOf) -> None:
    """Code of a known language has spans; of an unknown one, or of none, it is only escaped."""
    html = page_of("```python\nif x: 1\n```\n\n```nolang\n<b>\n```\n\n    a < b\n").html
    assert '<code class="language-python"><span class="k">if</span>' in html
    assert '<code class="language-nolang">&lt;b&gt;\n</code>' in html
    assert '<pre class="highlight"><code>a &lt; b\n</code></pre>' in html


def test_raw_html_is_let_through(page_of: PageOf) -> None:
    """Authors own their site: what is no tag of ours stays as it was written."""
    assert page_of('<div class="Own" DATA-x=1>\n&amp;\n</div>').html == (
        '<div class="Own" DATA-x=1>\n&amp;\n</div>'
    )


def test_links_between_pages_become_urls(site_of: SiteOf) -> None:
    """Links to Markdown files lead to their pages, from wherever they stand."""
    site = site_of(
        {
            "index.md": "[a](write.md) [b](guide/setup.md#part) [c](guide/index.md) [d](guide/)",
            "write.md": "[a](./index.md?x=1) [b](my%20page.md) [c](write) [e](</my page.md>)",
            "my page.md": "",
            "guide/index.md": "[a](../write.md) [b](setup.md) [c](.) [d](..) [e](/write.md)",
            "guide/setup.md": "[a](#part) [b](https://example.org/a.md) [c](mailto:a@b) [d](/x/y)",
        }
    )
    links = {page.path: _urls(page.html) for page in site.pages}
    assert links == {
        "index": ["/write", "/guide/setup#part", "/guide/", "/guide/"],
        "write": ["/?x=1", "/my%20page", "/write", "/my%20page"],
        "my page": [],
        "guide/index": ["/write", "/guide/setup", "/guide/", "/", "/write"],
        "guide/setup": ["#part", "https://example.org/a.md", "mailto:a@b", "/x/y"],
    }
    assert list(site.all_problems()) == []


def test_images_and_files_beside_a_page(site_of: SiteOf) -> None:
    """Images and files are found beside the page; an image's URL changes with its content."""
    files = {"guide/index.md": "![p](pump.svg) [d](../data.csv)", "data.csv": "1"}
    before = site_of({**files, "guide/pump.svg": "<svg/>"}).page("guide/index")
    after = site_of({"guide/pump.svg": "<svg></svg>"}).page("guide/index")
    assert before is not None
    assert after is not None
    assert '<img src="/guide/pump.svg?v=' in before.html
    assert '<a href="/data.csv">' in before.html
    assert before.version != after.version


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("[x](gone.md)", "there is no page 'gone.md'"),
        ("[x](README.md)", "there is no page 'README.md'"),
        ("[x](gone.csv)", "there is no page or file 'gone.csv'"),
        ("[x](empty/)", "there is no page or file 'empty/'"),
        ("![x](gone.svg)", "there is no image 'gone.svg'"),
        ("![x](/gone.svg)", "there is no image 'gone.svg'"),
        ("[x](../etc/passwd)", "leads out of the site"),
        ("[x](%2e%2e/%2e%2e/etc)", "leads out of the site"),
        ("[x](.env)", "there is no page or file '.env'"),
        ("![x](/a%00b.svg)", "there is no image"),
        ("[a][r]\n\n[r]: gone.md", "there is no page 'gone.md'"),
    ],
)
def test_a_link_to_nowhere_is_a_problem(page_of: PageOf, link: str, reason: str) -> None:
    """A broken link is shown beside it, with its line."""
    page = page_of(f"First.\n\nline\n{link}")
    (problem,) = page.problems
    assert reason in problem.reason
    assert problem.line in (3, 4)
    assert '<span class="problem" role="note">' in page.html


def test_dangerous_links_stay_text(page_of: PageOf) -> None:
    """`javascript:` is no link."""
    assert "<a " not in page_of("[x](javascript:alert(1))").html


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ODDITIES, max_size=25).map("".join))
def test_any_text_is_a_page(page_of: PageOf, text: str) -> None:
    """Whatever a file holds, it becomes a page."""
    page = page_of(text)
    assert page.version
    for problem in page.problems:
        assert problem.line is None or 1 <= problem.line <= text.count("\n") + 1


def _urls(html: str) -> list[str]:
    return [part.split('"')[0] for part in html.split('<a href="')[1:]]
