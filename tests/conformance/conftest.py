"""What the tests with unmodified clients share."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engineroom.testing.node_clients import NodeClients

JS = Path(__file__).parent / "js"


@pytest.fixture
async def clients() -> AsyncIterator[NodeClients]:
    """A Node process with no clients yet; at the end they are gone with it."""
    assert (JS / "node_modules").is_dir(), "the npm clients are missing: run `make test-setup`"
    async with NodeClients(JS / "clients.mjs") as running:
        yield running


@pytest.fixture
def room() -> str:
    """The name of a room that nobody has been in."""
    return f"room-{secrets.token_hex(4)}"
