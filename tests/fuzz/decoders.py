"""Every decoder that reads what strangers send, with frames to begin from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engineroom.errors import ProtocolError
from engineroom.protocols import hocuspocus, lines, messages, ysweet
from engineroom.protocols.engine import decode_event
from engineroom.protocols.lib0 import buf, var_string, var_uint
from engineroom.protocols.messages import Dialect
from engineroom.protocols.page import PageDialect
from engineroom.protocols.updates import read_state_vector, read_update
from engineroom.protocols.yjs import YjsDialect

CORPUS = Path(__file__).with_name("corpus")

STATE_VECTOR = b"\x02\x05\x03\x81\xbc\xc1\x96\x0b\x00"
AWARENESS = messages.AwarenessUpdate(
    (messages.AwarenessState(5, 3, '{"user":{"name":"é"}}'), messages.AwarenessState(7, 1, "null"))
)
KEY = b"notes/today\0session-1"


@dataclass(frozen=True)
class Decoder:
    """What reads frames, the frames that it should know, and how a message is written and read again, if it is."""

    decode: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    again: Callable[[object], object] | None = None

    def check(self, frame: bytes) -> None:
        """Decode: a message, or a `ProtocolError` with a reason; and a message read once is read as itself again.

        Raises:
            BaseException: neither.
        """
        try:
            message = self.decode(frame)
        except ProtocolError as error:
            assert error.reason  # noqa: PT017
            return
        if self.again is not None and message is not None:
            assert self.again(message) == message


def yjs_updates() -> list[bytes]:
    """Updates of every kind, captured from Yjs."""
    captured = CORPUS.parent.parent / "unit" / "protocols" / "yjs_updates.json"
    return [bytes.fromhex(update) for update in json.loads(captured.read_text()).values()]


def decoders() -> Mapping[str, Decoder]:
    """By the name of its folder in the corpus."""
    updates = yjs_updates()
    documents = [
        messages.SyncStep1(STATE_VECTOR),
        messages.SyncStep2(updates[0]),
        messages.SyncUpdate(updates[1]),
        messages.QueryAwareness(),
        AWARENESS,
    ]
    page, pocus = PageDialect(), hocuspocus.HocuspocusDialect(KEY)
    made: dict[str, Decoder] = {
        "yjs": _dialect(YjsDialect(), documents),
        "ysweet": _dialect(ysweet.YSweetDialect(), documents, b"\x66\x01\x05"),
        "hocuspocus": _dialect(pocus, documents, pocus._prefix + b"\x05" + var_string("text")),
        "hocuspocus_socket": Decoder(
            _socket, (buf(KEY) + b"\x02\x00" + var_string("token") + var_string("4.8"),)
        ),
        "page": Decoder(
            page.decode,
            tuple(page.encode_from_member(each) for each in [*documents, *_page_messages()]),
            lambda message: page.decode(page.encode_from_member(message)),
        ),
        "update": Decoder(read_update, tuple(updates)),
        "state_vector": Decoder(read_state_vector, (STATE_VECTOR, b"\x00")),
        "engine": Decoder(
            decode_event, (b'{"type":"stream","id":"e","name":"stdout","text":"x"}',)
        ),
        "lines": Decoder(
            lines.decode_request, (b'{"set":"/speed","value":3}', b'{"get":"/speed","id":"a"}')
        ),
    }
    return {name: _with_corpus(name, decoder) for name, decoder in made.items()}


def _page_messages() -> list[messages.FromMember]:
    value = messages.Value(messages.ValueKind.JSON, b'{"a":[1]}')
    return [
        messages.SetValue(1, "/speed", value),
        messages.Evaluate(2, "e1", "a", "1 + 1"),
        messages.Complete(3, "a", "pri", 3),
        messages.TerminalInput("t", b"ls\r"),
        messages.TerminalResize("t", 80, 24),
        messages.Interrupt(4, "python"),
        messages.AnswerInput(5, "e1", "yes"),
    ]


def _dialect(dialect: Dialect, known: list[messages.DocumentMessage], *more: bytes) -> Decoder:
    frames = [frame for message in known if (frame := dialect.encode(message)) is not None]

    def again(message: object) -> object:
        frame = dialect.encode(message)  # type: ignore[arg-type]
        return message if frame is None else dialect.decode(frame)

    return Decoder(dialect.decode, (*frames, *more), again)


def _socket(frame: bytes) -> object:
    head = hocuspocus.read_head(frame)
    hocuspocus.is_step1(frame, head)
    return hocuspocus.document_name(head.key), hocuspocus.read_credentials(frame, head)


def _with_corpus(name: str, decoder: Decoder) -> Decoder:
    folder = CORPUS / name
    found = [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []
    large = [b"\x01" + var_uint(2**32)]
    return Decoder(decoder.decode, (*decoder.seeds, *found, *large), decoder.again)
