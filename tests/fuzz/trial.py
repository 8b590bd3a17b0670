"""A piece of work in a child process, with a limit on its time and memory: what harms pycrdt may not harm the tests."""

from __future__ import annotations

import os
import resource
import select
import signal
import traceback
from collections.abc import Callable

MEMORY_BYTES = 4 << 30


def outcome(work: Callable[[], object], *, seconds: float = 20.0) -> str:
    """What came of `work`: empty when it returned, else what it raised, or how its process ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _run(work, writer)
    os.close(writer)
    said, ended = b"", False
    try:
        while not ended and select.select([reader], [], [], seconds)[0]:
            more = os.read(reader, 1 << 16)
            said, ended = said + more, not more
    finally:
        os.close(reader)
        if not ended:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if not ended:
        return f"did not return within {seconds} seconds"
    if os.WIFSIGNALED(status):
        return f"ended its process with signal {os.WTERMSIG(status)}"
    return said.decode(errors="replace")


def _run(work: Callable[[], object], writer: int) -> None:
    """In the child: never returns, so that nothing of the parent's is done twice."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where Rust tells of its panics
        work()
    except BaseException:
        os.write(writer, traceback.format_exc()[-4_000:].encode())
    finally:
        os._exit(0)
