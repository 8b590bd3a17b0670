"""Links and images of a page become URLs of the site: `write.md` is `/write`, `pump.svg` is `/guide/pump.svg`.

This module knows which pages and files there are, through `Places`, and nothing of Markdown.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from .names import page_url


class Places(Protocol):
    """What a link may lead to. Names are relative to the site's folder, with `/` between their parts."""

    def page_from(self, source: str) -> str | None:
        """The page made from the source file `source` ("guide/setup.md"), or None."""

    def has_page(self, path: str) -> bool:
        """Whether there is a page named `path`."""

    def file_version(self, path: str) -> str | None:
        """A short text that changes with the file's content, or None when there is no such file to serve."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where a link leads, and what is wrong with it (then it is left as it was)."""

    url: str
    problem: str | None = None


def resolve(href: str, *, source: str, places: Places, image: bool = False) -> Link:
    """The URL for `href`, found in the file `source`. URLs of other sites, and `#part`, stay as they are."""
    try:
        parts = urlsplit(href)
    except ValueError as error:
        return Link(href, f"{href!r} is no link: {error}")
    if parts.scheme or parts.netloc or not parts.path:
        return Link(href)
    target = _target(unquote(parts.path), source)
    if target is None:
        return Link(href, f"{href!r} leads out of the site")
    if target.lower().endswith(".md"):
        page = places.page_from(target)
        if page is None:
            return Link(href, f"there is no page {target!r}, which {href!r} leads to")
        return Link(urlunsplit(("", "", page_url(page), parts.query, parts.fragment)))
    if parts.path.startswith("/") and not image:
        return Link(href)  # a URL of this server: its author knows it
    path, query = _path(target, places), parts.query
    if path is None:
        return Link(href, f"there is no {'image' if image else 'page or file'} {target!r}")
    if image and not query:
        query = f"v={places.file_version(target)}"
    return Link(urlunsplit(("", "", path, query, parts.fragment)))


def _target(path: str, source: str) -> str | None:
    """The name, relative to the site, of what `path` in the file `source` means; a folder ends with `/`."""
    folder = "" if path.startswith("/") else posixpath.dirname(source)
    target = posixpath.normpath(posixpath.join(folder, path.lstrip("/")))
    if target == ".." or target.startswith("../"):
        return None
    if path.endswith(("/", "/.", "/..")) or target == ".":
        return "" if target == "." else target + "/"
    return target


def _path(target: str, places: Places) -> str | None:
    """The URL path of a file, of a page named without `.md`, or of a folder with an index page."""
    if not target or target.endswith("/"):
        return page_url(target + "index") if places.has_page(target + "index") else None
    if places.file_version(target) is not None:
        return quote("/" + target)
    return next((page_url(p) for p in (target, f"{target}/index") if places.has_page(p)), None)
