"""Markdown to HTML: CommonMark with tables, footnotes, task lists, notes, anchors, code in colours, and our tags.

Two rules of ours read the tags (`scan.py` says where one begins and ends), so that the text of a cell may hold blank
lines, `*` and `<`. What the tags mean is decided in `elements.py`. Raw HTML is let through: authors own their site.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin
from mdit_py_plugins.anchors.index import slugify
from mdit_py_plugins.attrs import attrs_plugin
from mdit_py_plugins.container import container_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.tasklists import tasklists_plugin

from .elements import Elements, code_block
from .links import Places, resolve
from .page import Heading
from .scan import PREFIX, FoundTag, scan, scan_first
from .tags import TAGS, Cell, Editor, Terminal

NOTES = {"note": "Note", "tip": "Tip", "warning": "Warning", "details": "Details"}
ALONE = tuple(f"<{name}" for name, tag in TAGS.items() if tag.fields in (Cell, Editor, Terminal))


@dataclass(frozen=True, slots=True)
class Body:
    """A page's body: its HTML, its headings, and its front matter's text (None: it has none)."""

    html: str
    headings: tuple[Heading, ...]
    front_matter: str | None


def make_parser() -> MarkdownIt:
    """The parser for every page of a site; it keeps nothing from one page to the next."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    parser.use(front_matter_plugin).use(footnote_plugin).use(tasklists_plugin)
    parser.use(anchors_plugin, max_level=6, slug_func=_slug)
    parser.use(attrs_plugin, after=("image",), allowed=("width", "height", "class"))
    for name in NOTES:
        parser.use(container_plugin, name, render=_note)
    parser.block.ruler.before(
        "html_block", "x_tag", _block_tag, {"alt": ["paragraph", "reference", "blockquote"]}
    )
    parser.inline.ruler.before("html_inline", "x_tag", _inline_tag)
    for rule in (_x_tag, _html_block, _fence, _code_block, _table_open, _table_close):
        parser.add_render_rule(rule.__name__.removeprefix("_"), rule)
    return parser


def render(
    parser: MarkdownIt, text: str, *, source: str, elements: Elements, places: Places
) -> Body:
    """Render the Markdown `text` of the file `source`; tags and problems go to `elements`."""
    env = {"elements": elements}
    tokens = parser.parse(text, env)
    _settle(tokens, source, elements, places)
    headings = tuple(_headings(tokens))
    front_matter = next((t.content for t in tokens if t.type == "front_matter"), None)
    html = parser.renderer.render(tokens, parser.options, env)
    return Body(html, headings, front_matter)


# --- our tags: where they are --------------------------------------------------------------------


def _block_tag(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """A tag of ours that stands on lines of its own; sliders and values do not interrupt a paragraph."""
    begin = state.bMarks[start_line] + state.tShift[start_line]
    head = state.src[begin : state.eMarks[start_line]].lower()
    if state.is_code_block(start_line) or not head.startswith("<" + PREFIX):
        return False
    if silent and not head.startswith(ALONE):
        return False
    whole = _whole_tag(state, start_line, end_line)
    if whole is None:
        return False
    if not silent:
        found, next_line = whole
        token = state.push("x_tag", "", 0)
        token.map = [start_line, next_line]
        token.meta = {"found": found}
        token.block = True
        state.line = next_line
    return True


def _whole_tag(state: StateBlock, start_line: int, end_line: int) -> tuple[FoundTag, int] | None:
    """The tag that begins in this line and the line behind it, when nothing else stands in its last line."""
    opened: tuple[FoundTag, int] | None = None
    hint = ">"  # a line without it cannot complete the tag, so only lines with it are worth a scan
    for line in range(start_line, end_line):
        empty = state.isEmpty(line)
        if (empty and opened is None) or (not empty and state.sCount[line] < state.blkIndent):
            break
        if hint not in state.src[state.bMarks[line] : state.eMarks[line]].lower():
            continue
        text = state.getLines(start_line, line + 1, state.blkIndent, False).lstrip(" ")
        found = scan_first(text)
        if not isinstance(found, FoundTag):
            continue
        if found.closed:
            return None if text[found.end :].strip() else (found, line + 1)
        if opened is None:
            opened = (found, line + 1)
            hint = f"</{found.name}"
    return opened


def _inline_tag(state: StateInline, silent: bool) -> bool:
    """A tag of ours within a paragraph."""
    head = state.src[state.pos : state.pos + 4].lower()
    if not head.startswith(("<" + PREFIX, "</" + PREFIX)):
        return False
    found = scan_first(state.src[state.pos : state.posMax])
    if found is None:
        return False
    if not silent:
        state.push("x_tag", "", 0).meta = {"found": found}
    state.pos += found.end
    return True


# --- after parsing: links, lines, headings -------------------------------------------------------


def _settle(tokens: list[Token], source: str, elements: Elements, places: Places) -> None:
    """Give links and images their URLs, tags their lines, and a box to each link that leads nowhere."""
    for token in tokens:
        line = _line(token)
        if token.type in ("th_open", "td_open"):
            _align(token)
        children: list[Token] = []
        for child in token.children or ():
            if child.type == "x_tag":
                child.meta["line"] = line
            reason = _resolve_link(child, source, places)
            if reason:
                children.append(_html(elements.problem(line, reason)))
            children.append(child)
            if line is not None:
                line += _line_breaks(child)
        if token.children is not None:
            token.children = children


def _resolve_link(token: Token, source: str, places: Places) -> str | None:
    """Resolve the URL of a link or an image in place; the reason when it leads nowhere."""
    name = {"link_open": "href", "image": "src"}.get(token.type)
    if name is None:
        return None
    link = resolve(
        str(token.attrGet(name) or ""), source=source, places=places, image=name == "src"
    )
    token.attrSet(name, link.url)
    return link.problem


def _headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    """The headings of a page; each gets a link to itself at its end."""
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open" or inline.children is None:
            continue
        text = "".join(c.content for c in inline.children if c.type in ("text", "code_inline"))
        anchor = str(opening.attrGet("id"))
        inline.children.append(
            _html(
                f'<a class="anchor" href="#{escape(anchor)}" aria-hidden="true" tabindex="-1"></a>'
            )
        )
        yield Heading(int(opening.tag[1:]), text.strip(), anchor)


def _align(token: Token) -> None:
    """A class in place of a style, which the Content-Security-Policy forbids."""
    style = str(token.attrs.pop("style", ""))
    if style:
        token.attrSet("class", "align-" + style.removeprefix("text-align:"))


def _line(token: Token) -> int | None:
    return token.map[0] + 1 if token.map else None


def _line_breaks(token: Token) -> int:
    if token.type in ("softbreak", "hardbreak"):
        return 1
    return token.content.count("\n") if token.type == "html_inline" else 0


def _html(text: str) -> Token:
    return Token("html_inline", "", 0, content=text)


def _slug(title: str) -> str:
    """A heading's anchor: its words in small letters, joined by `-`."""
    return slugify(title.strip()) or "section"


# --- rendering -----------------------------------------------------------------------------------
# Each function renders one type of token: the renderer calls it with all tokens and this one's index.


def _x_tag(_: Any, tokens: Sequence[Token], index: int, _options: Any, env: Any) -> str:
    token, elements = tokens[index], _elements(env)
    line = _line(token) if token.block else token.meta["line"]
    html = elements.tag(token.meta["found"], line, inline=not token.block)
    return html + "\n" if token.block else html


def _html_block(_: Any, tokens: Sequence[Token], index: int, _options: Any, env: Any) -> str:
    """Raw HTML as it stands, but for our tags within it."""
    token, elements = tokens[index], _elements(env)
    text, first_line = token.content, _line(token)
    parts, end = [], 0
    for found in scan(text):
        line = None if first_line is None else first_line + text.count("\n", 0, found.start)
        parts += [text[end : found.start], elements.tag(found, line)]
        end = found.end
    return "".join([*parts, text[end:]])


def _fence(_: Any, tokens: Sequence[Token], index: int, _options: Any, env: Any) -> str:
    token, elements = tokens[index], _elements(env)
    language, _, rest = token.info.strip().partition(" ")
    kind, _, options = rest.strip().partition(" ")
    if kind == "cell":
        return elements.fence(language, options, token.content, _line(token)) + "\n"
    return code_block(token.content, language) + "\n"


def _code_block(_: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return code_block(tokens[index].content, "") + "\n"


def _table_open(_: Any, _tokens: Sequence[Token], _index: int, _options: Any, _env: Any) -> str:
    return '<div class="table-scroll"><table>\n'


def _table_close(_: Any, _tokens: Sequence[Token], _index: int, _options: Any, _env: Any) -> str:
    return "</table></div>\n"


def _note(_: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    """`::: warning Title`: an aside; `::: details Title`: closed until it is clicked."""
    token = tokens[index]
    kind = token.type.split("_")[1]
    tag, title_tag = ("details", "summary") if kind == "details" else ("aside", "p")
    if token.nesting < 0:
        return f"</{tag}>\n"
    title = escape(token.info.strip().removeprefix(kind).strip() or NOTES[kind])
    return (
        f'<{tag} class="note note-{kind}"><{title_tag} class="note-title">{title}</{title_tag}>\n'
    )


def _elements(env: Any) -> Elements:
    elements = env["elements"]
    assert isinstance(elements, Elements)
    return elements
