"""The routes of a document's past, below `/api/documents/{address}/`: versions, their differences and authors, the log.

Read to look, write to name and to restore, admin to delete. A document whose own address ends in one of these words
(`notes/versions`) cannot be reached over HTTP; over WebSockets it can.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from engineroom.protocols.attribution import Span
from engineroom.protocols.comparison import Change, Operation, TextChange, TextPiece
from engineroom.rooms.address import Address
from engineroom.rooms.authors import AuthorNotes, Stretch
from engineroom.rooms.storage import Record, Version

from .asked import (
    BYTES_TYPE,
    JSON_TYPE,
    TEXT_TYPE,
    UPDATE_TYPE,
    address_of,
    only,
    query_of,
    read_json,
    require,
    user_of,
    whole_number,
)
from .past import AT, NOW, Kept, Past
from .problems import Problem, answered
from .representing import choose, is_known
from .routes import DOCUMENTS_PATH, json_answer, url_of

MAX_NAME_CHARACTERS = 200
MAX_BODY_BYTES = 4 << 10
DEFAULT_RECORDS = 1_000
MAX_RECORDS = 10_000
MAX_NUMBER = 2**53 - 1

Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARACTERS)]
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_NUMBER)]


class VersionEntry(msgspec.Struct, frozen=True):
    """A version. `number` is the newest of the log that it holds, `time` seconds since the epoch, `kind` what made it:
    `hand`, `time`, `activity` or `restore` (the state before a restore). The present has the id and the kind `now`,
    and the state after record 17, while that can be had, the id `@17` and the kind `at`. `user` is who made it, empty
    for the server.
    """

    id: str
    number: int
    time: float
    kind: str
    name: str
    user: str
    bytes: int
    url: str


class UserEntry(msgspec.Struct, frozen=True):
    """Somebody who has written in the document: the latest name (may be empty), when first and last."""

    name: str
    first: float
    last: float


class VersionList(msgspec.Struct, frozen=True):
    """All versions, oldest first; the users by id, and those of each client, by stretches of its clocks (`[start, end,
    user]`); the newest number of the document (0: it is not there), and the number of its snapshot (0: none). States
    between are there from each version's number, and the snapshot's, on, as long as no record is missing.
    """

    versions: list[VersionEntry]
    users: dict[str, UserEntry]
    clients: dict[str, list[Stretch]]
    number: int
    snapshot: int


class VersionName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that gives a version another name."""

    name: Name


class NewVersion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that keeps a version: of the present, or of the state after record `number`."""

    name: Name = ""
    number: Number | None = None


class Difference(msgspec.Struct, frozen=True):
    """How a root has changed: a text by `pieces`, anything else by `operations` of JSON Patch."""

    root: str
    type: Literal["text", "map", "array", "xml"]
    pieces: list[TextPiece] | msgspec.UnsetType = msgspec.UNSET
    operations: list[Operation] | msgspec.UnsetType = msgspec.UNSET


class DifferenceAnswer(msgspec.Struct, frozen=True):
    """What is different in `new`; roots that are not are left out."""

    old: VersionEntry
    new: VersionEntry
    changes: list[Difference]


class AuthorEntry(msgspec.Struct, frozen=True):
    """What one user has put in, in UTF-16 units and elements: in all, what of it still stands, and the text of that.
    `user` is null for what nobody is known to have written, empty for the server.
    """

    user: str | None
    inserted: int
    standing: int
    text: int


class AuthorsAnswer(msgspec.Struct, frozen=True):
    """Who wrote a version. `clients` has the users of each client, by stretches of its clocks: `[start, end, user]`;
    `roots` has, for each sequence, spans which together are as long as it.
    """

    users: dict[str, UserEntry]
    authors: list[AuthorEntry]
    clients: dict[str, list[Stretch]]
    roots: dict[str, list[Span]]


class RestoreAnswer(msgspec.Struct, frozen=True):
    """`before` is the version that was kept of the state before; null when nothing was different."""

    before: VersionEntry | None
    number: int


class RecordEntry(msgspec.Struct, frozen=True):
    """A record of the log; `update` is base64 of V1, unless it was asked to be left out."""

    number: int
    time: float
    user: str
    update: bytes | msgspec.UnsetType = msgspec.UNSET


class RecordList(msgspec.Struct, frozen=True):
    """Records in order. `next` is what to ask for `after`, null at the end. Missing numbers are no longer kept."""

    records: list[RecordEntry]
    next: int | None


class VersionRoutes:
    """The handlers."""

    def __init__(self, past: Past) -> None:
        self._past = past

    def routes(self) -> list[Route]:
        """For the router, before the routes of documents."""
        document = DOCUMENTS_PATH + "/{address:path}"
        versions, one = f"{document}/versions", f"{document}/versions/{{version}}"
        return [
            Route(versions, answered(self.list), methods=["GET"]),
            Route(versions, answered(self.keep), methods=["POST"]),
            Route(f"{one}/diff", answered(self.compare), methods=["GET"]),
            Route(f"{one}/authors", answered(self.authors), methods=["GET"]),
            Route(f"{one}/restore", answered(self.restore), methods=["POST"]),
            Route(one, answered(self.read), methods=["GET"]),
            Route(one, answered(self.rename), methods=["PATCH"]),
            Route(one, answered(self.delete), methods=["DELETE"]),
            Route(f"{document}/history", answered(self.records), methods=["GET"]),
        ]

    # --- looking -----------------------------------------------------------------------------

    async def list(self, request: HttpRequest) -> Response:
        """The versions of a document, and who has written in it."""
        address = _asked(request, "read")
        only(query_of(request))
        versions = await self._past.versions(address)
        notes, number = await self._past.authors(address)
        entries = [_entry(address, version) for version in versions]
        snapshot = await self._past.snapshot(address)
        users, clients = _users(notes), _clients(notes)
        return json_answer(VersionList(entries, users, clients, number, snapshot))

    async def read(self, request: HttpRequest) -> Response:
        """A version as an update, or as JSON. The present is not read here: it has a URL of its own."""
        address = _asked(request, "read")
        only(query_of(request))
        offers = (UPDATE_TYPE, BYTES_TYPE, JSON_TYPE)
        form = choose(request.headers.getlist("accept"), offers)
        version = _version(request)
        tag = f'"{version}{".json" if form == JSON_TYPE else ""}"'
        headers = {"cache-control": "private, no-cache", "vary": "Accept, Authorization, Cookie"}
        kept = await self._past.read(address, version)
        if not version.startswith((NOW, AT)):  # what a version holds never changes
            headers["etag"] = tag
            if is_known(request.headers.getlist("if-none-match"), tag):
                return Response(status_code=304, headers=headers)
        headers["engineroom-number"] = str(kept.version.number)
        body = kept.encoding
        if form == JSON_TYPE:
            body = msgspec.json.encode(await self._past.plain(kept.encoding))
        return Response(body, media_type=form, headers=headers)

    async def compare(self, request: HttpRequest) -> Response:
        """What is different in another version, or now: JSON, or unified diffs as text."""
        address = _asked(request, "read")
        to = only(query_of(request), "to").get("to", NOW)
        form = choose(request.headers.getlist("accept"), (JSON_TYPE, TEXT_TYPE))
        old = await self._past.read(address, _version(request))
        new = await self._past.read(address, to)
        if form == TEXT_TYPE:
            text = await self._past.compare_text(old, new)
            headers = {"cache-control": "no-store", "vary": "Accept"}
            return Response(text, media_type=TEXT_TYPE, headers=headers)
        changes = [_difference(change) for change in await self._past.compare(old, new)]
        body = DifferenceAnswer(_entry_of(address, old), _entry_of(address, new), changes)
        return json_answer(body, headers={"vary": "Accept"})

    async def authors(self, request: HttpRequest) -> Response:
        """Who wrote what of a version, or of the present."""
        address = _asked(request, "read")
        only(query_of(request))
        found = await self._past.authorship(address, _version(request))
        authors = [
            AuthorEntry(user, count.inserted, count.standing, count.text)
            for user, count in sorted(found.counts.items(), key=lambda each: -each[1].standing)
        ]
        users, clients = _users(found.notes), _clients(found.notes)
        return json_answer(AuthorsAnswer(users, authors, clients, found.roots))

    async def records(self, request: HttpRequest) -> Response:
        """The log, as far back as it is kept: what lies between versions."""
        address = _asked(request, "read")
        fields = only(query_of(request), "after", "limit", "updates")
        with_updates = fields.get("updates", "true")
        if with_updates not in ("true", "false"):
            raise Problem("bad_query", "updates is true or false.")
        after = whole_number(fields.get("after", "0"), "after", least=0, most=MAX_NUMBER)
        wanted = fields.get("limit", str(DEFAULT_RECORDS))
        limit = whole_number(wanted, "limit", least=1, most=MAX_RECORDS)
        records = await self._past.records(address, after, limit)
        entries = [_record(record, with_updates == "true") for record in records]
        return json_answer(RecordList(entries, entries[-1].number if entries else None))

    # --- changing ----------------------------------------------------------------------------

    async def keep(self, request: HttpRequest) -> Response:
        """The present is kept as a version."""
        address = _asked(request, "write")
        only(query_of(request))
        new = await read_json(request, NewVersion, MAX_BODY_BYTES)
        user, name = user_of(request), _name(new.name)
        entry = _entry(address, await self._past.keep(address, name, user, new.number))
        return json_answer(entry, 201, headers={"location": entry.url})

    async def rename(self, request: HttpRequest) -> Response:
        """A version gets another name."""
        address = _asked(request, "write")
        only(query_of(request))
        name = _name((await read_json(request, VersionName, MAX_BODY_BYTES)).name)
        return json_answer(
            _entry(address, await self._past.rename(address, _version(request), name))
        )

    async def delete(self, request: HttpRequest) -> Response:
        """A version is removed."""
        address = _asked(request, "admin")
        only(query_of(request))
        await self._past.delete(address, _version(request))
        return Response(status_code=204, headers={"cache-control": "no-store"})

    async def restore(self, request: HttpRequest) -> Response:
        """The document says again what a version says."""
        address = _asked(request, "write")
        only(query_of(request))
        restored = await self._past.restore(address, _version(request), user_of(request))
        before = _entry(address, restored.before) if restored.before is not None else None
        return json_answer(RestoreAnswer(before, restored.number))


# --- what is asked ---------------------------------------------------------------------------


def _asked(request: HttpRequest, right: str) -> Address:
    address = address_of(request)
    require(request, address, right)
    return address


def _version(request: HttpRequest) -> str:
    return str(request.path_params["version"])


def _name(stated: str) -> str:
    name = " ".join(stated.split())
    if not name.isprintable():
        raise Problem("bad_body", "A name has no control characters.")
    return name


# --- what is answered ------------------------------------------------------------------------


def _entry(address: Address, version: Version) -> VersionEntry:
    return VersionEntry(
        id=version.id,
        number=version.number,
        time=version.time,
        kind=version.kind,
        name=version.name,
        user=version.user,
        bytes=version.bytes,
        url=f"{url_of(address)}/versions/{version.id}",
    )


def _entry_of(address: Address, kept: Kept) -> VersionEntry:
    return _entry(address, kept.version)


def _users(notes: AuthorNotes) -> dict[str, UserEntry]:
    return {
        user: UserEntry(author.name, author.first, author.last)
        for user, author in notes.users.items()
    }


def _clients(notes: AuthorNotes) -> dict[str, list[Stretch]]:
    return {str(client): stretches for client, stretches in notes.clients.items()}


def _difference(change: Change) -> Difference:
    if isinstance(change, TextChange):
        return Difference(change.root, "text", pieces=[*change.pieces])
    return Difference(change.root, change.aspect, operations=[*change.operations])


def _record(record: Record, with_update: bool) -> RecordEntry:
    update = record.update if with_update else msgspec.UNSET
    return RecordEntry(record.number, record.time, record.user, update)
