"""The one writer of an evaluation's outputs.

Events come in as they happen; what they make of the outputs is written a frame at a time, inside the room's
transaction. Carriage returns and backspaces are applied here, so the document holds what a reader would see.
Of a long stream the document keeps the last part; what is cut from its beginning is handed out, to be kept
beside the document.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from pycrdt import Array, Map, Text

from engineroom.protocols import engine

from .effects import KeepOutput
from .limits import RoomLimits

MAX_LINE = 64 << 10  # characters of an unfinished line within which `\r` still works
_CONTROL = re.compile(r"([\r\n\b])")

OutputEvent: TypeAlias = engine.Stream | engine.Display | engine.Raised | engine.ClearOutput


@dataclass(slots=True)
class _Line:
    """The unfinished last line of a stream, and where the next character goes."""

    text: str = ""
    column: int = 0


@dataclass(slots=True)
class _Open:
    """The stream output that is being written to: its place among the outputs, its name, its last line."""

    index: int
    name: str
    line: _Line


class OutputWriter:
    """Outputs of one evaluation. `whole_url(index)` is where the whole of a shortened output can be read."""

    def __init__(
        self, evaluation: str, limits: RoomLimits, whole_url: Callable[[int], str]
    ) -> None:
        self.evaluation = evaluation
        self.displays: dict[str, list[int]] = {}
        self._limits = limits
        self._whole_url = whole_url
        self._events: list[OutputEvent] = []
        self._open: _Open | None = None
        self._clear_next = False
        self._count = 0
        self._sizes: dict[int, int] = {}  # of rich outputs and errors, by index
        self._omitted: dict[int, int] = {}
        self._kept: list[KeepOutput] = []

    @property
    def pending(self) -> bool:
        """Whether there is something to write."""
        return bool(self._events)

    def receive(self, event: OutputEvent) -> None:
        """Take note of `event`; text joins what already waits, and an update replaces an earlier one of its display."""
        last = self._events[-1] if self._events else None
        if (
            isinstance(event, engine.Stream)
            and isinstance(last, engine.Stream)
            and last.name == event.name
        ):
            self._events[-1] = engine.Stream(event.id, event.name, last.text + event.text)
        elif (
            isinstance(event, engine.Display)
            and event.update
            and isinstance(last, engine.Display)
            and (last.update and last.display == event.display)
        ):
            self._events[-1] = event
        else:
            self._events.append(event)

    def write(self, outputs: Array[Any]) -> list[KeepOutput]:
        """Write what waits into `outputs`, inside a transaction; returns what is to be kept beside the document."""
        events, self._events = self._events, []
        for event in events:
            match event:
                case engine.ClearOutput(wait=True):
                    self._clear_next = True
                case engine.ClearOutput():
                    self._clear(outputs)
                case engine.Stream():
                    self._before_output(outputs)
                    self._stream(outputs, event.name, event.text)
                case engine.Display(update=True):
                    self._update_display(outputs, event)
                case engine.Display():
                    self._before_output(outputs)
                    self._display(outputs, event)
                case engine.Raised():
                    self._before_output(outputs)
                    self._add(outputs, self._error(event, len(outputs)))
        kept, self._kept = self._kept, []
        return kept

    def finish(self, outputs: Array[Any]) -> list[KeepOutput]:
        """Write what waits and complete what is kept of the shortened outputs."""
        kept = self.write(outputs)
        for index in sorted(self._omitted):
            text = _text(outputs, index)
            if text is not None:
                kept.append(KeepOutput(self.evaluation, index, str(text)))
        self._omitted.clear()
        return kept

    # --- inside ------------------------------------------------------------------------------

    def _clear(self, outputs: Array[Any]) -> None:
        outputs.clear()
        self._open = None
        self._omitted.clear()
        self._sizes.clear()
        self.displays.clear()
        self._count = 0

    def _before_output(self, outputs: Array[Any]) -> None:
        if self._clear_next:
            self._clear_next = False
            self._clear(outputs)

    def _add(self, outputs: Array[Any], output: Map[Any]) -> int | None:
        """Append `output`; its index, None when there are too many already."""
        self._open = None
        self._count += 1
        if self._count > self._limits.evaluation_outputs:
            return None
        if self._count == self._limits.evaluation_outputs:
            output = _stream_map(
                "stderr",
                f"More than {self._limits.evaluation_outputs} outputs: the rest is not shown.\n",
            )
        outputs.append(output)
        return len(outputs) - 1

    def _display(self, outputs: Array[Any], event: engine.Display) -> None:
        kind = "execute_result" if event.result else "display_data"
        data = self._bounded(event.data, len(outputs))
        index = self._add(outputs, Map({"output_type": kind, "data": data, "metadata": {}}))
        if event.display and index is not None and self._count < self._limits.evaluation_outputs:
            self.displays.setdefault(event.display, []).append(index)

    def _update_display(self, outputs: Array[Any], event: engine.Display) -> None:
        for index in self.displays.get(event.display, ()):
            if index < len(outputs) and isinstance(outputs[index], Map):
                outputs[index]["data"] = self._bounded(event.data, index)

    def _bounded(self, data: dict[str, str], index: int) -> dict[str, str]:
        size = sum(len(key) + len(content) for key, content in data.items())
        refusal = self._refusal(size, index)
        return {"text/plain": refusal} if refusal else dict(data)

    def _error(self, event: engine.Raised, index: int) -> Map[Any]:
        size = len(event.name) + len(event.value) + sum(map(len, event.traceback))
        refusal = self._refusal(size, index)
        name, value, traceback = event.name, event.value, list(event.traceback)
        if refusal:
            name, value, traceback = name[:100], refusal, []
        return Map({"output_type": "error", "ename": name, "evalue": value, "traceback": traceback})

    def _refusal(self, size: int, index: int) -> str:
        """Why output `index` of this size is not shown; empty when it is, and counts."""
        limits = self._limits
        self._sizes.pop(index, None)
        if size > limits.output_bytes:
            return f"This output is larger than {limits.output_bytes >> 20} MiB and is not shown."
        if sum(self._sizes.values()) + size > limits.evaluation_bytes:
            return f"More than {limits.evaluation_bytes >> 20} MiB of outputs: not shown."
        self._sizes[index] = size
        return ""

    def _stream(self, outputs: Array[Any], name: str, text: str) -> None:
        target = _text(outputs, self._open.index) if self._open is not None else None
        if target is None or self._open is None or self._open.name != name:
            index = self._add(outputs, _stream_map(name, ""))
            if index is None or self._count == self._limits.evaluation_outputs:
                return
            self._open = _Open(index, name, _Line())
            target = _text(outputs, index)
            assert target is not None
        if len(text) > self._limits.stream_bytes:
            text = self._skip(outputs, target, self._open, text)
        _overtype(target, self._open.line, text)
        if len(target) > self._limits.stream_bytes * 5 // 4:
            self._shorten(outputs, target, self._open.index)

    def _skip(self, outputs: Array[Any], target: Text, open_: _Open, text: str) -> str:
        """Of a text that alone is too long, hand out all but the end."""
        cut = (
            text.find("\n", len(text) - self._limits.stream_bytes) + 1
            or len(text) - self._limits.stream_bytes
        )
        self._cut_off(outputs, open_.index, str(target) + text[:cut])
        target.clear()
        open_.line = _Line()
        return text[cut:]

    def _shorten(self, outputs: Array[Any], target: Text, index: int) -> None:
        data = str(target).encode()
        cut = data.find(b"\n", len(data) - self._limits.stream_bytes) + 1
        if not 0 < cut < len(data):
            cut = len(data) - self._limits.stream_bytes
            while data[cut] & 0xC0 == 0x80:  # not inside a UTF-8 sequence
                cut += 1
        del target[0:cut]
        self._cut_off(outputs, index, data[:cut].decode())

    def _cut_off(self, outputs: Array[Any], index: int, text: str) -> None:
        output = outputs[index]
        omitted = self._omitted.get(index, 0) + len(text.encode("utf-16-le")) // 2
        output["omitted"] = self._omitted[index] = omitted
        output["whole"] = self._whole_url(index)
        self._kept.append(KeepOutput(self.evaluation, index, text))


def _stream_map(name: str, text: str) -> Map[Any]:
    return Map({"output_type": "stream", "name": name, "text": Text(text)})


def _text(outputs: Array[Any], index: int) -> Text | None:
    """The text of stream output `index`, None when members have put something else there."""
    output = outputs[index] if index < len(outputs) else None
    text = output.get("text") if isinstance(output, Map) else None
    return text if isinstance(text, Text) else None


def _overtype(target: Text, line: _Line, text: str) -> None:
    """Write `text` at the end of `target`, whose last line is `line`, as a terminal would."""
    if line.column == len(line.text) and not _CONTROL.search(text.replace("\n", "")):
        target.insert(len(target), text)
        _follow(line, line.text + text)
        return
    fresh, column = overtyped(line.text, line.column, text)
    same = _common(line.text, fresh)
    gone = len(line.text[same:].encode())
    if gone:
        end = len(target)
        del target[end - gone : end]
    if fresh[same:]:
        target.insert(len(target), fresh[same:])
    _follow(line, fresh)
    line.column = min(column, len(line.text))


def _common(first: str, second: str) -> int:
    """How many characters at their beginning are the same."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def _follow(line: _Line, text: str) -> None:
    line.text = text[text.rfind("\n") + 1 :]
    if len(line.text) > MAX_LINE:
        line.text = ""
    line.column = len(line.text)


def overtyped(line: str, column: int, text: str) -> tuple[str, int]:
    r"""What an unfinished `line` with the cursor at `column` becomes when `text` is typed over it.

    `\r` goes to the line's beginning, `\b` one back, `\n` to a new line. What follows a `\r` replaces as many
    characters as it has; where colours are about (an escape), the whole line, since columns can't be counted
    then. Returns the lines and the column in the last of them.
    """
    done: list[str] = []
    for part in _CONTROL.split(text):
        if part == "\r":
            column = 0
        elif part == "\b":
            column = max(0, column - 1)
        elif part == "\n":
            done.append(line)
            line, column = "", 0
        elif part:
            rest = "" if "\x1b" in line + part and column == 0 else line[column + len(part) :]
            line = line[:column] + part + rest
            column += len(part)
    return "\n".join([*done, line]), column
