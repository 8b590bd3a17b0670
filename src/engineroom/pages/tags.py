"""The one table of tags and of front matter: what an author may write, with defaults and meanings.

`fields.read_fields` checks against it, `elements.py` acts on it, and the reference documentation is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from .fields import Command, Language, Name, Number, ValueAddress, describe

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e9)]
Label: TypeAlias = Annotated[str, Meta(max_length=200)]


class Editor(msgspec.Struct, frozen=True):
    """A text that everyone in the room edits together. What stands between the tags is its text to begin with."""

    name: Annotated[Name, Meta(description="the text's name in the room's document")]
    language: Annotated[Language, Meta(description="colours and indents it as this language")] = (
        Language("text")
    )
    label: Annotated[Label, Meta(description="what it is called aloud; the name when left out")] = (
        ""
    )


class Cell(msgspec.Struct, frozen=True):
    """Code that everyone in the room edits and runs. What stands between the tags is its source to begin with."""

    engine: Annotated[str, Meta(max_length=64, description="the engine that runs it: `python`")]
    id: Annotated[
        Name | None,
        Meta(description="its name; its place on the page, `cell-1`, `cell-2`…, when left out"),
    ] = None


class Terminal(msgspec.Struct, frozen=True):
    """A command in a terminal that everyone in the room sees and types into."""

    command: Annotated[
        Command, Meta(description="split into arguments as a shell would; browsers never see it")
    ]
    name: Annotated[
        Name | None, Meta(description="its name; `terminal-1`, `terminal-2`… when left out")
    ] = None
    rows: Annotated[int, Meta(ge=2, le=100, description="height in lines, 2 to 100")] = 16
    label: Annotated[Label, Meta(description="what it is called aloud; the name when left out")] = (
        ""
    )


class Slider(msgspec.Struct, frozen=True):
    """A slider for a number that everyone in the room, and its programs, see and set."""

    value: Annotated[ValueAddress, Meta(description="the value's address, which begins with `/`")]
    min: Annotated[Number, Meta(description="its left end")] = Number(0)
    max: Annotated[Number, Meta(description="its right end")] = Number(100)
    step: Annotated[Number, Meta(description="the least difference, above 0")] = Number(1)
    initial: Annotated[
        Number | None, Meta(description="the value in a new room; `min` when left out")
    ] = None
    label: Annotated[Label, Meta(description="shown beside it; the address when left out")] = ""


class Value(msgspec.Struct, frozen=True):
    """What a value is at the moment, as text. It may stand in a sentence."""

    value: Annotated[ValueAddress, Meta(description="the value's address, which begins with `/`")]
    label: Annotated[Label, Meta(description="shown before it")] = ""


class FrontMatter(msgspec.Struct, frozen=True):
    """What stands between two lines `---` at the top of a page, as YAML."""

    title: Annotated[str, Meta(max_length=300, description="the first heading when left out")] = ""
    description: Annotated[
        str,
        Meta(max_length=1000, description="a sentence for search engines and previews of links"),
    ] = ""
    order: Annotated[
        Number | None,
        Meta(
            description="its place in the menu; the number that its file name begins with when left out"
        ),
    ] = None
    room: Annotated[
        Literal["own", "shared"],
        Meta(description="`own`: every visitor gets a new room; `shared`: one room for all"),
    ] = "own"
    network: Annotated[bool, Meta(description="whether its programs may reach the network")] = False
    display: Annotated[
        Literal["last", "every"],
        Meta(description="which expressions of a cell show their value"),
    ] = "last"
    linger_seconds: Annotated[
        Seconds | None,
        Meta(
            description="how long its programs outlive the last visitor; else the server's setting"
        ),
    ] = None
    history: Annotated[
        bool | None,
        Meta(
            description="whether its rooms keep versions by themselves; else the server's setting"
        ),
    ] = None


LiveTag: TypeAlias = Editor | Cell | Terminal | Slider | Value


@dataclass(frozen=True, slots=True)
class Tag:
    """How a tag is read: `text` says that it has text between its tags, taken as it stands, like a script's."""

    name: str
    fields: type[LiveTag]
    text: bool = False


TAGS: Mapping[str, Tag] = MappingProxyType(
    {
        tag.name: tag
        for tag in (
            Tag("x-editor", Editor, text=True),
            Tag("x-cell", Cell, text=True),
            Tag("x-terminal", Terminal),
            Tag("x-slider", Slider),
            Tag("x-value", Value),
        )
    }
)


def reference() -> str:
    """The tables of this module as Markdown, for docs/reference/pages.md."""
    parts = [_section(f"`<{tag.name}>`", tag.fields, "attribute") for tag in TAGS.values()]
    return "\n".join([*parts, _section("Front matter", FrontMatter, "key")])


def _section(title: str, fields: type[msgspec.Struct], what: str) -> str:
    rows = "".join(
        f"| `{name}` | {default if default in ('', 'required') else f'`{default}`'} | {meaning} |\n"
        for name, default, meaning in describe(fields)
    )
    return (
        f"### {title}\n\n{fields.__doc__}\n\n| {what} | default | meaning |\n|---|---|---|\n{rows}"
    )
