"""What stands before every HTTP route: host, origin, who it is; and the headers of every answer.

The same checks as the gate's before a WebSocket. A route below the guard finds its visitor with `visitor_of`, and
decides by itself what that visitor may see; what is for those alone who look after the server begins with `admin_of`.
A token in the query of a page becomes a cookie here, and leaves the URL. Pages of other origins that the settings
allow may read what programs are served (CORS); nobody else's may.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request as HttpRequest
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from engineroom.errors import AccessDenied

from .access import COOKIE_SECONDS
from .asgi_sockets import request_of
from .checks import Checks
from .denials import Denials
from .headers import CORS_MAX_AGE_SECONDS, CORS_METHODS, EXPOSED_HEADERS, SECURITY_HEADERS
from .request import Request
from .visitors import Visitor

PUBLIC_PATHS = frozenset({b"/-/health", b"/healthz", b"/readyz", b"/metrics"})
"""What anybody may ask: it says whether the server is well, and nothing of what it keeps. `/metrics` has a token of its
own, and asks for it itself.
"""

SHARED_PREFIXES = (b"/api/", b"/y-sweet/")
"""For programs, also those in pages of other origins that the settings allow."""

PROGRAM_PREFIXES = (b"/-/", *SHARED_PREFIXES)
"""Where a token in the query stays one: who asks there is no person with a browser's address bar."""

ADMIN_PATH = b"/-/admin"
"""A page of people's below them."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADER_NAMES = re.compile(r"[A-Za-z0-9, -]{1,1000}")

Message: TypeAlias = MutableMapping[str, Any]


def visitor_of(request: HttpRequest) -> Visitor:
    """Who asks, behind the guard."""
    visitor = request.state.visitor
    assert isinstance(visitor, Visitor)
    return visitor


def admin_of(request: HttpRequest) -> Visitor:
    """Who asks, when it has the admin right everywhere.

    Raises:
        AccessDenied: status 403.
    """
    visitor = visitor_of(request)
    if not visitor.is_admin:
        raise AccessDenied(
            "This is for those with the admin right, as the server's token has.", 403
        )
    return visitor


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
        request = request_of(scope)
        scope = self._as_seen_outside(scope, request)
        cors = self._cors(request)
        send = _with_headers(send, cors)
        try:
            answer = await self._answer(scope, request, cors)
        except AccessDenied as denied:
            answer = self._denials.answer(request, denied)
        await (answer or self._app)(scope, receive, send)

    def _as_seen_outside(self, scope: Scope, request: Request) -> Scope:
        """The scope with the scheme and the address that the visitor's browser has, before all proxies of ours."""
        proxies = self._checks.proxies
        seen = {**scope, "scheme": "https" if proxies.is_secure(request) else "http"}
        source = proxies.source(request)
        if source and source != request.peer_address:
            seen["client"] = (source, 0)
        return seen

    def _cors(self, request: Request) -> Mapping[str, str]:
        """The headers that let a page of an allowed origin read the answer. Source: Fetch, "CORS protocol"."""
        if not request.raw_path.startswith(SHARED_PREFIXES):
            return {}
        origin = self._checks.rules.listed_origin(request.values(b"origin"))
        if origin is None:
            return {"vary": "origin"}
        return {
            "vary": "origin",
            "access-control-allow-origin": origin,
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": EXPOSED_HEADERS,
        }

    async def _answer(
        self, scope: Scope, request: Request, cors: Mapping[str, str]
    ) -> Response | None:
        """None when the request may go on; the visitor is in its state then."""
        self._checks.check_host(request)
        if request.raw_path in PUBLIC_PATHS:
            return None
        if _is_preflight(scope, request) and "access-control-allow-origin" in cors:
            return _preflight(request)
        if scope["method"] not in SAFE_METHODS:
            await self._checks.check_origin(request)
        if request.query_token is not None and _is_page(scope, request):
            return await self._cookie_for_token(request, request.query_token)
        scope.setdefault("state", {})["visitor"] = await self._checks.visitor(request)
        return None

    async def _cookie_for_token(self, request: Request, token: str) -> Response:
        known = self._checks.from_cookie(request)
        brought = await self._checks.access.visitor_of_token(token)
        if brought is None and known is None:
            # Raises, unless the server is open to all.
            brought = await self._checks.visitor(request)
        answer = RedirectResponse(_without_token(request), status_code=303)
        answer.headers["cache-control"] = "no-store"
        if brought is not None:
            self._set_cookie(answer, known.joined(brought) if known else brought, request)
        return answer

    def _set_cookie(self, answer: Response, visitor: Visitor, request: Request) -> None:
        answer.set_cookie(
            self._checks.cookie_name,
            self._checks.access.cookie_for(visitor, time.time()),
            max_age=COOKIE_SECONDS,
            path=request.prefix + "/",
            httponly=True,
            samesite="lax",
            secure=self._checks.proxies.is_secure(request),
        )


def _is_page(scope: Scope, request: Request) -> bool:
    of_people = request.raw_path == ADMIN_PATH or not request.raw_path.startswith(PROGRAM_PREFIXES)
    return scope["method"] in ("GET", "HEAD") and of_people


def _is_preflight(scope: Scope, request: Request) -> bool:
    return scope["method"] == "OPTIONS" and bool(request.values(b"access-control-request-method"))


def _preflight(request: Request) -> Response:
    """What a browser asks before a page's request, without credentials. The request itself is asked who it is."""
    answer = Response(status_code=204)
    answer.headers["access-control-allow-methods"] = CORS_METHODS
    answer.headers["access-control-max-age"] = str(CORS_MAX_AGE_SECONDS)
    asked = ", ".join(request.values(b"access-control-request-headers"))
    if _HEADER_NAMES.fullmatch(asked):
        answer.headers["access-control-allow-headers"] = asked
    return answer


def _without_token(request: Request) -> str:
    """The same URL without its token. Its path begins with one slash, so that it cannot name
    another host.
    """
    pairs = parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)
    query = urlencode([(name, value) for name, value in pairs if name != "token"])
    path = request.prefix.rstrip("/") + "/" + request.raw_path.decode("latin-1").lstrip("/\\")
    return f"{path}?{query}" if query else path


def _with_headers(send: Send, cors: Mapping[str, str]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            for name, value in cors.items():
                if name == "vary":
                    headers.add_vary_header(value)
                else:
                    headers[name] = value
        await send(message)

    return send_with_headers
