"""One Markdown file becomes one page, whatever the file holds: what is wrong with it is shown on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

import yaml
from markdown_it import MarkdownIt

from engineroom import __version__
from engineroom.rooms.plan import Plan

from .elements import Elements
from .fields import read_fields
from .folder import SourceFile
from .links import Places
from .markdown import Body, make_parser, render
from .names import readable_name
from .page import Page
from .tags import FrontMatter

MAX_PAGE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the pages of one site: what all of them share."""

    parser: MarkdownIt
    engines: frozenset[str]
    places: Places

    @classmethod
    def make(cls, engines: frozenset[str], places: Places) -> Reader:
        """A reader for a site where `places` says what links may lead to."""
        return cls(make_parser(), engines, places)

    def read(self, source: SourceFile) -> Page:
        """The page in the file `source`."""
        elements = Elements(source.name, self.engines)
        text, boxes = _text(source, elements)
        body = render(self.parser, text, source=source.name, elements=elements, places=self.places)
        front_matter, more_boxes = _front_matter(body.front_matter, elements)
        html = boxes + more_boxes + body.html
        title = front_matter.title or _first_heading(body) or readable_name(source.page)
        plan = _plan(source.page, elements, front_matter)
        version = _version(text, title, html)
        return Page(
            path=source.page,
            source=source.real,
            title=title,
            description=front_matter.description,
            html=html,
            plan=replace(plan, version=version),
            shared=front_matter.room == "shared",
            order=front_matter.order,
            headings=body.headings,
            problems=tuple(sorted(elements.problems, key=lambda problem: problem.line or 0)),
        )


def _text(source: SourceFile, elements: Elements) -> tuple[str, str]:
    """The file's text, and the boxes for what was wrong with it."""
    try:
        with source.real.open("rb") as file:
            content = file.read(MAX_PAGE_BYTES + 1)
    except OSError as error:
        return "", elements.problem(None, f"this page cannot be read: {error.strerror}")
    if len(content) > MAX_PAGE_BYTES:
        reason = f"this page is larger than {MAX_PAGE_BYTES // 1024**2} MiB and is not shown"
        return "", elements.problem(None, reason)
    try:
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        box = elements.problem(line, "this page is not UTF-8; what cannot be read is shown as �")
        return content.decode("utf-8-sig", "replace"), box


def _front_matter(text: str | None, elements: Elements) -> tuple[FrontMatter, str]:
    """The front matter, with the boxes for what is wrong in it; wrong keys have their defaults."""
    if text is None:
        return FrontMatter(), ""
    try:
        given = yaml.safe_load(text)
        lines = _key_lines(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 2 if error.problem_mark else 1
        return FrontMatter(), elements.problem(line, f"front matter: {error.problem}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return FrontMatter(), elements.problem(1, f"front matter: {error}")
    if given is None:
        return FrontMatter(), ""
    if not isinstance(given, dict):
        return FrontMatter(), elements.problem(1, "front matter: write lines such as `title: …`")
    keys = {str(key): value for key, value in given.items()}
    fields = read_fields(FrontMatter, keys, called="front matter", what="key")
    boxes = [elements.problem(lines.get(wrong.key, 1), wrong.reason) for wrong in fields.wrong]
    assert fields.struct is not None, "no key of front matter is required"
    return fields.struct, "".join(boxes)


def _key_lines(text: str) -> dict[str, int]:
    """The line in the file of each key; the file's first line is `---`."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {str(key.value): key.start_mark.line + 2 for key, _ in node.value}


def _first_heading(body: Body) -> str:
    return next((heading.text for heading in body.headings if heading.text), "")


def _plan(page: str, elements: Elements, front_matter: FrontMatter) -> Plan:
    return Plan(
        page=page,
        editors=tuple(elements.editors.values()),
        cells=tuple(elements.cells.values()),
        terminals=tuple(elements.terminals.values()),
        values=tuple(elements.values.values()),
        network=front_matter.network,
        display=front_matter.display,
        linger_seconds=front_matter.linger_seconds,
        history=front_matter.history,
    )


def _version(text: str, title: str, html: str) -> str:
    """Changes whenever the file does, what is shown of it (a link that broke), or what this program makes of it."""
    parts = "\0".join((__version__, text, title, html))
    return sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:16]
