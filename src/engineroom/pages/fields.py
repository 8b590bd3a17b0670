"""Text that authors write (attributes of tags, keys of front matter) becomes typed fields, each checked by itself.

A frozen struct is the one table of what may be written: its fields' names, types, defaults and descriptions. A
mistake in one field is a reason, not an exception: the others are still read. It knows no HTML, no YAML, no files.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from engineroom.errors import AddressError
from engineroom.rooms.address import check_value_address

S = TypeVar("S", bound=msgspec.Struct)

MAX_NAME_LENGTH = 64


class Name(str):
    """A name for an editor, cell or terminal: 1 to 64 letters, digits, `_`, `-` or `.`, the first not `-` or `.`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Name:
        if not re.fullmatch(r"\w[\w.-]*", text) or len(text) > MAX_NAME_LENGTH:
            raise ValueError(
                f"{text[:MAX_NAME_LENGTH]!r} is no name: use up to {MAX_NAME_LENGTH} letters, digits, '_', '-' or '.'"
            )
        return super().__new__(cls, text)


class Language(str):
    """The name of a language: `python`, `c++`, in small letters."""

    __slots__ = ()

    def __new__(cls, text: str) -> Language:
        if not re.fullmatch(r"\w[\w+#.-]*", text) or len(text) > MAX_NAME_LENGTH:
            raise ValueError(f"{text[:MAX_NAME_LENGTH]!r} is no language's name, such as 'python'")
        return super().__new__(cls, text.lower())


class ValueAddress(str):
    """The address of a value: `/speed`."""

    __slots__ = ()

    def __new__(cls, text: str) -> ValueAddress:
        try:
            return super().__new__(cls, check_value_address(text))
        except AddressError as error:
            raise ValueError(f"{text[:40]!r} is no value's address: {error.reason}") from None


class Command(tuple[str, ...]):
    """A command, split into its arguments as a shell would; no shell runs it."""

    __slots__ = ()

    def __new__(cls, text: str) -> Command:
        if "\0" in text:
            raise ValueError("a command holds no NUL character")
        try:
            arguments = shlex.split(text)
        except ValueError as error:
            raise ValueError(f"{text!r} cannot be split into arguments: {error}") from None
        if not arguments or not arguments[0]:
            raise ValueError("it names no command")
        return super().__new__(cls, arguments)


class Number(float):
    """A finite decimal number. `str` is its shortest form, which is JSON too."""

    __slots__ = ()

    def __new__(cls, text: str | float) -> Number:
        try:
            number = super().__new__(cls, text)
        except ValueError:
            raise ValueError(f"{text!r} is no number") from None
        if not math.isfinite(number):
            raise ValueError(f"{text!r} is no finite number")
        return number

    def __str__(self) -> str:
        plain = float(self)
        return json.dumps(int(plain) if plain.is_integer() and abs(plain) < 2**53 else plain)


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with one field, or with a key that is none."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fields(Generic[S]):
    """What was read: `struct` is None when a required field is missing or wrong; `wrong` says what is."""

    struct: S | None
    wrong: tuple[Wrong, ...]


def read_fields(kind: type[S], given: Mapping[str, object], *, called: str, what: str) -> Fields[S]:
    """Read `given` as the struct `kind`. `called` ("<x-slider>") and `what` ("attribute") word the reasons."""
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    wrong = [Wrong(key, _unknown(key, known, called, what)) for key in given if key not in known]
    read: dict[str, object] = {}
    for key, field in known.items():
        if key in given:
            try:
                read[key] = convert(given[key], field.type)
            except ValueError as error:
                wrong.append(Wrong(key, f"{called}: {key}: {_plain(error, field.type)}"))
        elif field.required:
            wrong.append(Wrong(key, f'{called} needs {key}="…"'))
    complete = all(key in read for key, field in known.items() if field.required)
    return Fields(kind(**read) if complete else None, tuple(wrong))


def convert(given: object, kind: Any) -> object:
    """`given` as the type `kind`; text becomes numbers and truth values where `kind` asks for them.

    Raises:
        ValueError: it does not fit; the text says why.
    """
    return msgspec.convert(given, kind, strict=False, dec_hook=_make)


def describe(kind: type[msgspec.Struct]) -> list[tuple[str, str, str]]:
    """The table of a struct for the documentation: name, default ("" none, "required"), description."""
    hints = get_type_hints(kind, include_extras=True)
    return [
        (field.encode_name, _default(field), _description(hints[field.name]))
        for field in msgspec.structs.fields(kind)
    ]


def _make(kind: Any, given: object) -> object:
    """msgspec's hook for types that it does not know: our own, made from text (numbers may be given as such)."""
    if isinstance(given, str) or (kind is Number and type(given) in (int, float)):
        return kind(given)
    raise ValueError(f"expected text, got {given!r}")


def _unknown(key: str, known: Mapping[str, object], called: str, what: str) -> str:
    near = get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"{called} has no {what} {key[:40]!r} ({hint})"


def _plain(error: ValueError, kind: Any) -> str:
    """msgspec's sentence, without the path of what is a single value, and with the choices where there are some."""
    text = re.sub(r" - at `\$`$", "", str(error))
    hint = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(hint) is Literal:
        text = f"use one of {', '.join(get_args(hint))}"
    return text[:1].lower() + text[1:]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    default = field.default
    if default is None or default == "":
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def _description(hint: object) -> str:
    if get_origin(hint) is not Annotated:
        return ""
    metas = [meta for meta in get_args(hint)[1:] if isinstance(meta, msgspec.Meta)]
    return next((meta.description for meta in metas if meta.description), "")
