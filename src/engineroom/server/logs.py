"""What is logged, and in which form: lines for people, or a JSON object a line for machines.

Fields are bound to a line by `extra=`: `room`, `member`, and those of a request; the id of the HTTP request on whose
behalf something is logged is bound by itself. Never contents, never tokens: a query is no part of any line.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

LogFormat = Literal["text", "json"]


@dataclass(slots=True)
class Bound:
    """An HTTP request's id. Tasks that a request starts may outlive it: they are not its own once it is `over`."""

    id: str
    over: bool = False


request: ContextVar[Bound | None] = ContextVar("engineroom_request", default=None)
"""The HTTP request that is being answered in this context."""

FIELDS = ("room", "member", "method", "path", "status", "seconds")
_QUIET = ("uvicorn", "watchfiles", "httpx", "httpcore")


def configure_logging(level: str, form: LogFormat = "text") -> None:
    """Everything on stderr; of the libraries, what is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class TextLines(logging.Formatter):
    """A line: when, how bad, who says it, what; and the request's id where there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line, before any traceback."""
        line = super().formatMessage(record)
        bound = _request_id()
        return f"{line} [{bound}]" if bound else line


class JsonLines(logging.Formatter):
    """An object: `time` (ISO 8601, UTC), `level`, `logger`, `message`, the fields that are bound, `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, on one line."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if bound := _request_id():
            fields["request"] = bound
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields, enc_hook=str).decode("utf-8", "replace")


def _request_id() -> str:
    bound = request.get()
    return "" if bound is None or bound.over else bound.id
