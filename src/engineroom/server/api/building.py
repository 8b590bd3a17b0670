"""JSON that becomes part of a document: plain values as they are, and shared types where the client asks for them.

    {"$text": "Hello"}      a Text, which several can write in at once
    {"$array": [ … ]}       an Array, {"$map": { … }} a Map; what is inside follows the same rules
    {"$json": … }           the JSON as it is, for objects that have such a name themselves

Everything else is stored as one value, replaced as a whole. Pure: values in, pycrdt's preliminary types out.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from pycrdt import Array, Map, Text

from .problems import Problem

Json: TypeAlias = Any

MAX_DEPTH = 32
MAX_SAFE_INTEGER = 2**53 - 1
TYPE_NAMES = frozenset({"$text", "$array", "$map", "$json"})


def build(value: Json, depth: int = 0) -> Any:
    """What is put into a shared type for `value`.

    Raises:
        Problem: `operation_failed`: a type that is not built so, stands where none can, or is nested too deep.
    """
    if depth > MAX_DEPTH:
        raise Problem("operation_failed", f"Types are nested at most {MAX_DEPTH} deep.")
    match _type_name(value):
        case "$text":
            return Text(_expect(value["$text"], str, "$text", "a string"))
        case "$array":
            items = _expect(value["$array"], list, "$array", "a list")
            return Array([build(item, depth + 1) for item in items])
        case "$map":
            entries = _expect(value["$map"], dict, "$map", "an object")
            return Map({key: build(item, depth + 1) for key, item in entries.items()})
        case "$json":
            return checked(value["$json"], depth)
        case _:
            return checked(value, depth, typed=False)


def checked(value: Json, depth: int = 0, *, typed: bool = True) -> Json:
    """`value`, when a document can hold it as one value. Where not `typed`, names of types mean a mistake.

    Raises:
        Problem: `operation_failed`.
    """
    if depth > MAX_DEPTH:
        raise Problem("operation_failed", f"Values are nested at most {MAX_DEPTH} deep.")
    match value:
        case bool() | float() | str() | None:
            pass
        case int() if abs(value) > MAX_SAFE_INTEGER:
            # RFC 8259, section 6: past it, readers do not agree on the number.
            raise Problem("operation_failed", "Whole numbers are from -(2^53 - 1) to 2^53 - 1.")
        case list():
            for item in value:
                checked(item, depth + 1, typed=typed)
        case dict():
            if not typed and _type_name(value):
                reason = "A shared type stands at the top of a value, in $array or in $map."
                raise Problem("operation_failed", reason)
            for item in value.values():
                checked(item, depth + 1, typed=typed)
    return value


def _type_name(value: Json) -> str | None:
    """Which type an object asks for.

    Raises:
        Problem: `operation_failed`: it looks as if it did, and does not.
    """
    if not isinstance(value, dict):
        return None
    names: list[str] = [name for name in value if name.startswith("$")]
    if not names:
        return None
    if len(value) != 1 or names[0] not in TYPE_NAMES:
        reason = (
            f"An object with the name {names[0][:40]!r} is one of {sorted(TYPE_NAMES)} alone; "
            "write {'$json': …} for JSON with such names."
        )
        raise Problem("operation_failed", reason)
    return names[0]


def _expect(value: Json, kind: type, name: str, wanted: str) -> Any:
    if not isinstance(value, kind):
        raise Problem("operation_failed", f"{name} is followed by {wanted}.")
    return value
