"""What a program finds around it, whatever the runtime: a clean environment and the guest modules."""

from __future__ import annotations

import sys
from pathlib import Path

from .spec import Spec

GUEST = Path(__file__).parent.parent / "guest"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(spec: Spec, *, home: str, guest: str) -> dict[str, str]:
    """A program's whole environment. `python` on its PATH is the server's own, with what is installed there."""
    surroundings = {
        "PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}",
        "HOME": home,
        "LANG": "C.UTF-8",
        "PYTHONPATH": guest,
    }
    if spec.terminal:
        surroundings["TERM"] = "xterm-256color"
    return surroundings | dict(spec.environment)
