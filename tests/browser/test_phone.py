"""On a screen as narrow as a phone's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

Visit = Callable[..., Page]

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}
TOUR = Path(__file__).parents[2] / "examples" / "tour"


@pytest.fixture
def site() -> Path:
    """The tour, in place of the tests' own small site."""
    return TOUR


@pytest.mark.parametrize("path", ["/", "/write", "/run", "/terminal", "/slider"])
def test_no_page_is_wider_than_the_screen(visit: Visit, path: str) -> None:
    """Wide things scroll by themselves; the page does not, also with its notes open and an error shown."""
    page = visit(path, **PHONE)
    expect(page.locator("x-connection .connection-status")).to_have_text("Saved")
    expect(page.locator(".cell-fallback, .editor.loading")).to_have_count(0)
    for note in page.locator("details").all():
        note.locator("summary").click()
    failing = page.locator('x-cell[cell="result"]')
    if failing.count():
        failing.get_by_role("button", name="Run", exact=True).click()
        expect(failing.locator(".outputs")).to_contain_text("NameError")
    wide, narrow = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert (wide, narrow) == (390, 390)


def test_a_link_can_be_made(visit: Visit) -> None:
    """The dialog to share a room shows its buttons whole; only those in the header are short of words."""
    page = visit("/write", **PHONE)
    expect(page.locator("x-connection .connection-status")).to_have_text("Saved")
    page.locator("x-share > .button").tap()
    for name in ("Close", "Copy link"):
        button = page.get_by_role("dialog").get_by_role("button", name=name)
        expect(button).to_have_text(name)
        wide, shown = button.evaluate("button => [button.scrollWidth, button.clientWidth]")
        assert wide <= shown


def test_the_menu_opens_and_leads_on(visit: Visit) -> None:
    """The menu is behind a button; it opens, closes by Escape and by a touch beside it, and its links lead on."""
    page = visit("/", **PHONE)
    expect(page.locator("x-connection .connection-status")).to_have_text("Saved")
    button = page.get_by_role("button", name="Menu")
    menu = page.get_by_role("navigation", name="Pages", exact=True)
    expect(menu).to_have_count(0)
    button.tap()
    expect(menu).to_be_visible()
    expect(button).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(menu).to_have_count(0)
    expect(button).to_be_focused()
    button.tap()
    page.touchscreen.tap(370, 500)
    expect(menu).to_have_count(0)
    button.tap()
    menu.get_by_role("link", name="Write together").tap()
    expect(page).to_have_url(re.compile(r"/write\?room="))
    expect(page.get_by_role("heading", level=1)).to_have_text("Write together")
