"""What a request asks for: the address in its path, the visitor's right to it, its body.

Nothing here is trusted and everything is bounded: a body is read piece by piece, up to a number of bytes and for so
many seconds. It knows requests; it knows no documents.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from engineroom.errors import AddressError
from engineroom.rooms.address import Address

from .problems import Problem

BODY_SECONDS = 30.0
MAX_QUERY_FIELDS = 100

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain"
UPDATE_TYPE = "application/vnd.yjs.update"
BYTES_TYPE = "application/octet-stream"
UPDATE_TYPES = frozenset({UPDATE_TYPE, BYTES_TYPE})

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def address_of(request: HttpRequest) -> Address:
    """The document that the path names, in its parameter `address`.

    Raises:
        Problem: `bad_address`.
    """
    try:
        return Address.parse(request.path_params["address"])
    except AddressError as error:
        raise Problem("bad_address", str(error)) from error


def user_of(request: HttpRequest) -> str:
    """The visitor's id, as the log of a document keeps it."""
    return str(request.state.visitor.user)


def rights_of(request: HttpRequest, address: Address) -> frozenset[str]:
    """What the visitor may do with the document."""
    return frozenset(request.state.visitor.rights(address))


def require(request: HttpRequest, address: Address, right: str) -> None:
    """Let the visitor on when it has `right` (read, write, run or admin) in the document at `address`.

    Raises:
        Problem: `forbidden`.
    """
    if right not in rights_of(request, address):
        raise Problem("forbidden", f"This needs the right {right!r} in {str(address)!r}.")


def content_type(request: HttpRequest) -> str:
    """The media type of the body, in lower case, without parameters; empty when none is stated."""
    return str(request.headers.get("content-type", "")).partition(";")[0].strip().lower()


async def read_body(
    request: HttpRequest, max_bytes: int, *, seconds: float = BODY_SECONDS
) -> bytes:
    """The whole body.

    Raises:
        Problem: `too_large` as soon as it is known to be; `timeout`; `bad_body`, the client went away.
    """
    too_large = Problem("too_large", f"At most {max_bytes} bytes are taken here.")
    stated = request.headers.get("content-length", "")
    if stated.isascii() and stated.isdigit() and int(stated[:20]) > max_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > max_bytes:
                    raise too_large
    except TimeoutError:
        reason = f"The body did not come within {seconds:g} seconds."
        raise Problem("timeout", reason, headers={"connection": "close"}) from None
    except ClientDisconnect:
        raise Problem("bad_body", "The client went away.") from None
    return bytes(body)


async def read_json(request: HttpRequest, shape: type[_Struct], max_bytes: int) -> _Struct:
    """The JSON body as a `shape`.

    Raises:
        Problem: as `read_body`; `unsupported_media_type`; `bad_body`, with the place of the fault.
    """
    # A form of another site can be posted without asking first; JSON never.
    if content_type(request) != JSON_TYPE:
        raise Problem("unsupported_media_type", f"Send {JSON_TYPE}.")
    return decode_json(await read_body(request, max_bytes), shape)


def decode_json(body: bytes, shape: type[_Struct]) -> _Struct:
    """JSON as a `shape`.

    Raises:
        Problem: `bad_body`, with the place of the fault.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Problem("bad_body", f"The body is not valid: {error}") from None


def query_of(request: HttpRequest) -> list[tuple[str, str]]:
    """The fields of the query, in order, without the token.

    Raises:
        Problem: `bad_query`: there are too many.
    """
    fields = [(k, v) for k, v in request.query_params.multi_items() if k != "token"]
    if len(fields) > MAX_QUERY_FIELDS:
        raise Problem("bad_query", f"At most {MAX_QUERY_FIELDS} fields are taken.")
    return fields


def only(fields: list[tuple[str, str]], *names: str) -> dict[str, str]:
    """The fields by name, when each is one of `names` and stands once.

    Raises:
        Problem: `bad_query`.
    """
    found: dict[str, str] = {}
    for name, value in fields:
        if name not in names:
            raise Problem("bad_query", f"There is no field {name!r} here; there is {names}.")
        if name in found:
            raise Problem("bad_query", f"The field {name!r} stands more than once.")
        found[name] = value
    return found


def whole_number(text: str, name: str, *, least: int, most: int) -> int:
    """The number in `text`.

    Raises:
        Problem: `bad_query`: it is none, or not within the bounds.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise Problem("bad_query", f"{name} is a whole number, not {text[:40]!r}.")
    if not least <= int(text) <= most:
        raise Problem("bad_query", f"{name} is from {least} to {most}.")
    return int(text)
