"""The server's own URLs, below `/-/`: the browser's bundle, the frame of outputs, sharing, health."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Protocol
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from engineroom.errors import AccessDenied, AddressError
from engineroom.pages.names import page_url
from engineroom.rooms.address import Address

from .access import Access, Visitor, parse_rights
from .asgi_sockets import request_of
from .files import FOR_EVER, REVALIDATE, file_answer
from .headers import FRAME_POLICY
from .live_site import SHARED_ROOM

STATIC_FOLDER = Path(__file__).parent / "static"
MAX_SHARE_BYTES = 8 << 10
MAX_SHARE_SECONDS = 10 * 365 * 24 * 3600
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# Vite puts eight characters of the content's hash before the ending of all but its two entries.
_HASHED = re.compile(r".+-[A-Za-z0-9_-]{8}\.[a-z0-9]+(\.map)?")


class ShareRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /-/share`: a room, the rights to give, and for how long (None: no end)."""

    address: str
    rights: list[str]
    seconds: Annotated[float, msgspec.Meta(gt=0, le=MAX_SHARE_SECONDS)] | None = None


class ShareAnswer(msgspec.Struct, frozen=True):
    """Its answer: the token, and the page's URL with it (path and query); None for a document
    alone.
    """

    token: str
    url: str | None


class KeptOutputs(Protocol):
    """Where whole outputs are, of which documents hold only the end."""

    def find(self, path: str, evaluation: str, index: int) -> Path | None:
        """The file of an output of the room `path`, when there is one."""


class OwnRoutes:
    """The handlers; `static` is the folder with the bundle in it."""

    def __init__(self, access: Access, outputs: KeptOutputs, static: Path) -> None:
        self._access = access
        self._outputs = outputs
        self._folders = (static / "bundle", static)

    def routes(self) -> list[Route]:
        """For the router."""
        return [
            Route("/-/health", self.health),
            Route("/-/static/{path:path}", self.static),
            Route("/-/frame", self.frame),
            Route("/-/share", self.share, methods=["POST"]),
            Route("/-/outputs/{evaluation}/{index:int}/{address:path}", self.output),
        ]

    async def health(self, _request: HttpRequest) -> Response:
        """That the server answers, and nothing else: anybody may ask."""
        headers = {"cache-control": "no-store"}
        return Response(b'{"status":"ok"}', media_type="application/json", headers=headers)

    async def static(self, request: HttpRequest) -> Response:
        """A file of the bundle, or beside it."""
        parts = request.path_params["path"].split("/")
        if all(_PART.fullmatch(part) for part in parts):
            cache_control = FOR_EVER if _HASHED.fullmatch(parts[-1]) else REVALIDATE
            for folder in self._folders:
                path = folder.joinpath(*parts)
                answer = file_answer(path, request_of(request.scope), cache_control=cache_control)
                if answer is not None:
                    return answer
        raise AccessDenied("There is no such file.", 404)

    async def frame(self, request: HttpRequest) -> Response:
        """The document in which outputs are shown, apart from the page."""
        path = self._folders[1] / "frame.html"
        answer = file_answer(path, request_of(request.scope), cache_control=REVALIDATE)
        assert answer is not None, "frame.html is part of the package"
        answer.headers["content-security-policy"] = FRAME_POLICY
        return answer

    async def share(self, request: HttpRequest) -> Response:
        """A token for one room, with rights that its giver has there."""
        visitor: Visitor = request.state.visitor
        asked = await _read_share(request)
        address = _address(asked.address)
        rights = parse_rights(asked.rights)
        if not rights <= visitor.rights(address):
            raise AccessDenied("You can give only rights that you have in this room.", 403)
        ends = [] if asked.seconds is None else [time.time() + asked.seconds]
        if (end := visitor.end(address)) is not None:  # no link outlives the one it came from
            ends.append(end)
        expires = min(ends, default=None)
        token = self._access.share(address, rights, expires=expires)
        body = msgspec.json.encode(ShareAnswer(token, _shared_url(address, token)))
        return Response(body, media_type="application/json", headers={"cache-control": "no-store"})

    async def output(self, request: HttpRequest) -> Response:
        """The whole of an output, for who may read its room."""
        visitor: Visitor = request.state.visitor
        asked = request.path_params
        address = _address(asked["address"])
        if "read" not in visitor.rights(address):
            raise AccessDenied("You have no right to enter this room.", 403)
        path = self._outputs.find(str(address), asked["evaluation"], asked["index"])
        answer = path and file_answer(
            path, request_of(request.scope), cache_control="private, no-cache"
        )
        if not answer:
            raise AccessDenied("That output is not kept (any more).", 404)
        return answer


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except AddressError as error:
        raise AccessDenied(str(error), 400) from error


async def _read_share(request: HttpRequest) -> ShareRequest:
    # A form of another site can post without asking first, but never as JSON.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise AccessDenied("Send JSON (Content-Type: application/json).", 415)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_SHARE_BYTES:
            raise AccessDenied(f"The body has at most {MAX_SHARE_BYTES} bytes.", 413)
    try:
        return msgspec.json.decode(body, type=ShareRequest)
    except msgspec.DecodeError as error:
        raise AccessDenied(f"The body is not valid: {error}", 400) from error


def _shared_url(address: Address, token: str) -> str | None:
    if address.page is None:
        return None
    room = {} if address.room == SHARED_ROOM else {"room": address.room}
    return f"{page_url(address.page)}?{urlencode(room | {'token': token})}"
