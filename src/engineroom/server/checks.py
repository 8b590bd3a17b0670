"""What every request is asked, HTTP or WebSocket: is it meant for us, from where does it come, whose is it.

It knows headers and credentials; what the visitor may do where, others ask.
"""

from __future__ import annotations

from engineroom.errors import AccessDenied

from .access import Access
from .hosts import HostRules
from .proxies import Proxies
from .request import Request
from .visitors import Visitor


class Checks:
    """What every request is asked. `proxies` know where it comes from."""

    def __init__(
        self,
        rules: HostRules,
        access: Access,
        cookie_name: str,
        *,
        proxies: Proxies | None = None,
    ) -> None:
        self.rules = rules
        self.access = access
        self.cookie_name = cookie_name
        self.proxies = proxies or Proxies()

    def check_host(self, request: Request) -> None:
        """Refuses names that are not ours.

        Raises:
            AccessDenied: status 421 (Misdirected Request).
        """
        if not self.rules.allows_host(request.values(b"host"), request.local_address):
            raise AccessDenied(
                "This server does not answer to that host name (see --allow-host).", 421
            )

    async def check_origin(self, request: Request) -> None:
        """Refuses pages of other sites; to be asked after `check_host`. A token that is valid proves that the page is
        none: no foreign page can have it, while a browser adds a cookie by itself.

        Raises:
            AccessDenied: status 403.
        """
        if self._is_ours(request):
            return
        for token in (request.bearer_token, request.query_token):
            if token is not None and await self.access.visitor_of_token(token):
                return
        raise AccessDenied("Requests from that origin are refused (see --allow-origin).", 403)

    async def visitor(self, request: Request) -> Visitor:
        """Who asks. A token in the header or the query is asked first, then the cookie.

        Raises:
            AccessDenied: status 401; status 503: it cannot be told now.
        """
        for token in (request.bearer_token, request.query_token):
            if token is not None:
                return await self._holder(token)
        visitor = self.from_cookie(request) or self.access.anybody()
        if visitor is None:
            raise AccessDenied(
                "Open the URL that the server printed, or a link that was shared. "
                "A program shows its token as `Authorization: Bearer …`, or as `?token=…`.",
                401,
            )
        return visitor

    def from_cookie(self, request: Request) -> Visitor | None:
        """The visitor whom the cookie names, if it is valid."""
        cookie = request.cookie(self.cookie_name)
        return None if cookie is None else self.access.from_cookie(cookie)

    async def _holder(self, token: str) -> Visitor:
        visitor = await self.access.visitor_of_token(token) or self.access.anybody()
        if visitor is None:
            raise AccessDenied("That token is not valid here.", 401)
        return visitor

    def _is_ours(self, request: Request) -> bool:
        origins = request.values(b"origin")
        # A browser that leaves the origin out still says when another site has made it ask. Source: Fetch Metadata.
        if not origins and request.values(b"sec-fetch-site") == ["cross-site"]:
            return False
        return self.rules.allows_origin(origins, request.values(b"host")[0])
