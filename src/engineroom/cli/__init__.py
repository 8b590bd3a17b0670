"""The command line: argv, environment and file become settings, and settings a call. One module a
command.

Imports are late, so that `--help` and `--version` need no server.
"""

from __future__ import annotations

import sys

from engineroom.errors import EngineroomError


def main() -> None:
    """The `engineroom` command. What stops it from starting is one line on stderr, and exit code 2."""
    from .application import run

    try:
        sys.exit(run(sys.argv[1:]))
    except EngineroomError as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def fail(reason: str) -> None:
    """One line on stderr, exit code 2."""
    print(f"engineroom: {' '.join(reason.split())}", file=sys.stderr)
    sys.exit(2)
