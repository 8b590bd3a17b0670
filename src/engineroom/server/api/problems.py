"""Refusals of the API: `application/problem+json` with a `code` that stays, for programs to match on.

It knows statuses and texts; it knows no routes. Texts may name what the client sent, never what a document holds.

Source: RFC 9457.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from engineroom.errors import (
    AccessDenied,
    AddressError,
    EngineroomError,
    LimitExceeded,
    ProtocolError,
    RoomClosed,
    StoreError,
)

logger = logging.getLogger("engineroom.api")

Handler: TypeAlias = Callable[[HttpRequest], Awaitable[Response]]

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:engineroom:problem:"
RETRY_AFTER_SECONDS = 2

TITLES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "bad_address": (400, "That is no address of a document"),
        "bad_body": (400, "The body cannot be read"),
        "bad_query": (400, "The query cannot be read"),
        "bad_state_vector": (400, "The state vector cannot be read"),
        "bad_update": (400, "The update cannot be read"),
        "bad_key": (400, "The idempotency key cannot be used"),
        "roots_missing": (400, "Name the roots to read"),
        "not_authenticated": (401, "Say who you are"),
        "forbidden": (403, "You have no right to do this"),
        "not_found": (404, "There is nothing here"),
        "method_not_allowed": (405, "That is not possible here"),
        "not_acceptable": (406, "No form of it fits your Accept header"),
        "timeout": (408, "The body took too long"),
        "exists": (409, "It exists already"),
        "other_history": (409, "The update is of another history of this document"),
        "changed": (412, "The document is not as you expect it"),
        "too_large": (413, "The body is too large"),
        "unsupported_media_type": (415, "The body has a type that is not taken here"),
        "misdirected": (421, "This server does not answer to that host name"),
        "operation_failed": (422, "An operation cannot be made"),
        "key_reused": (422, "The idempotency key stands for another request"),
        "unreadable_root": (422, "A root cannot be read as that"),
        "limit": (429, "A limit is reached"),
        "failed": (500, "The server failed"),
        "unavailable": (503, "The document cannot be had now"),
        "timed_out": (504, "The document was not stored in time"),
    }
)
"""Code to status and title; the reference lists them, and a test holds both equal."""


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A refusal, as the client gets it. `code` never changes its meaning; `operation` is the index of the operation
    at fault; `limit` names the setting that was reached.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    operation: int | None = None
    limit: str | None = None


class Problem(EngineroomError):
    """A request that is refused. Raised anywhere below a route of the API."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        operation: int | None = None,
        limit: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        status, title = TITLES[code]
        super().__init__(detail or title)
        self.code = code
        self.status = status
        self.title = title
        self.detail = detail
        self.operation = operation
        self.limit = limit
        self.headers = dict(headers or {})

    def answer(self) -> Response:
        """The response that says it."""
        body = ProblemBody(
            type=TYPE_PREFIX + self.code,
            title=self.title,
            status=self.status,
            code=self.code,
            detail=self.detail,
            operation=self.operation,
            limit=self.limit,
        )
        headers = {"cache-control": "no-store", **self.headers}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        if self.status in (429, 503):
            headers.setdefault("retry-after", str(RETRY_AFTER_SECONDS))
        return Response(
            msgspec.json.encode(body), self.status, media_type=MEDIA_TYPE, headers=headers
        )


_OF_STATUS = {
    400: "bad_query",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "other_history",
    413: "too_large",
    415: "unsupported_media_type",
    421: "misdirected",
    503: "unavailable",
}


def problem_of(error: EngineroomError) -> Problem:
    """The problem that an error of the layers below is to a client."""
    match error:
        case Problem():
            return error
        case AccessDenied():
            return Problem(_OF_STATUS.get(error.status, "forbidden"), error.reason)
        case AddressError():
            return Problem("bad_address", str(error))
        case ProtocolError():
            return Problem("bad_update", error.reason)
        case LimitExceeded():
            return Problem("limit", str(error), limit=error.limit)
        case RoomClosed() | StoreError():
            return Problem("unavailable", str(error))
        case _:
            return Problem("failed")


def answered(handler: Handler) -> Handler:
    """The handler of a route, whose refusals are answered as problems. A fault of ours is logged, and not told."""

    async def answer(request: HttpRequest) -> Response:
        try:
            return await handler(request)
        except EngineroomError as error:
            return problem_of(error).answer()
        except Exception:
            logger.exception("a request to the API failed")
            return Problem("failed", "The server's log says why.").answer()

    return answer
