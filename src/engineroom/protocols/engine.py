"""What a backend and an engine process say to each other: JSON, one object a line, UTF-8.

Requests go to the engine on its request descriptor, events come back on its event descriptor. The first event is
`ready`. The engine's own program (`programs/engines/python`) writes the same lines with the standard library alone.
Offsets into code are Unicode code points here. The field `type` of each object names it.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from engineroom.errors import ProtocolError

MAX_LINE_BYTES: Final = 2**24
"""The longest line, its end included: 16 MiB hold a figure of 12 MB in base64. Readers stop there."""


class Evaluate(msgspec.Struct, frozen=True, tag="evaluate"):
    """Run `code`; `display` says whether the last expression's value is shown or every one's, as a REPL does."""

    id: str
    code: str
    display: Literal["last", "every"] = "last"


class Complete(msgspec.Struct, frozen=True, tag="complete"):
    """How may `code` go on at `cursor`? Answered also while an evaluation runs."""

    id: str
    code: str
    cursor: int


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """The line that evaluation `id` asked for with `input_request`."""

    id: str
    text: str


Request: TypeAlias = Evaluate | Complete | Answer


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The engine answers from now on. `language` and `version` are for people."""

    language: str
    version: str


class Started(msgspec.Struct, frozen=True, tag="started"):
    """Evaluation `id` begins; `count` numbers the evaluations of this instance from 1."""

    id: str
    count: int


class Stream(msgspec.Struct, frozen=True, tag="stream"):
    """Text that evaluation `id` (empty: none was running) wrote to `name`."""

    id: str
    name: Literal["stdout", "stderr"]
    text: str


class Display(msgspec.Struct, frozen=True, tag="display"):
    """Rich output: MIME type to content, text as it is and binary in base64. `result` marks the value of an expression.

    `display` names an output that a later one with `update` replaces; empty: it cannot be updated.
    """

    id: str
    data: dict[str, str]
    result: bool = False
    display: str = ""
    update: bool = False


class ClearOutput(msgspec.Struct, frozen=True, tag="clear"):
    """Remove the evaluation's outputs; with `wait`, only when the next one comes."""

    id: str
    wait: bool = False


class Raised(msgspec.Struct, frozen=True, tag="error"):
    """Evaluation `id` raised: the exception's name, its text, and the traceback's lines (ANSI colours allowed)."""

    id: str
    name: str
    value: str
    traceback: list[str]


class InputRequest(msgspec.Struct, frozen=True, tag="input_request"):
    """Evaluation `id` waits for a line; with `password` it is not to be shown."""

    id: str
    prompt: str
    password: bool = False


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Evaluation `id` has ended, after all of its outputs."""

    id: str
    status: Literal["ok", "error", "interrupted"]
    count: int
    seconds: float


class Completions(msgspec.Struct, frozen=True, tag="completions"):
    """Answers `Complete`: each match may stand in place of code points `start` to `end`."""

    id: str
    start: int
    end: int
    matches: list[str]


Event: TypeAlias = (
    Ready | Started | Stream | Display | ClearOutput | Raised | InputRequest | Done | Completions
)

_DECODER: Final = msgspec.json.Decoder(Event)
_ENCODER: Final = msgspec.json.Encoder()


def encode_request(request: Request) -> bytes:
    """The line that carries `request`, its end included."""
    return _ENCODER.encode(request) + b"\n"


def decode_event(line: bytes) -> Event:
    """The event in one line, with or without its end.

    Raises:
        ProtocolError: too long, not JSON, not UTF-8, or no event; the text names the field.
    """
    if len(line) > MAX_LINE_BYTES:
        raise ProtocolError(
            f"the engine sent a line of {len(line)} bytes; at most {MAX_LINE_BYTES}"
        )
    try:
        event: Event = _DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ProtocolError(f"the engine sent a line that is no event: {error}") from None
    return event
