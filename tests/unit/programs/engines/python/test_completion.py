"""Completion."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from engineroom.programs.engines.python.completion import complete


def matches(code: str, namespace: dict[str, Any] | None = None) -> list[str]:
    """What completes `code` at its end; each match must fit what is there."""
    found = complete(code, len(code), namespace or {})
    assert all(match.startswith(code[found.start :]) for match in found.matches)
    return found.matches


def test_names() -> None:
    """Names of the namespace, keywords and builtins are found."""
    assert matches("spee", {"speed": 1, "other": 2}) == ["speed"]
    assert "while" in matches("whi")
    assert "enumerate" in matches("enumer")


def test_names_of_the_code_itself() -> None:
    """Names that the code brings along are found before it has run."""
    assert matches("def f(alpha):\n    return alp") == ["alpha"]


def test_range() -> None:
    """A match stands in place of the begun name alone, also in the middle of code and after astral characters."""
    code = "'😀' + textwr.x"
    found = complete(code, len("'😀' + textwr"), {"textwrap": 1})
    assert code[found.start : found.end] == "textwr"
    assert found.matches == ["textwrap"]


@pytest.mark.parametrize("cursor", [-5, 1000])
def test_cursor_out_of_range(cursor: int) -> None:
    """A cursor outside the code is taken for its nearest end."""
    found = complete("abc", cursor, {"abcd": 1})
    assert found.start in (0, 3)


def test_attributes() -> None:
    """Attributes of a dotted name are found, private ones only where one is begun."""
    import os

    assert "path" in matches("os.pa", {"os": os})
    assert "join" in matches("os.path.jo", {"os": os})
    assert all(not name.startswith("_") for name in matches("os.", {"os": os}))
    assert "__name__" in matches("os.__na", {"os": os})
    assert "upper" in matches("str.up")


class Dangerous:
    """Running anything of it is noticed."""

    calls: list[str]
    __slots__ = ("slot",)

    def __init__(self) -> None:
        self.slot = "text"

    @property
    def prop(self) -> str:
        raise AssertionError("a property was run")

    def method(self) -> str:
        raise AssertionError("a method was called")


def test_no_side_effects() -> None:
    """Nothing is called to find completions: neither properties, nor methods, nor what stands before a dot."""
    names = {"d": Dangerous()}
    assert "prop" in matches("d.", names)
    assert matches("d.prop.", names) == []
    assert matches("d.method().", names) == []
    assert "upper" in matches("d.slot.up", names)
    assert matches("d.missing.x", names) == []


def test_failing_dir() -> None:
    """An object whose `__dir__` raises has no completions."""

    class Bad:
        def __dir__(self) -> list[str]:
            raise OSError

    assert matches("b.", {"b": Bad()}) == []


@pytest.mark.parametrize(
    "code", ["x = 'impo", '"""\nimpo', "x = 1  # impo", "# impo", "f('a', \"impo"]
)
def test_text_has_no_completions(code: str) -> None:
    """Inside a string or a comment nothing is offered."""
    assert matches(code) == []


def test_after_a_string() -> None:
    """A string that has ended, on this line or another, does not matter."""
    assert "import" in matches("x = 'a'\nimpo")
    assert "import" in matches("x = 'a\nimpo")


def test_modules() -> None:
    """Modules are found after `import` and `from`, packages' modules too, and nothing is imported for it."""
    assert "textwrap" in matches("import textwr")
    assert "textwrap" in matches("import os, textwr")
    assert "textwrap" in matches("from textwr")
    assert "sys" in matches("import sy")
    sys.modules.pop("xml.dom", None)
    assert "dom" in matches("import xml.do")
    assert "dom" in matches("from xml import do")
    assert "dom" in matches("from xml.do")
    assert "xml.dom" not in sys.modules
    assert matches("import no.such.") == []


def test_names_of_a_module() -> None:
    """Names of a module that is loaded are found after `from … import`."""
    assert "join" in matches("from os.path import exists, jo")


def test_many(tmp_path: Path) -> None:
    """Very many matches, and very long ones, are cut."""
    names: dict[str, Any] = {f"name{n}": n for n in range(5000)}
    names["name" + "x" * 100_000] = 1
    found = matches("name", names)
    assert len(found) == 1000
    assert max(map(len, found)) < 100
