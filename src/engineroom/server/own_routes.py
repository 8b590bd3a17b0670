"""The server's own URLs, below `/-/`: the browser's bundle, the frame of outputs, whole outputs, health."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from engineroom.errors import AccessDenied, AddressError
from engineroom.rooms.address import Address

from .asgi_sockets import request_of
from .authority import Authority
from .files import FOR_EVER, REVALIDATE, file_answer
from .guard import visitor_of
from .headers import FRAME_POLICY

STATIC_FOLDER = Path(__file__).parent / "static"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# Vite puts eight characters of the content's hash before the ending of all but its two entries.
_HASHED = re.compile(r".+-[A-Za-z0-9_-]{8}\.[a-z0-9]+(\.map)?")


class KeptOutputs(Protocol):
    """Where whole outputs are, of which documents hold only the end."""

    def find(self, path: str, evaluation: str, index: int) -> Path | None:
        """The file of an output of the room `path`, when there is one."""


class OwnRoutes:
    """The handlers; `static` is the folder with the bundle in it."""

    def __init__(self, authority: Authority, outputs: KeptOutputs, static: Path) -> None:
        self._authority = authority
        self._outputs = outputs
        self._folders = (static / "bundle", static)

    def routes(self) -> list[Route]:
        """For the router."""
        return [
            Route("/-/static/{path:path}", self.static),
            Route("/-/frame", self.frame),
            Route("/-/outputs/{evaluation}/{index:int}/{address:path}", self.output),
        ]

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

    async def output(self, request: HttpRequest) -> Response:
        """The whole of an output, for who may read its room."""
        asked = request.path_params
        address = _address(asked["address"])
        visitor = await self._authority.at(request_of(request.scope), visitor_of(request), address)
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
