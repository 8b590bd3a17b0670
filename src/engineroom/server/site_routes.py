"""The pages, and the files beside them. HTTP starts nothing: a page's room is made by the first one
who joins it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import unquote, urlencode

from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from engineroom.errors import AccessDenied, AddressError
from engineroom.pages import Page, Site, render_message, render_page
from engineroom.pages.names import page_of_url, page_url
from engineroom.rooms.address import Address

from .asgi_sockets import request_of
from .authority import Authority
from .files import REVALIDATE, file_answer, media_type
from .live_site import SHARED_ROOM, LiveSite
from .room_names import new_room_name
from .visitors import Visitor

NO_PAGE = "There is no page here."
DELETED = (
    "What was in this room has been deleted. The page without the room's name opens a new one."
)
DELETED_SHARED = (
    "What was on this page has been deleted. It stays closed until its document is created anew."
)
DOCUMENTS_ALONE = """This server keeps shared documents, for any Yjs client: connect y-websocket to this \
server's address, and name the document.

It was started without a folder of pages. To serve pages too, start it with one: engineroom serve FOLDER"""


class SiteRoutes:
    """The handlers for every URL that is not the server's own."""

    def __init__(
        self, live: LiveSite, authority: Authority, *, is_deleted: Callable[[Address], bool]
    ) -> None:
        """`is_deleted` says of a room's address whether its document was deleted: nobody can join there."""
        self._live = live
        self._authority = authority
        self._is_deleted = is_deleted

    def routes(self) -> list[Route]:
        """For the router, after all others."""
        return [Route("/rooms/{path:path}", self.room), Route("/{path:path}", self.show)]

    async def room(self, _request: HttpRequest) -> Response:
        """Rooms are for WebSockets."""
        raise AccessDenied("A room is entered through a WebSocket.", 426)

    async def show(self, request: HttpRequest) -> Response:
        """A page, or a file beside the pages."""
        visitor: Visitor = request.state.visitor
        path: str = request.path_params["path"]
        site = self._live.current
        if site is None:
            return _documents_alone(path, visitor)
        page = site.page(page_of_url("/" + path))
        if page is not None:
            return await self._page(page, site, visitor, request)
        return await self._file(path, site, visitor, request)

    # --- pages -------------------------------------------------------------------------------

    async def _page(
        self, page: Page, site: Site, visitor: Visitor, request: HttpRequest
    ) -> Response:
        # Compared decoded: browsers and we do not encode the same characters.
        if "/" + request.path_params["path"] != unquote(page.url):
            return _redirect(page, request, {})
        stated = SHARED_ROOM if page.shared else request.query_params.get("room")
        address = _address(page, _any_room(page, visitor) if stated is None else stated)
        visitor = await self._authority.at(request_of(request.scope), visitor, address)
        if "read" not in visitor.rights(address):
            raise AccessDenied("The link that you were given is for another room.", 403)
        if self._is_deleted(address):
            raise AccessDenied(DELETED_SHARED if page.shared else DELETED, 404)
        if stated is None:
            return _redirect(page, request, {"room": address.room})
        guest = not visitor.reads_everything
        text = render_page(page, site, room=address.room, address=str(address), guest=guest)
        return HTMLResponse(text, headers={"cache-control": "private, no-cache"})

    # --- files -------------------------------------------------------------------------------

    async def _file(
        self, path: str, site: Site, visitor: Visitor, request: HttpRequest
    ) -> Response:
        file = await asyncio.to_thread(site.file, path)
        is_image = file is not None and media_type(file).startswith("image/")
        if not (visitor.reads_everything or is_image):
            raise AccessDenied("The link that you were given is for one room alone.", 403)
        if file is not None:
            answer = file_answer(file, request_of(request.scope), cache_control=REVALIDATE)
            if answer is not None:
                return answer
        return _elsewhere(path, site, request)


def _elsewhere(path: str, site: Site, request: HttpRequest) -> Response:
    """Where the page is that this path nearly names."""
    near = [path.rstrip("/"), path.rstrip("/") + "/index", path.removesuffix("index") + "index"]
    for name in near if path else []:
        page = site.page(name)
        if page is not None:
            return _redirect(page, request, {})
    if not path and site.pages:
        return _redirect(site.pages[0], request, {})
    raise AccessDenied(NO_PAGE, 404)


def _redirect(page: Page, request: HttpRequest, more: dict[str, str]) -> Response:
    query = urlencode([*request.query_params.multi_items(), *more.items()])
    url = page_url(page.path)
    answer = RedirectResponse(f"{url}?{query}" if query else url, status_code=303)
    answer.headers["cache-control"] = "no-store"
    return answer


def _address(page: Page, room: str) -> Address:
    try:
        return Address.parse(f"{page.path}@{room}")
    except AddressError as error:
        raise AccessDenied(str(error), 404) from error


def _any_room(page: Page, visitor: Visitor) -> str:
    """The room of this page that a visitor means who names none: the one that it was let into, or a new one."""
    let_into = [] if visitor.everything else visitor.rooms(page.path)
    return let_into[-1] if let_into else new_room_name()


def _documents_alone(path: str, visitor: Visitor) -> Response:
    if not visitor.reads_everything:
        raise AccessDenied("The link that you were given is for one room alone.", 403)
    if path:
        raise AccessDenied(NO_PAGE, 404)
    return HTMLResponse(render_message("Engineroom", DOCUMENTS_ALONE, status=200))
