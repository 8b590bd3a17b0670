"""Colours for code: Pygments' short class names on spans, and the stylesheet that colours them, light and dark.

The stylesheet is kept in server/static/highlight.css, and a test compares the two. To write it anew:

    python -c "from engineroom.pages.highlight import stylesheet as s; print(s(), end='')" > highlight.css
"""

from __future__ import annotations

from html import escape

from pygments import highlight as pygmentize
from pygments.formatters.html import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

LIGHT_STYLE = "default"
DARK_STYLE = "github-dark"

CSS_HEADER = """\
/* The colours of code, made by engineroom/pages/highlight.py, which says how. Edit that, not this. */
"""


def code_html(source: str, language: str) -> str:
    """The inside of a `<code>` element: coloured when the language is known, else plain."""
    lexer = _lexer(language)
    if lexer is None:
        return escape(source, quote=False)
    return pygmentize(source, lexer, HtmlFormatter(nowrap=True))


def stylesheet() -> str:
    """The text of highlight.css. The background is the page's; a style leaves nothing to the other."""
    light = _rules("not (prefers-color-scheme: dark)", LIGHT_STYLE)
    return CSS_HEADER + light + _rules("(prefers-color-scheme: dark)", DARK_STYLE)


def _rules(media: str, style: str) -> str:
    formatter = HtmlFormatter(style=style, nobackground=True)
    rules = formatter.get_token_style_defs(".highlight")  # type: ignore[no-untyped-call]
    lines = "".join(f"  {rule.split(' /*')[0]}\n" for rule in rules)
    return f"@media {media} {{\n{lines}}}\n"


def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
