"""What stands before every HTTP route: host, origin, who it is; and the headers of every answer.

The same checks as the gate's before a WebSocket. A route below the guard finds its visitor in
`request.state.visitor`, and decides by itself what that visitor may see. A token in the query of a
page becomes a cookie here, and leaves the URL.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from engineroom.errors import AccessDenied

from .access import COOKIE_SECONDS, Visitor
from .asgi_sockets import request_of
from .denials import Denials
from .gate import OWN_PREFIX, Checks, Request
from .headers import SECURITY_HEADERS

HEALTH_PATH = "/-/health"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Message: TypeAlias = MutableMapping[str, Any]


class Guard:
    """Lets through HTTP requests of known visitors, and all that is no HTTP request."""

    def __init__(self, app: ASGIApp, checks: Checks, denials: Denials) -> None:
        self._app = app
        self._checks = checks
        self._denials = denials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        request = request_of(scope)
        try:
            answer = self._answer(scope, request)
        except AccessDenied as denied:
            answer = self._denials.answer(request, denied)
        await (answer or self._app)(scope, receive, send)

    def _answer(self, scope: Scope, request: Request) -> Response | None:
        """None when the request may go on; the visitor is in its state then."""
        self._checks.check_host(request)
        if scope["path"] == HEALTH_PATH:
            return None
        if scope["method"] not in SAFE_METHODS:
            self._checks.check_origin(request)
        if request.query_token is not None and _is_page(scope, request):
            return self._cookie_for_token(scope, request, request.query_token)
        scope.setdefault("state", {})["visitor"] = self._checks.visitor(request)
        return None

    def _cookie_for_token(self, scope: Scope, request: Request, token: str) -> Response:
        known = self._checks.from_cookie(request)
        brought = self._checks.access.from_token(token)
        if brought is None and known is None:
            brought = self._checks.visitor(request)  # raises, unless the server is open to all
        answer = RedirectResponse(_without_token(request), status_code=303)
        answer.headers["cache-control"] = "no-store"
        if brought is not None:
            self._set_cookie(answer, known.joined(brought) if known else brought, scope)
        return answer

    def _set_cookie(self, answer: Response, visitor: Visitor, scope: Scope) -> None:
        answer.set_cookie(
            self._checks.cookie_name,
            self._checks.access.cookie_for(visitor, time.time()),
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="lax",
            secure=scope.get("scheme") == "https",
        )


def _is_page(scope: Scope, request: Request) -> bool:
    return scope["method"] in ("GET", "HEAD") and not request.raw_path.startswith(OWN_PREFIX)


def _without_token(request: Request) -> str:
    """The same URL without its token. Its path begins with one slash, so that it cannot name
    another host.
    """
    pairs = parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)
    query = urlencode([(name, value) for name, value in pairs if name != "token"])
    path = "/" + request.raw_path.decode("latin-1").lstrip("/\\")
    return f"{path}?{query}" if query else path


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
