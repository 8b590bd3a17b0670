"""The examples of the HTTP reference, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from engineroom.server.api.problems import TITLES
from engineroom.testing.server_process import ServerProcess

REFERENCE = Path(__file__).parents[2] / "docs/reference/http.md"
EXAMPLE = re.compile(r"^```sh\n(.*?)^```\n(?:\n```json\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
MARK = "-- next example --"


def test_the_examples(tmp_path: Path) -> None:
    """Each example answers what stands below it, where `…` is anything."""
    examples = EXAMPLE.findall(REFERENCE.read_text())
    assert len(examples) > 8
    script = f"\necho '{MARK}'\n".join(commands for commands, _ in examples)
    with ServerProcess(None, data=tmp_path / "data", log=tmp_path / "server.log") as server:
        variables = {"SERVER": f"http://127.0.0.1:{server.port}", "TOKEN": server.token or ""}
        done = subprocess.run(
            ["bash", "-eu", "-c", script],
            env=os.environ | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    answers = done.stdout.split(f"{MARK}\n")
    for (commands, expected), answer in zip(examples, answers, strict=True):
        if expected:
            pattern = re.escape(expected.strip()).replace("…", ".*?")
            assert re.fullmatch(pattern, answer.strip(), re.DOTALL), f"{commands}\n{answer}"


def test_every_code_is_listed() -> None:
    """The reference lists each code with its status, and no other."""
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", REFERENCE.read_text(), re.MULTILINE)
    assert {(code, int(status)) for code, status in rows} == {
        (code, status) for code, (status, _) in TITLES.items()
    }
