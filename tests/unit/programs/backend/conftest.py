"""A backend on the local runtime, and an ear for its instances."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from engineroom.programs.backend import Backend, Changed, Heard, Instance, Place, Said
from engineroom.programs.engines.types import EngineType, python_type
from engineroom.programs.runtimes import LocalRuntime
from engineroom.protocols import engine

PATIENCE_SECONDS = 30


class Ear:
    """Hears one instance. `heard` is everything so far; `wait` takes up where the last wait ended."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self._at = 0
        self._new = asyncio.Event()

    def hear(self, event: Heard) -> None:
        self.heard.append(event)
        self._new.set()

    async def wait(self, wanted: Callable[[Heard], bool]) -> Any:
        """The next thing heard that is wanted."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                while self._at < len(self.heard):
                    self._at += 1
                    if wanted(self.heard[self._at - 1]):
                        return self.heard[self._at - 1]
                self._new.clear()
                await self._new.wait()

    async def wait_state(self, state: str) -> str:
        """The reason with which the state is reached."""
        changed = await self.wait(lambda heard: isinstance(heard, Changed) and heard.state == state)
        return str(changed.reason)

    async def wait_event(self, kind: type[engine.Event], **fields: Any) -> Any:
        """The next event of this type with these fields."""

        def wanted(heard: Heard) -> bool:
            return (
                isinstance(heard, Said)
                and isinstance(heard.event, kind)
                and all(getattr(heard.event, name) == value for name, value in fields.items())
            )

        return (await self.wait(wanted)).event

    def states(self) -> list[str]:
        """The states so far."""
        return [heard.state for heard in self.heard if isinstance(heard, Changed)]


@pytest.fixture
def types() -> dict[str, EngineType]:
    """The engine types; tests add theirs."""
    return {"python": python_type()}


@pytest.fixture
async def backend(types: dict[str, EngineType]) -> AsyncIterator[Backend]:
    """A backend that is ended after the test."""
    async with Backend(LocalRuntime(), types) as backend:
        yield backend


@pytest.fixture
def ear() -> Ear:
    """Hears what happens to `instance`."""
    return Ear()


@pytest.fixture
def instance(backend: Backend, ear: Ear, tmp_path: Path) -> Instance:
    """A Python engine, not started."""
    return backend.allocate("key", "python", place=Place(tmp_path), hear=ear.hear)


@pytest.fixture
def speaks(
    types: dict[str, EngineType], backend: Backend, ear: Ear, tmp_path: Path
) -> Callable[..., Instance]:
    """Makes an instance of an engine that is this Python code; `say(**event)` sends an event."""

    def make(code: str, **options: Any) -> Instance:
        opening = (
            "import json, os, sys, time\n"
            "def say(**event): os.write(3, json.dumps(event).encode() + b'\\n')\n"
            "def ready(): say(type='ready', language='', version='')\n"
        )
        command = (sys.executable, "-S", "-c", opening + code)
        types["odd"] = EngineType("odd", "", command, **options)
        return backend.allocate("odd", "odd", place=Place(tmp_path), hear=ear.hear)

    return make
