"""What a newcomer is told when the machine lacks something: which command helps, and a failure.

The scripts run with a PATH of stand-ins, so that any machine can be played.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


class Machine:
    """A PATH with a few real programs and stand-ins for the others, on Debian unless said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.system("debian")
        for name in ("bash", "cat", "env"):
            self.real(name)

    def real(self, name: str) -> None:
        found = shutil.which(name)
        assert found is not None
        (self.folder / name).symlink_to(found)

    def stand_in(self, name: str, script: str) -> None:
        """A program `name` that does what these lines of shell do."""
        path = self.folder / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def system(self, name: str) -> None:
        """Which system it is, as os-release has it."""
        (self.folder / "os-release").write_text(f"ID={name}\n")

    def run(
        self, script: str, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPTS / script, *arguments],
            env={
                "PATH": str(self.folder),
                "OS_RELEASE": str(self.folder / "os-release"),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


OLD = 'if [ "$1" = --version ]; then echo Python 3.9.2; else exit 1; fi'
WITHOUT_VENV = """
case "$*" in
    --version) echo Python 3.12.3 ;;
    *"import ensurepip"*) exit 1 ;;
    *print*) echo python3.12-venv ;;
esac
"""
GOOD = """
case "$*" in
    --version) echo Python 3.13.1 ;;
    *executable*) echo /opt/python/bin/python3 ;;
esac
"""


def test_an_old_python_alone_is_named(machine: Machine) -> None:
    """With only Python 3.9, the message says what is there and what is needed."""
    machine.stand_in("python3", OLD)
    result = machine.run("find-python")
    assert result.returncode == 1
    assert "needs Python 3.11 or newer; this is Python 3.9.2" in result.stderr


def test_a_newer_python_is_found_behind_an_old_one(machine: Machine) -> None:
    """When `python3` is too old, a newer one under its own name is taken."""
    machine.stand_in("python3", OLD)
    machine.stand_in("python3.13", GOOD)
    result = machine.run("find-python")
    assert result.stdout == "/opt/python/bin/python3\n"


def test_a_shim_that_leads_nowhere_is_passed_over(machine: Machine) -> None:
    """A version manager's shim that fails does not stop the search."""
    machine.stand_in("python3", "exit 127")
    machine.stand_in("python3.12", GOOD)
    assert machine.run("find-python").returncode == 0


def test_a_python_without_venv_is_told_which_package_brings_it(machine: Machine) -> None:
    """Debian's Python without venv: the message names the package of that very version."""
    machine.stand_in("python3", WITHOUT_VENV)
    result = machine.run("find-python")
    assert result.returncode == 1
    assert "apt-get install python3.12-venv" in result.stderr


def test_no_python_at_all(machine: Machine) -> None:
    """Without any Python the message says how to get one."""
    result = machine.run("find-python")
    assert result.returncode == 1
    assert "apt-get install python3 python3-venv" in result.stderr


def test_a_python_by_name_is_the_only_candidate(machine: Machine) -> None:
    """`make PYTHON=...` is obeyed, even where a good `python3` is there."""
    machine.stand_in("python3", GOOD)
    machine.stand_in("mine", OLD)
    assert machine.run("find-python", PYTHON="mine").returncode == 1


def test_missing_npm_is_named(machine: Machine) -> None:
    """Without npm the message says which package brings it."""
    result = machine.run("check-node")
    assert result.returncode == 1
    assert "apt-get install npm" in result.stderr


def test_an_old_node_is_named(machine: Machine) -> None:
    """Node 16 is refused with its version."""
    machine.stand_in("npm", "true")
    machine.stand_in("node", '[ "$1" = --version ] && echo v16.20.2; [ "$1" = --version ]')
    result = machine.run("check-node")
    assert result.returncode == 1
    assert "needs Node 18 or newer; this is Node v16.20.2" in result.stderr


def test_an_ordinary_user_is_told_the_command(machine: Machine) -> None:
    """Not root and something missing: nothing is installed, the command is shown, the status is 1."""
    machine.stand_in("id", "echo 1000")
    machine.stand_in("apt-get", "echo MUST NOT RUN; exit 1")
    result = machine.run("system-packages")
    assert result.returncode == 1
    assert "apt-get install --no-install-recommends bubblewrap" in result.stderr
    assert "chromium" in result.stderr
    assert "MUST NOT RUN" not in result.stdout


def test_root_gets_what_is_missing(machine: Machine, tmp_path: Path) -> None:
    """As root, what is missing is installed, without questions, and what is there is left alone."""
    machine.stand_in("id", "echo 0")
    machine.stand_in("bwrap", "true")
    machine.stand_in("apt-get", f'echo "$DEBIAN_FRONTEND: $*" >> {tmp_path}/calls')
    result = machine.run("system-packages")
    assert result.returncode == 0, result.stderr
    update, install = (tmp_path / "calls").read_text().splitlines()
    assert update.startswith("noninteractive: update")
    assert "--yes" in install
    assert "chromium" in install
    assert "bubblewrap" not in install


def test_a_machine_with_everything_is_left_alone(machine: Machine) -> None:
    """When nothing is missing, apt-get is not even asked."""
    for name in ("bwrap", "ps", "git", "npm", "chromium"):
        machine.stand_in(name, "true")
    machine.stand_in("fc-list", "echo DejaVu Sans")
    assert machine.run("system-packages").returncode == 0


def test_ubuntu_is_not_asked_for_its_snap(machine: Machine) -> None:
    """On Ubuntu no chromium is installed from the system's packages."""
    machine.system("ubuntu")
    machine.stand_in("id", "echo 1000")
    assert "chromium" not in machine.run("system-packages").stderr


PLAYWRIGHT = """
case "$*" in
    *"executable_path"*) echo /nowhere/chrome ;;
    *install*) echo "$*" ;;
esac
"""


def test_without_a_browser_root_gets_playwrights(machine: Machine) -> None:
    """As root, Playwright's own Chromium is installed when the system has none."""
    machine.stand_in("id", "echo 0")
    machine.stand_in("python", PLAYWRIGHT)
    result = machine.run("browser", "python")
    assert result.stdout.endswith("-m playwright install --with-deps chromium\n")
    assert result.returncode == 0


def test_without_a_browser_an_ordinary_user_is_told_the_command(machine: Machine) -> None:
    """Not root: the command is shown, and the status is 1."""
    machine.stand_in("id", "echo 1000")
    machine.stand_in("python", PLAYWRIGHT)
    result = machine.run("browser", "python")
    assert result.returncode == 1
    assert "python -m playwright install --with-deps chromium" in result.stderr


def test_the_systems_browser_is_enough(machine: Machine) -> None:
    """With chromium on PATH, Playwright is not asked."""
    machine.stand_in("chromium", "true")
    machine.stand_in("python", "exit 1")
    assert machine.run("browser", "python").returncode == 0


def test_the_scripts_may_be_run() -> None:
    """Every script of `scripts/` and `.ci/` that has no suffix is executable."""
    for path in [*SCRIPTS.iterdir(), ROOT / ".ci/run"]:
        if path.suffix == "" and path.is_file():
            assert os.access(path, os.X_OK), path
