"""The laws about imports and about the environment, and that a breach of each is noticed.

The import laws are contracts in pyproject.toml, which import-linter checks (`make laws`). That tool
sees modules and not attributes, so the law about the environment is checked here.
"""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/engineroom"
# The last two run in processes of a room's programs, whose environment is made for them.
MAY_READ_THE_ENVIRONMENT = ("cli", "server", "testing", "programs/guest", "programs/engines/python")
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv"}
SETTINGS_READERS = {"tomllib", "configparser"}


def readers_of_the_environment(source: str) -> Iterator[str]:
    """Every way in which `source` reads the environment or a file of settings."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in ENVIRONMENT:
                yield f"line {node.lineno}: os.{name}"
            case ast.ImportFrom(module="os", names=names):
                for one in names:
                    if one.name in ENVIRONMENT:
                        yield f"line {node.lineno}: from os import {one.name}"
            case ast.Import(names=names):
                for one in names:
                    if one.name in SETTINGS_READERS:
                        yield f"line {node.lineno}: import {one.name}"
            case ast.ImportFrom(module=str(module)) if module in SETTINGS_READERS:
                yield f"line {node.lineno}: from {module} import"


def modules_below(package: Path) -> Iterator[Path]:
    for path in sorted(package.rglob("*.py")):
        within = {parent.as_posix() for parent in path.relative_to(package).parents}
        if within.isdisjoint(MAY_READ_THE_ENVIRONMENT):
            yield path


def test_only_cli_and_server_read_the_environment_or_settings() -> None:
    """Only `cli/`, `server/` and what runs in a room read the environment; only the first two TOML."""
    breaches = {
        str(path.relative_to(PACKAGE)): found
        for path in modules_below(PACKAGE)
        if (found := list(readers_of_the_environment(path.read_text())))
    }
    assert breaches == {}


@pytest.mark.parametrize(
    "line",
    [
        "import os; home = os.environ['HOME']",
        "import os; home = os.getenv('HOME')",
        "from os import environ",
        "from os import getenv as read",
        "import tomllib",
        "from configparser import ConfigParser",
    ],
)
def test_a_reader_of_the_environment_is_found(line: str) -> None:
    """Each way of reading the environment is found."""
    assert list(readers_of_the_environment(f"x = 1\n{line}\n"))


def lint_imports(folder: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    """Checks the copy of the package in `folder`."""
    chosen = [argument for contract in contracts for argument in ("--contract", contract)]
    return subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            "--no-cache",
            "--config",
            folder / "pyproject.toml",
            *chosen,
        ],
        cwd=folder / "src",
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its laws, where breaches do no harm."""
    folder = tmp_path_factory.mktemp("laws")
    shutil.copy(ROOT / "pyproject.toml", folder)
    ignored = shutil.ignore_patterns("__pycache__", "bundle")
    shutil.copytree(PACKAGE, folder / "src/engineroom", ignore=ignored)
    return folder


def test_the_package_keeps_its_laws(original: Path) -> None:
    """Every contract holds for the package as it is."""
    result = lint_imports(original)
    assert result.returncode == 0, result.stdout


BREACHES = [
    ("layers", "protocols/lib0.py", "import engineroom.rooms.address"),
    ("layers", "rooms/address.py", "import engineroom.stores"),
    ("layers", "pages/page.py", "import engineroom.server"),
    ("layers", "server/settings.py", "import engineroom.testing"),
    ("layers", "errors.py", "import engineroom.protocols.lib0"),
    ("codecs-are-pure", "protocols/lib0.py", "import asyncio"),
    ("codecs-are-pure", "protocols/messages.py", "from time import monotonic"),
    ("rooms-are-pure", "rooms/address.py", "import logging"),
    ("rooms-are-pure", "rooms/plan.py", "import random"),
    ("the-core-knows-no-shell", "rooms/room.py", "from engineroom.rooms import open_rooms"),
    ("client-stands-beside", "client/replica.py", "import engineroom.rooms.address"),
    ("layers", "server/settings.py", "import engineroom.client"),
    ("backend-stands-apart", "programs/runtimes/process.py", "import engineroom.rooms.address"),
    ("backend-stands-apart", "programs/backend/__init__.py", "import engineroom.values"),
]


@pytest.mark.parametrize(("contract", "module", "line"), BREACHES)
def test_a_breach_of_a_law_is_found(original: Path, contract: str, module: str, line: str) -> None:
    """One forbidden import more, and its contract goes red."""
    path = original / "src/engineroom" / module
    before = path.read_text()
    path.write_text(f"{before}\n{line}\n")
    try:
        result = lint_imports(original, contract)
    finally:
        path.write_text(before)
    assert result.returncode == 1, result.stdout
    assert "BROKEN" in result.stdout


def test_a_package_without_a_layer_is_found(original: Path) -> None:
    """A new package that has no place among the layers breaks the contract."""
    stray = original / "src/engineroom/helpers"
    stray.mkdir()
    (stray / "__init__.py").write_text("")
    try:
        result = lint_imports(original, "layers")
    finally:
        shutil.rmtree(stray)
    assert "helpers" in result.stdout
    assert result.returncode == 1
