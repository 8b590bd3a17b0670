"""Finds our tags in raw HTML, by the rules of the standard library's HTML parser. Other HTML is left alone.

The text between `<x-cell>` and `</x-cell>` (and of `<x-editor>`) is taken as it stands, as a browser takes a
script's: `<`, `&` and blank lines mean themselves, and only the closing tag ends it. The other tags take no text.
Comments, scripts and styles hide tags. This module knows which tags exist, not what their attributes mean.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TypeAlias

from .tags import TAGS

PREFIX = "x-"


@dataclass(frozen=True, slots=True)
class FoundTag:
    """One of our tags, or an unknown one that looks like ours. `start` and `end` are offsets into the text.

    `attributes` keeps the order and the repetitions; an attribute without a value has "". `text` is what stands
    between the tags. `closed` is False when a tag that takes text has no closing tag.
    """

    name: str
    attributes: tuple[tuple[str, str], ...]
    text: str
    start: int
    end: int
    closed: bool = True


@dataclass(frozen=True, slots=True)
class StrayEnd:
    """A closing tag of ours that closes nothing."""

    name: str
    start: int
    end: int


Found: TypeAlias = FoundTag | StrayEnd


def scan(text: str) -> list[Found]:
    """Our tags in `text`, in order; they do not overlap."""
    scanner = _Scanner(text)
    try:
        scanner.feed(text)
        scanner.close()
    except (_FirstFound, AssertionError):
        pass  # the parser asserts on odd declarations, `<![x`: what came before them counts
    return scanner.finish()


def scan_first(text: str) -> Found | None:
    """The tag of ours with which `text` begins, or None when there is none, or it is not whole."""
    if text[1:3].lower() != PREFIX and text[1:4].lower() != "/" + PREFIX:
        return None
    scanner = _Scanner(text, first_only=True)
    try:
        scanner.feed(text)
    except (_FirstFound, AssertionError):
        pass
    found = scanner.finish()
    return found[0] if found and found[0].start == 0 else None


class _FirstFound(Exception):
    """Ends the parser's loop as soon as one tag is whole."""


class _Scanner(HTMLParser):
    """Collects our tags with their offsets. The parser gives positions as lines and columns."""

    def __init__(self, text: str, *, first_only: bool = False) -> None:
        super().__init__(convert_charrefs=True)
        self._text = text
        self._first_only = first_only
        self._line_starts = [0]
        for line in text.split("\n"):
            self._line_starts.append(self._line_starts[-1] + len(line) + 1)
        self._found: list[Found] = []
        self._open: FoundTag | None = None

    def finish(self) -> list[Found]:
        """What was found; a tag that is still open counts as not closed."""
        if self._open is not None:
            self._found.append(self._open)
            self._open = None
        return self._found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag.startswith(PREFIX):
            takes_text = tag in TAGS and TAGS[tag].text
            self._start(tag, attrs, takes_text=takes_text)
            if takes_text:
                self.set_cdata_mode(tag)  # as the parser itself does for a script

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag.startswith(PREFIX):
            self._start(tag, attrs, takes_text=False)

    def handle_endtag(self, tag: str) -> None:
        if not tag.startswith(PREFIX):
            return
        start = self._offset()
        end = self._text.index(">", start) + 1
        if self._open is None:
            if not self._closes_last(tag, start, end):
                self._add(StrayEnd(tag, start, end))
            return
        opened, self._open = self._open, None
        text = _between(self._text[opened.end : start])
        self._add(FoundTag(opened.name, opened.attributes, text, opened.start, end))

    def _start(self, tag: str, attrs: list[tuple[str, str | None]], *, takes_text: bool) -> None:
        start = self._offset()
        end = start + len(self.get_starttag_text() or "")
        attributes = tuple((name, value or "") for name, value in attrs)
        if takes_text:
            self._open = FoundTag(tag, attributes, "", start, end, closed=False)
        else:
            self._add(FoundTag(tag, attributes, "", start, self._past_own_end(tag, end)))

    def _past_own_end(self, tag: str, end: int) -> int:
        """The offset behind the closing tag that follows at once, where there is one."""
        closing = re.compile(rf"\s*</{re.escape(tag)}\s*>", re.IGNORECASE).match(self._text, end)
        return closing.end() if closing else end

    def _closes_last(self, tag: str, start: int, end: int) -> bool:
        """Whether this closing tag is part of the last tag found already."""
        if not self._found:
            return False
        last = self._found[-1]
        return last.name == tag and last.start < start and end <= last.end

    def _add(self, found: Found) -> None:
        self._found.append(found)
        if self._first_only:
            raise _FirstFound

    def _offset(self) -> int:
        line, column = self.getpos()
        return self._line_starts[line - 1] + column


def _between(text: str) -> str:
    """The text between two tags: without the line breaks next to them, and without a common indentation."""
    first, newline, rest = text.partition("\n")
    if not newline or first.strip():
        return text
    body, newline, last = rest.rpartition("\n")
    if newline and not last.strip():
        rest = body
    return "" if not rest.strip() else textwrap.dedent(rest)
