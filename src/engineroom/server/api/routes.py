"""The routes of the API: what each asks of a visitor, takes, and answers.

A handler checks the right before it reads a body, and says in a header what it said in the body: number and ETag.
What is done to documents is in `documents`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urlencode

import msgspec
from pycrdt import Array, Doc, Map, Text
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from engineroom.errors import AddressError, ProtocolError
from engineroom.protocols.contents import check_plain_json
from engineroom.rooms.address import Address
from engineroom.rooms.document import EMPTY_UPDATE
from engineroom.rooms.storage import DocumentInfo
from engineroom.server.room_names import new_room_name

from .asked import (
    BYTES_TYPE,
    JSON_TYPE,
    TEXT_TYPE,
    UPDATE_TYPE,
    UPDATE_TYPES,
    address_of,
    content_type,
    decode_json,
    only,
    query_of,
    read_body,
    require,
    rights_of,
    user_of,
    whole_number,
)
from .bodies import Bodies
from .building import Json, build
from .documents import Documents, Order, Outcome, Snapshot
from .keys import digest_of, key_of
from .operations import Patch, change_of, update_of
from .problems import Problem, answered
from .reading import as_json, as_text, offers_for, roots_of
from .representing import choose, condition, is_known

Admit: TypeAlias = Callable[[HttpRequest, Address], Awaitable[None]]

DOCUMENTS_PATH = "/api/documents"
MAX_JSON_BYTES = 4 << 20
LOOKED_AT_ONCE = 500
DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
MAX_STATE_VECTOR_CHARACTERS = 32 << 10


class DocumentEntry(msgspec.Struct, frozen=True):
    """One document of the list. `bytes` is what it takes in the store, `changed` seconds since the epoch."""

    address: str
    url: str
    number: int
    bytes: int
    changed: float
    etag: str


class DocumentList(msgspec.Struct, frozen=True):
    """A page of the list; `next` is the URL of the next one, null at the end."""

    documents: list[DocumentEntry]
    next: str | None


class NewDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document to be created: `roots` by name, each a `{"$text": …}`, `{"$array": …}` or `{"$map": …}`. Without an
    `address` it gets one.
    """

    address: str | None = None
    roots: dict[str, Json] = {}


class ChangeAnswer(msgspec.Struct, frozen=True):
    """What a change came to: the newest number when it was durable, and the ETag of that state. `changed` is false when
    the document had it already, `replayed` true when this idempotency key had done it before.
    """

    address: str
    url: str
    number: int
    etag: str
    changed: bool
    replayed: bool


class DocumentRoutes:
    """The handlers. `body_bytes` bounds the body of an update; `admit` finds out what a visitor may do with a document
    that its body names.
    """

    def __init__(
        self, documents: Documents, *, body_bytes: int, admit: Admit | None = None
    ) -> None:
        self._documents = documents
        self._admit = admit
        self._body_bytes = body_bytes
        self._json_bytes = min(body_bytes, MAX_JSON_BYTES)
        self._bodies = Bodies()

    def routes(self) -> list[Route]:
        """For the router; a document's address may hold slashes, so its own routes come last."""
        one = DOCUMENTS_PATH + "/{address:path}"
        return [
            Route(DOCUMENTS_PATH, answered(self.list), methods=["GET"]),
            Route(DOCUMENTS_PATH, answered(self.create), methods=["POST"]),
            Route(one, answered(self.read), methods=["GET"]),
            Route(one, answered(self.put), methods=["PUT"]),
            Route(one, answered(self.update), methods=["POST"]),
            Route(one, answered(self.patch), methods=["PATCH"]),
            Route(one, answered(self.delete), methods=["DELETE"]),
        ]

    # --- the list ----------------------------------------------------------------------------

    async def list(self, request: HttpRequest) -> Response:
        """The documents that the visitor has the right `admin` in, a page at a time."""
        fields = only(query_of(request), "prefix", "after", "limit")
        prefix, after = fields.get("prefix", ""), fields.get("after", "")
        limit = whole_number(
            fields.get("limit", str(DEFAULT_LIMIT)), "limit", least=1, most=MAX_LIMIT
        )
        found: list[DocumentEntry] = []
        infos = await self._documents.list(prefix, after=after)
        for count, info in enumerate(infos, 1):
            address = Address.parse(info.path)
            if "admin" in rights_of(request, address):
                found.append(_entry(request, address, info))
                if len(found) > limit:
                    break
            if count % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        more = None
        if len(found) > limit:
            query = {"prefix": prefix, "after": found[limit - 1].address, "limit": limit}
            more = f"{_base(request)}?{urlencode(query)}"
        links = {"link": f'<{more}>; rel="next"'} if more else {}
        return json_answer(DocumentList(found[:limit], more), headers=links)

    # --- one document ------------------------------------------------------------------------

    async def read(self, request: HttpRequest) -> Response:
        """The document in the form that the query and `Accept` ask for."""
        address = address_of(request)
        require(request, address, "read")
        fields = query_of(request)
        form = choose(request.headers.getlist("accept"), offers_for(fields))
        names = {name for name, _ in fields}
        if "state_vector" in names:
            vector = _state_vector(only(fields, "state_vector")["state_vector"])
            return _whole(request, await self._documents.difference(address, vector), form)
        if form in UPDATE_TYPES:
            return _whole(request, await self._documents.read(address), form)
        if form == TEXT_TYPE:
            reading = partial(as_text, root=only(fields, "root")["root"])
        else:
            reading = partial(as_json, roots=roots_of(fields))
        snapshot = await self._documents.read(address)
        if _known(request, snapshot, form):
            return _not_modified(snapshot, form)
        body = await self._documents.in_thread(reading, snapshot.update)
        return Response(body, media_type=form, headers=_headers(snapshot, form))

    async def put(self, request: HttpRequest) -> Response:
        """A new document at this address."""
        address = address_of(request)
        require(request, address, "write")
        async with self._bodies.place(user_of(request), str(address)):
            update = await self._beginning(request)
        return await self._create(request, address, update)

    async def create(self, request: HttpRequest) -> Response:
        """A new document, at the address in the body or one that is made up."""
        async with self._bodies.place(user_of(request)):
            new = await self._new_document(request)
        address = _parse(new.address) if new.address else Address(None, new_room_name())
        if self._admit is not None:
            await self._admit(request, address)
        require(request, address, "write")
        update = await self._documents.in_thread(_update_of_roots, new.roots)
        return await self._create(request, address, update)

    async def update(self, request: HttpRequest) -> Response:
        """An update is brought into the document."""
        address = address_of(request)
        require(request, address, "write")
        only(query_of(request))
        if content_type(request) not in UPDATE_TYPES:
            raise Problem("unsupported_media_type", f"Send {' or '.join(sorted(UPDATE_TYPES))}.")
        async with self._bodies.place(user_of(request), str(address)):
            body = await read_body(request, self._body_bytes)
            outcome = await self._documents.apply(address, body, self._order(request))
        return _change_answer(request, address, outcome)

    async def patch(self, request: HttpRequest) -> Response:
        """Operations are made in the document, all or none."""
        address = address_of(request)
        require(request, address, "write")
        only(query_of(request))
        if content_type(request) != JSON_TYPE:
            raise Problem("unsupported_media_type", f"Send {JSON_TYPE}.")
        async with self._bodies.place(user_of(request), str(address)):
            body = await read_body(request, self._json_bytes)
            patch = decode_json(_plain(body), Patch)
            order = self._order(request, body)
            outcome = await self._documents.change(address, partial(_patched, patch), order)
        return _change_answer(request, address, outcome)

    async def delete(self, request: HttpRequest) -> Response:
        """The document is removed, with all that belongs to it."""
        address = address_of(request)
        require(request, address, "admin")
        only(query_of(request))
        await self._documents.delete(address)
        return Response(status_code=204, headers={"cache-control": "no-store"})

    # --- inside ------------------------------------------------------------------------------

    def _order(self, request: HttpRequest, body: bytes = b"") -> Order:
        key = key_of(request.headers.getlist("idempotency-key"))
        if_match = request.headers.getlist("if-match")
        wanted = condition(if_match, request.headers.getlist("if-none-match"))
        digest = digest_of([request.method], if_match, body) if key is not None else b""
        return Order(user_of(request), wanted, key, digest)

    async def _beginning(self, request: HttpRequest) -> bytes:
        """What the body of PUT says the document begins with."""
        fields = query_of(request)
        kind = content_type(request)
        if kind in UPDATE_TYPES:
            only(fields)
            return await read_body(request, self._body_bytes) or EMPTY_UPDATE
        if kind == JSON_TYPE:
            only(fields)
            new = await self._new_document(request)
            if new.address is not None:
                raise Problem("bad_body", "The address is in the URL.")
            return await self._documents.in_thread(_update_of_roots, new.roots)
        if kind == TEXT_TYPE:
            root = only(fields, "root").get("root")
            if root is None:
                raise Problem("bad_query", "Name the root that the text goes to: ?root=text")
            text = _text(await read_body(request, self._json_bytes))
            return await self._documents.in_thread(_update_of_roots, {root: {"$text": text}})
        only(fields)
        if not kind and not await read_body(request, 0):
            return EMPTY_UPDATE
        kinds = ", ".join((UPDATE_TYPE, BYTES_TYPE, JSON_TYPE, TEXT_TYPE))
        raise Problem("unsupported_media_type", f"Send one of {kinds}.")

    async def _new_document(self, request: HttpRequest) -> NewDocument:
        if content_type(request) != JSON_TYPE:
            raise Problem("unsupported_media_type", f"Send {JSON_TYPE}.")
        return decode_json(_plain(await read_body(request, self._json_bytes)), NewDocument)

    async def _create(self, request: HttpRequest, address: Address, update: bytes) -> Response:
        outcome = await self._documents.create(address, update, Order(user_of(request)))
        answer = _change_answer(request, address, outcome, status=201)
        answer.headers["location"] = url_in(request, address)
        return answer


def _entry(request: HttpRequest, address: Address, info: DocumentInfo) -> DocumentEntry:
    return DocumentEntry(
        address=info.path,
        url=url_in(request, address),
        number=info.last_number,
        bytes=info.stored_bytes,
        changed=info.changed,
        etag=f'"{info.lineage}.{info.last_number}"',
    )


def url_of(address: Address) -> str:
    """The path of a document's URL, below where the server is mounted."""
    return f"{DOCUMENTS_PATH}/{address.url}"


def url_in(request: HttpRequest, address: Address) -> str:
    """The same, as `request` reaches this server."""
    return f"{_base(request)}/{address.url}"


def _base(request: HttpRequest) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/") + DOCUMENTS_PATH


def json_answer(
    body: msgspec.Struct, status: int = 200, *, headers: Mapping[str, str] | None = None
) -> Response:
    """A struct as JSON, which nobody keeps."""
    stated = {"cache-control": "no-store", **(headers or {})}
    return Response(msgspec.json.encode(body), status, media_type=JSON_TYPE, headers=stated)


# --- answers ---------------------------------------------------------------------------------


def _whole(request: HttpRequest, snapshot: Snapshot, form: str) -> Response:
    if _known(request, snapshot, form):
        return _not_modified(snapshot, form)
    return Response(snapshot.update, media_type=form, headers=_headers(snapshot, form))


def _known(request: HttpRequest, snapshot: Snapshot, form: str) -> bool:
    return is_known(request.headers.getlist("if-none-match"), snapshot.state.etag(form))


def _not_modified(snapshot: Snapshot, form: str) -> Response:
    return Response(status_code=304, headers=_headers(snapshot, form))


def _headers(snapshot: Snapshot, form: str) -> dict[str, str]:
    return {
        "etag": snapshot.state.etag(form),
        "cache-control": "private, no-cache",
        "vary": "Accept, Authorization, Cookie",
        "engineroom-number": str(snapshot.state.number),
    }


def _change_answer(
    request: HttpRequest, address: Address, outcome: Outcome, status: int = 200
) -> Response:
    state = outcome.state
    body = ChangeAnswer(
        address=str(address),
        url=url_in(request, address),
        number=state.number,
        etag=state.etag(),
        changed=outcome.changed,
        replayed=outcome.replayed,
    )
    return json_answer(body, status, headers={"etag": state.etag()})


# --- bodies ----------------------------------------------------------------------------------


def _patched(patch: Patch, encoded: bytes) -> bytes | None:
    return update_of(encoded, patch)


def _parse(text: str) -> Address:
    try:
        return Address.parse(text)
    except AddressError as error:
        raise Problem("bad_address", str(error)) from error


def _plain(body: bytes) -> bytes:
    """JSON that a document can hold, as to its nesting, numbers and text."""
    try:
        check_plain_json(body)
    except ProtocolError as error:
        raise Problem("bad_body", f"The body cannot be taken: {error.reason}") from None
    return body


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Problem("bad_body", f"The text is not UTF-8 at byte {error.start}.") from None


def _state_vector(text: str) -> bytes:
    if len(text) > MAX_STATE_VECTOR_CHARACTERS:
        raise Problem("bad_state_vector", "It is too long for a URL; read the whole document.")
    try:
        standard = text.rstrip("=").replace("-", "+").replace("_", "/").replace(" ", "+")
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Problem("bad_state_vector", "It is base64url of a state vector (V1).") from None


_ROOT_TYPES: Mapping[str, type] = {"$text": Text, "$array": Array, "$map": Map}


def _update_of_roots(roots: Mapping[str, Json]) -> bytes:
    """The update of a document that begins with these roots."""

    def change(doc: Doc[Any]) -> None:
        for name, value in roots.items():
            _fill(doc, name, value)

    return change_of(EMPTY_UPDATE, change) or EMPTY_UPDATE


def _fill(doc: Doc[Any], name: str, value: Json) -> None:
    kind = next(iter(value), "") if isinstance(value, dict) and len(value) == 1 else ""
    if kind not in _ROOT_TYPES:
        reason = f"The root {name[:40]!r} is one of {sorted(_ROOT_TYPES)}."
        raise Problem("operation_failed", reason)
    build(value)  # checks it
    root: Any = doc.get(name, type=_ROOT_TYPES[kind])
    inner = value[kind]
    if kind == "$text":
        root += inner
    elif kind == "$array":
        root.extend([build(item) for item in inner])
    else:
        root.update({key: build(item) for key, item in inner.items()})
