"""The owner of engine instances: allocates them by key, lists them, ends them all.

Knows engine types, a runtime and instances. A key is opaque: whose engine it names is the caller's affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from engineroom.errors import LimitExceeded, ProgramError
from engineroom.programs.engines.types import EngineType, builtin_types
from engineroom.programs.runtimes import Runtime

from .instance import Heard, Instance, InstanceInfo
from .run import Place

MAX_INSTANCES = 1000


class Backend:
    """Engine instances on one runtime. `async with Backend(runtime) as backend`: leaving ends them all.

    `types` are the engine types by name; the mapping may change meanwhile.
    """

    def __init__(
        self,
        runtime: Runtime,
        types: Mapping[str, EngineType] | None = None,
        *,
        max_instances: int = MAX_INSTANCES,
    ) -> None:
        self.types = builtin_types() if types is None else types
        self._runtime = runtime
        self._max_instances = max_instances
        self._instances: dict[str, Instance] = {}
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for instance in self._instances.values():
            instance.end()
        # They end by themselves now. Told of `error`, the group would cancel them in the middle of it.
        await self._group.__aexit__(None, None, None)

    def allocate(
        self, key: str, kind: str, *, place: Place, hear: Callable[[Heard], None]
    ) -> Instance:
        """The instance with this key, made when there is none; its process starts when something is asked of it.

        What happens to it is told to `hear`, in order, in the event loop; for an instance that is there already, to
        the one whom it was made for.

        Raises:
            ProgramError: there is no engine type `kind`, or the instance with this key has another one.
            LimitExceeded: there are too many instances.
        """
        if kind not in self.types:
            known = ", ".join(sorted(self.types)) or "none"
            raise ProgramError(f"there is no engine type {kind!r} (there are: {known})")
        instance = self._instances.get(key)
        if instance is not None and not instance.released:
            if instance.type.name != kind:
                raise ProgramError(f"{key} is allocated as {instance.type.name}, not {kind}")
            return instance
        if len(self._instances) >= self._max_instances:
            raise LimitExceeded("engine instances", self._max_instances)
        instance = Instance(key, self.types[kind], runtime=self._runtime, place=place, hear=hear)
        self._instances[key] = instance
        self._group.create_task(self._keep(instance), name=f"engine {key}")
        return instance

    def instances(self) -> list[InstanceInfo]:
        """All instances as they are now, by key."""
        return [self._instances[key].info() for key in sorted(self._instances)]

    async def _keep(self, instance: Instance) -> None:
        try:
            await instance.live()
        finally:
            if self._instances.get(instance.key) is instance:
                del self._instances[instance.key]
