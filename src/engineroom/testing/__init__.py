"""Contract suites and tools for tests, ours and those of plug-in authors.

Nothing of Engineroom imports this package, and it needs no test framework: a check is an async
function that raises `AssertionError`.
"""
