import json
from collections.abc import Callable
from html.parser import HTMLParser

from engineroom.pages import Site, render_message, render_page

SiteOf = Callable[[dict[str, str]], Site]

VOID = {"meta", "link", "img", "br", "hr", "input"}
EVIL = "\"'></title><script>alert(1)</script>&"


class Outline(HTMLParser):
    """The elements of a document; whether each is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_outline(site: Site, path: str, room: str = "abc") -> Outline:
    page = site.page(path)
    assert page is not None
    return Outline(render_page(page, site, room=room, address=f"{path}@{room}"))


def test_a_page_tells_the_script_where_it_is(site_of: SiteOf) -> None:
    """The document holds the room's address and the socket's URL, percent-encoded."""
    site = site_of({"guide/é b.md": "# T"})
    outline = page_outline(site, "guide/é b")
    (facts,) = [m["content"] for m in outline.all("meta") if m.get("name") == "engineroom"]
    page = site.page("guide/é b")
    assert page is not None
    assert json.loads(facts or "") == {
        "address": "guide/é b@abc",
        "page": "guide/é b",
        "room": "abc",
        "version": page.version,
        "socket": "/rooms/guide/%C3%A9%20b@abc",
    }


def test_titles_and_names_are_escaped(site_of: SiteOf) -> None:
    """What an author or a visitor wrote stays text, wherever it is shown."""
    head = json.dumps(EVIL)
    site = site_of(
        {
            "index.md": f"---\ntitle: {head}\ndescription: {head}\n---\n",
            "a.md": f"---\ntitle: {head}\n---\n",
            "<b>&\"'/x.md": "",
        }
    )
    for page in site.pages:
        outline = page_outline(site, page.path, room="\"><script>'")
        assert outline.all("script") == [{"type": "module", "src": "/-/static/engineroom.js"}]
        assert outline.all("b") == []


def test_nothing_is_inline(site_of: SiteOf) -> None:
    """No inline script, style or handler: the Content-Security-Policy allows none."""
    site = site_of({"index.md": "# T\n\n```python cell\n1\n```\n", "b.md": ""})
    outline = page_outline(site, "index")
    assert outline.all("style") == []
    for _, attributes in outline.elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


def test_the_menu_marks_the_page(site_of: SiteOf) -> None:
    """The menu links every page and marks the one that is shown; previous and next link its neighbours."""
    site = site_of({"index.md": "# I", "guide/a.md": "# A", "z.md": "# Z"})
    outline = page_outline(site, "guide/a")
    links = outline.all("a")
    assert [link["href"] for link in links if link.get("aria-current") == "page"] == ["/guide/a"]
    assert [link["href"] for link in links if "rel" in link] == ["/", "/z"]
    assert [a for a in outline.all("span") if a.get("class") == "menu-group"] != []


def test_a_single_page_has_no_menu(site_of: SiteOf) -> None:
    """A site of one page shows no menu, no button for it, and no neighbours."""
    outline = page_outline(site_of({"index.md": "# I"}), "index")
    assert outline.all("nav") == outline.all("button") == []


def test_a_guest_sees_its_page_and_nothing_around_it(site_of: SiteOf) -> None:
    """Who was let into one room is shown neither the site's title, nor a menu, a neighbour or a link out."""
    site = site_of({"index.md": "# My site", "a.md": "# A", "z.md": "# Z"})
    page = site.page("a")
    assert page is not None
    text = render_page(page, site, room="abc", address="a@abc", guest=True)
    outline = Outline(text)
    assert "My site" not in text
    assert outline.all("nav") == outline.all("button") == []
    assert [a["href"] for a in outline.all("a") if not (a["href"] or "").startswith("#")] == []
    assert outline.all("x-share") == [{}]


def test_ids_are_unique_whatever_the_headings(site_of: SiteOf) -> None:
    """Headings called like parts of the document take nothing from it."""
    site = site_of({"index.md": "# Page.content\n\n# page.menu\n\n# Content", "b.md": ""})
    ids = [a["id"] for _, a in page_outline(site, "index").elements if "id" in a]
    assert len(ids) == len(set(ids)) == 5
    links = page_outline(site, "index").all("a")
    assert [a["href"] for a in links if a.get("class") == "skip-link"] == ["#page.content"]


def test_a_message_says_one_thing(site_of: SiteOf) -> None:
    """An error page has the site's title, its text in paragraphs, no menu, no script, and asks for no other file."""
    site = site_of({"index.md": "# My site", "private.md": "# Private"})
    text = render_message("No <b>token", "First & last.\n\nAsk.", status=403, site=site)
    outline = Outline(text)
    assert outline.all("html") == [{"lang": "en", "data-status": "403"}]
    assert "<h1>No &lt;b&gt;token</h1>" in text
    assert "<p>First &amp; last.</p>\n<p>Ask.</p>" in text
    assert "My site" in text
    assert "Private" not in text
    assert outline.all("script") == outline.all("nav") == []
    assert outline.all("link") == [{"rel": "icon", "href": "data:,"}]
    assert "My site" not in render_message("T", "x", status=404)
