"""A page: what its Markdown says, ready to be shown and to be made into rooms. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engineroom.errors import PageError
from engineroom.rooms.plan import Plan

from .names import page_url


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a page: `level` 1 to 6, `anchor` without `#`."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a site, read and rendered once.

    `path` is its name ("index", "write", "guide/index"); `source` the file it came from; `html` the body, without the
    document around it. `shared`: one room for all its visitors. `version` (that of its plan) changes whenever what
    a browser shows or a room holds does. `problems` are what is wrong with it; each is also shown where it occurs.
    """

    path: str
    source: Path
    title: str
    description: str
    html: str
    plan: Plan
    shared: bool
    order: float | None
    headings: tuple[Heading, ...]
    problems: tuple[PageError, ...]

    @property
    def version(self) -> str:
        """A hash of the page's content, its rendering, and the generator's version."""
        return self.plan.version

    @property
    def url(self) -> str:
        """The page's URL path, percent-encoded: `/`, `/write`, `/guide/`."""
        return page_url(self.path)
