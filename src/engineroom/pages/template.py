"""The HTML document around a page: head, header, menu, article, foot. Escapes everything it is given but `page.html`.

It knows a page and a site; it reads no files and holds no state. There are no inline scripts and no inline styles
(the Content-Security-Policy allows neither). The contract with `web/`:

    <html lang="en" data-page="guide/setup">            data-page only on pages, data-status="404" on messages
    <head>
      <meta name="engineroom" content='{"address": "guide/setup@abc", "page": "guide/setup", "room": "abc",
                                        "version": "…", "socket": "/rooms/guide/setup@abc"}'>       pages only
      <link rel="icon" href="/-/static/icon.svg">                   pages only, as the next three
      <link rel="stylesheet" href="/-/static/engineroom.css">       web's: the look of everything
      <link rel="stylesheet" href="/-/static/highlight.css">        ours: which of web's colours `.highlight` has where
      <script type="module" src="/-/static/engineroom.js">
      <style>                                                       messages only: see `render_message`
    <body class="page">                                 or "message"
      <a class="skip-link" href="#page.content">
      <header class="site-header">
        <button class="menu-button" type="button" aria-controls="page.menu" aria-expanded="false">
                                                        hidden by CSS on wide screens; only where there is a menu; the
                                                        script toggles aria-expanded and `body.menu-open`
        <a class="site-title" href="/">                 for guests a span with the page's title, no link
        <div class="site-tools"> <x-connection> <x-presence> <x-history> <x-share>   empty elements, pages only
      <div class="site-body">
        <nav class="site-menu" id="page.menu" aria-label="Pages">   only where there is more than one page, no guest
          <ul> <li> <a href="/write" [aria-current="page"]>Title</a> [<ul>…</ul>]
                    or <span class="menu-group">Title</span> [<ul>…</ul>]        a folder without an index page
        <main id="page.content">
          <noscript> <p class="problem no-script">
          <article class="page-content"> page.html
          <nav class="page-nav" aria-label="Previous and next page">             not for guests
            <a class="page-previous" rel="prev"> <a class="page-next" rel="next">      where there is one

The ids `page.content` and `page.menu` hold a dot, so that no heading's anchor can be the same. No `data-theme`: light
and dark follow `prefers-color-scheme`.

Inside the article, beside plain Markdown (h1..h6 carry an `id`, and end with
`<a class="anchor" href="#id" aria-hidden="true" tabindex="-1"></a>`, whose sign is the style sheet's):

    <pre class="highlight"><code class="language-python">…     a fence; Pygments' short class names on its spans
    <aside class="note note-note|note-tip|note-warning"><p class="note-title">…</p>…</aside>
    <details class="note note-details"><summary class="note-title">…</summary>…</details>
    <span class="problem" role="note">…</span>                 what is wrong, in place; display: block
    <div class="table-scroll"><table>…                        tables scroll by themselves on a phone;
                        <td class="align-left|align-center|align-right">, <th …> where the author aligned a column
    <ul class="contains-task-list"><li class="task-list-item"><input class="task-list-item-checkbox" …disabled>
    <section class="footnotes"><ol class="footnotes-list">…, <sup class="footnote-ref">, <a class="footnote-backref">

and the live elements, described in `elements.py`:

    <x-editor name="notes" language="markdown" label="…"></x-editor>
    <x-cell cell="plot" engine="python">
      <pre class="cell-fallback highlight"><code class="language-python">…</code></pre></x-cell>
    <x-terminal terminal="shell" rows="16" label="…"></x-terminal>
    <x-slider value="/speed" min="0" max="10" step="1" initial="3" label="…"></x-slider>
    <x-value value="/speed" label="…"></x-value>              `label` only where the author gave one, on x-value
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from .menu import MenuItem
from .page import Page
from .site import Site

STATIC = "/-/static"


def render_page(page: Page, site: Site, *, room: str, address: str, guest: bool = False) -> str:
    """The whole HTML document for `page` in the room named `room`, whose address is `address` ("write@abc").

    A `guest` was let into this one room: it is shown nothing of the site around it, and no way there.
    """
    facts = {
        "address": address,
        "page": page.path,
        "room": room,
        "version": page.version,
        "socket": "/rooms/" + quote(address, safe="/@"),
    }
    alone = guest or page.title == site.title
    title = page.title if alone else f"{page.title} · {site.title}"
    head = _head(
        title,
        page.description,
        f'<meta name="engineroom" content="{escape(json.dumps(facts))}">\n{_LIVE_HEAD}',
    )
    elements = ("x-connection", "x-presence", "x-history", "x-share")
    tools = "".join(f"<{name}></{name}>" for name in elements)
    tools = f'<div class="site-tools">{tools}</div>'
    main = f'{_NO_SCRIPT}\n<article class="page-content">\n{page.html}</article>\n'
    if guest:
        header, body = _header(_title(page.title), tools), _body("", main)
    else:
        menu = _site_menu(site, page.path)
        header = _header((_MENU_BUTTON if menu else "") + _home(site), tools)
        body = _body(menu, main + _page_nav(page, site))
    return _document(
        f'data-page="{escape(page.path)}"',
        head,
        f'<body class="page">\n{_SKIP_LINK}\n{header}\n{body}\n</body>',
    )


def render_message(title: str, text: str, *, status: int, site: Site | None = None) -> str:
    """An HTML document that says one thing, an error most often. Blank lines in `text` divide its paragraphs.

    With a `site` it has that site's title; never its menu, since who reads it may not be let in. It brings its own few
    styles along: who is not let in is not given the style sheets either.
    """
    paragraphs = "\n".join(f"<p>{escape(part)}</p>" for part in text.split("\n\n"))
    main = f'<article class="page-content">\n<h1>{escape(title)}</h1>\n{paragraphs}\n</article>'
    header = _header(_home(site), "") if site else ""
    return _document(
        f'data-status="{status}"',
        _head(title, "", _MESSAGE_HEAD),
        f'<body class="message">\n{header}\n<div class="site-body">\n'
        f'<main id="page.content">\n{main}\n</main>\n</div>\n</body>',
    )


_SKIP_LINK = '<a class="skip-link" href="#page.content">Skip to the text</a>'
_NO_SCRIPT = (
    '<noscript><p class="problem no-script">The editors, cells and terminals of this page need JavaScript. '
    "Without it you can read the page, but not take part.</p></noscript>"
)
_MENU_BUTTON = (
    '<button class="menu-button" type="button" aria-controls="page.menu" aria-expanded="false">'
    "Menu</button>"
)
_LIVE_HEAD = f"""\
<link rel="icon" href="{STATIC}/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{STATIC}/engineroom.css">
<link rel="stylesheet" href="{STATIC}/highlight.css">
<script type="module" src="{STATIC}/engineroom.js"></script>"""
_MESSAGE_HEAD = """\
<meta name="robots" content="noindex">
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; font: 1rem/1.7 system-ui, sans-serif; }
body { max-width: 34rem; margin: 0 auto; padding: 1rem 1.25rem 4rem; }
.site-header { font-weight: 650; }
.site-title { color: inherit; text-decoration: none; }
main { margin-top: 10vh; }
h1 { font-size: 2rem; line-height: 1.25; letter-spacing: -0.02em; }
</style>"""


def _document(data: str, head: str, body: str) -> str:
    return f'<!doctype html>\n<html lang="en" {data}>\n{head}\n{body}\n</html>\n'


def _head(title: str, description: str, more: str) -> str:
    lines = [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(title)}</title>",
        f'<meta name="description" content="{escape(description)}">' if description else "",
        more,
    ]
    return "\n".join(("<head>", *filter(None, lines), "</head>"))


def _header(title: str, tools: str) -> str:
    return f'<header class="site-header">\n{title}\n{tools}\n</header>'


def _home(site: Site) -> str:
    return f'<a class="site-title" href="/">{escape(site.title)}</a>'


def _title(text: str) -> str:
    return f'<span class="site-title">{escape(text)}</span>'


def _body(menu: str, main: str) -> str:
    return f'<div class="site-body">\n{menu}<main id="page.content">\n{main}\n</main>\n</div>'


def _site_menu(site: Site, here: str) -> str:
    if len(site.pages) < 2:
        return ""
    entries = _menu(site.menu, here)
    return f'<nav class="site-menu" id="page.menu" aria-label="Pages">\n{entries}\n</nav>\n'


def _menu(items: Sequence[MenuItem], here: str) -> str:
    return f"<ul>\n{''.join(_menu_item(item, here) for item in items)}</ul>"


def _menu_item(item: MenuItem, here: str) -> str:
    title = escape(item.title)
    if item.url is None:
        entry = f'<span class="menu-group">{title}</span>'
    else:
        current = ' aria-current="page"' if item.page == here else ""
        entry = f'<a href="{escape(item.url)}"{current}>{title}</a>'
    below = _menu(item.children, here) if item.children else ""
    return f"<li>{entry}{below}</li>\n"


def _page_nav(page: Page, site: Site) -> str:
    previous, following = site.neighbours(page)
    links = _nav_link(previous, "previous", "prev") + _nav_link(following, "next", "next")
    if not links:
        return ""
    return f'<nav class="page-nav" aria-label="Previous and next page">{links}</nav>'


def _nav_link(page: Page | None, name: str, rel: str) -> str:
    if page is None:
        return ""
    return f'<a class="page-{name}" rel="{rel}" href="{escape(page.url)}">{escape(page.title)}</a>'
