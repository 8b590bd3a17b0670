"""The keeper: a context that is held open by a task of its own."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from engineroom.server.keeper import Keeper

pytestmark = pytest.mark.anyio


class Door:
    """Something to be kept open, that counts."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self.error: Exception | None = None
        self.may_open = asyncio.Event()
        self.may_open.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        await self.may_open.wait()
        if self.error is not None:
            raise self.error
        self.opened += 1
        try:
            yield f"opening {self.opened}"
        finally:
            await asyncio.sleep(0)
            self.closed += 1


async def test_it_is_opened_once_for_all_who_ask() -> None:
    """Everybody who asks at the same time, and later, is given the same."""
    door = Door()
    door.may_open.clear()
    keeper = Keeper(door.open)
    asking = [asyncio.create_task(keeper.open()) for _ in range(5)]
    await asyncio.sleep(0)
    assert keeper.kept is None
    door.may_open.set()
    assert await asyncio.gather(*asking, keeper.open()) == ["opening 1"] * 6
    assert keeper.kept == "opening 1"
    await keeper.close()
    assert (door.opened, door.closed) == (1, 1)
    assert keeper.kept is None


async def test_who_gives_up_waiting_does_not_stop_the_opening() -> None:
    """One caller that is cancelled leaves the opening to the others."""
    door = Door()
    door.may_open.clear()
    keeper = Keeper(door.open)
    first, second = (asyncio.create_task(keeper.open()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    door.may_open.set()
    assert await second == "opening 1"
    assert first.cancelled()
    await keeper.close()


async def test_what_cannot_be_opened_is_tried_again() -> None:
    """The error goes to who asked; the next one who asks tries anew."""
    door = Door()
    door.error = OSError("the disk is gone")
    keeper = Keeper(door.open)
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            await keeper.open()
    door.error = None
    assert await keeper.open() == "opening 1"
    await keeper.close()


async def test_it_opens_again_after_it_was_closed() -> None:
    """Closing is not the end of a keeper; closing twice, or before, does nothing."""
    door = Door()
    keeper = Keeper(door.open)
    await keeper.close()
    for number in (1, 2):
        assert await keeper.open() == f"opening {number}"
        await keeper.close()
        await keeper.close()
    assert (door.opened, door.closed) == (2, 2)


async def test_a_failure_while_closing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever closes is not punished for what goes wrong in there."""

    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        yield
        raise OSError("cannot be closed")

    keeper = Keeper(broken)
    await keeper.open()
    with caplog.at_level(logging.ERROR, "engineroom.server"):
        await keeper.close()
    assert "cannot be closed" in caplog.text


def test_the_end_of_the_loop_closes_it() -> None:
    """A loop that cancels what is left at its end, as `asyncio.run` does, has it closed in good order."""
    doors: list[Door] = []
    keepers: list[Keeper[str]] = []

    async def forget() -> None:
        doors.append(Door())
        keepers.append(Keeper(doors[0].open))
        await keepers[0].open()

    asyncio.run(forget())
    assert (doors[0].opened, doors[0].closed) == (1, 1)
    assert keepers[0].kept is None


def test_another_loop_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """What is open in one event loop is not for another one; after that one's end it is opened anew."""
    door_of: dict[int, str] = {}

    @asynccontextmanager
    async def door() -> AsyncIterator[str]:
        yield f"loop {len(door_of)}"

    keeper = Keeper(door)

    async def ask(key: int) -> None:
        door_of[key] = await keeper.open()

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    first.run_until_complete(ask(0))
    with pytest.raises(RuntimeError, match="another event loop"):
        second.run_until_complete(ask(1))
    first.run_until_complete(keeper.close())
    second.run_until_complete(ask(1))
    second.run_until_complete(keeper.close())
    assert door_of == {0: "loop 0", 1: "loop 1"}
    first.close()
    second.close()
