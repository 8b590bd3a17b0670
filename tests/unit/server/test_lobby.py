"""The lobby: how many strangers, how much they may have waiting, and whose tasks end with it."""

from __future__ import annotations

import asyncio

import pytest

from engineroom.errors import AccessDenied
from engineroom.server.lobby import Lobby, LobbyLimits

pytestmark = pytest.mark.anyio


async def test_strangers_are_counted() -> None:
    """One past the limit is refused with 503; one that is known or gone makes room, and counts once."""
    async with Lobby(LobbyLimits(sockets=2)) as lobby:
        one, two, three = object(), object(), object()
        lobby.let_in(one)
        lobby.let_in(two)
        with pytest.raises(AccessDenied, match="unauthenticated_sockets = 2") as denied:
            lobby.let_in(three)
        assert denied.value.status == 503
        lobby.let_out(one)
        lobby.let_out(one)
        lobby.let_in(three)
        assert lobby.strangers == 2


async def test_what_waits_is_counted() -> None:
    """What does not fit is not kept, and takes no room."""
    async with Lobby(LobbyLimits(queued_bytes=10)) as lobby:
        assert lobby.queue(8)
        assert not lobby.queue(3)
        assert lobby.queue(2)
        lobby.unqueue(10)
        assert lobby.queued_bytes == 0


async def test_what_is_being_found_out_ends_with_the_lobby() -> None:
    """Its tasks are cancelled, and awaited."""
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async with Lobby() as lobby:
        lobby.run(work(), name="work")
        await asyncio.sleep(0)
    assert ended == ["work"]
