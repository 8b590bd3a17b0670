"""Programs as ordinary processes of the server's own user: bounded and tidied up after, but not contained.

A local program sees the machine as the server does. Its workspace is the folder itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from . import limits
from .guarded import Conversation, Job
from .limits import Cgroups
from .process import Process, start
from .spec import Spec
from .streams import Streams
from .surroundings import GUEST, environment


class LocalRuntime:
    """Runs programs on this machine, with the server's rights."""

    name = "local"

    def __init__(self, cgroups: Cgroups | None = None) -> None:
        self._cgroups = cgroups or Cgroups()

    @property
    def contained(self) -> bool:
        """Are programs kept from the rest of the machine?"""
        return False

    def describe_limits(self) -> str:
        """Which limits hold, for people."""
        return limits.describe(self._cgroups, counted=os.geteuid() != 0)

    def workspace_inside(self, workspace: Path) -> str:
        """The workspace's path as programs see it."""
        return str(workspace)

    async def run(self, spec: Spec) -> Process:
        """The program, started. Cancelled, it leaves nothing behind.

        Raises:
            ProgramError: it cannot be started; the message names the command.
        """
        streams = Streams.open(spec.terminal)
        descriptors = {**streams.inside, **spec.descriptors}
        job = Job(
            command=spec.command,
            environment=environment(spec, home=str(spec.workspace), guest=str(GUEST)),
            folder=str(spec.workspace),
            descriptors=descriptors,
            terminal=spec.terminal is not None,
            limits=self._resource_limits(spec),
            cgroups=self._cgroups.group(spec.limits),
            wall_seconds=spec.limits.wall_seconds,
        )
        return await start(job, streams, outer=Conversation.open(), inherited=descriptors.values())

    def _resource_limits(self, spec: Spec) -> tuple[tuple[int, int], ...]:
        user = os.getuid()
        if user == 0 or self._cgroups.holds("pids"):
            return limits.resource_limits(spec.limits, self._cgroups, others=None)
        return limits.resource_limits(spec.limits, self._cgroups, others=limits.count_tasks(user))
