"""Two browsers in one room: what one does, the other sees, and a killed server loses nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from engineroom.testing.server_process import ServerProcess

Open = Callable[[str], tuple[Page, Page]]


def editor(page: Page) -> Locator:
    return page.locator("x-editor .cm-content").first


def cell(page: Page, name: str) -> Locator:
    return page.locator(f'x-cell[cell="{name}"]')


def run(page: Page, name: str) -> None:
    cell(page, name).get_by_role("button", name=re.compile("^Run")).click()


def test_text_and_cursor(pages: Open) -> None:
    """Text typed in one browser appears in the other, with its writer's cursor and name."""
    one, two = pages("/write?room=abc")
    editor(one).click()
    one.keyboard.type("Hello from one")
    expect(editor(two)).to_contain_text("Hello from one")
    expect(two.locator(".cm-ySelectionCaret")).to_have_count(1)
    editor(two).click()
    two.keyboard.press("End")
    two.keyboard.type(", and from two")
    expect(editor(one)).to_contain_text("Hello from one, and from two")
    expect(one.locator("x-presence .people .avatar")).to_have_count(1)


def test_link_makes_one_room(pages: Open) -> None:
    """A page without a room leads to a new room's link; that link, shared, is the same room."""
    one, two = pages("/write")
    expect(one).to_have_url(re.compile(r"/write\?room=[a-z0-9-]+$"))
    assert one.url != two.url
    two.goto(one.url)
    editor(one).click()
    one.keyboard.type("shared")
    expect(editor(two)).to_contain_text("shared")


def test_cell_streams_to_both(pages: Open) -> None:
    """A cell run in one browser shows its streamed output, its result and its state in both."""
    one, two = pages("/run?room=abc")
    run(one, "first")
    for page in (one, two):
        shown = cell(page, "first").locator(".outputs")
        expect(shown).to_contain_text("line 0")
        expect(shown).to_contain_text("line 4")
        expect(shown).to_contain_text("'end'")
        expect(cell(page, "first")).to_contain_text("Done")


def test_shift_enter_runs(pages: Open) -> None:
    """Shift-Enter runs the cell that is being edited, with its shared source as it stands."""
    one, two = pages("/run?room=abc")
    source = cell(one, "first").locator(".cm-content")
    source.click()
    one.keyboard.press("Control+A")
    one.keyboard.type("print('typed', 1 + 1)")
    expect(cell(two, "first").locator(".cm-content")).to_contain_text("typed")
    one.keyboard.press("Shift+Enter")
    expect(cell(two, "first").locator(".outputs")).to_contain_text("typed 2")


def test_reload_in_the_middle_misses_nothing(pages: Open) -> None:
    """A browser that reloads in the middle of a long output has every line of it, once."""
    one, two = pages("/run?room=abc")
    run(one, "long")
    expect(cell(two, "long").locator(".outputs")).to_contain_text("row 20")
    two.reload()
    expect(cell(two, "long")).to_contain_text("Done")
    wanted = [f"row {i}" for i in range(300)]
    expect(cell(two, "long").locator(".outputs")).to_contain_text("row 299")
    text = cell(two, "long").locator(".output-text").inner_text()
    assert text.split("\n")[:300] == wanted


def test_interrupt_and_input(pages: Open) -> None:
    """Either browser can interrupt what the other runs, and answer what it asks."""
    one, two = pages("/run?room=abc")
    run(one, "long")
    expect(cell(two, "long").locator(".outputs")).to_contain_text("row 5")
    cell(two, "long").get_by_role("button", name=re.compile("Interrupt")).click()
    expect(cell(one, "long")).to_contain_text("Interrupted")
    run(one, "asks")
    answer = cell(two, "asks").get_by_role("textbox", name=re.compile("Name"))
    answer.fill("Ada")
    answer.press("Enter")
    expect(cell(one, "asks").locator(".outputs")).to_contain_text("Hello Ada")


def test_html_is_kept_in_its_frame(pages: Open) -> None:
    """HTML of an output is shown, in a frame whose scripts cannot reach the page."""
    one, _ = pages("/run?room=abc")
    run(one, "html")
    frame = cell(one, "html").locator("iframe")
    expect(frame).to_have_attribute("sandbox", "allow-scripts")
    expect(frame.content_frame.locator("b")).to_have_text("bold")
    assert one.title() != "escaped"


def test_both_see_the_same_terminal(pages: Open) -> None:
    """What is typed into a terminal in one browser, and what comes of it, stands in both; also for a newcomer."""
    one, two = pages("/terminal?room=abc")
    one.locator("x-terminal .xterm").click()
    one.keyboard.type("echo $((6 * 7))-answer\n")
    for page in (one, two):
        expect(page.locator("x-terminal .xterm-rows")).to_contain_text("42-answer")
    two.reload()
    expect(two.locator("x-terminal .xterm-rows")).to_contain_text("42-answer")


def test_slider_moves_in_both_and_drives_a_program(pages: Open) -> None:
    """The slider moves in both browsers; a running program hears of it, and sets a value of its own."""
    one, two = pages("/slider?room=abc")
    run(one, "watcher")
    slider = one.get_by_role("slider")
    slider.fill("3")
    expect(two.get_by_role("slider")).to_have_value("3")
    expect(two.locator('x-value[value="/double"]')).to_contain_text("6")
    two.get_by_role("slider").fill("7")
    expect(one.get_by_role("slider")).to_have_value("7")
    expect(one.locator('x-value[value="/double"]')).to_contain_text("14")
    expect(cell(one, "watcher")).to_contain_text("Done")


def test_killed_server_loses_nothing(pages: Open, server: ServerProcess) -> None:
    """After SIGKILL and a new start both browsers recover by themselves, with text and outputs intact."""
    one, two = pages("/kept")
    editor(one).click()
    one.keyboard.type("before the kill")
    run(one, "c")
    expect(cell(two, "c").locator(".outputs")).to_contain_text("42")
    expect(one.locator("x-connection")).to_contain_text("Saved")
    server.kill()
    expect(one.get_by_role("alert").first).to_contain_text("Connection lost")
    editor(one).click()
    one.keyboard.press("Control+End")
    one.keyboard.type(", and while it was down")
    server.launch()
    for page in (one, two):
        expect(page.locator("x-connection")).to_contain_text("Saved")
        expect(editor(page)).to_contain_text("before the kill, and while it was down")
        expect(cell(page, "c").locator(".outputs")).to_contain_text("42")
    two.reload()
    expect(editor(two)).to_contain_text("before the kill, and while it was down")
    expect(editor(two)).not_to_contain_text("before the kill, and while it was downbefore")
    run(two, "c")
    expect(cell(one, "c")).to_contain_text("Done")


def test_page_that_changes_on_disk_is_reloaded(pages: Open, site: Path) -> None:
    """An author who saves a page sees it in the open browsers, with what was written in the room."""
    one, two = pages("/write?room=abc")
    editor(one).click()
    one.keyboard.type("kept text")
    expect(one.locator("x-connection")).to_contain_text("Saved")
    page = site / "write.md"
    page.write_text(page.read_text().replace("# Write", "# Written anew"))
    for browser in (one, two):
        expect(browser.get_by_role("heading", level=1)).to_contain_text("Written anew")
        expect(editor(browser)).to_contain_text("kept text")


def test_share_gives_a_link_for_that_room_alone(pages: Open, server: ServerProcess) -> None:
    """A link from "Share" opens its room without the site's token, and no other page or room."""
    one, two = pages("/write?room=abc")
    editor(one).click()
    one.keyboard.type("for you")
    one.context.grant_permissions(["clipboard-read", "clipboard-write"])
    one.get_by_role("button", name="Share").click()
    one.get_by_role("button", name=re.compile("[Cc]opy")).click()
    expect(one.locator("x-share")).to_contain_text("has been copied")
    link = one.evaluate("() => navigator.clipboard.readText()")
    assert "token=" in link
    context = two.context.browser.new_context()  # type: ignore[union-attr]
    guest = context.new_page()
    guest.goto(link)
    expect(editor(guest)).to_contain_text("for you")
    response = guest.goto(f"http://127.0.0.1:{server.port}/run?room=abc")
    assert response is not None
    assert response.status == 403
    context.close()


def test_reader_of_an_unwritten_room_simply_goes_on(pages: Open, server: ServerProcess) -> None:
    """A room in which nothing was written yet is the same after a restart: its readers reconnect and can write."""
    one, two = pages("/kept")
    expect(one.locator("x-connection")).to_contain_text("Saved")
    expect(two.locator("x-connection")).to_contain_text("Saved")
    server.kill()
    expect(one.get_by_role("alert").first).to_contain_text("Connection lost")
    server.launch()
    expect(one.locator("x-connection")).to_contain_text("Saved")
    editor(one).click()
    one.keyboard.type("after all")
    expect(editor(two)).to_contain_text("after all")
