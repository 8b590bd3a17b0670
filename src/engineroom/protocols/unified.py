"""Changes as text for people and for `patch`: unified diffs of texts, a line for each operation on anything else.

Source: POSIX `diff -u`; GNU diffutils manual, "Detailed Description of Unified Format".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from .comparison import Operation, TextChange, TextPiece, compare, line_edge, text_pieces
from .items import Items

CONTEXT_LINES = 3
_NO_NEWLINE = "\\ No newline at end of file\n"


class _Line(NamedTuple):
    sign: Literal[" ", "-", "+"]
    text: str


def unified(root: str, pieces: Iterable[TextPiece], old: str, new: str) -> str:
    """The unified diff of one text, cut at whole lines; empty when nothing has changed.

    `old` and `new` name the two states; `pieces` are those of `comparison.text_pieces` with `line_edge`.
    """
    lines = list(_lines(pieces))
    hunks = "".join(_hunk(lines, first, last) for first, last in _hunks(lines))
    return (
        f"--- {_one_line(root)}\t{_one_line(old)}\n+++ {_one_line(root)}\t{_one_line(new)}\n{hunks}"
        if hunks
        else ""
    )


def operation_lines(root: str, operations: Sequence[Operation]) -> str:
    """A line for each operation: `replace /speed 3`, below the name of the root."""
    lines = [f"=== {_one_line(root)}\n"]
    for each in operations:
        value = "" if each.op == "remove" else " " + msgspec.json.encode(each.value).decode()
        lines.append(f"{each.op} {_one_line(each.path)}{value}\n")
    return "".join(lines)


def _one_line(name: str) -> str:
    """A name that cannot be taken for a line of the diff."""
    return name if name.isprintable() else msgspec.json.encode(name).decode()


def _lines(pieces: Iterable[TextPiece]) -> Iterator[_Line]:
    signs: dict[str, Literal[" ", "-", "+"]] = {"keep": " ", "remove": "-", "add": "+"}
    last = ("", "")
    for piece in pieces:
        # Two writers of one line are two pieces of the same kind.
        op, text = last
        if op != piece.op:
            yield from (_Line(signs[op], line) for line in _split(text))
            text = ""
        last = piece.op, text + piece.text
    yield from (_Line(signs[last[0]], line) for line in _split(last[1]))


def _split(text: str) -> list[str]:
    """Its lines with their ends; `\\n` alone ends one."""
    lines = [line + "\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _hunks(lines: list[_Line]) -> Iterator[tuple[int, int]]:
    """Ranges of lines: each change with what is around it; neighbours that touch are one."""
    first = last = -1
    for index, line in enumerate(lines):
        if line.sign == " ":
            continue
        if first >= 0 and index - CONTEXT_LINES > last + 1:
            yield first, last
            first = -1
        if first < 0:
            first = max(0, index - CONTEXT_LINES)
        last = min(len(lines), index + 1 + CONTEXT_LINES)
    if first >= 0:
        yield first, last


def _hunk(lines: list[_Line], first: int, last: int) -> str:
    before = lines[:first]
    hunk = lines[first:last]
    ranges = []
    for sign in "-+":
        start = sum(line.sign in (" ", sign) for line in before)
        count = sum(line.sign in (" ", sign) for line in hunk)
        ranges.append(f"{sign}{start + 1 if count else start},{count}")
    text = "".join(
        line.sign + line.text + ("" if line.text.endswith("\n") else "\n" + _NO_NEWLINE)
        for line in hunk
    )
    return f"@@ {' '.join(ranges)} @@\n{text}"


def unified_changes(before: Items, after: Items, old: str, new: str) -> str:
    """All that is different in `after`, root by root, as text; `old` and `new` name the two states.

    Raises:
        LimitExceeded: types are nested past `plain.MAX_DEPTH`.
    """
    parts = []
    for change in compare(before, after):
        if isinstance(change, TextChange):
            nodes = before.roots.get(change.root), after.roots.get(change.root)
            parts.append(unified(change.root, text_pieces(*nodes, line_edge), old, new))
        else:
            parts.append(operation_lines(change.root, change.operations))
    return "".join(parts)
