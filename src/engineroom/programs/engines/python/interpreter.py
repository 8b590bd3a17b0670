"""The interpreter: evaluates a cell's code in one namespace, and says how code may go on.

Knows Python source and its evaluation. Must not know processes, descriptors, signals or wire formats: outputs go to a
function, and text goes to `sys.stdout` and `sys.stderr`, wherever these lead.

    >>> interpreter = Interpreter()
    >>> interpreter.evaluate("2 + 2")
    4
    Outcome(status='ok', count=1, statements=1)

The rules, each a fault of some predecessor: the source is taken as it stands and split by its syntax tree; nothing runs
unless all of it compiles; it stops at the first error; `sys.exit()` and an interrupt end the cell and nothing else.
"""

from __future__ import annotations
import __future__

import ast
import linecache
import sys
import types
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .completion import Completion, complete
from .display import Emit, Screen, print_output
from .failures import describe_failure

if TYPE_CHECKING:
    import asyncio

REMEMBERED_CELLS = 1000

# What `compile` may raise for text that is no Python: NUL and lone surrogates are ValueErrors, deep nesting the others.
_COMPILE_ERRORS = (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError)
_NOT_SET = object()


class Outcome(NamedTuple):
    """How an evaluation ended: `ok`, `error` or `interrupted`.

    `count` numbers the interpreter's evaluations from 1, errors too. `statements` is how many top-level statements
    ran, one that raised included.
    """

    status: str
    count: int  # type: ignore[assignment]  # tuple.count is of no use here
    statements: int


class Step(NamedTuple):
    """One top-level statement, compiled. `shown` says that its value is to be shown."""

    code: types.CodeType
    shown: bool


class Interpreter:
    """One namespace, and the evaluation of code in it. Each interpreter has its own.

    `emit` is called with each output, a dict in the shape of the events `display`, `clear` and `error` of
    `protocols/engine.py`, without their `id`. Without `emit`, outputs are printed as a REPL prints them. `check` is
    called before each statement and may raise KeyboardInterrupt.
    """

    def __init__(
        self, emit: Emit = print_output, *, check: Callable[[], None] | None = None
    ) -> None:
        self.module = types.ModuleType("__main__")
        self.namespace: dict[str, Any] = self.module.__dict__
        self.screen = Screen(emit)
        self.count = 0
        #: Called after each evaluation, as a part of it: what they raise is the evaluation's error.
        self.at_end: list[Callable[[], None]] = []
        self._emit = emit
        self._check = check
        self._future_flags = 0
        self._last: object = _NOT_SET
        self._cells: list[str] = []
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self.namespace.update(self.screen.builtins())

    def evaluate(self, code: str, display: str = "last") -> Outcome:
        """Run `code` up to its first error, and show the last expression's value or, with `every`, each one's.

        A failure is an output, never an exception. `_` is the last value shown; None shows nothing. `await` may stand
        at the top level; tasks that it leaves behind go on at the next `await`.
        """
        self.count += 1
        filename = f"<cell {self.count}>"
        self._remember(filename, code)
        try:
            steps = self._compile(code, filename, display)
        except _COMPILE_ERRORS as error:
            self._emit(describe_failure(error.with_traceback(None)))
            return Outcome("error", self.count, 0)
        return self._run(steps)

    def complete(self, code: str, cursor: int) -> Completion:
        """How `code` may go on at `cursor` (code points). Calls nothing; may be called from any thread, at any time."""
        return complete(code, cursor, self.namespace)

    def _remember(self, filename: str, code: str) -> None:
        """Let tracebacks and `inspect` find the cell's source; the oldest cells are forgotten."""
        # A modification time of None keeps `linecache.checkcache` from looking for a file.
        lines = [line + "\n" for line in code.split("\n")]
        linecache.cache[filename] = (len(code), None, lines, filename)
        self._cells.append(filename)
        if len(self._cells) > REMEMBERED_CELLS:
            linecache.cache.pop(self._cells.pop(0), None)

    def _compile(self, code: str, filename: str, display: str) -> list[Step]:
        tree = ast.parse(code, filename)
        flags = self._future_flags | _future_flags(tree)
        steps = [
            _compile_statement(
                statement,
                filename,
                flags,
                shown=display == "every" or statement is tree.body[-1],
            )
            for statement in tree.body
        ]
        self._future_flags = flags
        return steps

    def _run(self, steps: list[Step]) -> Outcome:
        ran = 0
        status = "ok"
        try:
            for ran, step in enumerate(steps, 1):  # noqa: B007
                self.execute(partial(self._run_step, step))
        except BaseException as error:
            status = self._ended_by(error)
        for finish in self.at_end:
            try:
                self.execute(finish)
            except BaseException as error:
                status = self._ended_by(error)
        return Outcome(status, self.count, ran)

    def execute(self, run: Callable[[], None]) -> None:
        """Call `run`. This frame tells who handles an interrupt that what stands above it may be interrupted."""
        if self._check is not None:
            self._check()
        run()

    def _run_step(self, step: Step) -> None:
        value = eval(step.code, self.namespace)  # noqa: S307
        if step.code.co_flags & _CO_COROUTINE:
            value = self._wait_for(value)
        if step.shown and value is not None:
            self._show(value)

    def _show(self, value: object) -> None:
        # A user who assigned to `_` (as gettext's users do) keeps it.
        if self.namespace.get("_", _NOT_SET) is self._last:
            self.namespace["_"] = self._last = value
        self.screen.show(value, result=True)

    def _wait_for(self, coroutine: Any) -> object:
        """Run a statement that awaits to its end. Interrupted, its task is cancelled and awaited first."""
        import asyncio

        if self._event_loop is None or self._event_loop.is_closed():
            self._event_loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._event_loop)
        task = self._event_loop.create_task(coroutine)
        try:
            return self._event_loop.run_until_complete(task)
        except KeyboardInterrupt as interrupt:
            if task.done():
                raise
            task.cancel()
            try:
                return self._event_loop.run_until_complete(task)
            except asyncio.CancelledError as cancelled:
                # It knows which line of the cell was waiting; the interrupt itself knows only the event loop's.
                raise interrupt.with_traceback(cancelled.__traceback__) from None

    def _ended_by(self, error: BaseException) -> str:
        """Report what ended the evaluation; the evaluation's status."""
        if isinstance(error, SystemExit) and error.code in (None, 0):
            return "ok"
        self._emit(describe_failure(error))
        return "interrupted" if isinstance(error, KeyboardInterrupt) else "error"


_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE, without importing inspect


def _future_flags(tree: ast.Module) -> int:
    """The compiler flags of the cell's `from __future__` lines, which then hold for the cells after it."""
    flags = 0
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            for name in statement.names:
                feature = getattr(__future__, name.name, None)
                flags |= getattr(feature, "compiler_flag", 0)
    return flags


def _compile_statement(statement: ast.stmt, filename: str, flags: int, *, shown: bool) -> Step:
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    if isinstance(statement, ast.Expr):
        expression = ast.Expression(statement.value)
        code = compile(expression, filename, "eval", flags, dont_inherit=True)
        return Step(code, shown)
    module = ast.Module([statement], type_ignores=[])
    return Step(compile(module, filename, "exec", flags, dont_inherit=True), shown=False)


def use_as_main(interpreter: Interpreter) -> None:
    """Make the interpreter's namespace the process's `__main__`, as pickle and `if __name__ == "__main__"` expect."""
    sys.modules["__main__"] = interpreter.module
