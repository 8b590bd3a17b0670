"""Sites made of a few lines."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engineroom.pages import Page, Site

SiteOf = Callable[[dict[str, str]], Site]
PageOf = Callable[[str], Page]


@pytest.fixture
def site_of(tmp_path: Path) -> SiteOf:
    """Loads a site from file names and their texts."""

    def load(files: dict[str, str]) -> Site:
        root = tmp_path / "site"
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return Site.load(root)

    return load


@pytest.fixture
def page_of(site_of: SiteOf) -> PageOf:
    """Loads the one page of a site."""

    def load(text: str) -> Page:
        page = site_of({"index.md": text}).page("index")
        assert page is not None
        return page

    return load
