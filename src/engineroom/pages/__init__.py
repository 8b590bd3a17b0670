"""Pages: a folder of Markdown becomes a site, and each of its pages a plan of what its rooms hold.

    site = Site.load(Path("notes"))             every page read and rendered; raises PageError without the folder
    site.page("write")                          -> Page | None; page.plan, page.html, page.problems, page.version
    site.file("pictures/pump.svg")              -> Path | None; a file beside the pages, never outside, never hidden
    render_page(page, site, room="abc", address="write@abc")    -> the whole HTML document
    render_message("Not found", "…", status=404, site=site)     -> an error page in the same look
    async for changed in watch(site.folder): ...                then site = await asyncio.to_thread(site.reload)

Pages know `rooms.plan` and nothing of open rooms, programs, sockets or HTTP. They read files and write none.
The HTML that browsers get is described in `template.py` (the document) and in `elements.py` (the live elements);
both are a contract with `web/`. Every tag and attribute stands in one table, `tags.py`, which also feeds the docs.
"""

from .folder import Folder
from .menu import MenuItem
from .names import page_of_url, page_url
from .page import Heading, Page
from .site import Site
from .template import render_message, render_page
from .watch import watch

__all__ = [
    "Folder",
    "Heading",
    "MenuItem",
    "Page",
    "Site",
    "page_of_url",
    "page_url",
    "render_message",
    "render_page",
    "watch",
]
