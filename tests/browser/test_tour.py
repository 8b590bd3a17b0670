"""The tour does what its pages promise."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

Visit = Callable[..., Page]
PAGES = ("/", "/write", "/run", "/terminal", "/slider")
NAMELESS = re.compile(r"- (button|link|textbox|slider|spinbutton|heading|checkbox)(?! \")(.*)")

TOUR = Path(__file__).parents[2] / "examples" / "tour"


@pytest.fixture
def site() -> Path:
    """The tour, in place of the tests' own small site."""
    return TOUR


def cell(page: Page, name: str) -> Locator:
    return page.locator(f'x-cell[cell="{name}"]')


def run(page: Page, name: str) -> None:
    cell(page, name).get_by_role("button", name="Run", exact=True).click()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_complete_and_quiet(visit: Visit, path: str) -> None:
    """A page finds its room, has nothing to mend, and neither the console nor the network has an error."""
    page = visit(path)
    expect(page.locator("x-connection")).to_contain_text("Saved")
    expect(page.locator(".problem:not(noscript *)")).to_have_count(0)
    heading = page.get_by_role("heading", level=1)
    assert heading.inner_text() == heading.text_content()
    assert "#" not in (heading.text_content() or "#")


@pytest.mark.parametrize("path", PAGES)
def test_everything_has_a_name(visit: Visit, path: str) -> None:
    """Whatever can be read out, pressed or filled has a name for those who do not see it."""
    page = visit(path)
    expect(page.locator("x-connection")).to_contain_text("Saved")
    expect(page.locator(".cell-fallback, .editor.loading")).to_have_count(0)
    lines = page.locator("body").aria_snapshot().splitlines()
    nameless = [line.strip() for line in lines if NAMELESS.search(line)]
    # the boxes of a task list stand in their items, which say what they are
    assert [line for line in nameless if not line.startswith("- checkbox")] == []


def test_the_cells_of_run_together(visit: Visit) -> None:
    """Each cell runs as the page says: it counts, draws, asks, and knows what another one found."""
    page = visit("/run")
    for name in ("count", "walk", "ask", "result"):
        run(page, name)
    answer = cell(page, "ask").get_by_role("textbox", name="What is your name?")
    expect(cell(page, "count").locator(".outputs")).to_contain_text("10 squared is 100")
    expect(cell(page, "walk").locator("iframe").content_frame.locator("svg")).to_be_visible()
    expect(cell(page, "walk").locator(".outputs")).to_contain_text("It ended at")
    answer.fill("Ada")
    answer.press("Enter")
    expect(cell(page, "ask").locator(".outputs")).to_contain_text("Hello, Ada! Your name has 3")
    expect(cell(page, "result").locator(".outputs")).to_contain_text("'highest':")
    for name in ("count", "walk", "ask", "result"):
        expect(cell(page, name).locator(".cell-state")).to_have_attribute("data-state", "done")


def test_line_numbers_stand_beside_their_lines(visit: Visit) -> None:
    """Also in cells that have not been in sight yet, every number is as high as its line."""
    page = visit("/run")
    expect(page.locator("x-connection")).to_contain_text("Saved")
    expect(page.locator(".cell-fallback")).to_have_count(0)
    offsets = page.evaluate(
        """() => [...document.querySelectorAll(".cm-editor")].flatMap((editor) => {
            const tops = (selector) => [...editor.querySelectorAll(selector)]
                .filter((one) => one.style.visibility !== "hidden")
                .map((one) => one.getBoundingClientRect().top);
            const numbers = tops(".cm-gutterElement");
            return tops(".cm-line").map((top, index) => Math.abs(top - numbers[index]));
        })"""
    )
    assert len(offsets) > 40
    assert max(offsets) < 2


def test_the_terminal_answers(visit: Visit) -> None:
    """The tour's terminal runs what is typed, in the room's own folder."""
    page = visit("/terminal")
    page.locator("x-terminal .xterm").click()
    page.keyboard.type('echo "made in a terminal" > note.txt; cat note.txt | rev\n')
    expect(page.locator("x-terminal .xterm-rows")).to_contain_text("lanimret a ni edam")


def test_the_slider_drives_the_wheel(visit: Visit) -> None:
    """The wheel stands while the speed is 0 and turns when either slider is moved; Interrupt stops it."""
    page = visit("/slider")
    above, below = page.get_by_role("slider").first, page.get_by_role("slider").last
    expect(page.locator("x-connection")).to_contain_text("Saved")
    above.fill("0")
    expect(below).to_have_value("0")
    run(page, "wheel")
    expect(page.locator('x-value[value="/turns"]')).to_have_text("0")
    below.fill("10")
    expect(above).to_have_value("10")
    page.wait_for_function(
        """() => Number(document.querySelector('x-value[value="/turns"]').textContent) > 0.3"""
    )
    expect(cell(page, "wheel").locator("iframe").content_frame.locator("line")).to_have_count(8)
    cell(page, "wheel").get_by_role("button", name="Interrupt").click()
    expect(cell(page, "wheel").locator(".cell-state")).to_contain_text("Interrupted")


def test_programs_move_the_slider(visit: Visit) -> None:
    """A cell brakes to a stand, another one hears of each change, and a line of shell sets the speed."""
    page = visit("/slider")
    slider = page.get_by_role("slider").first
    run(page, "brake")
    expect(cell(page, "brake").locator(".outputs")).to_contain_text("It stands.")
    expect(slider).to_have_value("0")
    run(page, "listen")
    expect(cell(page, "listen").locator(".outputs")).to_contain_text("/speed is 0")
    page.locator("x-terminal .xterm").click()
    page.keyboard.type('echo \'{"set": "/speed", "value": 5}\' >&$ENGINEROOM_VALUES_FD\n')
    expect(slider).to_have_value("5")
    expect(cell(page, "listen").locator(".outputs")).to_contain_text("/speed is 5 #####")
    slider.fill("10")
    expect(cell(page, "listen").locator(".outputs")).to_contain_text("That is fast enough.")
    expect(cell(page, "listen").locator(".cell-state")).to_have_attribute("data-state", "done")
