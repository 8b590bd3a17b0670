"""HTTP requests as they are seen from outside: an id for each, a line in the log, a count.

Stands before everything else. A request brings its id (`X-Request-Id`) or is given one; it is in every line that is
logged on its behalf, and in the answer. Queries are not logged: tokens stand there.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections import Counter
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from .logs import Bound
from .logs import request as request_of_context

logger = logging.getLogger("engineroom.http")

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_PATH_CHARACTERS = 300


class HttpLog:
    """An ASGI application before another one. `answers` counts by method and status."""

    def __init__(self, app: ASGIApp, answers: Counter[tuple[str, int]]) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated = Headers(scope=scope).get("x-request-id", "")
        name = stated if _ID.fullmatch(stated) else secrets.token_hex(8)
        status, started = 0, time.perf_counter()

        async def send_with_id(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = name
            await send(message)

        bound = Bound(name)
        outer = request_of_context.set(bound)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._note(scope, status or 500, time.perf_counter() - started)
            bound.over = True
            request_of_context.reset(outer)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._answers[method, status] += 1
        level = logging.ERROR if status >= 500 and status != 503 else logging.DEBUG
        if logger.isEnabledFor(level):
            path = scope["path"][:MAX_PATH_CHARACTERS]
            fields = {
                "method": method,
                "path": path,
                "status": status,
                "seconds": round(seconds, 4),
            }
            logger.log(level, "%s %s: %d", method, ascii(path)[1:-1], status, extra=fields)
