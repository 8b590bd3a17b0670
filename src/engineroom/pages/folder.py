"""A site's folder: which files are pages, which may be served, which are nobody's business.

Nothing outside the folder is ever read, whatever links point out of it. Hidden files and folders, `node_modules`,
`__pycache__`, and what the site's owner excludes (a data folder, a file of settings) do not exist here.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engineroom.errors import AddressError, PageError
from engineroom.rooms.address import Address

MAX_PAGES = 5000
MAX_PAGE_NAME_BYTES = 190  # leaves 64 of an address's 255 bytes to the room's name
EXCLUDED_NAMES = frozenset({"node_modules", "__pycache__"})
OWN_URLS = "-"  # the server's own URLs begin with `/-/`


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A Markdown file that makes a page. `name` is relative to the folder, `real` where it really is."""

    name: str
    page: str
    real: Path


@dataclass(frozen=True, slots=True)
class Listing:
    """The Markdown files of a folder, in no order, and those that cannot be pages."""

    sources: tuple[SourceFile, ...]
    problems: tuple[PageError, ...]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder and what is left out of it. Both paths are real ones: no symbolic links in them."""

    root: Path
    excluded: tuple[Path, ...] = ()

    @classmethod
    def open(cls, path: Path, excluded: tuple[Path, ...] = ()) -> Folder:
        """The folder at `path`.

        Raises:
            PageError: there is no such folder, or it cannot be read.
        """
        try:
            root = path.resolve(strict=True)
            os.scandir(root).close()
        except (OSError, RuntimeError) as error:
            raise PageError(str(path), None, f"no site here: {_reason(error)}") from None
        return cls(root, tuple(each.resolve() for each in excluded))

    def holds(self, path: Path) -> bool:
        """Whether `path` is below the folder and not hidden or excluded. Asks no disk; follows no links."""
        try:
            parts = path.relative_to(self.root).parts
        except ValueError:
            return False
        if any(part.startswith(".") or part in EXCLUDED_NAMES for part in parts):
            return False
        return not any(path.is_relative_to(each) for each in self.excluded)

    def file(self, name: str) -> Path | None:
        """The real path of the file `name` to be served: a regular file below the folder that is no Markdown."""
        real = self._regular(name)
        return None if real is None or _is_markdown(real.name) or _is_markdown(name) else real

    def listing(self) -> Listing:
        """Every Markdown file below the folder.

        Raises:
            PageError: more than 5000 of them: this is no site.
        """
        problems: list[PageError] = []
        pages: dict[str, SourceFile] = {}
        names = frozenset(self._markdown_names(problems))
        for name in sorted(names):
            page = _page_name(name, names)
            real = self._regular(name)
            reason = _unusable(name, page, real, pages)
            if reason is not None:
                problems.append(PageError(_printable(name), None, reason))
            elif real is not None:
                pages[page] = SourceFile(name, page, real)
        return Listing(tuple(pages.values()), tuple(problems))

    def _markdown_names(self, problems: list[PageError]) -> Iterator[str]:
        def unreadable(error: OSError) -> None:
            name = os.path.relpath(str(error.filename), self.root)
            problems.append(PageError(_printable(name), None, f"not read: {_reason(error)}"))

        count = 0
        for folder, folders, files in os.walk(self.root, onerror=unreadable):
            here = Path(folder)
            folders[:] = [name for name in folders if self.holds(here / name)]
            for name in files:
                if not _is_markdown(name) or not self.holds(here / name):
                    continue
                count += 1
                if count > MAX_PAGES:
                    reason = f"more than {MAX_PAGES} Markdown files: is this the right folder?"
                    raise PageError(str(self.root), None, reason)
                yield (here / name).relative_to(self.root).as_posix()

    def _regular(self, name: str) -> Path | None:
        """The real path of a regular file that is held, reached by a name whose parts are all visible."""
        parts = name.split("/")
        if "\0" in name or any(part in ("", ".", "..") for part in parts):
            return None
        named = self.root.joinpath(*parts)
        try:
            real = named.resolve(strict=True)
            regular = stat.S_ISREG(real.stat().st_mode)
        except (OSError, RuntimeError, ValueError):
            return None
        return real if regular and self.holds(named) and self.holds(real) else None


def _is_markdown(name: str) -> bool:
    return name.lower().endswith(".md")


def _page_name(source: str, names: frozenset[str]) -> str:
    """The page of a source file, NFC: without `.md`; `README.md` is an index where no `index.md` is beside it."""
    folder, slash, name = source.rpartition("/")
    if name.lower() == "readme.md" and f"{folder}{slash}index.md" not in names:
        name = "index.md"
    return unicodedata.normalize("NFC", f"{folder}{slash}{name[: -len('.md')]}")


def _unusable(name: str, page: str, real: Path | None, pages: dict[str, SourceFile]) -> str | None:
    """Why a Markdown file cannot be a page, or None."""
    if real is None:
        return "not read: it is no regular file inside the site's folder"
    try:
        size = len(page.encode())
        Address.parse(f"{page}@room")
    except (AddressError, UnicodeEncodeError):
        return "not a page: its name cannot be part of an address (no '@', no control characters)"
    if size > MAX_PAGE_NAME_BYTES:
        return f"not a page: its name is longer than {MAX_PAGE_NAME_BYTES} bytes"
    if page == OWN_URLS or page.startswith(OWN_URLS + "/"):
        return "not a page: URLs that begin with '/-/' are the server's own"
    if page in pages:
        return f"not a page: {pages[page].name} is the page {page!r} already"
    return None


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
