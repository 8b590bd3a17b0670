"""Where programs' processes run, and what bounds them: `local` and `sandbox`.

    spec ──> local, sandbox ──> process ──> guarded ──> programs/guardian.py, a process of its own
                 └── limits, streams, surroundings

Imports nothing of rooms, values, stores, pages or the server.
"""

from .choice import Choice, choose
from .local import LocalRuntime
from .process import Process
from .runtime import Runtime
from .sandbox import SandboxRuntime
from .spec import Exit, Limits, Spec, Statistics, TerminalSize

__all__ = [
    "Choice",
    "Exit",
    "Limits",
    "LocalRuntime",
    "Process",
    "Runtime",
    "SandboxRuntime",
    "Spec",
    "Statistics",
    "TerminalSize",
    "choose",
]
