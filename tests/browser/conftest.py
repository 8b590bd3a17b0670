"""A real server and two real browsers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Response,
    expect,
    sync_playwright,
)

from engineroom.testing.server_process import ServerProcess

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_SECONDS = 60.0

Visit: TypeAlias = Callable[..., Page]


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright, once for all tests."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_SECONDS * 1_000)
        yield playwright


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium, in a process and a profile of its own."""
    if not os.access(CHROMIUM, os.X_OK):
        pytest.fail("the browser tests need Chromium: apt-get install chromium")
    return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


@pytest.fixture(scope="session")
def first_browser(playwright: Playwright) -> Iterator[Browser]:
    """One browser."""
    browser = launch(playwright)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def second_browser(playwright: Playwright) -> Iterator[Browser]:
    """Another one, which shares nothing with the first."""
    browser = launch(playwright)
    yield browser
    browser.close()


SITE = {
    "index.md": "# Start\n\nGo to [write](write.md).\n",
    "write.md": '# Write\n\n<x-editor name="notes" language="markdown"></x-editor>\n',
    "run.md": (
        "# Run\n\n```python cell id=first\n"
        "import time\nfor i in range(5):\n    print('line', i)\n    time.sleep(0.05)\n'end'\n```\n\n"
        "```python cell id=long\n"
        "import time\nfor i in range(300):\n    print('row', i)\n    time.sleep(0.01)\n```\n\n"
        "```python cell id=asks\nname = input('Name? ')\nprint('Hello', name)\n```\n\n"
        "```python cell id=html\n"
        "class Html:\n    def _repr_html_(self):\n"
        "        return '<b>bold</b><script>document.title = \"escaped\"</script>'\nHtml()\n```\n"
    ),
    "terminal.md": '# Terminal\n\n<x-terminal command="bash --norc"></x-terminal>\n',
    "slider.md": (
        '# Slider\n\n<x-slider value="/speed" min="0" max="10" step="1" label="Speed"></x-slider>\n\n'
        '<x-value value="/speed" label="Speed is"></x-value>\n\n<x-value value="/double"></x-value>\n\n'
        "```python cell id=watcher\n"
        "import engineroom_values as values\n"
        "for address, speed in values.watch('/speed'):\n"
        "    if speed is not None:\n        values.set('/double', 2 * speed)\n"
        "    if speed == 7:\n        break\n```\n"
    ),
    "kept.md": (
        "---\nroom: shared\n---\n\n# Kept\n\n"
        '<x-editor name="notes"></x-editor>\n\n```python cell id=c\nprint(6 * 7)\n```\n'
    ),
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small site."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name, text in SITE.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def server(site: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of that site, with data of its own."""
    with ServerProcess(site, data=tmp_path / "data", log=tmp_path / "server.log") as server:
        yield server


@pytest.fixture
def pages(
    first_browser: Browser, second_browser: Browser, server: ServerProcess
) -> Iterator[Callable[[str], tuple[Page, Page]]]:
    """Opens one URL of the server in both browsers; a page error fails the test."""
    errors: list[str] = []
    contexts = [browser.new_context() for browser in (first_browser, second_browser)]

    def open_both(path: str) -> tuple[Page, Page]:
        opened = []
        for context in contexts:
            page = context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(server.url(path))
            opened.append(page)
        return opened[0], opened[1]

    yield open_both
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def visit(first_browser: Browser, server: ServerProcess) -> Iterator[Visit]:
    """`visit(path, **options)` opens a path of the server, or a link to it, as a new visitor; `options` are those of a
    browser's context.

    Whatever a page complains about fails the test: an error, a line in the console, a file that is not there.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_one(path: str, **options: Any) -> Page:
        context = first_browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        listen(page, complaints)
        page.goto(path if path.startswith("http") else server.url(path))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


def listen(page: Page, complaints: list[str]) -> None:
    """Collects what `page` complains about."""

    def console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def response(response: Response) -> None:
        if response.status >= 400:
            complaints.append(f"{response.status} {response.url}")

    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", console)
    page.on("response", response)
