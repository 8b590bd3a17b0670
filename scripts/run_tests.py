"""Runs Engineroom's tests step by step and says at the end what passed, failed or was skipped.

    python scripts/run_tests.py              every step
    python scripts/run_tests.py unit faults  these steps
    python scripts/run_tests.py --fast       every step, up to the first that fails

A failing step does not hide the next ones; the exit status is 0 only when all passed. Each step has
a bound in time, after which its processes are ended. Standard library only; `make test` installs
what the steps need.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / ".cache/test"
PYTHON = sys.executable
BIN = Path(PYTHON).parent
CHECKED = ("src", "tests", "bench", "scripts", "hatch_build.py")


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the summary: the commands, run in order until one fails."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    bound_seconds: int = 120
    report: Path | None = None


@dataclass(slots=True)
class Outcome:
    """How a step went. `skipped` holds the reason of every test that did not run."""

    step: Step
    failure: str = ""
    seconds: float = 0.0
    tests: int | None = None
    skipped: list[str] = field(default_factory=list)


def tool(name: str, *arguments: str) -> tuple[str, ...]:
    return (str(BIN / name), *arguments)


def web(script: str) -> tuple[str, ...]:
    return ("npm", "run", "--prefix", "web", "--silent", script)


def suite(name: str, bound_seconds: int = 120) -> Step:
    """The step that runs `tests/<name>`."""
    report = REPORTS / f"{name}.xml"
    command = (PYTHON, "-m", "pytest", f"tests/{name}", "-q", f"--junit-xml={report}")
    return Step(name, (command,), bound_seconds, report)


STEPS = (
    Step("lint", (tool("ruff", "check", *CHECKED),)),
    Step("format", (tool("ruff", "format", "--check", *CHECKED),)),
    Step("types", (tool("mypy"), tool("mypy", "--exclude", "peers/", "bench", "scripts")), 300),
    Step("laws", (tool("lint-imports"),)),
    Step("web", (web("check"), web("test")), 300),
    suite("unit", 600),
    suite("contract", 300),
    suite("properties", 300),
    suite("fuzz", 300),
    suite("conformance", 900),
    suite("browser", 600),
    suite("faults", 900),
    suite("build", 300),
)


def run_command(command: tuple[str, ...], bound_seconds: float) -> str:
    """Runs `command` in a process group of its own; what went wrong, or nothing."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True, env=environment()
    )
    try:
        status = process.wait(bound_seconds)
    except subprocess.TimeoutExpired:
        return f"not done after {bound_seconds:.0f} s"
    finally:
        end_group(process)
    return "" if status == 0 else f"status {status}"


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends what the command left behind, and the command itself when it is still there."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def environment() -> dict[str, str]:
    """Ours, with the virtual environment's programs first."""
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def read_report(outcome: Outcome) -> None:
    """Counts the tests of a pytest step, and keeps why some were skipped."""
    report = outcome.step.report
    if report is None:
        return
    if not report.exists():
        outcome.failure = outcome.failure or "no tests ran"
        return
    cases = list(ET.parse(report).iter("testcase"))  # noqa: S314
    outcome.tests = len(cases)
    for case in cases:
        for skipped in case.findall("skipped"):
            outcome.skipped.append(f"{case.get('name')}: {skipped.get('message')}")


def run(step: Step) -> Outcome:
    print(f"\n=== {step.name} ===", flush=True)
    outcome = Outcome(step)
    if step.report is not None:
        step.report.unlink(missing_ok=True)
    started = time.monotonic()
    for command in step.commands:
        print("$", *[part.replace(f"{BIN}/", "") for part in command], flush=True)
        left_seconds = step.bound_seconds - (time.monotonic() - started)
        outcome.failure = run_command(command, max(left_seconds, 1))
        if outcome.failure:
            break
    outcome.seconds = time.monotonic() - started
    read_report(outcome)
    return outcome


def summary(outcomes: list[Outcome], left_out: list[str]) -> str:
    lines = ["", f"{'step':<14}{'result':<28}{'tests':>7}{'skipped':>9}{'seconds':>9}"]
    for one in outcomes:
        result = f"FAILED ({one.failure})" if one.failure else "passed"
        tests = "" if one.tests is None else str(one.tests)
        skipped = str(len(one.skipped)) if one.skipped else ""
        lines.append(f"{one.step.name:<14}{result:<28}{tests:>7}{skipped:>9}{one.seconds:>9.1f}")
    lines += [f"{name:<14}not run" for name in left_out]
    lines += [f"skipped: {one.step.name}: {reason}" for one in outcomes for reason in one.skipped]
    failed = sum(1 for one in outcomes if one.failure)
    total_seconds = sum(one.seconds for one in outcomes)
    verdict = f"{failed} of {len(outcomes)} steps failed" if failed else "All steps passed"
    return "\n".join([*lines, f"{verdict}, in {total_seconds:.0f} s."])


def main(arguments: list[str]) -> int:
    fast = "--fast" in arguments
    names = [name for name in arguments if name != "--fast"]
    known = {step.name: step for step in STEPS}
    if unknown := [name for name in names if name not in known]:
        print(f"No such step: {', '.join(unknown)}. There are: {', '.join(known)}", file=sys.stderr)
        return 2
    chosen = [known[name] for name in names] or list(STEPS)
    REPORTS.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for step in chosen:
        outcomes.append(run(step))
        if fast and outcomes[-1].failure:
            break
    print(summary(outcomes, [step.name for step in chosen[len(outcomes) :]]), flush=True)
    return 1 if any(one.failure for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
