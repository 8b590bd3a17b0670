"""The admin page: what it shows, what it does, on a wide screen and on a phone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from engineroom.testing.server_process import ServerProcess

Visit = Callable[..., Page]

PATIENCE_SECONDS = 20
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of documents alone, with a webhook that nobody takes."""
    config = tmp_path / "engineroom.toml"
    config.write_text(
        '[[webhooks]]\nurl = "http://127.0.0.1:9/taken"\nsecret = "0123456789abcdef"\nrooms = "hooked/*"\n'
    )
    options = ("--config", str(config))
    log = tmp_path / "server.log"
    with ServerProcess(None, *options, data=tmp_path / "data", log=log) as server:
        yield server


@pytest.fixture
def member(server: ServerProcess) -> Iterator[Callable[[str], ClientConnection]]:
    """Joins a room as a Yjs client would."""
    with ExitStack() as stack:

        def join(path: str) -> ClientConnection:
            return stack.enter_context(connect(server.url(f"/{path}", scheme="ws"), max_size=None))

        yield join


def put(server: ServerProcess, path: str, text: str) -> None:
    """A new document with a text."""
    request = urllib.request.Request(
        server.url(f"/api/documents/{path}?root=text"),
        data=text.encode(),
        headers={"content-type": "text/plain"},
        method="PUT",
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201


def close_code(connection: ClientConnection) -> int:
    """The code with which the server closes a member's connection."""
    with suppress(ConnectionClosed):
        while True:
            connection.recv(timeout=PATIENCE_SECONDS)
    code = connection.close_code
    assert code is not None
    return code


def visit_room(visit: Visit, address: str, **options: Any) -> Page:
    """The admin page with a room chosen."""
    page = visit("/-/admin", **options)
    page.evaluate("(address) => { location.hash = encodeURIComponent(address); }", address)
    return page


def status(server: ServerProcess, path: str) -> int:
    """The status of a document's URL."""
    try:
        with urllib.request.urlopen(server.url(f"/api/documents/{path}")) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


def test_rooms_and_members(
    server: ServerProcess, visit: Visit, member: Callable[[str], ClientConnection]
) -> None:
    """Rooms are listed with their figures; a chosen one shows its members, without loading the page again."""
    put(server, "notes/today", "Hello")
    member("notes/today")
    page = visit("/-/admin")
    expect(page).to_have_url(f"http://127.0.0.1:{server.port}/-/admin")
    expect(page.locator("#status")).to_have_text("Ready")
    page.get_by_role("link", name="notes/today").click()
    expect(page.get_by_role("heading", name="notes/today")).to_be_visible()
    members = page.locator("#members tr")
    expect(members).to_have_count(1)
    member("notes/today")
    expect(members).to_have_count(2)
    expect(page.locator("#figures [data-field=members]")).to_have_text("2")
    page.get_by_label("Begin with").fill("other/")
    expect(page.locator("#rooms tr")).to_have_count(0)
    expect(page.locator("#rooms-note")).to_have_text("No open room has such an address.")


def test_members_are_sent_away_and_their_rights_changed(
    server: ServerProcess, visit: Visit, member: Callable[[str], ClientConnection]
) -> None:
    """A member's right to write is taken, then it is disconnected."""
    connection = member("a")
    page = visit_room(visit, "a")
    row = page.locator("#members tr")
    write = row.get_by_role("checkbox", name="write")
    expect(write).to_be_checked()
    write.uncheck()
    expect(write).not_to_be_checked()
    state = f"http://127.0.0.1:{server.port}/-/admin/rooms/a"
    rights = page.evaluate(
        "async (url) => (await (await fetch(url)).json()).members[0].rights", state
    )
    assert "write" not in rights
    row.get_by_role("button", name="Disconnect").click()
    expect(row).to_have_count(0)
    assert close_code(connection) == 4403


def test_a_room_is_closed(
    server: ServerProcess, visit: Visit, member: Callable[[str], ClientConnection]
) -> None:
    """Closing a room tells its members to come again."""
    connection = member("a")
    page = visit_room(visit, "a")
    page.get_by_role("button", name="Close the room").click()
    expect(page.locator("#room [data-field=opened]")).to_have_text("not open")
    assert close_code(connection) == 1012


def test_a_document_is_deleted(server: ServerProcess, visit: Visit) -> None:
    """A document is deleted only when its address was typed again."""
    put(server, "notes/today", "Hello")
    page = visit_room(visit, "notes/today")
    page.get_by_role("button", name="Delete the document…").click()
    confirm = page.get_by_role("button", name="Delete", exact=True)
    typed = page.get_by_label("Address", exact=True)
    typed.fill("notes/toda")
    expect(confirm).to_be_disabled()
    typed.fill("notes/today")
    confirm.click()
    expect(page.locator("#room")).to_be_hidden()
    assert status(server, "notes/today") == 404


def test_webhooks_and_limits(server: ServerProcess, visit: Visit) -> None:
    """The queue of webhooks is shown, without what is secret of their URL."""
    put(server, "hooked/a", "Hello")
    page = visit("/-/admin")
    expect(page.locator("#hooks")).to_contain_text("127.0.0.1:9")
    expect(page.locator("#webhooks [data-field=waiting]")).to_have_text("1")
    assert "taken" not in page.content()
    assert "0123456789abcdef" not in page.content()


def test_a_server_that_goes_away(server: ServerProcess, visit: Visit) -> None:
    """A server that stops answering is told, and found again when it is back."""
    page = visit("/-/admin")
    expect(page.locator("#status")).to_have_text("Ready")
    page.route("**/-/admin/state*", lambda route: route.fulfill(status=200, body="{"))
    expect(page.locator("#status")).to_have_attribute("data-state", "bad")
    page.unroute("**/-/admin/state*")
    expect(page.locator("#status")).to_have_text("Ready")


def test_the_page_is_for_admins(server: ServerProcess) -> None:
    """Who has been let into one room sees nothing of it."""
    request = urllib.request.Request(
        server.url("/-/share"),
        data=json.dumps({"address": "a", "rights": ["read", "write"]}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        token = json.load(answer)["token"]
    for path in ("/-/admin/state", "/-/admin/rooms/a"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(
                urllib.request.Request(
                    f"http://127.0.0.1:{server.port}{path}",
                    headers={"authorization": f"Bearer {token}"},
                )
            )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_wider_than_a_phone(
    server: ServerProcess, visit: Visit, member: Callable[[str], ClientConnection], scheme: str
) -> None:
    """On a narrow screen lines become cards, and nothing is wider than the screen."""
    path = "a-rather-long-folder-name/another-one/" + "x" * 60
    put(server, path, "Hello")
    member(path)
    page = visit_room(visit, path, color_scheme=scheme, **PHONE)
    expect(page.locator("#members tr")).to_have_count(1)
    widths = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert widths == [390, 390]
