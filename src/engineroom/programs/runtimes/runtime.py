"""What every runtime offers."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from .process import Process
from .spec import Spec


class Runtime(Protocol):
    """Where programs' processes run."""

    @property
    def name(self) -> str:
        """`local`, `sandbox`: for people."""

    @property
    def contained(self) -> bool:
        """Are programs kept from the rest of the machine?"""

    def describe_limits(self) -> str:
        """Which limits hold, for people: `memory, processes and CPU by cgroup v1`."""

    def workspace_inside(self, workspace: Path) -> str:
        """The workspace's path as programs see it."""

    async def run(self, spec: Spec) -> Process:
        """The program, started. Cancelled, it leaves nothing behind.

        Raises:
            ProgramError: it cannot be started; the message names the command, or what this machine lacks.
        """
