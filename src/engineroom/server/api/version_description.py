"""The OpenAPI description of the routes in `versions`. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .asked import BYTES_TYPE, JSON_TYPE, TEXT_TYPE, UPDATE_TYPE
from .description import IF_NONE_MATCH, ONE_DOCUMENT, Body, Operation, Parameter
from .versions import (
    DEFAULT_RECORDS,
    MAX_RECORDS,
    AuthorsAnswer,
    DifferenceAnswer,
    NewVersion,
    RecordList,
    RestoreAnswer,
    VersionEntry,
    VersionList,
    VersionName,
)

_VERSIONS = f"{ONE_DOCUMENT}/versions"
_ONE = f"{_VERSIONS}/{{version}}"
_READING = ("not_found", "not_acceptable", "unreadable_root", "limit", "unavailable")
_CHANGING = ("not_found", "bad_body", "timeout", "too_large", "unsupported_media_type", "limit",
             "unavailable", "timed_out")  # fmt: skip
_ENTRY: Mapping[str, Body] = {JSON_TYPE: VersionEntry}

VERSION_OPERATIONS: Sequence[Operation] = (
    Operation(
        _VERSIONS, "get", "listVersions", "The versions of a document, oldest first", "read",
        gives={JSON_TYPE: VersionList}, problems=_READING,
    ),
    Operation(
        _VERSIONS, "post", "keepVersion", "The present is kept as a version", "write",
        status=201, takes={JSON_TYPE: NewVersion}, gives=_ENTRY, problems=_CHANGING,
    ),
    Operation(
        _ONE, "get", "readVersion", "A version as one update, or as JSON", "read",
        parameters=(IF_NONE_MATCH,),
        gives={UPDATE_TYPE: "bytes", BYTES_TYPE: "bytes", JSON_TYPE: "json"}, problems=_READING,
    ),
    Operation(
        _ONE, "patch", "renameVersion", "A version gets another name", "write",
        takes={JSON_TYPE: VersionName}, gives=_ENTRY, problems=_CHANGING,
    ),
    Operation(
        _ONE, "delete", "deleteVersion", "A version is removed", "admin",
        status=204, problems=("not_found", "unavailable"),
    ),
    Operation(
        f"{_ONE}/diff", "get", "compareVersions", "What is different in another version, or now", "read",
        parameters=(Parameter("to", "The other version; without it, the present."),),
        gives={JSON_TYPE: DifferenceAnswer, TEXT_TYPE: "text"}, problems=_READING,
    ),
    Operation(
        f"{_ONE}/authors", "get", "readAuthors", "Who wrote what of a version", "read",
        gives={JSON_TYPE: AuthorsAnswer}, problems=_READING,
    ),
    Operation(
        f"{_ONE}/restore", "post", "restoreVersion", "The document says again what a version says", "write",
        gives={JSON_TYPE: RestoreAnswer}, problems=_CHANGING,
    ),
    Operation(
        f"{ONE_DOCUMENT}/history", "get", "readHistory", "The records of a document's log, as far back as it is kept",
        "read",
        parameters=(
            Parameter("after", "Only records with a number above this.", {"type": "integer", "minimum": 0}),
            Parameter("limit", "How many at most.", {"type": "integer", "minimum": 1,
                      "maximum": MAX_RECORDS, "default": DEFAULT_RECORDS}),
            Parameter("updates", "Whether their updates are wanted.", {"type": "boolean", "default": True}),
        ),
        gives={JSON_TYPE: RecordList}, problems=_READING,
    ),
)  # fmt: skip
