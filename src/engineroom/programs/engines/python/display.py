"""Rich display: an object's representations by MIME type, `display()` and its handles, `clear_output()`.

Knows the `_repr_*_` methods. Must not know where outputs go: that is `emit`. A representation that fails is told on
`sys.stderr` and left out; it never ends the evaluation.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from .failures import Output, shorten, traceback_lines

#: Bounds on one output, in characters as sent: the backend reads lines of at most 16 MiB.
MAX_PLAIN = 1024 * 1024
MAX_RICH = 10 * 1024 * 1024

METHODS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_latex_": "text/latex",
    "_repr_json_": "application/json",
}

Emit = Callable[[Output], None]


def print_output(output: Output) -> None:
    """Print an output as a REPL does: what an interpreter does by itself."""
    if output["type"] == "error":
        lines: Any = output["traceback"]
        print(*lines, sep="\n", file=sys.stderr)
    elif output["type"] == "display":
        data: Any = output["data"]
        print(data.get("text/plain", f"<{', '.join(data)}>"))


class DisplayHandle:
    """An output that can be changed later. As the value of a cell's last expression it shows nothing."""

    def __init__(self, screen: Screen, display_id: str) -> None:
        self._screen = screen
        self.display_id = display_id

    def update(self, value: object, *, raw: bool = False) -> None:
        """Put `value` in the output's place, wherever it is shown."""
        self._screen.show(value, raw=raw, display=self.display_id, update=True)


class Screen:
    """Shows objects by emitting outputs."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        # Another instance of the engine must not update this one's outputs.
        self._prefix = os.urandom(4).hex()
        self._made = 0

    def builtins(self) -> dict[str, object]:
        """The names that every cell finds."""
        return {"display": self.display, "clear_output": self.clear_output}

    def show(
        self,
        value: object,
        *,
        raw: bool = False,
        result: bool = False,
        display: str = "",
        update: bool = False,
    ) -> None:
        """Emit `value`; with `raw` it is a dict of MIME type to text or bytes already."""
        if isinstance(value, DisplayHandle):
            return
        data = representations(value, raw=raw)
        self._emit(
            {
                "type": "display",
                "data": data,
                "result": result,
                "display": display,
                "update": update,
            }
        )

    def display(
        self, *values: object, raw: bool = False, display_id: str | bool | None = None
    ) -> DisplayHandle:
        """Show `values` now. The handle that it returns changes them later: `handle.update(value)`.

        `display_id` names the output (True: any name). `raw` says that each value is a dict of MIME type to content.
        """
        if not isinstance(display_id, str):
            self._made += 1
            display_id = f"{self._prefix}-{self._made}"
        for value in values:
            self.show(value, raw=raw, display=display_id)
        return DisplayHandle(self, display_id)

    def clear_output(self, wait: bool = False) -> None:
        """Remove the evaluation's outputs; with `wait`, only when the next one comes."""
        self._emit({"type": "clear", "wait": bool(wait)})


def representations(value: object, *, raw: bool = False) -> dict[str, str]:
    """MIME type to content, text as it is and binary in base64; never empty.

    Too large ones are left out, with a word on `sys.stderr`; plain text is cut.
    """
    found: dict[str, object] = {}
    if raw and isinstance(value, dict):
        found.update(value)
    else:
        found.update(_rich(value))
        if "text/plain" not in found:
            found["text/plain"] = _plain(value)
    data: dict[str, str] = {}
    room = MAX_RICH
    for mime, content in found.items():
        text = _attempt(f"its {mime}", partial(_as_text, mime, content))
        if mime == "text/plain":
            data[mime] = shorten(text or "", MAX_PLAIN)
        elif text is not None and len(text) <= room:
            room -= len(text)
            data[mime] = text
        elif text is not None:
            print(f"{mime} of {len(text):,} characters is too large to show", file=sys.stderr)
    return data or {"text/plain": ""}


def _rich(value: object) -> dict[str, object]:
    # Looked up on the type: a proxy or a mock answers to every name, and a class is not its own instance.
    kind = type(value)
    found: dict[str, object] = {}
    if callable(getattr(kind, "_repr_mimebundle_", None)):
        bundle = _attempt("_repr_mimebundle_", getattr(value, "_repr_mimebundle_"))  # noqa: B009
        if isinstance(bundle, tuple) and bundle:
            bundle = bundle[0]
        if isinstance(bundle, dict):
            found.update(bundle)
    for name, mime in METHODS.items():
        if mime not in found and callable(getattr(kind, name, None)):
            content = _attempt(name, getattr(value, name))
            if content is not None:
                # `_repr_json_` and others may return the content along with metadata.
                found[mime] = content[0] if isinstance(content, tuple) else content
    return found


def _plain(value: object) -> str:
    text = _attempt("__repr__", lambda: repr(value))
    return object.__repr__(value) if text is None else text


def _as_text(mime: str, content: object) -> str | None:
    if content is None:
        return None
    if isinstance(content, str):
        return content
    if isinstance(content, (bytes, bytearray, memoryview)):
        if mime.startswith("text/") or mime == "image/svg+xml":
            return bytes(content).decode("utf-8", "replace")
        return base64.b64encode(content).decode("ascii")
    return json.dumps(content)


def _attempt(what: str, make: Callable[[], Any]) -> Any:
    """What `make()` returns; None when it raised, which is told on `sys.stderr`."""
    try:
        return make()
    except (Exception, SystemExit) as error:
        lines: list[str] = [f"{what} of the value shown has failed:", *traceback_lines(error)]
        print(*lines, sep="\n", file=sys.stderr)
        return None
