"""Our tags become live elements in the HTML and entries of the page's plan; mistakes become visible boxes.

It knows tags and plans, and nothing of Markdown's syntax or of files. What browsers get (the contract with `web/`):

    <x-editor name="notes" language="markdown" label="notes"></x-editor>
        `name` is that of the root Text; empty: the text comes with the document
    <x-cell cell="plot" engine="python">
      <pre class="cell-fallback highlight"><code class="language-python">…</code></pre></x-cell>
        `cell` is the `id` of the entry of the root Array `cells`; the source inside is the first paint, and what is
        read without JavaScript: the element replaces it
    <x-terminal terminal="shell" rows="16" label="shell"></x-terminal>      never the command
    <x-slider value="/speed" min="0" max="10" step="1" initial="3" label="speed"></x-slider>
    <x-value value="/speed" label="Speed"></x-value>                        no `label` where the author gave none
    <span class="problem" role="note">line 12: …</span>                     in place of what cannot be, or before it

Every attribute that is listed is always there, but for x-value's label. Names of editors, of cells and of terminals are
unique within a page; several sliders and values may share an address.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from html import escape
from typing import assert_never

from engineroom.errors import PageError
from engineroom.rooms.plan import CellPlan, EditorPlan, TerminalPlan, ValuePlan

from .fields import read_fields
from .highlight import code_html
from .scan import Found, FoundTag, StrayEnd
from .tags import TAGS, Cell, Editor, LiveTag, Slider, Terminal, Value

RESERVED_ROOTS = frozenset({"cells", "values", "engineroom"})


def element(tag: str, attributes: Mapping[str, object], inside: str = "") -> str:
    """An HTML element; its attributes are escaped, `inside` is HTML already."""
    written = "".join(f' {name}="{escape(str(value))}"' for name, value in attributes.items())
    return f"<{tag}{written}>{inside}</{tag}>"


def code_block(source: str, language: str, classes: str = "highlight") -> str:
    """Code to read, coloured when the language is known; `language` may be ""."""
    attributes = {"class": f"language-{language}"} if language else {}
    return element(
        "pre", {"class": classes}, element("code", attributes, code_html(source, language))
    )


class Elements:
    """Collects a page's plan and problems while its HTML is made, in the order of the page."""

    def __init__(self, source_name: str, engines: frozenset[str]) -> None:
        self.editors: dict[str, EditorPlan] = {}
        self.cells: dict[str, CellPlan] = {}
        self.terminals: dict[str, TerminalPlan] = {}
        self.values: dict[str, ValuePlan] = {}
        self.problems: list[PageError] = []
        self._source_name = source_name
        self._engines = engines
        self._stated_values: dict[str, str] = {}
        self._met: Counter[type[LiveTag]] = Counter()

    def problem(self, line: int | None, reason: str) -> str:
        """Note a problem; returns the box that shows it."""
        self.problems.append(PageError(self._source_name, line, reason))
        shown = f"line {line}: {reason}" if line else reason
        return element("span", {"class": "problem", "role": "note"}, escape(shown, quote=False))

    def tag(self, found: Found, line: int | None, *, inline: bool = False) -> str:
        """The HTML for a tag of ours; `inline` says that it stands inside a paragraph."""
        if isinstance(found, StrayEnd):
            if found.name not in TAGS:
                return ""  # its opening tag is a problem already
            return self.problem(line, f"</{found.name}> closes nothing here")
        tag = TAGS.get(found.name)
        if tag is None:
            return self.problem(line, _unknown_tag(found.name))
        if not found.closed:
            return self.problem(line, f"<{tag.name}> is not closed: </{tag.name}> is missing")
        if inline and tag.fields is Cell:
            return self.problem(line, "<x-cell> stands on lines of its own, not within a paragraph")
        repeated = self._repetitions(found, line)
        first_given = dict(reversed(found.attributes))
        fields = read_fields(tag.fields, first_given, called=f"<{tag.name}>", what="attribute")
        boxes = repeated + "".join(self.problem(line, wrong.reason) for wrong in fields.wrong)
        return (
            boxes if fields.struct is None else boxes + self._live(fields.struct, found.text, line)
        )

    def fence(self, language: str, options: str, source: str, line: int | None) -> str:
        """The HTML for a fence ```` ```python cell id=plot ````: `options` is what follows `cell`."""
        called = f"```{language} cell"
        try:
            words = [word.partition("=") for word in shlex.split(options)]
        except ValueError as error:
            return self.problem(line, f"{called}: {error}") + code_block(source, language)
        given = {"engine": language, **{name: value for name, _, value in words}}
        fields = read_fields(Cell, given, called=called, what="option")
        boxes = "".join(self.problem(line, wrong.reason) for wrong in fields.wrong)
        if fields.struct is None:
            return boxes + code_block(source, language)
        return boxes + self._live(fields.struct, source.removesuffix("\n"), line)

    def _live(self, tag: LiveTag, text: str, line: int | None) -> str:
        self._met[type(tag)] += 1
        match tag:
            case Editor():
                return self._editor(tag, text, line)
            case Cell():
                return self._cell(tag, text, line)
            case Terminal():
                return self._terminal(tag, line)
            case Slider():
                return self._slider(tag, line)
            case Value():
                label = {"label": tag.label} if tag.label else {}
                return element("x-value", {"value": tag.value, **label})
            case _:
                assert_never(tag)

    def _editor(self, tag: Editor, text: str, line: int | None) -> str:
        if tag.name in RESERVED_ROOTS:
            return self.problem(line, f"an editor cannot be named {tag.name!r}: that name is ours")
        if tag.name in self.editors:
            return self.problem(line, f"there is an editor named {tag.name!r} already")
        self.editors[tag.name] = EditorPlan(str(tag.name), text)
        attributes = {"name": tag.name, "language": tag.language, "label": tag.label or tag.name}
        return element("x-editor", attributes)

    def _cell(self, tag: Cell, source: str, line: int | None) -> str:
        if tag.engine not in self._engines:
            known = ", ".join(sorted(self._engines)) or "none"
            reason = f"there is no engine {tag.engine!r} (known: {known})"
            return self.problem(line, reason) + code_block(source, tag.engine)
        name = str(tag.id) if tag.id else f"cell-{self._met[Cell]}"
        if name in self.cells:
            reason = f"there is a cell with the id {name!r} already"
            return self.problem(line, reason) + code_block(source, tag.engine)
        self.cells[name] = CellPlan(name, tag.engine, source)
        fallback = code_block(source, tag.engine, "cell-fallback highlight")
        return element("x-cell", {"cell": name, "engine": tag.engine}, fallback)

    def _terminal(self, tag: Terminal, line: int | None) -> str:
        name = str(tag.name) if tag.name else f"terminal-{self._met[Terminal]}"
        if name in self.terminals:
            return self.problem(line, f"there is a terminal named {name!r} already")
        self.terminals[name] = TerminalPlan(name, tuple(tag.command))
        attributes = {"terminal": name, "rows": tag.rows, "label": tag.label or name}
        return element("x-terminal", attributes)

    def _slider(self, tag: Slider, line: int | None) -> str:
        if tag.min >= tag.max or tag.step <= 0:
            return self.problem(line, "<x-slider> needs min below max, and a step above 0")
        boxes = ""
        initial = tag.min if tag.initial is None else tag.initial
        if not tag.min <= initial <= tag.max:
            boxes += self.problem(line, f"<x-slider>: initial {initial} is not within its ends")
            initial = tag.min
        if tag.initial is not None:
            boxes += self._state_value(tag.value, str(initial), line)
        self.values.setdefault(tag.value, ValuePlan(str(tag.value), str(initial)))
        attributes = {name: getattr(tag, name) for name in ("value", "min", "max", "step")}
        initial_text = self.values[tag.value].json
        label = tag.label or tag.value.removeprefix("/")
        return boxes + element("x-slider", {**attributes, "initial": initial_text, "label": label})

    def _state_value(self, address: str, json: str, line: int | None) -> str:
        """An `initial` that the author wrote: it wins over one that a slider's `min` gave, and must be the only one."""
        if self._stated_values.setdefault(address, json) != json:
            other = self._stated_values[address]
            return self.problem(line, f"{address} has another initial value already: {other}")
        self.values[address] = ValuePlan(str(address), json)
        return ""

    def _repetitions(self, found: FoundTag, line: int | None) -> str:
        counts = Counter(name for name, _ in found.attributes)
        return "".join(
            self.problem(line, f"<{found.name}> has {name!r} {count} times; the first counts")
            for name, count in counts.items()
            if count > 1
        )


def _unknown_tag(name: str) -> str:
    near = get_close_matches(name, TAGS, n=1)
    hint = f"did you mean <{near[0]}>?" if near else f"known: {', '.join(TAGS)}"
    return f"there is no tag <{name}> ({hint})"
