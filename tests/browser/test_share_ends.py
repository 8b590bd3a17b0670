"""Those whose link has ended, or was taken back, while they look at a room."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from urllib.error import HTTPError

import pytest
from playwright.sync_api import Page, expect

from engineroom.testing.server_process import ServerProcess

Visit = Callable[..., Page]


def ask(server: ServerProcess, path: str, body: dict[str, object]) -> dict[str, object]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {server.token}"},
    )
    with urllib.request.urlopen(request) as answer:
        found: dict[str, object] = json.load(answer)
    return found


def test_a_link_that_ends(visit: Visit, server: ServerProcess) -> None:
    """A guest is told at the end of its link, without doing anything; the owner goes on."""
    owner = visit("/write?room=abc")
    body = {"address": "write@abc", "rights": ["read", "write"], "seconds": 5}
    link = ask(server, "/-/share", body)
    guest = visit(f"http://127.0.0.1:{server.port}{link['url']}")
    editor = guest.locator("x-editor .cm-content").first
    editor.click()
    guest.keyboard.type("while it lasts")
    expect(owner.locator("x-editor")).to_contain_text("while it lasts")
    expect(guest.get_by_text("Your link is no longer valid")).to_be_visible()
    expect(owner.locator("x-connection")).not_to_contain_text("Disconnected")


def test_a_link_that_is_taken_back(visit: Visit, server: ServerProcess) -> None:
    """A guest whose link is taken back is told so at once, and is not let in again."""
    link = ask(server, "/-/share", {"address": "write@abc", "rights": ["read", "write"]})
    url = f"http://127.0.0.1:{server.port}{link['url']}"
    guest = visit(url)
    expect(guest.locator("x-editor .cm-content").first).to_be_visible()
    assert ask(server, "/-/share/revoke", {"token": link["token"]}) == {"members": 1}
    expect(guest.get_by_text("Your link does not open this room")).to_be_visible()
    with pytest.raises(HTTPError, match="401"):
        urllib.request.urlopen(url)
