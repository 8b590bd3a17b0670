"""The lines between a room and its programs."""

import pytest

from engineroom.protocols import lines
from engineroom.protocols.lines import (
    Failed,
    FromProgram,
    Get,
    LineError,
    Ok,
    Set,
    ToProgram,
    Unwatch,
    ValueIs,
    Watch,
    decode_request,
    encode_reply,
)
from engineroom.protocols.messages import Value, ValueKind

JSON = ValueKind.JSON
BYTES = ValueKind.BYTES


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ('{"get": "/speed"}\n', Get("/speed")),
        ('{"get": "/speed", "id": 7}', Get("/speed", 7)),
        ('{"set": "/speed", "value": 4}', Set("/speed", Value(JSON, b"4"))),
        ('{"id": "a", "value": null, "set": "/x"}', Set("/x", Value(JSON, b"null"), "a")),
        (
            '{"set": "/x", "value": { "b" : 1.50, "a": "\\u00e9" } }',
            Set("/x", Value(JSON, b'{ "b" : 1.50, "a": "\\u00e9" }')),
        ),
        ('{"set": "/p", "base64": "/wA="}', Set("/p", Value(BYTES, b"\xff\x00"))),
        ('{"watch": "/motor/*"}', Watch("/motor/*")),
        ('{"unwatch": "/speed", "id": null}', Unwatch("/speed")),
        ('{"get": "no address"}', Get("no address")),
    ],
)
def test_each_request_is_read_from_its_line(line: str, request_: FromProgram) -> None:
    """Every request is read; JSON is kept as it was written, and addresses are left for the room to judge."""
    assert decode_request(line.encode()) == request_


@pytest.mark.parametrize(
    ("line", "because", "request_id"),
    [
        (b"", "truncated", None),
        (b"get /speed", "JSON is malformed", None),
        (b"[1]", "object", None),
        (b'{"id": 7}', "exactly one of get, set, watch and unwatch", 7),
        (b'{"get": "/a", "watch": "/a", "id": "x"}', "exactly one of get", "x"),
        (b'{"sett": "/a", "id": 7}', "unknown field `sett`", 7),
        (b'{"get": 3, "id": 7}', r"Expected `str`, got `int` - at `\$.get`", 7),
        (b'{"get": "/a", "id": 1.5}', r"\$.id", None),
        (b'{"get": "/a", "value": 1, "id": 7}', "get takes no value", 7),
        (b'{"watch": "/a", "base64": "", "id": 7}', "watch takes no value", 7),
        (b'{"set": "/a", "id": 7}', "set needs exactly one of value and base64", 7),
        (b'{"set": "/a", "value": 1, "base64": "", "id": 7}', "exactly one of value", 7),
        (b'{"set": "/a", "base64": "a", "id": 7}', "base64 is not valid", 7),
        (b'{"set": "/a", "base64": "a*==", "id": 7}', "base64 is not valid", 7),
        (b'{"set": "/a", "base64": "\xc3\xa9", "id": 7}', "base64 is not valid", 7),
        (b'{"set": "/a", "value": [1,,2], "id": 7}', "JSON is malformed", None),
        (b'{"set": "/a", "value": "\xff", "id": 7}', "utf-8", 7),
        (b'{"set": "/a", "value": ' + b"[" * 50_000 + b"}", "not a request", None),
    ],
)
def test_a_mistake_says_what_to_do_and_names_the_request(
    line: bytes, because: str, request_id: lines.RequestId
) -> None:
    """A line that is no request raises a LineError with the reason and, where it can be read, the id."""
    with pytest.raises(LineError, match=because) as caught:
        decode_request(line)
    assert caught.value.id == request_id


def test_a_line_is_bounded() -> None:
    """A line past `MAX_LINE_BYTES` is refused before it is parsed."""
    with pytest.raises(LineError, match="at most"):
        decode_request(b" " * (lines.MAX_LINE_BYTES + 1))


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (ValueIs("/speed", Value(JSON, b"3")), b'{"address":"/speed","value":3}\n'),
        (ValueIs("/speed", Value(JSON, b"3"), 7), b'{"address":"/speed","value":3,"id":7}\n'),
        (ValueIs("/x", Value(JSON, b"null")), b'{"address":"/x","value":null}\n'),
        (ValueIs("/x", Value(JSON, b'{\r\n"a": 1\n}')), b'{"address":"/x","value":{\r "a": 1 }}\n'),
        (ValueIs("/p", Value(BYTES, b"\xff\x00")), b'{"address":"/p","base64":"/wA="}\n'),
        (ValueIs("/p", Value(BYTES, b"")), b'{"address":"/p","base64":""}\n'),
        (ValueIs("/x", None, "a"), b'{"address":"/x","missing":true,"id":"a"}\n'),
        (Ok(7), b'{"ok":true,"id":7}\n'),
        (Ok(0), b'{"ok":true,"id":0}\n'),
        (Failed("no such thing\n"), b'{"error":"no such thing\\n"}\n'),
        (Failed("no", ""), b'{"error":"no","id":""}\n'),
    ],
)
def test_each_reply_is_one_line(reply: ToProgram, line: bytes) -> None:
    """A reply is one JSON object and one line end, also where its JSON value was written over several lines."""
    assert encode_reply(reply) == line
