"""Without a mouse: everything is reached, and left again."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

Visit = Callable[..., Page]
MOST_STEPS = 40


def tab_to(page: Page, goal: Locator) -> None:
    """Presses Tab until `goal` has the focus."""
    goal.wait_for()
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        if goal.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{goal} is not reached by Tab")


def test_a_cell_is_run_by_keyboard_alone(visit: Visit) -> None:
    """Tab leads to a cell, Shift-Enter runs it, Escape and Tab lead on to its button, and that runs it again."""
    page = visit("/run?room=abc")
    first = page.locator('x-cell[cell="first"]')
    tab_to(page, first.locator(".cm-content"))
    page.keyboard.press("Tab")
    expect(first.locator(".cm-content")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("turns = globals().get('turns', 0) + 1; turns")
    page.keyboard.press("Shift+Enter")
    expect(first.locator(".output-text")).to_have_text("1")
    expect(first.get_by_role("status")).to_have_text(re.compile("Cell first: Done"))
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(first.get_by_role("button", name="Run", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(first.locator(".output-text")).to_have_text("2")


def test_prose_does_not_keep_the_tab_key(visit: Visit) -> None:
    """In an editor of prose, Tab moves on and Shift-Tab back, and neither writes anything."""
    page = visit("/write?room=abc")
    tab_to(page, page.locator("x-editor .cm-content"))
    page.keyboard.type("prose")
    page.keyboard.press("Tab")
    expect(page.locator("x-editor .cm-content")).not_to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("x-editor .cm-content")).to_be_focused()
    expect(page.locator("x-editor .cm-content")).to_have_text("prose")


def test_a_terminal_lets_the_focus_go(visit: Visit) -> None:
    """In a terminal Tab is the program's; after Escape it is the page's again, in both directions."""
    page = visit("/terminal?room=abc")
    field = page.get_by_role("textbox", name="Terminal terminal-1")
    tab_to(page, field)
    page.keyboard.type("mkdir engineroom-folder\ncd engin")
    page.keyboard.press("Tab")
    expect(page.locator(".xterm-rows")).to_contain_text("cd engineroom-folder/")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+Tab")
    expect(field).not_to_be_focused()
    page.keyboard.press("Tab")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(field).not_to_be_focused()


def test_the_skip_link_leads_to_the_text(visit: Visit) -> None:
    """The first Tab offers to skip the header and the menu; after it, Tab is in the text."""
    page = visit("/write?room=abc")
    page.locator("x-editor .cm-content").wait_for()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the text")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport(ratio=1)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("x-editor .cm-content")).to_be_focused()


def test_dialogs_give_the_focus_back(visit: Visit) -> None:
    """Escape closes a dialog, and the button that opened it has the focus again."""
    page = visit("/write?room=abc")
    expect(page.locator("x-connection")).to_contain_text("Saved")
    for button in (page.get_by_role("button", name="Share"), page.locator(".avatar.self")):
        button.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(button).to_be_focused()
