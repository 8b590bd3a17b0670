"""A backend on the local runtime, and an ear for its instances."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from engineroom.programs.backend import Backend, Instance, Place
from engineroom.programs.engines.types import EngineType, python_type
from engineroom.programs.runtimes import LocalRuntime
from engineroom.testing.engines import Ear


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
