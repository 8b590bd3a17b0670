"""The runner of the tests: one failing step is enough for a failure, and none hides another."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/run_tests.py"


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script as a module, with its reports in a folder of the test."""
    spec = importlib.util.spec_from_file_location("run_tests", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "run_tests", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "REPORTS", tmp_path)
    return module


def steps(runner: ModuleType, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Lets the runner know these steps, each a line of shell."""
    made = tuple(runner.Step(name, (("sh", "-c", script),), 2) for name, script in scripts.items())
    monkeypatch.setattr(runner, "STEPS", made)


def test_a_failing_step_fails_the_whole_and_the_next_still_run(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The status is 1, the summary names the step, and what comes after it was run."""
    steps(runner, monkeypatch, bad="exit 3", good="echo reached the end")
    assert runner.main([]) == 1
    shown = capfd.readouterr().out
    assert "FAILED (status 3)" in shown
    assert "reached the end" in shown
    assert "1 of 2 steps failed" in shown


def test_all_steps_passed(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The status is 0 when every step passed."""
    steps(runner, monkeypatch, one="true", two="true")
    assert runner.main([]) == 0
    assert "All steps passed" in capfd.readouterr().out


def test_fast_stops_at_the_first_failure(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With `--fast` the summary says which steps were not run."""
    steps(runner, monkeypatch, bad="false", good="echo reached the end")
    assert runner.main(["--fast"]) == 1
    shown = capfd.readouterr().out
    assert "reached the end" not in shown
    assert "good          not run" in shown


def test_a_step_that_hangs_is_ended_with_its_children(
    runner: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Past its bound a step fails, and its processes are gone."""
    steps(runner, monkeypatch, stuck=f"sleep 1000 & echo $! > {tmp_path}/pid; wait")
    assert runner.main([]) == 1
    assert "not done after 2 s" in capfd.readouterr().out
    stat = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_skipped_tests_are_told_with_their_reasons(
    runner: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A test that was skipped is counted in the summary, and its reason repeated."""
    test = tmp_path / "test_one.py"
    test.write_text("import pytest\ndef test_it() -> None: pytest.skip('no such machine')\n")
    report = tmp_path / "one.xml"
    command = (sys.executable, "-m", "pytest", str(test), "-q", f"--junit-xml={report}")
    monkeypatch.setattr(runner, "STEPS", (runner.Step("one", (command,), 60, report),))
    assert runner.main([]) == 0
    assert "skipped: one: test_it: no such machine" in capfd.readouterr().out


def test_a_folder_without_tests_is_a_failure(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Tests that are not found do not count as passed."""
    report = tmp_path / "none.xml"
    command = (sys.executable, "-m", "pytest", str(tmp_path), "-q", f"--junit-xml={report}")
    monkeypatch.setattr(runner, "STEPS", (runner.Step("none", (command,), 60, report),))
    assert runner.main([]) == 1


def test_an_unknown_step_is_named() -> None:
    """A misspelt step is status 2, with the steps that there are."""
    result = subprocess.run(
        [sys.executable, SCRIPT, "unti"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert "No such step: unti" in result.stderr
    assert "unit" in result.stderr
