"""The names of pages: to URL paths and back, and to titles."""

from __future__ import annotations

import re
from urllib.parse import quote


def page_url(path: str) -> str:
    """The URL path of the page `path`, percent-encoded: `/` for "index", `/guide/` for "guide/index"."""
    folder, _, name = path.rpartition("/")
    if name == "index":
        return quote(f"/{folder}/") if folder else "/"
    return quote(f"/{path}")


def page_of_url(url_path: str) -> str:
    """The page that a percent-decoded URL path names: "index" for `/`, "guide/index" for `/guide/`."""
    path = url_path.removeprefix("/")
    return path + "index" if not path or path.endswith("/") else path


def readable_name(path: str) -> str:
    """A title from a file's or folder's name: "guide/02-first-steps" becomes "First steps"."""
    parts = path.split("/")
    name = parts[-2] if parts[-1] == "index" and len(parts) > 1 else parts[-1]
    words = re.sub(r"^\d+[-_. ]+(?=.)", "", name)
    words = re.sub(r"[-_ ]+", " ", words).strip() or name
    return words[:1].upper() + words[1:]
