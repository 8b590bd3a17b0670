"""What went wrong in the user's code, in words: tracebacks without the engine's own frames.

Knows exceptions. Must not know where the words go.
"""

from __future__ import annotations

import os
import traceback

OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
MAX_TEXT = 4 * 1024
MAX_LINES = 400

Output = dict[str, object]


def describe_failure(error: BaseException) -> Output:
    """The output `error`: the exception's name, its text, and the traceback's lines. Long ones lose their middle."""
    try:
        value = str(error)
    except Exception as problem:
        value = f"<its str() raised {type(problem).__name__}>"
    return {
        "type": "error",
        "name": type(error).__name__,
        "value": shorten(value),
        "traceback": traceback_lines(error),
    }


def traceback_lines(error: BaseException) -> list[str]:
    """The traceback as Python prints it, without the frames of this folder, and one line an entry."""
    described = traceback.TracebackException.from_exception(error)
    _remove_own_frames(described)
    described.stack = _from_first_cell(described.stack)
    parts = list(described.format() if described.stack else described.format_exception_only())
    lines = "".join(parts).rstrip("\n").split("\n")
    if len(lines) > MAX_LINES:
        half = MAX_LINES // 2
        lines[half:-half] = [f"  … {len(lines) - MAX_LINES} lines …"]
    return [shorten(line) for line in lines]


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """`text`, or its beginning when it is longer than `limit` characters, saying how much is missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} more characters)"


def _remove_own_frames(described: traceback.TracebackException) -> None:
    seen = set()
    waiting: list[traceback.TracebackException | None] = [described]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.stack[:] = [frame for frame in one.stack if not frame.filename.startswith(OWN_FOLDER)]
        waiting += [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]


def _from_first_cell(stack: traceback.StackSummary) -> traceback.StackSummary:
    """Without what stands before the cell's own first frame: asyncio's, for an `await` at the top level."""
    for index, frame in enumerate(stack):
        if frame.filename.startswith("<cell "):
            return traceback.StackSummary.from_list(stack[index:])
    return stack
