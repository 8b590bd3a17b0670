import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engineroom.errors import PageError
from engineroom.pages import MenuItem, Site

SiteOf = Callable[[dict[str, str]], Site]


def shape(menu: Sequence[MenuItem]) -> list[Any]:
    """The menu as nested lists of titles."""
    return [[item.title, *shape(item.children)] if item.children else item.title for item in menu]


def test_the_menu_is_the_folders_tree(site_of: SiteOf) -> None:
    """The index comes first; folders are called after their index pages, or their names."""
    site = site_of(
        {
            "about.md": "",
            "index.md": "# Start",
            "guide/index.md": "# The guide",
            "guide/setup.md": "",
            "more_notes/deep/a.md": "",
        }
    )
    assert shape(site.menu) == [
        "Start",
        "About",
        ["The guide", "Setup"],
        ["More notes", ["Deep", "A"]],
    ]
    group = site.menu[3]
    assert (group.page, group.url) == (None, None)
    assert site.menu[2].url == "/guide/"


def test_order_goes_before_numbers_in_names_and_names(site_of: SiteOf) -> None:
    """Pages and folders are sorted by front matter, else by leading number, else by name."""
    site = site_of(
        {
            "10-ten.md": "",
            "2-two.md": "",
            "b.md": "",
            "A.md": "",
            "last.md": "---\norder: 3\n---",
            "01-folder/x.md": "",
            "folder/index.md": "---\norder: 2.5\n---\n# Ordered folder",
        }
    )
    assert shape(site.menu) == [
        ["Folder", "X"], "Two", "Ordered folder", "Last", "Ten", "A", "B",
    ]  # fmt: skip


def test_a_page_and_a_folder_may_share_a_name(site_of: SiteOf) -> None:
    """`guide.md` beside `guide/`, and a folder called index, are all in the menu."""
    site = site_of({"guide.md": "# G", "guide/a.md": "", "index.md": "# I", "index/b.md": ""})
    assert [page.path for page in site.pages] == ["index", "index/b", "guide", "guide/a"]
    assert [page.url for page in site.pages] == ["/", "/index/b", "/guide", "/guide/a"]


def test_a_site_is_called_after_its_index(site_of: SiteOf) -> None:
    """The site's title is that of its index page, else the folder's name."""
    assert site_of({"a.md": ""}).title == "Site"
    assert site_of({"index.md": "# My site"}).title == "My site"


def test_neighbours_follow_the_menu(site_of: SiteOf) -> None:
    """Previous and next are the menu's order, through folders too."""
    site = site_of({"index.md": "", "guide/index.md": "", "guide/a.md": "", "z.md": ""})
    names = [[page and page.path for page in site.neighbours(page)] for page in site.pages]
    assert names == [
        [None, "guide/index"],
        ["index", "guide/a"],
        ["guide/index", "z"],
        ["guide/a", None],
    ]


def test_reloading_finds_what_changed(site_of: SiteOf) -> None:
    """A snapshot stays as it is; the next one says which pages differ, new and vanished ones too."""
    before = site_of({"index.md": "[a](a.md)", "a.md": "A", "b.md": "B", "c.md": "C"})
    root = before.folder.root
    (root / "a.md").unlink()
    (root / "b.md").write_text("B2")
    (root / "d.md").write_text("D")
    after = before.reload()
    assert after.changed_since(before) == ("a", "b", "d", "index")  # index: its link is broken now
    assert before.page("a") is not None
    assert after.page("a") is None
    assert after.reload().changed_since(after) == ()


def test_problems_are_logged_once(site_of: SiteOf, caplog: pytest.LogCaptureFixture) -> None:
    """Loading logs every problem with its place; reloading only the new ones."""
    caplog.set_level(logging.WARNING, "engineroom.pages")
    site = site_of({"index.md": "<x-foo>", "a@b.md": ""})
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == [
        "a@b.md",
        "index.md:1",
    ]
    caplog.clear()
    (site.folder.root / "new.md").write_text("\n\n<x-foo>")
    site.reload()
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == ["new.md:3"]


def test_a_folder_that_went_leaves_the_snapshot(site_of: SiteOf, tmp_path: Path) -> None:
    """Reloading a folder that is away raises, and the snapshot is still good."""
    site = site_of({"index.md": "# Here"})
    site.folder.root.rename(tmp_path / "away")
    with pytest.raises(PageError):
        site.reload()
    assert site.title == "Here"


def test_an_empty_folder_is_an_empty_site(tmp_path: Path) -> None:
    """A folder without pages has no pages, and is no error."""
    site = Site.load(tmp_path)
    assert (site.pages, site.menu, site.page("index")) == ((), (), None)


def test_engines_are_those_of_the_server(tmp_path: Path) -> None:
    """Which engines a cell may name is given at loading."""
    (tmp_path / "index.md").write_text("```lua cell\n1\n```")
    page = Site.load(tmp_path, engines=frozenset({"lua"})).page("index")
    assert page is not None
    assert page.plan.cells[0].engine == "lua"
