"""The interpreter by itself: no process, no descriptors."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

from engineroom.programs.engines.python import interpreter as module
from engineroom.programs.engines.python.interpreter import Interpreter, Outcome


class Recorded(Interpreter):
    """An interpreter whose outputs are kept in a list."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []
        super().__init__(self.outputs.append)

    def shown(self) -> list[str]:
        """Plain texts of what was displayed since the last time it was asked."""
        outputs, self.outputs[:] = list(self.outputs), []
        return [output["data"]["text/plain"] for output in outputs if output["type"] == "display"]

    def error(self) -> dict[str, Any]:
        """The only output, an error."""
        (output,) = self.outputs
        self.outputs.clear()
        assert output["type"] == "error"
        return output


@pytest.fixture
def interpreter() -> Recorded:
    """A new one."""
    return Recorded()


def test_last_expression(interpreter: Recorded) -> None:
    """The value of the last expression is shown, and no other."""
    assert interpreter.evaluate("1\n2\n2 + 2") == Outcome("ok", 1, 3)
    assert interpreter.shown() == ["4"]


def test_every_expression(interpreter: Recorded) -> None:
    """With `every`, each top-level expression's value is shown, and None never."""
    interpreter.evaluate("1\nNone\nx = 5\nx", "every")
    assert interpreter.shown() == ["1", "5"]


def test_statement_last(interpreter: Recorded) -> None:
    """A cell that ends with a statement shows nothing."""
    interpreter.evaluate("2\na = 12")
    assert interpreter.shown() == []


def test_namespaces_are_apart(interpreter: Recorded) -> None:
    """Each interpreter has its own names."""
    interpreter.evaluate("a = 12")
    interpreter.evaluate("a + a")
    assert interpreter.shown() == ["24"]
    other = Recorded()
    assert other.evaluate("a + a") == Outcome("error", 1, 1)
    assert other.error()["traceback"] == [
        "Traceback (most recent call last):",
        '  File "<cell 1>", line 1, in <module>',
        "    a + a",
        *(["    ^"] if sys.version_info >= (3, 11) else []),
        "NameError: name 'a' is not defined",
    ]


def test_by_itself_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a place for outputs, values go to stdout and tracebacks to stderr, as in a REPL."""
    alone = Interpreter()
    alone.evaluate("2 + 2")
    alone.evaluate("1 / 0")
    captured = capsys.readouterr()
    assert captured.out == "4\n"
    assert captured.err.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_underscore_is_the_last_value(interpreter: Recorded) -> None:
    """`_` is the last value shown."""
    interpreter.evaluate("40")
    interpreter.evaluate("None")
    interpreter.evaluate("_ + 2")
    assert interpreter.shown() == ["40", "42"]


def test_underscore_of_the_user_stays(interpreter: Recorded) -> None:
    """Who assigns to `_` keeps what was assigned."""
    interpreter.evaluate("_ = str")
    interpreter.evaluate("1")
    interpreter.evaluate("_(5)")
    assert interpreter.shown() == ["1", "'5'"]


def test_stops_at_the_first_error(interpreter: Recorded) -> None:
    """Codenode went on with the next line after an exception."""
    assert interpreter.evaluate("x = 1\n1 / 0\nx = 2") == Outcome("error", 1, 2)
    interpreter.outputs.clear()
    interpreter.evaluate("x")
    assert interpreter.shown() == ["1"]


def test_blank_lines_in_strings(interpreter: Recorded) -> None:
    """Codenode deleted blank lines inside triple-quoted strings."""
    interpreter.evaluate('"""a\n\n\nb"""')
    assert interpreter.shown() == ["'a\\n\\n\\nb'"]


def test_compound_block_followed_by_statement(interpreter: Recorded) -> None:
    """Codenode took a compound block followed by a statement for a SyntaxError."""
    interpreter.evaluate("for i in range(3):\n    pass\ni")
    assert interpreter.shown() == ["2"]


@pytest.mark.parametrize("code", ["foo(", "if True:", "'''abc", "def f():\n"])
def test_incomplete_input_is_an_error(interpreter: Recorded, code: str) -> None:
    """Codenode did nothing, silently, where input is incomplete."""
    assert interpreter.evaluate(code) == Outcome("error", 1, 0)
    assert interpreter.error()["name"] in ("SyntaxError", "IndentationError")


def test_nothing_runs_unless_all_compiles(interpreter: Recorded) -> None:
    """An error of syntax in the last line keeps the first line from running."""
    assert interpreter.evaluate("x = 1\nreturn 5").statements == 0
    assert interpreter.error()["traceback"][-1] == "SyntaxError: 'return' outside function"
    assert "x" not in interpreter.namespace


def test_syntax_error_points_at_the_place(interpreter: Recorded) -> None:
    """A SyntaxError shows the line and the place in it, and nothing of the engine."""
    interpreter.evaluate("a = 1\nb = = 2")
    lines = interpreter.error()["traceback"]
    assert lines[0] == '  File "<cell 1>", line 2'
    assert lines[1:3] == ["    b = = 2", "        ^"]


@pytest.mark.parametrize("code", ["1\x00", "x = '\ud800'\n\ud800", "(" * 5000, "9" * 5000])
def test_text_that_cannot_be_compiled(interpreter: Recorded, code: str) -> None:
    """NUL, lone surrogates, deep nesting and huge numbers are errors of the cell's."""
    assert interpreter.evaluate(code).status == "error"
    assert interpreter.error()["name"]


def test_traceback_shows_source_without_own_frames(interpreter: Recorded) -> None:
    """A traceback shows the source of every cell it passes through, and no frame of the engine's."""
    interpreter.evaluate("def f():\n    return 1 / 0")
    interpreter.evaluate("f()")
    text = "\n".join(interpreter.error()["traceback"])
    assert 'File "<cell 1>", line 2, in f\n    return 1 / 0' in text
    assert 'File "<cell 2>", line 1, in <module>\n    f()' in text
    assert "interpreter.py" not in text


def test_chained_exceptions(interpreter: Recorded) -> None:
    """The cause of an exception is shown too, without the engine's frames."""
    interpreter.evaluate("try:\n    1 / 0\nexcept Exception as e:\n    raise KeyError(3) from e")
    text = "\n".join(interpreter.error()["traceback"])
    assert "ZeroDivisionError" in text
    assert text.endswith("KeyError: 3")
    assert "interpreter.py" not in text


def test_long_traceback_is_bounded(interpreter: Recorded) -> None:
    """A traceback of a thousand different lines and a message of megabytes stay small."""
    interpreter.evaluate("def f(n):\n    return g(n)\ndef g(n):\n    return f(n)\nf(1)")
    assert len(interpreter.error()["traceback"]) <= 401
    interpreter.evaluate("raise ValueError('x' * 10_000_000)")
    error = interpreter.error()
    assert len(error["value"]) < 5_000
    assert sum(map(len, error["traceback"])) < 10_000


def test_exception_whose_text_fails(interpreter: Recorded) -> None:
    """An exception that cannot be turned into text is an output all the same."""
    interpreter.evaluate(
        "class Bad(Exception):\n    def __str__(self):\n        raise OSError\nraise Bad"
    )
    assert interpreter.error()["name"] == "Bad"


@pytest.mark.parametrize("code", ["import sys; sys.exit()", "raise SystemExit(0)"])
def test_exit_ends_the_cell(interpreter: Recorded, code: str) -> None:
    """`sys.exit()` ends the cell, without fault; Codenode's engine failed."""
    assert interpreter.evaluate(code + "\nx = 1").status == "ok"
    assert interpreter.outputs == []
    assert "x" not in interpreter.namespace


def test_exit_with_a_message(interpreter: Recorded) -> None:
    """`sys.exit("why")` is the cell's error."""
    assert interpreter.evaluate("import sys\nsys.exit('why')").status == "error"
    assert interpreter.error()["value"] == "why"


def test_interrupt(interpreter: Recorded) -> None:
    """A KeyboardInterrupt is its own status, with a traceback."""
    assert interpreter.evaluate("raise KeyboardInterrupt").status == "interrupted"
    assert interpreter.error()["name"] == "KeyboardInterrupt"


def test_future_flags_last(interpreter: Recorded) -> None:
    """A `from __future__` line holds for the cells after it, as in a REPL."""
    interpreter.evaluate("from __future__ import annotations")
    interpreter.evaluate("def f(x: not_defined): pass\nf.__annotations__")
    assert interpreter.shown() == ["{'x': 'not_defined'}"]


def test_await_at_the_top_level(interpreter: Recorded) -> None:
    """`await` may stand at the top level, and tasks that a cell leaves go on at the next `await`."""
    interpreter.evaluate("import asyncio\nasync def f():\n    return 5\nawait f()")
    interpreter.evaluate("async def g():\n    return asyncio.create_task(f())\ntask = await g()")
    interpreter.evaluate("await task + 1")
    interpreter.evaluate("async with asyncio.Lock():\n    y = 2")
    interpreter.evaluate("y")
    assert interpreter.shown() == ["5", "6", "2"]
    interpreter.namespace["asyncio"].get_event_loop().close()


def test_docstring_is_not_taken(interpreter: Recorded) -> None:
    """A cell that begins with a string leaves the namespace's `__doc__` alone."""
    interpreter.evaluate("'words'\nx = 1")
    assert interpreter.namespace["__doc__"] is None


def test_functions_know_their_module(interpreter: Recorded) -> None:
    """Classes of a cell belong to `__main__`, as pickle expects."""
    interpreter.evaluate("class A: pass\nA.__module__, __name__")
    assert interpreter.shown() == ["('__main__', '__main__')"]


def test_sources_are_forgotten(interpreter: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the sources of the last cells are kept."""
    monkeypatch.setattr(module, "REMEMBERED_CELLS", 3)
    for _ in range(5):
        interpreter.evaluate("1")
    assert [f"<cell {n}>" in module.linecache.cache for n in range(1, 6)] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_finishing_touches_belong_to_the_cell(interpreter: Recorded) -> None:
    """What runs at the end of a cell may fail, and that is the cell's error."""
    interpreter.at_end.append(lambda: 1 / 0)
    assert interpreter.evaluate("1").status == "error"


def test_runs_under_old_pythons_with_the_standard_library() -> None:
    """Every module of the engine parses as Python 3.9 and imports nothing but the standard library and itself."""
    for path in Path(module.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 9))
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                allowed = {"engineroom_engine", "matplotlib"} | sys.stdlib_module_names
                assert top in allowed, f"{path.name} imports {name}"
