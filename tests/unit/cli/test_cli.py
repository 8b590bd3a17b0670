"""The command line: help, version, and what is wrong with an argument."""

import subprocess
import sys

import pytest

from engineroom import __version__, cli
from engineroom.cli import application
from engineroom.server.settings import FIELDS


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engineroom", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_version() -> None:
    """`--version` says which one."""
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"engineroom {__version__}\n")


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help(arguments: list[str]) -> None:
    """Without a command, or asked for help, it says what there is, with an example."""
    result = run(*arguments)
    assert result.returncode == 0
    assert "engineroom serve notes/" in result.stdout


def test_help_of_serve() -> None:
    """The help of `serve` has every option, and examples."""
    text = run("serve", "--help").stdout
    for option in (
        "--host", "--port", "--data", "--token", "--no-auth", "--allow-host", "--allow-origin",
        "--config", "--open",
    ):  # fmt: skip
        assert option in text
    assert "engineroom serve notes/ --port 0 --open" in text


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nope"], "nope"),
        (["serve", "--nope"], "--nope"),
        (["serve", "--port", "many"], "--port"),
        (["serve", "a", "b"], "b"),
        (["serve", "--port"], "--port"),
    ],
)
def test_usage_errors(arguments: list[str], word: str) -> None:
    """A wrong argument is one line on stderr, and exit code 2."""
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert word in result.stderr


def test_every_option_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the options of `serve` state arrives in its settings, name by name."""
    served = []
    monkeypatch.setattr("engineroom.server.run.serve", served.append)
    arguments = [
        "serve", "notes", "--host", "a", "--port", "1", "--data", "d", "--token", "t", "--no-auth",
        "--allow-host", "b", "--allow-host", "c", "--allow-origin", "http://o", "--open",
    ]  # fmt: skip
    assert application.run(arguments) == 0
    stated = {
        "site": "notes", "host": "a", "port": 1, "data": "d", "token": "t", "no_auth": True,
        "allow_host": ("b", "c"), "allow_origin": ("http://o",), "open": True,
    }  # fmt: skip
    assert {name: getattr(served[0], name) for name in stated} == stated
    assert stated.keys() <= FIELDS.keys()


def test_help_needs_no_server() -> None:
    """Help and version import neither the server nor what rooms are made of."""
    script = (
        "import sys; from engineroom.cli import application; application.run(['--version'])\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in "
        "('uvicorn', 'starlette', 'picows', 'pycrdt', 'msgspec', 'markdown_it')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_a_failure_of_ours_is_no_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only errors that are meant for the user become one line; a bug keeps its traceback."""

    def fail(arguments: object) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(application, "run", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main()


def test_ctrl_c_before_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while starting ends with 130, as shells have it."""

    def interrupt(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(application, "run", interrupt)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130
