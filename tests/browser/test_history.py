"""A page's history in real browsers: looking back, naming, restoring for everybody, who wrote what."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from engineroom.testing.server_process import ServerProcess

from .conftest import Visit
from .test_guests import shared

PATH = "/write?room=abc"
ADDRESS = "write@abc"


def editor(page: Page) -> Locator:
    return page.locator("x-editor .cm-content").first


def panel(page: Page) -> Locator:
    return page.locator("dialog.history")


def slider(page: Page) -> Locator:
    return panel(page).get_by_role("slider")


def open_history(page: Page) -> None:
    page.locator("x-history").get_by_role("button").click()
    expect(panel(page).locator(".history-stop strong")).not_to_be_empty()


def write(page: Page, text: str) -> None:
    """Text at the end, on the server's disk."""
    editor(page).press("Control+End")
    page.keyboard.insert_text(text)
    expect(page.locator("x-connection")).to_contain_text("Saved")


def name_version(page: Page, name: str) -> None:
    panel(page).get_by_role("button", name="Name this version…").click()
    page.keyboard.insert_text(name)
    page.keyboard.press("Enter")
    expect(panel(page).get_by_role("status")).to_have_text(f"Kept as “{name}”.")


def choose(page: Page, name: str) -> None:
    """Go to a version of the list."""
    panel(page).get_by_text("Versions", exact=True).click()
    panel(page).get_by_role("button", name=name).click()


def test_one_restores_and_the_other_sees_it(pages: Callable[[str], tuple[Page, Page]]) -> None:
    """What one browser restores, the other sees at once; what stands in both stays, and undo goes on working."""
    one, two = pages(PATH)
    write(one, "first line\n")
    open_history(one)
    name_version(one, "Draft")
    write(two, "second line\n")
    expect(editor(one)).to_contain_text("second line")
    choose(one, "Draft")
    expect(panel(one).locator(".history-text")).to_have_text("first line\n")
    panel(one).get_by_role("button", name="Restore…").click()
    panel(one).get_by_role("button", name="Restore", exact=True).click()
    expect(panel(one).get_by_role("status")).to_contain_text("Restored.")
    for page in (one, two):
        expect(editor(page)).not_to_contain_text("second line")
        expect(editor(page)).to_contain_text("first line")

    write(two, "more")
    expect(editor(one)).to_contain_text("more")
    editor(two).press("Control+z")
    for page in (one, two):
        expect(editor(page)).not_to_contain_text("more")
        expect(editor(page)).to_contain_text("first line")

    choose(one, "Before a restore")
    panel(one).get_by_role("button", name="Restore…").click()
    panel(one).get_by_role("button", name="Restore", exact=True).click()
    expect(editor(two)).to_contain_text("second line")


def test_changes_and_authors_are_shown(visit: Visit) -> None:
    """What was added and removed is marked, and every writer's words have a colour and a name."""
    one, two = visit(PATH), visit(PATH)
    write(one, "written by one. ")
    open_history(one)
    name_version(one, "Draft")
    expect(editor(two)).to_contain_text("written by one")
    write(two, "written by two.")
    expect(editor(one)).to_contain_text("written by two")
    choose(one, "Now")
    expect(panel(one).locator("ins")).to_have_text("written by two.")
    panel(one).get_by_text("Authors", exact=True).click()
    expect(panel(one).locator(".history-text .history-piece")).to_have_count(2)
    names = panel(one).locator(".history-author").all_text_contents()
    assert len(set(names)) == 2
    assert "Unknown" not in names
    assert panel(one).locator(".history-piece").last.get_attribute("title") in {
        f"Written by {name}" for name in names
    }


def test_the_keyboard_is_enough(visit: Visit) -> None:
    """The button opens the panel with the slider focused, arrows go through time, Escape closes and goes back."""
    page = visit(PATH)
    write(page, "one")
    open_history(page)
    name_version(page, "First")
    slider(page).focus()
    expect(slider(page)).to_have_attribute("aria-valuetext", "Now, ")
    page.keyboard.press("ArrowLeft")
    expect(slider(page)).to_have_attribute("aria-valuetext", re.compile("^First, "))
    page.keyboard.press("Escape")
    expect(panel(page)).to_be_hidden()
    expect(page.locator("x-history").get_by_role("button")).to_be_focused()
    page.keyboard.press("Enter")
    expect(slider(page)).to_be_focused()


def test_a_reader_looks_and_is_offered_nothing_else(visit: Visit, server: ServerProcess) -> None:
    """Who may only read goes through the history, without the buttons that change something."""
    owner = visit(PATH)
    write(owner, "for all to see")
    open_history(owner)
    name_version(owner, "Draft")
    choose(owner, "Draft")
    guest = visit(shared(server, ADDRESS, "read"))
    open_history(guest)
    choose(guest, "Draft")
    expect(panel(guest).locator(".history-text")).to_have_text("for all to see")
    for name in ("Name this version…", "Restore…"):
        expect(panel(owner).get_by_role("button", name=name)).to_have_count(1)
        expect(panel(guest).get_by_role("button", name=name)).to_have_count(0)


def test_on_a_phone_it_is_a_sheet(visit: Visit) -> None:
    """Where there is no room for both, the panel covers the page, and closes again."""
    page = visit(PATH, viewport={"width": 390, "height": 844}, has_touch=True)
    write(page, "small")
    open_history(page)
    assert panel(page).bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    panel(page).get_by_role("button", name="Close").click()
    expect(panel(page)).to_be_hidden()


def test_the_past_is_there_after_a_restart(visit: Visit, server: ServerProcess) -> None:
    """Versions, and who wrote what by which name, outlive the server."""
    page = visit(PATH)
    write(page, "kept")
    open_history(page)
    name_version(page, "Draft")
    panel(page).get_by_text("Authors", exact=True).click()
    author = panel(page).locator(".history-author")
    expect(author).to_have_count(1)
    name = author.text_content()
    page.context.close()
    server.terminate()
    server.launch()
    again = visit(PATH)
    expect(editor(again)).to_contain_text("kept")
    open_history(again)
    choose(again, "Draft")
    panel(again).get_by_text("Authors", exact=True).click()
    expect(panel(again).locator(".history-author")).to_have_text([str(name)])
