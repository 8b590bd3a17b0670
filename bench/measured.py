"""Runs the load beside a server, and reads what it cost the server: processor time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from report import Figures
from servers import HERE, LOAD_CORE, Running, on_core


@dataclass(frozen=True, slots=True)
class Measured:
    """What the load says, and the server's part in it.

    `cpu_seconds` is the server's processor time from `ready` to the end. `load_share` is how busy the load was
    meanwhile: near 1, it was the load that set the pace. Bytes are resident memory: before the first member, when all
    were ready, at the end with all of them still there, and at the highest.
    """

    figures: Figures
    cpu_seconds: float
    load_share: float
    bytes_before: int
    bytes_ready: int
    bytes_end: int
    bytes_peak: int


def measure(server: Running, room: str, scenario: str, **options: object) -> Measured:
    """One run of the load against `room`, in a process of its own.

    Raises:
        RuntimeError: the load failed; what it said is on stderr.
    """
    parts = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is True]
    for name, value in options.items():
        if not isinstance(value, bool):
            parts += [f"--{name.replace('_', '-')}", str(value)]
    command = [sys.executable, "-m", "load", scenario, f"{server.url}/{room}"]
    before = server.memory_bytes()
    with _load([*command, "--dialect", server.dialect, *parts]) as load:
        assert load.stdin is not None
        assert load.stdout is not None
        if load.stdout.readline() != "ready\n":
            raise RuntimeError(f"{scenario} against {server.name} did not get ready")
        itself = Running("the load", "", load.pid)
        ready, cpu, load_cpu = server.memory_bytes(), server.cpu_seconds(), itself.cpu_seconds()
        load.stdin.write("go\n")
        load.stdin.flush()
        line = load.stdout.readline()
        if not line:
            raise RuntimeError(f"{scenario} against {server.name} failed")
        cpu, load_cpu = server.cpu_seconds() - cpu, itself.cpu_seconds() - load_cpu
        figures: Figures = json.loads(line)
        share = load_cpu / max(figures.get("seconds", 0.0), 1e-9)
        end, peak = server.memory_bytes(), server.memory_bytes("VmHWM")
    return Measured(figures, cpu, share, before, ready, end, peak)


@contextmanager
def _load(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        on_core(LOAD_CORE, *command),
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as load:
        try:
            yield load
        finally:
            load.kill()  # its members go with it


def scratch_folder(parent: Path, *names: object) -> Path:
    """A new folder for one server's data in one round."""
    folder = parent.joinpath("-".join(str(name).split()[0] for name in names))
    folder.mkdir()
    return folder
