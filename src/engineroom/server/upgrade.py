"""The upgrade request and its refusal, as bytes. Pure; sockets are elsewhere.

uvicorn has parsed the request and hands it on as `name: value` lines. picows parses it once more
and is stricter than browsers are (it takes `Connection: Upgrade` alone, where Firefox sends
`keep-alive, Upgrade`). So it is checked here against RFC 6455, section 4.2.1, and picows is given a
request of our own making with the client's key.
"""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus

from engineroom.errors import AccessDenied

from .request import Request

MAX_REQUEST_BYTES = 16 << 10


def parse_upgrade(
    data: bytes,
    local_address: str | None,
    peer_address: str | None = None,
    *,
    is_secure: bool = False,
) -> tuple[Request, bytes]:
    """The request in `data`, and its `Sec-WebSocket-Key`; the rest is as in `Request`.

    Raises:
        AccessDenied: statuses 400, 405, 426, 431: it is no upgrade to a WebSocket of version 13.
    """
    if len(data) > MAX_REQUEST_BYTES:
        raise AccessDenied("The request's headers are too long.", 431)
    head, *lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    method, _, rest = head.partition(b" ")
    target = rest.rpartition(b" ")[0]
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name.strip().lower(), value.strip()))
    raw_path, _, query = target.partition(b"?")
    request = Request(
        raw_path,
        query,
        headers,
        local_address,
        peer_address=peer_address,
        is_secure=is_secure,
    )
    if method != b"GET":
        raise AccessDenied("A WebSocket is opened with GET.", 405)
    return request, _checked_key(request)


def _checked_key(request: Request) -> bytes:
    if request.values(b"sec-websocket-version") != ["13"]:
        raise AccessDenied("Only version 13 of the WebSocket protocol is spoken here.", 426)
    keys = request.values(b"sec-websocket-key")
    try:
        valid = len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == 16
    except (binascii.Error, ValueError):
        valid = False
    if not valid:
        raise AccessDenied("The request has no valid Sec-WebSocket-Key.", 400)
    return keys[0].encode()


def upgrade_request(key: bytes) -> bytes:
    """The request that picows is given: the least it accepts, with the client's key."""
    return (
        b"GET / HTTP/1.1\r\nHost: room\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % key
    )


def refusal_headers(status: int, text: str) -> list[tuple[bytes, bytes]]:
    """The headers of a refusal, for any transport."""
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(text.encode())),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == HTTPStatus.UPGRADE_REQUIRED:
        headers.append((b"sec-websocket-version", b"13"))
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers.append((b"retry-after", b"2"))
    return headers


def refusal(status: int, text: str) -> bytes:
    """A whole HTTP response that says why there is no WebSocket, after which the connection is
    closed.
    """
    lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())]
    lines += [name + b": " + value for name, value in refusal_headers(status, text)]
    lines += [b"connection: close", b"", text.encode()]
    return b"\r\n".join(lines)
