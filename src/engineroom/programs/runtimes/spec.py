"""A program to be run, and how it ended: what every runtime takes and gives.

Plain data. Must not know rooms, values, engines or pages: a program is a command, an environment and a folder here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one program and all its descendants, as far as the machine can hold them (see `limits.describe`).

    `cpu` is in processors (0.5: half of one). `file_bytes` bounds each file, `temporary_bytes` the sandbox's `/tmp`.
    """

    memory_bytes: int = 512 * 1024 * 1024
    processes: int = 128
    cpu: float = 1.0
    file_bytes: int = 1024 * 1024 * 1024
    open_files: int = 1024
    temporary_bytes: int = 64 * 1024 * 1024
    wall_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """A pseudo-terminal's size in characters."""

    columns: int = 80
    rows: int = 24


@dataclass(frozen=True, slots=True)
class Spec:
    """A program to be run.

    `environment` comes on top of the runtime's own clean one (PATH, HOME, LANG, PYTHONPATH, and TERM in a terminal);
    nothing of the server's environment reaches a program. `terminal` gives it a pseudo-terminal of that size, and
    without it pipes are its standard streams. `descriptors` maps numbers in the program to descriptors of ours, which
    stay ours to close. `read_only_paths` are seen by a sandboxed program at the same path as here.
    """

    command: tuple[str, ...]
    workspace: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    terminal: TerminalSize | None = None
    descriptors: Mapping[int, int] = field(default_factory=dict)
    network: bool = False
    limits: Limits = Limits()
    read_only_paths: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Exit:
    """How a program ended: by itself with `code`, or by `signal`; `reason` says it for people."""

    code: int | None
    signal: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a program and its descendants use now: `memory_bytes` is resident, `cpu_seconds` since they began."""

    processes: int
    memory_bytes: int
    cpu_seconds: float
