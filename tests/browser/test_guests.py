"""Those who came by a link: they see one room, do what the link allows, and are told what it does not."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from engineroom.testing.server_process import ServerProcess

Visit = Callable[..., Page]

DENY_CLIPBOARD = """
navigator.clipboard.writeText = () => Promise.reject(new DOMException("denied", "NotAllowedError"));
document.execCommand = () => false;
"""


def shared(server: ServerProcess, address: str, *rights: str) -> str:
    """A link to one room, as "Share" makes it."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/-/share",
        data=json.dumps({"address": address, "rights": rights}).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {server.token}"},
    )
    with urllib.request.urlopen(request) as answer:
        path: str = json.load(answer)["url"]
    return f"http://127.0.0.1:{server.port}{path}"


def editor(page: Page) -> Locator:
    return page.locator("x-editor .cm-content").first


def connection(page: Page) -> Locator:
    return page.locator("x-connection")


def test_a_reader_reads_along(visit: Visit, server: ServerProcess) -> None:
    """Who may only read sees what others write, cannot write, and is shown that it is so."""
    owner = visit("/write?room=abc")
    guest = visit(shared(server, "write@abc", "read"))
    expect(connection(guest)).to_contain_text("Read only")
    expect(guest.locator("x-editor")).to_contain_text("Nothing is written here yet.")
    expect(editor(guest)).to_have_attribute("aria-readonly", "true")
    editor(guest).click()
    guest.keyboard.type("in vain")
    editor(owner).click()
    owner.keyboard.type("for all to read")
    expect(editor(guest)).to_contain_text("for all to read")
    expect(editor(owner)).not_to_contain_text("in vain")


def test_a_reader_is_told_why_not(visit: Visit, server: ServerProcess) -> None:
    """For a reader buttons and sliders are disabled and say why; a terminal can be watched."""
    guest = visit(shared(server, "run@abc", "read"))
    first = guest.locator('x-cell[cell="first"]')
    for name in ("Run", "Interrupt", "Restart"):
        button = first.get_by_role("button", name=name, exact=True)
        expect(button).to_be_disabled()
        expect(button).to_have_attribute("title", "You can read this room, but not run code in it.")
    expect(first.locator(".cell-state")).to_have_text(
        "You can read this room, but not run code in it."
    )
    guest = visit(shared(server, "slider@abc", "read"))
    expect(connection(guest)).to_contain_text("Read only")
    expect(guest.get_by_role("slider")).to_be_disabled()
    expect(guest.get_by_role("slider")).to_have_attribute(
        "title", "You can look at this room, but not change it."
    )
    guest = visit(shared(server, "terminal@abc", "read"))
    expect(guest.locator("x-terminal")).to_contain_text(
        "You can watch this terminal, but not type into it."
    )


def test_a_writer_writes_and_runs_nothing(visit: Visit, server: ServerProcess) -> None:
    """Who may write edits the source of a cell, and moves sliders, but has nothing run."""
    owner = visit("/run?room=abc")
    guest = visit(shared(server, "run@abc", "read", "write"))
    source = guest.locator('x-cell[cell="first"] .cm-content')
    source.click()
    guest.keyboard.press("Control+A")
    guest.keyboard.type("print('from the guest')")
    guest.keyboard.press("Shift+Enter")
    expect(connection(guest)).to_contain_text("Saved")
    first = owner.locator('x-cell[cell="first"]')
    expect(first.locator(".cm-content")).to_contain_text("print('from the guest')")
    first.get_by_role("button", name="Run", exact=True).click()
    expect(guest.locator('x-cell[cell="first"] .output-text')).to_have_text("from the guest\n")


def test_a_guest_sees_nothing_of_the_site(visit: Visit, server: ServerProcess) -> None:
    """The page of a guest names its own title alone, and no link leads to what is not theirs."""
    guest = visit(shared(server, "write@abc", "read", "write", "run"))
    expect(connection(guest)).to_contain_text("Saved")
    assert guest.title() == "Write"
    expect(guest.locator(".site-title")).to_have_text("Write")
    expect(guest.get_by_role("link")).to_have_count(1)  # "Skip to the text"
    expect(guest.get_by_role("navigation")).to_have_count(0)


def test_a_link_can_be_copied_by_hand(visit: Visit, server: ServerProcess) -> None:
    """Where the browser lets no page copy, the link stands in a field, selected; it opens what was chosen."""
    owner = visit("/write?room=abc")
    expect(connection(owner)).to_contain_text("Saved")
    owner.evaluate(DENY_CLIPBOARD)
    owner.get_by_role("button", name="Share").click()
    owner.get_by_role("radio", name="Read").check()
    owner.get_by_role("button", name="Copy link").click()
    field = owner.get_by_role("textbox", name="The link")
    expect(field).to_be_focused()
    link = field.input_value()
    assert owner.evaluate("() => document.getSelection().toString()") == link
    expect(connection(visit(link))).to_contain_text("Read only")


def test_a_link_is_copied_without_a_secure_origin(visit: Visit, server: ServerProcess) -> None:
    """Over plain HTTP, where there is no clipboard to write to, the link is copied in the old way."""
    owner = visit("/write?room=abc")
    expect(connection(owner)).to_contain_text("Saved")
    owner.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    owner.evaluate(
        "() => document.addEventListener('copy', () => { window.copied = getSelection().toString(); })"
    )
    owner.get_by_role("button", name="Share").click()
    owner.get_by_role("button", name="Copy link").click()
    expect(owner.locator("x-share")).to_contain_text("The link has been copied.")
    link = owner.get_by_role("textbox", name="The link").input_value()
    assert "token=" in link
    assert owner.evaluate("() => window.copied") == link
