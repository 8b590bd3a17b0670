"""Takes the README's pictures from the real thing: the tour, served, with two members in its rooms.

    make screenshots       writes docs/images/*.png

Needs what the browser tests need. Nothing is drawn by hand: both members are browsers of their own, and what they
show has been typed and run.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from engineroom.testing.server_process import ServerProcess

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
LARGEST_BYTES = 200_000
PATIENCE_MS = 60_000

WIDE: dict[str, Any] = {"viewport": {"width": 1160, "height": 760}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 760},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 1.5,
}
# No blinking cursor, no movement: the same picture from the same state.
STILL = ".cm-ySelectionInfo { animation: none !important; opacity: 1 !important; }"


class Studio:
    """A server of the tour and two browsers, in which Ada and Ben are remembered."""

    def __init__(self, server: ServerProcess, browsers: tuple[Browser, Browser]) -> None:
        self._server = server
        self._browsers = browsers

    @contextmanager
    def room(
        self, path: str, *, scheme: str = "light", **options: Any
    ) -> Iterator[tuple[Page, Page]]:
        """Ada's page, which is photographed, and Ben's, in one new room."""
        people = (("Ada", "#1d4ed8"), ("Ben", "#be185d"))
        looks = ({**WIDE, **options, "color_scheme": scheme}, WIDE)
        contexts = []
        pages = []
        for browser, (name, color), look in zip(self._browsers, people, looks, strict=True):
            context = browser.new_context(**look, reduced_motion="reduce")
            person = f'{{"name": "{name}", "color": "{color}"}}'
            context.add_init_script(f"localStorage.setItem('engineroom.person', '{person}')")
            page = context.new_page()
            page.goto(self._server.url(f"{path}?room=tour-{scheme}-{len(options)}"))
            expect(page.locator(".connection-status")).to_have_text("Saved")
            page.add_style_tag(content=STILL)
            contexts.append(context)
            pages.append(page)
        expect(pages[0].locator("x-presence .people .avatar")).to_have_count(1)
        yield pages[0], pages[1]
        for context in contexts:
            context.close()


def run(page: Page, name: str) -> None:
    """Presses the button of one cell."""
    page.locator(f'x-cell[cell="{name}"]').get_by_role("button", name="Run", exact=True).click()


def take(page: Page, name: str) -> None:
    """One picture of what the window shows."""
    file = IMAGES / f"{name}.png"
    page.screenshot(path=file, animations="disabled")
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1000} kB")
    if file.stat().st_size > LARGEST_BYTES:
        sys.exit(f"{file.name} has more than {LARGEST_BYTES} bytes: make its window smaller.")


def to_top(page: Page, selector: str) -> None:
    """Scrolls until the element is just below the header."""
    page.locator(selector).first.evaluate(
        "element => window.scrollTo(0, element.getBoundingClientRect().top + scrollY - 80)"
    )


# --- the pictures --------------------------------------------------------------------------------


def write(studio: Studio) -> None:
    """Two people in one text: both cursors, both names."""
    with studio.room("/write") as (ada, ben):
        for page, text in (
            (ada, "and dreamed of the rooms that it promised to keep.\n"),
            (ben, "One evening two strangers came in with a light,"),
        ):
            page.locator("x-editor .cm-content").first.click()
            page.keyboard.press("Control+End")
            page.keyboard.type(text)
            expect(page.locator(".connection-status")).to_have_text("Saved")
        expect(ada.locator("x-editor").first).to_contain_text("with a light,")
        ada.keyboard.press("ArrowUp")
        expect(ada.locator(".cm-ySelectionInfo")).to_have_text("Ben")
        take(ada, "write-together")


def plot(studio: Studio) -> None:
    """A plot that has grown, run by Ben and seen by Ada."""
    with studio.room("/run") as (ada, ben):
        run(ben, "walk")
        cell = ada.locator('x-cell[cell="walk"]')
        expect(cell.locator(".cell-state")).to_contain_text(re.compile("Running for [5-9] s"))
        cell.locator(".outputs").scroll_into_view_if_needed()
        to_top(ada, 'x-cell[cell="walk"] .cm-line:nth-child(20)')
        expect(cell.locator("iframe").content_frame.locator("polyline")).to_be_visible()
        take(ada, "run-together")


def terminal(studio: Studio) -> None:
    """One command line for both, in the dark."""
    with studio.room("/terminal", scheme="dark") as (ada, ben):
        screen = ada.locator("x-terminal .xterm-rows")
        ben.locator("x-terminal .xterm").click()
        for line, answer in (
            ("echo 'made by Ben' > note.txt", "note.txt"),
            ("ls -l --color --time-style=+%H:%M", "total"),
            ("python3 -c 'print(*(n * n for n in range(12)))'", "81 100 121"),
        ):
            ben.keyboard.type(line + "\n")
            expect(screen).to_contain_text(answer)
        ada.locator("x-terminal .xterm").click()
        ada.keyboard.type("cat note.txt  # Ada types here, too")
        expect(screen).to_contain_text("here, too")
        take(ada, "terminal-dark")


def slider(studio: Studio) -> None:
    """A slider that drives a running program, in the dark."""
    with studio.room("/slider", scheme="dark") as (ada, ben):
        run(ben, "wheel")
        ben.get_by_role("slider").first.fill("7")
        expect(ada.get_by_role("slider").last).to_have_value("7")
        cell = ada.locator('x-cell[cell="wheel"]')
        cell.locator(".outputs").scroll_into_view_if_needed()
        expect(cell.locator("iframe").content_frame.locator("line")).to_have_count(8)
        to_top(ada, 'x-cell[cell="wheel"] .cm-line:nth-child(29)')
        take(ada, "slider-dark")


def phone(studio: Studio) -> None:
    """A cell and its output on a phone."""
    with studio.room("/run", **PHONE) as (ada, ben):
        run(ben, "count")
        cell = ada.locator('x-cell[cell="count"]')
        expect(cell.locator(".cell-state")).to_contain_text("Done")
        take(ada, "phone")


PICTURES: tuple[Callable[[Studio], None], ...] = (write, plot, terminal, slider, phone)


def main() -> None:
    """Takes all pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    chromium = str(CHROMIUM) if CHROMIUM.exists() else None  # else Playwright's own
    with TemporaryDirectory() as name, sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        data, log = Path(name) / "data", Path(name) / "server.log"
        with ServerProcess(ROOT / "examples" / "tour", data=data, log=log) as server:
            one, two = (
                playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
                for _ in range(2)
            )
            for picture in PICTURES:
                picture(Studio(server, (one, two)))
            one.close()
            two.close()


main()
