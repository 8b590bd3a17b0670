"""Which runtime this machine gets. Knows the runtimes; prints nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from engineroom import errors

from .limits import find_cgroups, remove_stale
from .local import LocalRuntime
from .runtime import Runtime
from .sandbox import SandboxRuntime, probe


@dataclass(frozen=True, slots=True)
class Choice:
    """A runtime; `warning` is for people when it is not the one to be wished for, else empty."""

    runtime: Runtime
    warning: str


async def choose(prefer: Literal["auto", "sandbox", "local"] = "auto") -> Choice:
    """The sandbox where it works, else local; or the one that is asked for.

    What dead servers left of their control groups is removed first.

    Raises:
        ProgramError: the sandbox was asked for and does not work here; the message says why.
    """
    cgroups = await asyncio.to_thread(find_cgroups)
    await asyncio.to_thread(remove_stale, cgroups)
    if prefer == "local":
        return Choice(LocalRuntime(cgroups), "")
    trouble = await probe()
    if trouble is None:
        return Choice(SandboxRuntime(cgroups), "")
    if prefer == "sandbox":
        raise errors.ProgramError(f"the sandbox does not work here: {trouble}")
    warning = f"programs run without a sandbox, with all rights of this user: {trouble}"
    return Choice(LocalRuntime(cgroups), warning)
