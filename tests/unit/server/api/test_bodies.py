"""Places for bodies: nobody has them all."""

from __future__ import annotations

import asyncio

import pytest

from engineroom.server.api.bodies import MAX_BODIES, MAX_OF_ONE, Bodies

pytestmark = pytest.mark.anyio


async def places(bodies: Bodies, *wanted: tuple[str, str | None]) -> int:
    """How many of these get a place while all who have one keep it."""
    over, held = asyncio.Event(), 0

    async def hold(user: str, document: str | None) -> None:
        nonlocal held
        async with bodies.place(user, document):
            held += 1
            await over.wait()

    async with asyncio.TaskGroup() as group:
        for user, document in wanted:
            group.create_task(hold(user, document))
        for _ in range(20):
            await asyncio.sleep(0)
        found = held
        over.set()
    return found


async def test_one_user_and_one_document_have_some() -> None:
    """A user has a few places, whatever the documents, and a document a few, whoever the users; all together have
    more.
    """
    bodies = Bodies()
    assert await places(bodies, *(("ada", f"{n}") for n in range(20))) == MAX_OF_ONE
    assert await places(bodies, *((f"{n}", "a") for n in range(20))) == MAX_OF_ONE
    assert await places(bodies, *(("ada", None) for _ in range(20))) == MAX_OF_ONE
    assert await places(bodies, *((f"{n}", f"{n}") for n in range(40))) == MAX_BODIES


async def test_who_is_done_leaves_nothing_behind() -> None:
    """A place is given back, also by who is cancelled while waiting for one."""
    bodies = Bodies()

    async def stay() -> None:
        async with bodies.place("ada", "a"):
            await asyncio.Event().wait()

    staying = [asyncio.ensure_future(stay()) for _ in range(9)]
    for _ in range(9):
        await asyncio.sleep(0)
    for each in staying:
        each.cancel()
    await asyncio.gather(*staying, return_exceptions=True)
    assert await places(bodies, *(("ada", "a") for _ in range(9))) == MAX_OF_ONE
