"""The OpenAPI 3.1 description of the API, made from the structs and tables that the code works with.

A route is described by an `Operation` beside it, in a list; a test holds routes and descriptions equal. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from engineroom import __version__

from .asked import BYTES_TYPE, JSON_TYPE, TEXT_TYPE, UPDATE_TYPE
from .operations import Patch
from .problems import MEDIA_TYPE, TITLES, ProblemBody
from .reading import ASPECTS
from .routes import (
    DEFAULT_LIMIT,
    DOCUMENTS_PATH,
    MAX_LIMIT,
    ChangeAnswer,
    DocumentList,
    NewDocument,
)

Method: TypeAlias = Literal["get", "put", "post", "patch", "delete"]
Body: TypeAlias = type[msgspec.Struct] | Literal["bytes", "text", "json"]
Json: TypeAlias = dict[str, Any]

ONE_DOCUMENT: str = DOCUMENTS_PATH + "/{address}"
_PLAIN: Mapping[str, Json] = {
    "bytes": {"type": "string", "contentMediaType": BYTES_TYPE},
    "text": {"type": "string"},
    "json": {"type": "object"},
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A field of the query, or a header."""

    name: str
    text: str
    schema: Json = field(default_factory=lambda: {"type": "string"})
    place: Literal["query", "header"] = "query"


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one path does. `takes` and `gives` are bodies by media type; `problems` the codes of its
    refusals, beside those that every route may have.
    """

    path: str
    method: Method
    name: str
    summary: str
    right: Literal["read", "write", "admin"]
    status: int = 200
    parameters: Sequence[Parameter] = ()
    takes: Mapping[str, Body] = field(default_factory=dict)
    gives: Mapping[str, Body] = field(default_factory=dict)
    problems: Sequence[str] = ()


EVERYWHERE = ("not_authenticated", "forbidden", "misdirected", "bad_address", "bad_query", "failed")
IF_MATCH = Parameter("If-Match", "Only while the document has this ETag.", place="header")
IF_NONE_MATCH: Parameter = Parameter(
    "If-None-Match", "304 when the document has this ETag still.", place="header"
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key", "The same key does it once in a day.", {"type": "string", "maxLength": 255}, "header"
)  # fmt: skip
_UPDATES: Mapping[str, Body] = {UPDATE_TYPE: "bytes", BYTES_TYPE: "bytes"}
_CHANGED: Mapping[str, Body] = {JSON_TYPE: ChangeAnswer}
_CHANGING = ("not_found", "timeout", "too_large", "unsupported_media_type", "limit", "unavailable",
             "timed_out")  # fmt: skip

DOCUMENT_OPERATIONS: Sequence[Operation] = (
    Operation(
        DOCUMENTS_PATH,
        "get",
        "listDocuments",
        "The stored documents in which the visitor has the right admin, by address",
        "admin",
        parameters=(
            Parameter("prefix", "Only addresses that begin so."),
            Parameter("after", "Only addresses that come after this one."),
            Parameter(
                "limit",
                "How many at most.",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            ),
        ),
        gives={JSON_TYPE: DocumentList},
        problems=("unavailable",),
    ),
    Operation(
        DOCUMENTS_PATH,
        "post",
        "createDocument",
        "A new document, at the address in the body or one that is made up",
        "write",
        status=201,
        takes={JSON_TYPE: NewDocument},
        gives=_CHANGED,
        problems=("exists", "bad_body", "operation_failed", *_CHANGING),
    ),
    Operation(
        ONE_DOCUMENT,
        "get",
        "readDocument",
        "The document: as one update, the difference from a state vector, roots as JSON, a root as text",
        "read",
        parameters=(
            Parameter("state_vector", "base64url of a state vector: only what it lacks is sent."),
            Parameter("root", "The root Text to send as plain text."),
            Parameter(
                "{root}",
                "A root to send as JSON, and what it is; root.{name} for names that mean something here.",
                {"type": "string", "enum": list(ASPECTS)},
            ),
            IF_NONE_MATCH,
        ),
        gives={**_UPDATES, JSON_TYPE: "json", TEXT_TYPE: "text"},
        problems=("not_found", "not_acceptable", "roots_missing", "unreadable_root",
                  "bad_state_vector", "unavailable"),
    ),
    Operation(
        ONE_DOCUMENT,
        "put",
        "createDocumentAt",
        "A new document at this address, from an update, JSON, or the text of the root that ?root= names",
        "write",
        status=201,
        parameters=(Parameter("root", "Where plain text goes."),),
        takes={**_UPDATES, JSON_TYPE: NewDocument, TEXT_TYPE: "text"},
        gives=_CHANGED,
        problems=("exists", "bad_body", "bad_update", "other_history", "operation_failed", *_CHANGING),
    ),
    Operation(
        ONE_DOCUMENT,
        "post",
        "updateDocument",
        "An update is brought in; durable when it is answered, and the same when it is sent again",
        "write",
        parameters=(IF_MATCH,),
        takes=_UPDATES,
        gives=_CHANGED,
        problems=("bad_update", "other_history", "changed", *_CHANGING),
    ),
    Operation(
        ONE_DOCUMENT,
        "patch",
        "patchDocument",
        "Operations are made in one transaction, all or none",
        "write",
        parameters=(IF_MATCH, IDEMPOTENCY_KEY),
        takes={JSON_TYPE: Patch},
        gives=_CHANGED,
        problems=("bad_body", "bad_key", "changed", "key_reused", "operation_failed",
                  "unreadable_root", *_CHANGING),
    ),
    Operation(
        ONE_DOCUMENT,
        "delete",
        "deleteDocument",
        "Its members are sent away (4410), then it is removed with all that belongs to it",
        "admin",
        status=204,
        problems=("not_found", "unavailable", "timed_out"),
    ),
)  # fmt: skip


def describe(operations: Sequence[Operation]) -> bytes:
    """The description of these operations, as JSON (OpenAPI 3.1)."""
    schemas = _schemas(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        item = paths.setdefault(operation.path, _path_item(operation.path))
        item[operation.method] = _operation(operation, schemas)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Engineroom",
            "version": __version__,
            "description": "Shared documents over HTTP. See docs/reference/http.md.",
        },
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": _SECURITY},
        "security": [{name: []} for name in _SECURITY],
    }
    return msgspec.json.encode(document)


_SECURITY: Mapping[str, Json] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "token": {"type": "apiKey", "in": "query", "name": "token"},
}


@dataclass(frozen=True, slots=True)
class _Schemas:
    """The schema of each struct, and where they stand."""

    by_type: Mapping[type, Json]
    components: Mapping[str, Json]

    def of(self, body: Body) -> Json:
        """The schema of a body."""
        return self.by_type[body] if isinstance(body, type) else _PLAIN[body]


def _schemas(operations: Sequence[Operation]) -> _Schemas:
    structs: list[type] = [ProblemBody]
    for operation in operations:
        for body in (*operation.takes.values(), *operation.gives.values()):
            if isinstance(body, type) and body not in structs:
                structs.append(body)
    schemas, components = msgspec.json.schema_components(
        structs, ref_template="#/components/schemas/{name}"
    )
    return _Schemas(dict(zip(structs, schemas, strict=True)), components)


def _path_item(path: str) -> Json:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    return {"parameters": parameters} if parameters else {}


def _operation(operation: Operation, schemas: _Schemas) -> Json:
    stated: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Needs the right `{operation.right}`.",
        "responses": _responses(operation, schemas),
    }
    parameters = [_parameter(each) for each in operation.parameters]
    if parameters:
        stated["parameters"] = parameters
    if operation.takes:
        content = {name: {"schema": schemas.of(body)} for name, body in operation.takes.items()}
        stated["requestBody"] = {"content": content, "required": operation.method != "put"}
    return stated


def _parameter(parameter: Parameter) -> Json:
    stated: Json = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.text,
        "schema": parameter.schema,
    }
    if parameter.name == "{root}":  # any name: an object whose properties are fields
        properties = {"type": "object", "additionalProperties": parameter.schema}
        stated |= {"name": "roots", "schema": properties, "style": "form", "explode": True}
    return stated


def _responses(operation: Operation, schemas: _Schemas) -> Json:
    given = {name: {"schema": schemas.of(body)} for name, body in operation.gives.items()}
    done: Json = {"description": "Done."}
    if given:
        done["content"] = given
    answers: Json = {str(operation.status): done}
    if IF_NONE_MATCH in operation.parameters:
        answers["304"] = {"description": "The client has it."}
    codes: dict[int, list[str]] = {}
    for code in (*EVERYWHERE, *operation.problems):
        codes.setdefault(TITLES[code][0], []).append(code)
    problem = {MEDIA_TYPE: {"schema": schemas.of(ProblemBody)}}
    for status, names in sorted(codes.items()):
        text = ", ".join(f"`{name}`" for name in names)
        answers[str(status)] = {"description": f"Refused: {text}.", "content": problem}
    return answers
