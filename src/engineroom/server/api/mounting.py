"""The API's routes with all that they need, for the server's router."""

from __future__ import annotations

from typing import Protocol

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from engineroom.server.authority import Authority

from .admitting import Admitting
from .description import DOCUMENT_OPERATIONS, describe
from .documents import Documents
from .past import Past
from .routes import DocumentRoutes
from .version_description import VERSION_OPERATIONS
from .versions import VersionRoutes

DESCRIPTION_PATH = "/api/openapi.json"


class Parts(Protocol):
    """What is needed of `Services`."""

    @property
    def authority(self) -> Authority:
        """Who says what a visitor may do."""

    @property
    def documents(self) -> Documents:
        """The documents."""

    @property
    def past(self) -> Past:
        """Their past."""

    @property
    def http_body_bytes(self) -> int:
        """The longest body of an update."""


def api_routes(parts: Parts) -> list[Route]:
    """For the router, before the routes of the site."""
    admitting = Admitting(parts.authority)
    documents = DocumentRoutes(
        parts.documents, body_bytes=parts.http_body_bytes, admit=admitting.at
    )
    routes = [*VersionRoutes(parts.past).routes(), *documents.routes()]
    description = describe((*DOCUMENT_OPERATIONS, *VERSION_OPERATIONS))

    async def describing(_request: HttpRequest) -> Response:
        """The API, as OpenAPI."""
        headers = {"cache-control": "no-cache"}
        return Response(description, media_type="application/json", headers=headers)

    return [*admitting.before(routes), Route(DESCRIPTION_PATH, describing)]
