"""Who asks, with the rights that it has in the document that its request names.

Stands before the handlers of the API: an application that says itself who may do what (`authorize`) is asked once a
request. The right `admin` is the server's own and not the application's to give: what a visitor's credentials say of
it stays. It knows requests and visitors; it knows no documents.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from engineroom.rooms.address import Address
from engineroom.server.asgi_sockets import request_of
from engineroom.server.authority import Authority
from engineroom.server.grants import exactly
from engineroom.server.visitors import Pass, Visitor

from .asked import address_of
from .problems import answered


class Admitting:
    """Asks the authority on behalf of the API."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    async def at(self, request: HttpRequest, address: Address) -> None:
        """From here on `request` has the rights that it has at `address`.

        Raises:
            AccessDenied: the application refuses it, or did not answer in time.
        """
        visitor: Visitor = request.state.visitor
        found = await self._authority.at(request_of(request.scope), visitor, address)
        if found is not visitor and "admin" in visitor.rights(address):
            admin = Pass({exactly(address): frozenset({"admin"})})
            found = replace(found, passes=(*found.passes, admin))
        request.state.visitor = found

    def before(self, routes: Sequence[Route]) -> list[Route]:
        """The routes, each of which asks first when its path names a document."""
        return [
            Route(route.path, self._wrapped(route.endpoint), methods=_methods(route))
            for route in routes
        ]

    def _wrapped(
        self, handler: Callable[[HttpRequest], Awaitable[Response]]
    ) -> Callable[[HttpRequest], Awaitable[Response]]:
        async def admitted(request: HttpRequest) -> Response:
            if "address" in request.path_params:
                await self.at(request, address_of(request))
            return await handler(request)

        return answered(admitted)


def _methods(route: Route) -> list[str]:
    return sorted(route.methods or ())
