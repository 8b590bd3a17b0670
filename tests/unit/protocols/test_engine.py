"""The lines between a backend and an engine process."""

import json

import pytest

from engineroom.errors import ProtocolError
from engineroom.protocols import engine
from engineroom.protocols.engine import decode_event, encode_request


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (
            engine.Evaluate("e1", "print('é')\n"),
            {"type": "evaluate", "id": "e1", "code": "print('é')\n", "display": "last"},
        ),
        (
            engine.Complete("c1", "pri", 3),
            {"type": "complete", "id": "c1", "code": "pri", "cursor": 3},
        ),
        (engine.Answer("e1", "yes"), {"type": "answer", "id": "e1", "text": "yes"}),
    ],
)
def test_a_request_is_one_line_of_json(request_: engine.Request, line: dict[str, object]) -> None:
    """A request is one JSON object, named by its `type`, with one line end, at the end."""
    encoded = encode_request(request_)
    assert json.loads(encoded) == line
    assert encoded.index(b"\n") == len(encoded) - 1


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (
            '{"type":"ready","language":"python","version":"3.11"}',
            engine.Ready("python", "3.11"),
        ),
        ('{"type":"started","id":"e","count":1}\n', engine.Started("e", 1)),
        (
            '{"type":"stream","id":"","name":"stderr","text":"a\\nb"}',
            engine.Stream("", "stderr", "a\nb"),
        ),
        (
            '{"type":"display","id":"e","data":{"text/plain":"1"},"result":true}',
            engine.Display("e", {"text/plain": "1"}, result=True),
        ),
        ('{"type":"clear","id":"e","wait":true}', engine.ClearOutput("e", wait=True)),
        (
            '{"type":"error","id":"e","name":"ValueError","value":"no","traceback":["a"]}',
            engine.Raised("e", "ValueError", "no", ["a"]),
        ),
        (
            '{"type":"input_request","id":"e","prompt":"? "}',
            engine.InputRequest("e", "? ", password=False),
        ),
        (
            '{"type":"done","id":"e","status":"ok","count":1,"seconds":0.5}',
            engine.Done("e", "ok", 1, 0.5),
        ),
        (
            '{"type":"completions","id":"c","start":0,"end":3,"matches":["print"]}',
            engine.Completions("c", 0, 3, ["print"]),
        ),
        (
            '{"type":"started","id":"e","count":1,"new":"field"}',
            engine.Started("e", 1),
        ),
    ],
)
def test_each_event_is_read_from_its_line(line: str, event: engine.Event) -> None:
    """Every event is read, with or without the line's end; fields from a newer engine are passed over."""
    assert decode_event(line.encode()) == event


@pytest.mark.parametrize(
    ("line", "because"),
    [
        (b"", "truncated"),
        (b"Traceback (most recent call last):", "JSON is malformed"),
        (b"[]", "object"),
        (b'{"type":"unheard"}', "unheard"),
        (b'{"type":"started","id":"e","count":"1"}', r"\$.count"),
        (b'{"type":"started","id":"\xff","count":1}', "utf-8"),
        (b'{"type":"display","id":"e","data":' + b"[" * 50_000, "no event"),
    ],
)
def test_a_line_that_is_no_event_is_a_protocol_error(line: bytes, because: str) -> None:
    """Whatever else an engine writes is refused, with the field or the reason in the text."""
    with pytest.raises(ProtocolError, match=because):
        decode_event(line)


def test_a_line_is_bounded() -> None:
    """A line past `MAX_LINE_BYTES` is refused before it is parsed."""
    with pytest.raises(ProtocolError, match="at most"):
        decode_event(b" " * (engine.MAX_LINE_BYTES + 1))
