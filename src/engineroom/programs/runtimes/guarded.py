"""The server's side of the conversation with a guardian (`programs/guardian.py` has the other, and the grammar).

Knows how to start a guardian, to give it a job and to read its reports. Must not know what a program is for, nor
which runtime it runs in.
"""

from __future__ import annotations

import asyncio
import errno
import marshal
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from engineroom import errors
from engineroom.programs import guardian

GUARDIAN = Path(guardian.__file__)
REPORT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Job:
    """What a guardian is to run; `guardian.Job` says what the fields mean."""

    command: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    descriptors: dict[int, int]
    terminal: bool = False
    user: int | None = None
    limits: tuple[tuple[int, int], ...] = ()
    cgroups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    runs_harmlessly: bool = False
    wall_seconds: float | None = None


@dataclass(slots=True)
class Report:
    """What a guardian has told so far. `status` is a wait status; `memory_kills` counts kills for memory."""

    pid: int | None = None
    failure: str = ""
    status: int | None = None
    timed_out: bool = False
    memory_kills: int = 0
    complete: bool = False


@dataclass(slots=True)
class Conversation:
    """One end of a guardian's control socket. `theirs` is to be inherited by the guardian, then closed here."""

    ours: socket.socket
    theirs: socket.socket
    report: Report = field(default_factory=Report)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def open(cls) -> Conversation:
        """A conversation with a guardian that is yet to be started."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        return cls(ours, theirs)

    def listen(self) -> None:
        """Take in what the guardian reports, until it hangs up."""
        asyncio.get_running_loop().add_reader(self.ours, self._listen)

    def give(self, job: Job) -> None:
        """Send the job.

        Raises:
            ProgramError: the command and its environment are too long together.
        """
        fields = {name: getattr(job, name) for name in Job.__slots__}
        try:
            self.ours.send(marshal.dumps(fields))
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise errors.ProgramError(f"the command is too long: {job.command[0]}") from None
            # The guardian has ended before; that is noticed by listening.

    def signal(self, number: int) -> None:
        """Have a signal sent to the program's process group."""
        if not self.ended.is_set():
            try:
                self.ours.send(f"signal {number}".encode())
            except OSError:
                pass  # It is ending, or has a few hundred signals before it.

    def end(self) -> None:
        """Have the program and its descendants ended; the reports go on coming."""
        if not self.ended.is_set():
            try:
                self.ours.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def close(self) -> None:
        """Hang up: a guardian that is still there ends its program. Safe to call twice."""
        if self.ours.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.ours)
        self.ours.close()
        self.theirs.close()
        self.started.set()
        self.ended.set()

    def _listen(self) -> None:
        try:
            message = self.ours.recv(REPORT_BYTES)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message:
            self._note(message.decode(errors="replace"))
        else:
            self.close()

    def _note(self, message: str) -> None:
        word, _, rest = message.partition(" ")
        match word:
            case "started":
                self.report.pid = int(rest)
                self.started.set()
            case "failed":
                self.report.failure = rest
            case "exit":
                status, _, cause = rest.partition(" ")
                self.report.status = int(status)
                self.report.timed_out = cause == "time"
            case "gone":
                self.report.memory_kills = int(rest)
                self.report.complete = True


def spawn(conversation: Conversation, inherited: Iterable[int]) -> subprocess.Popen[bytes]:
    """Start a guardian for the conversation. `inherited` are descriptors that its job speaks of, by number."""
    numbers = {conversation.theirs.fileno(), *inherited}
    guardian_process = subprocess.Popen(
        guardian_command(GUARDIAN, conversation.theirs.fileno()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        pass_fds=tuple(numbers),
        start_new_session=True,
    )
    conversation.theirs.close()
    return guardian_process


def guardian_command(guardian_path: Path | str, control: int) -> tuple[str, ...]:
    """How to start a guardian: without site-packages, and with the interpreter itself rather than a venv's link."""
    return (str(Path(sys.executable).resolve()), "-I", "-S", str(guardian_path), str(control))
