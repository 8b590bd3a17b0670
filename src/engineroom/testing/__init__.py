"""Contract suites and tools for tests, ours and those of plug-in authors.

Nothing of Engineroom imports this package, and it needs no test framework: a check is an async
function that raises `AssertionError`.
"""

from .engines import check_engine
from .runtimes import check_runtime
from .stores import check_store

__all__ = ["check_engine", "check_runtime", "check_store"]
