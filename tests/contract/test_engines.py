"""Every engine passes the contract suite, on every runtime."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest

from engineroom.programs.backend import Backend, Instance, Place
from engineroom.programs.engines.types import python_type
from engineroom.programs.runtimes import choose
from engineroom.testing.engines import (
    ENGINE_CHECKS,
    PATIENCE_SECONDS,
    Check,
    Ear,
    Phrases,
    check_engine,
)

pytestmark = pytest.mark.anyio

PYTHON = Phrases(
    hello="print('hello')",
    both="import sys; print('out', end=''); print('err', end='', file=sys.stderr)",
    value="6 * 7",
    shown="42",
    fails="1 / 0",
    complaint="ZeroDivisionError",
    many="for number in range(10_000): print(number)",
    forever="print('begun', flush=True)\nwhile True: pass",
    remember="word = 'kept'",
    recall="print(word)",
    asks="print(input('Name? '))",
    unfinished="value = prin",
    completion="print",
)


@asynccontextmanager
async def python_engine(
    runtime: Literal["local", "sandbox"], folder: Path, ear: Ear
) -> AsyncIterator[Instance]:
    """The Python engine, not started."""
    chosen = (await choose(runtime)).runtime
    async with Backend(chosen, {"python": python_type()}) as backend:
        yield backend.allocate("key", "python", place=Place(folder), hear=ear.hear)


@pytest.mark.parametrize("runtime", ["local", "sandbox"])
@pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
async def test_contract(runtime: Literal["local", "sandbox"], check: Check, tmp_path: Path) -> None:
    """The Python engine keeps the promise that the check is named after."""
    ear = Ear()
    async with asyncio.timeout(PATIENCE_SECONDS), python_engine(runtime, tmp_path, ear) as instance:
        await check(instance, ear, PYTHON)


async def test_a_broken_promise_is_found(tmp_path: Path) -> None:
    """The suite as a whole fails for an engine that does not keep its promises."""
    lies = Phrases(**{**{name: getattr(PYTHON, name) for name in PYTHON.__slots__}, "shown": "43"})
    with pytest.raises(AssertionError):
        await check_engine(lambda ear: python_engine("local", tmp_path, ear), lies)
