"""The guardian by itself, spoken to over its control socket."""

from __future__ import annotations

import marshal
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engineroom.programs import guardian

PATIENCE_SECONDS = 30


def job(*command: str, **fields: object) -> guardian.Job:
    """A command with nothing special about it, except for `fields`."""
    plain: guardian.Job = {
        "command": command,
        "environment": {"PATH": os.defpath},
        "folder": "/",
        "descriptors": {},
        "terminal": False,
        "user": None,
        "limits": (),
        "cgroups": (),
        "runs_harmlessly": False,
        "wall_seconds": None,
    }
    return plain | fields  # type: ignore[operator, no-any-return]


@contextmanager
def guarded(given: guardian.Job) -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    """A guardian that has been given the job, and the server's end of its socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(PATIENCE_SECONDS)
    inherited = {theirs.fileno(), *given["descriptors"].values()}
    with subprocess.Popen(
        [sys.executable, "-I", "-S", guardian.__file__, str(theirs.fileno())],
        pass_fds=tuple(inherited),
    ) as process:
        theirs.close()
        ours.send(marshal.dumps(given))
        with ours:
            yield ours, process


def reports(control: socket.socket) -> list[str]:
    """All that the guardian says until it hangs up."""
    return list(iter(lambda: control.recv(4096).decode(), ""))


def test_a_program_is_reported_from_its_start_to_its_end() -> None:
    """The guardian tells of the start with the process id, of the wait status, and of nothing being left."""
    with guarded(job("sh", "-c", "exit 3")) as (control, process):
        started, ended, gone = reports(control)
    assert started.split()[0] == "started"
    assert ended == f"exit {3 << 8} -"
    assert gone == "gone 0"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"command": ("no-such",)}, "there is no command no-such on its PATH"),
        ({"command": ("/no/such",)}, "there is no /no/such"),
        ({"command": ("/etc/passwd",)}, "Permission denied: '/etc/passwd'"),
        ({"folder": "/no/folder"}, "No such file or directory: '/no/folder'"),
        ({"cgroups": (("/no/group", ()),)}, "its limits cannot be set"),
    ],
)
def test_a_program_that_cannot_begin_is_explained(fields: dict[str, object], reason: str) -> None:
    """A program that cannot be executed is reported as failed, with what was missing, and nothing is left."""
    with guarded(job("true", **fields)) as (control, process):
        failed, gone = reports(control)
    assert failed.startswith("failed ")
    assert reason in failed
    assert gone == "gone 0"
    assert process.returncode == 0


def test_hanging_up_ends_the_program() -> None:
    """When the server's end closes, the program and its orphans end, and then the guardian."""
    readable, writable = os.pipe()
    script = "(setsid sleep 1000 &); trap '' TERM HUP; sleep 1000"
    with guarded(job("sh", "-c", script, descriptors={9: writable})) as (control, process):
        os.close(writable)
        assert control.recv(4096).startswith(b"started")
        control.close()
        assert process.wait(PATIENCE_SECONDS) == 0
    assert os.read(readable, 1) == b""
    os.close(readable)


def test_a_guardian_without_a_job_ends() -> None:
    """When the server goes before it has given a job, the guardian ends too."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with subprocess.Popen(
        [sys.executable, "-I", "-S", guardian.__file__, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
    ) as process:
        theirs.close()
        ours.close()
        assert process.wait(PATIENCE_SECONDS) == 0


def test_descriptors_may_cross() -> None:
    """Descriptors are placed right when the numbers asked for are other descriptors' own."""
    first, second = os.pipe(), os.pipe()
    crossed = {first[1]: second[1], second[1]: first[1]}
    script = f"echo first >&{first[1]}; echo second >&{second[1]}"
    with guarded(job("bash", "-c", script, descriptors=crossed)) as (control, _):
        reports(control)
    assert os.read(first[0], 100) == b"second\n"
    assert os.read(second[0], 100) == b"first\n"
    for number in (*first, *second):
        os.close(number)


def test_signals_are_passed_on_to_the_group() -> None:
    """A request names the signal for the program's process group, and its status says what ended it."""
    with guarded(job("sleep", "1000")) as (control, _):
        control.recv(4096)
        control.send(b"signal 15")
        assert control.recv(4096) == b"exit 15 -"


def test_a_limit_on_time_is_the_cause() -> None:
    """A program that runs past its time is killed, and the report gives time as the cause."""
    with guarded(job("sleep", "1000", wall_seconds=0.05)) as (control, _):
        control.recv(4096)
        assert control.recv(4096) == f"exit {int(signal.SIGKILL)} time".encode()


def test_it_needs_no_slow_imports() -> None:
    """The guardian imports neither `re`, `enum` nor `ctypes`, which would double the time of its start."""
    source = Path(guardian.__file__).read_text()
    program = "import sys; exec(sys.stdin.read(), {'__name__': 'tried'}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        input=source,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"re", "enum", "ctypes", "signal", "socket", "json"}.isdisjoint(done.stdout.split())


def test_it_is_one_file() -> None:
    """The guardian imports nothing of Engineroom: inside a sandbox it is a file by itself."""
    assert "engineroom" not in Path(guardian.__file__).read_text().lower().split("import", 1)[1]
