"""The public interface: what `import engineroom` gives, and what it costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import engineroom

STUB = Path(engineroom.__file__).with_suffix(".pyi")


def stated() -> dict[str, str]:
    """Public names to the modules that the stub takes them from."""
    found = {}
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                assert name.asname == name.name
                found[name.name] = str(node.module)
    return found


def test_type_checkers_are_told_what_there_is() -> None:
    """The stub and the module name the same things, from the same places."""
    assert stated() == engineroom._EXPORTS  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(stated()))
def test_everything_that_is_named_is_there(name: str) -> None:
    """Each public name can be had, and is listed."""
    assert getattr(engineroom, name) is not None
    assert name in dir(engineroom)


def test_what_is_not_there_is_an_ordinary_error() -> None:
    """As with any module."""
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = engineroom.Nothing  # type: ignore[attr-defined]


def test_importing_it_loads_nothing_more() -> None:
    """Neither the server nor the client, nor what they need, before they are asked for."""
    code = "import sys, engineroom; print([m for m in sys.modules if m.startswith('engineroom.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_client_needs_no_server() -> None:
    """A program that only connects loads neither rooms nor the server."""
    code = "import sys, engineroom; engineroom.connect; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = ast.literal_eval(done.stdout)
    assert "engineroom.client" in modules
    assert not {"engineroom.rooms", "engineroom.server", "uvicorn", "starlette"} & set(modules)
