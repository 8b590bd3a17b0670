"""Engine types: what a backend must know to run an engine. The built-in one, and the table that plug-ins extend.

Plain data. Must not know where or for whom an engine runs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PYTHON_ENGINE = Path(__file__).parent / "python"


@dataclass(frozen=True, slots=True)
class EngineType:
    """A description of an engine: a command that speaks `protocols/engine.py` on one descriptor.

    The descriptor's number is in ENGINEROOM_REQUEST_FD and ENGINEROOM_EVENT_FD. The engine ends when its requests do.
    SIGINT interrupts an evaluation; one that still runs `interrupt_grace_seconds` later is ended with the engine (None:
    never). An engine that is not ready after `start_seconds` has failed. `read_only_paths` are what it needs to see of
    this machine, in a sandbox.
    """

    name: str
    language: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    read_only_paths: tuple[Path, ...] = ()
    start_seconds: float = 60.0
    interrupt_grace_seconds: float | None = 10.0


def python_type(executable: str = sys.executable) -> EngineType:
    """Our own Python engine, under the server's Python or another one (3.9 or newer)."""
    return EngineType(
        name="python",
        language="python",
        command=(executable, str(PYTHON_ENGINE / "__main__.py")),
        # For the user's own Python programs; within the engine, figures are shown.
        environment={"MPLBACKEND": "Agg"},
        read_only_paths=(PYTHON_ENGINE,),
    )


def builtin_types() -> dict[str, EngineType]:
    """The engine types that come with Engineroom, by name."""
    return {"python": python_type()}
