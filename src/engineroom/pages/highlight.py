"""Colours for code: Pygments' short class names on spans, and the stylesheet that says which colour each has.

The colours themselves are the page's variables (`web/src/styles/tokens.css`), light and dark: code that is read looks
as the same code does in a cell. The stylesheet is kept in server/static/highlight.css, and a test compares the two.
To write it anew:

    python -c "from engineroom.pages.highlight import stylesheet as s; print(s(), end='')" > highlight.css
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TypeAlias

from pygments import highlight as pygmentize
from pygments.formatters.html import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import (
    STANDARD_TYPES,
    Comment,
    Generic,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    _TokenType,
)
from pygments.util import ClassNotFound

Style: TypeAlias = Mapping[_TokenType, str]

CSS_HEADER = """\
/* The colours of code, made by engineroom/pages/highlight.py, which says how. Edit that, not this. */
"""

# A type that is not here looks as the nearest type above it.
STYLE: Style = {
    Comment: "color: var(--code-comment); font-style: italic",
    Comment.Preproc: "color: var(--code-meta)",
    Keyword: "color: var(--code-keyword)",
    Keyword.Constant: "color: var(--code-number)",
    Keyword.Type: "color: var(--code-type)",
    Operator.Word: "color: var(--code-keyword)",
    Punctuation: "color: var(--code-meta)",
    String: "color: var(--code-string)",
    Number: "color: var(--code-number)",
    Name.Attribute: "color: var(--code-name)",
    Name.Class: "color: var(--code-type)",
    Name.Decorator: "color: var(--code-meta)",
    Name.Exception: "color: var(--code-type)",
    Name.Function: "color: var(--code-name)",
    Name.Tag: "color: var(--code-type)",
    Name.Variable: "color: var(--code-name)",
    Generic.Deleted: "color: var(--bad)",
    Generic.Emph: "font-style: italic",
    Generic.Error: "color: var(--bad)",
    Generic.Heading: "color: var(--text); font-weight: 700",
    Generic.Inserted: "color: var(--good)",
    Generic.Output: "color: var(--code-comment)",
    Generic.Prompt: "color: var(--code-meta)",
    Generic.Strong: "font-weight: 700",
    Generic.Subheading: "color: var(--text); font-weight: 700",
    Generic.Traceback: "color: var(--bad)",
}


def code_html(source: str, language: str) -> str:
    """The inside of a `<code>` element: coloured when the language is known, else plain."""
    lexer = _lexer(language)
    if lexer is None:
        return escape(source, quote=False)
    return pygmentize(source, lexer, HtmlFormatter(nowrap=True))


def stylesheet() -> str:
    """The text of highlight.css: one rule for each look, with the classes that have it."""
    classes: dict[str, list[str]] = {}
    for kind, name in STANDARD_TYPES.items():
        look = _look(kind)
        if look is not None:
            classes.setdefault(look, []).append("." + name)
    rules = (
        f".highlight :is({', '.join(names)}) {{ {look} }}\n" for look, names in classes.items()
    )
    return CSS_HEADER + "".join(rules)


def _look(kind: _TokenType) -> str | None:
    """The declarations of the nearest type at or above `kind` that has any."""
    return next((STYLE[above] for above in reversed(kind.split()) if above in STYLE), None)


def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
