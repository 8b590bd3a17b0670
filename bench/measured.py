"""Runs the load beside a server, and reads what it cost the server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from servers import HERE, LOAD_CORE, Running, on_core


def measure(server: Running, room: str, scenario: str, **options: object) -> dict[str, float]:
    """The load's figures, and `cpu_seconds` that the server spent from `ready` to the end.

    Raises:
        RuntimeError: the load failed; what it said is on stderr.
    """
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, str(HERE / "load.py"), scenario, f"{server.url}/{room}", *arguments]
    with subprocess.Popen(
        on_core(LOAD_CORE, *command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as load:
        assert load.stdin is not None
        assert load.stdout is not None
        if load.stdout.readline() != "ready\n":
            raise RuntimeError(f"{scenario} against {server.url} did not get ready")
        before = server.cpu_seconds()
        load.stdin.write("go\n")
        load.stdin.flush()
        line = load.stdout.readline()
        if not line:
            raise RuntimeError(f"{scenario} against {server.url} failed")
        return {**json.loads(line), "cpu_seconds": server.cpu_seconds() - before}


def scratch_folder(parent: Path, *names: object) -> Path:
    """A new folder for one server's data in one round."""
    folder = parent.joinpath("-".join(str(name).split()[0] for name in names))
    folder.mkdir()
    return folder
