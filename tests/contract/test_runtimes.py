"""Every runtime passes the contract suite: with control groups, where this machine has them, and without."""

import asyncio
from pathlib import Path

import pytest

from engineroom.programs.runtimes import LocalRuntime, Runtime, SandboxRuntime
from engineroom.programs.runtimes.limits import Cgroups, find_cgroups
from engineroom.testing.runtimes import PATIENCE_SECONDS, RUNTIME_CHECKS, Check

pytestmark = pytest.mark.anyio

RUNTIMES: dict[str, Runtime] = {
    "local": LocalRuntime(find_cgroups()),
    "local-without-cgroups": LocalRuntime(Cgroups()),
    "sandbox": SandboxRuntime(find_cgroups()),
    "sandbox-without-cgroups": SandboxRuntime(Cgroups()),
}


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
@pytest.mark.parametrize("check", RUNTIME_CHECKS, ids=lambda check: check.__name__)
async def test_contract(runtime: Runtime, check: Check, tmp_path: Path) -> None:
    """The runtime keeps the promise that the check is named after."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await check(runtime, tmp_path)
