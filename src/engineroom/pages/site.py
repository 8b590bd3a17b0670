"""A site: an immutable snapshot of a folder of Markdown, and the files beside its pages.

It reads the folder when it is loaded, and files when it is asked for them; it never writes, and never looks outside the
folder, whatever links point out of it.
"""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from engineroom.errors import PageError

from .folder import Folder, SourceFile
from .menu import MenuItem, make_menu, menu_order
from .names import readable_name
from .page import Page
from .reader import Reader

logger = logging.getLogger("engineroom.pages")


class Site:
    """All pages of a folder, as they were when it was loaded. Made by `load`; never changes.

    `folder` says where it is and what is left out of it; `title` is the index page's, else the folder's name; `pages`
    are in the menu's order; `problems` are files that could not become pages (a page's own problems are with the page).
    """

    __slots__ = ("_engines", "_pages", "folder", "menu", "pages", "problems", "title")

    def __init__(
        self,
        folder: Folder,
        engines: frozenset[str],
        pages: Iterable[Page],
        problems: tuple[PageError, ...],
    ) -> None:
        by_path = {page.path: page for page in pages}
        self.folder = folder
        self.menu: tuple[MenuItem, ...] = make_menu(by_path)
        self.pages: tuple[Page, ...] = tuple(by_path[path] for path in menu_order(self.menu))
        self.problems = problems
        index = by_path.get("index")
        self.title: str = index.title if index else readable_name(folder.root.name) or "Pages"
        self._pages: Mapping[str, Page] = by_path
        self._engines = engines

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        engines: frozenset[str] = frozenset({"python"}),
        excluded: tuple[Path, ...] = (),
    ) -> Site:
        """Read every page below `folder`, and log what is wrong with them. Blocks: call it in a thread.

        `engines` are the engine types that cells may name. `excluded` are files and folders that are never read, served
        or watched: a data folder or a file of settings inside the site.

        Raises:
            PageError: there is no such folder, it cannot be read, or it holds far too many files.
        """
        site = cls._read(Folder.open(folder, excluded), engines)
        _log(site.all_problems())
        return site

    def reload(self) -> Site:
        """The folder as it is now, with the same options; logs the problems that were not there before. Blocks.

        Raises:
            PageError: as `load`; this snapshot stays good.
        """
        site = self._read(Folder.open(self.folder.root, self.folder.excluded), self._engines)
        known = {str(problem) for problem in self.all_problems()}
        _log(problem for problem in site.all_problems() if str(problem) not in known)
        return site

    def page(self, path: str) -> Page | None:
        """The page of this name: "index", "write", "guide/index"."""
        return self._pages.get(unicodedata.normalize("NFC", path))

    def file(self, path: str) -> Path | None:
        """The real path of a file beside the pages, or None.

        `path` is percent-decoded and relative to the folder, `guide/pump.svg`. Never a hidden or excluded file, never
        one outside the folder (nor through a symbolic link), never a page's Markdown.
        """
        return self.folder.file(path)

    def changed_since(self, earlier: Site) -> tuple[str, ...]:
        """The names of the pages whose version differs from that in `earlier`; new and vanished ones are among them."""
        paths = {page.path: page.version for page in self.pages}
        before = {page.path: page.version for page in earlier.pages}
        return tuple(
            path for path in sorted(paths.keys() | before) if paths.get(path) != before.get(path)
        )

    def neighbours(self, page: Page) -> tuple[Page | None, Page | None]:
        """The pages before and after `page` in the menu's order."""
        at = self.pages.index(page)
        following = self.pages[at + 1] if at + 1 < len(self.pages) else None
        return self.pages[at - 1] if at else None, following

    def all_problems(self) -> Iterator[PageError]:
        """The problems of the folder, then those of each page."""
        yield from self.problems
        for page in self.pages:
            yield from page.problems

    @classmethod
    def _read(cls, folder: Folder, engines: frozenset[str]) -> Site:
        listing = folder.listing()
        reader = Reader.make(engines, _Places.of(folder, listing.sources))
        pages = [reader.read(source) for source in listing.sources]
        return cls(folder, engines, pages, listing.problems)


@dataclass(frozen=True, slots=True)
class _Places:
    """What the links of a site may lead to."""

    folder: Folder
    by_source: Mapping[str, str]
    pages: frozenset[str]

    @classmethod
    def of(cls, folder: Folder, sources: tuple[SourceFile, ...]) -> _Places:
        by_source = {source.name: source.page for source in sources}
        return cls(folder, by_source, frozenset(by_source.values()))

    def page_from(self, source: str) -> str | None:
        return self.by_source.get(source)

    def has_page(self, path: str) -> bool:
        return path in self.pages

    def file_version(self, path: str) -> str | None:
        real = self.folder.file(path)
        if real is None:
            return None
        try:
            status = os.stat(real)
        except OSError:
            return None  # it went between the two looks
        return sha256(f"{status.st_mtime_ns} {status.st_size}".encode()).hexdigest()[:8]


def _log(problems: Iterable[PageError]) -> None:
    for problem in problems:
        logger.warning("%s", problem)
