"""Real editors of other people's pages on our server: Tiptap and CodeMirror 6, in two browsers.

The page is of another origin, as an application's is, and the server is told so. It speaks Yjs with y-websocket's
provider, or Hocuspocus with its own.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from engineroom.testing.server_process import ServerProcess

ROOT = Path(__file__).parents[2]
ESBUILD = ROOT / "web/node_modules/.bin/esbuild"
SOURCE = ROOT / "tests/conformance/js/editors.mjs"
TOKEN = "token-for-tests"
DIALECTS = ["yjs", "hocuspocus"]

dialects = pytest.mark.parametrize("dialect", DIALECTS)
OpenEditors: TypeAlias = Callable[[Browser, str], Page]


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""


@pytest.fixture(scope="session")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with both editors, on a server and an origin of its own."""
    folder = tmp_path_factory.mktemp("editors")
    shutil.copy(Path(__file__).with_name("editors.html"), folder / "index.html")
    bundle = ["--bundle", "--format=iife", f"--outfile={folder / 'editors.js'}"]
    subprocess.run([ESBUILD, SOURCE, *bundle, "--log-level=warning"], check=True)
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def served(page_url: str, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of documents alone, which lets that page in."""
    data, log = tmp_path / "data", tmp_path / "server.log"
    options = ("--allow-origin", page_url)
    with ServerProcess(None, *options, data=data, log=log, token=TOKEN) as server:
        yield server


@pytest.fixture
def open_editors(page_url: str, served: ServerProcess, dialect: str) -> Iterator[OpenEditors]:
    """`open_editors(browser, name)` opens the page as somebody of that name; an error in it fails the test."""
    contexts = []
    errors: list[str] = []

    def open_one(browser: Browser, name: str) -> Page:
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        where = {"server": f"ws://127.0.0.1:{served.port}", "room": "essay", "token": TOKEN}
        page.goto(f"{page_url}/?{urlencode({'dialect': dialect, 'name': name, **where})}")
        expect(page.locator("body")).to_have_attribute("data-synced", "true")
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert errors == []


def prose(page: Page) -> Locator:
    return page.locator("#tiptap .tiptap")


def code(page: Page) -> Locator:
    return page.locator("#codemirror .cm-content")


@dialects
def test_tiptap_is_shared_with_its_carets(
    open_editors: OpenEditors, first_browser: Browser, second_browser: Browser
) -> None:
    """Text, marks and paragraphs that one types the other shows, and each sees the other's caret with a name."""
    ada, bob = open_editors(first_browser, "Ada"), open_editors(second_browser, "Bob")
    prose(ada).click()
    ada.keyboard.type("Dear ")
    ada.keyboard.press("Control+b")
    ada.keyboard.type("Bob")
    expect(prose(bob).locator("strong")).to_have_text("Bob")
    expect(bob.locator(".collaboration-carets__label")).to_have_text("Ada")
    prose(bob).click()
    bob.keyboard.press("Control+End")
    bob.keyboard.press("Enter")
    bob.keyboard.type("Second paragraph")
    # A caret of the other's stands within the text, with its name.
    second = re.compile("^(Bob)?Second paragraph.?(Bob)?$")
    expect(prose(ada).locator("p").nth(1)).to_have_text(second)
    expect(ada.locator(".collaboration-carets__label")).to_have_text("Bob")


@dialects
def test_codemirror_is_shared_with_its_carets(
    open_editors: OpenEditors, first_browser: Browser, second_browser: Browser
) -> None:
    """Lines that one types the other shows, undo takes back one's own, and each sees the other's caret."""
    ada, bob = open_editors(first_browser, "Ada"), open_editors(second_browser, "Bob")
    code(ada).click()
    ada.keyboard.type("let x = 1\n")
    expect(code(bob).locator(".cm-line").first).to_have_text("let x = 1")
    expect(bob.locator(".cm-ySelectionInfo")).to_have_text("Ada")
    code(bob).click()
    bob.keyboard.press("Control+End")
    bob.keyboard.type("let y = 2")
    expect(code(ada)).to_contain_text("let y = 2")
    expect(ada.locator(".cm-ySelectionInfo")).to_have_text("Bob")


@dialects
def test_both_type_at_once_and_read_the_same(
    open_editors: OpenEditors, first_browser: Browser, second_browser: Browser
) -> None:
    """Interleaved typing in both editors ends with the same documents, also after one has reloaded the page."""
    ada, bob = open_editors(first_browser, "Ada"), open_editors(second_browser, "Bob")
    for page, mark in ((ada, "a"), (bob, "b")):
        page.evaluate(
            """async mark => {
                for (let i = 0; i < 60; i++) {
                    tiptap.commands.insertContentAt(1, mark)
                    codemirror.dispatch({ changes: { from: 0, insert: mark } })
                    if (i % 5 === 0) await new Promise(resolve => setTimeout(resolve))
                }
            }""",
            mark,
        )
    for page in (ada, bob):
        page.wait_for_function(
            "tiptap.getText().length === 120 && codemirror.state.doc.length === 120"
        )
    contents = [
        page.evaluate("[tiptap.getText(), codemirror.state.doc.toString()]") for page in (ada, bob)
    ]
    assert contents[0] == contents[1]
    assert contents[0][1].count("a") == 60
    expect(bob.locator("body")).to_have_attribute("data-synced", "true")
    bob.reload()
    bob.wait_for_function(
        "([prose, code]) => tiptap.getText() === prose && codemirror.state.doc.toString() === code",
        arg=contents[0],
    )
