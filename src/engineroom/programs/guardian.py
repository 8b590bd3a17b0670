"""Keeps one program, and lets nothing of it outlive the program or the server: `python -I -S guardian.py CONTROL`.

A process of its own beside each program, started by the server with one end of a control socket. It forks the program
into its own session, applies its limits, reports how it began and ended, and ends every descendant, also those that
left the session or lost their parents: as a "child subreaper" it inherits them all. When the server's end of the
socket closes, which SIGKILL of the server does too, the program is ended.

    server -> guardian   a marshalled `Job` (once), then `signal 15` and so on, for the program's process group
    guardian -> server   `started PID` | `failed REASON`, `exit STATUS CAUSE`, `gone KILLS`

`STATUS` is as `os.waitpid` gives it, `CAUSE` is `time` when the wall-clock limit ended the program (else `-`), `KILLS`
counts processes that the kernel killed for memory. Inside a sandbox the same guardian runs a second time, as process 1.

Knows nothing of Engineroom: one file, run without site-packages. Python's own start is most of its cost, so it
imports C modules where their Python covers (`signal`, `ctypes`, `json`) would double it: 10 ms instead of 20.
"""

from __future__ import annotations

import _ctypes
import _signal  # type: ignore[import-not-found] # typeshed has `signal` alone
import fcntl
import marshal
import os
import resource
import select
import sys
import termios
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import NoReturn, TypedDict

    class Job(TypedDict):
        """What to run, and within which bounds.

        `descriptors` maps the program's numbers to the guardian's. With `terminal`, descriptor 0 becomes the
        program's controlling terminal. `user` is the uid and gid to become. Each entry of `cgroups` is a folder to
        make and the files to write there; a program that cannot do harm yet is put into them as it `runs_harmlessly`,
        for the kernel may take 20 ms over it.
        """

        command: tuple[str, ...]
        environment: dict[str, str]
        folder: str
        descriptors: dict[int, int]
        terminal: bool
        user: int | None
        limits: tuple[tuple[int, int], ...]
        cgroups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
        runs_harmlessly: bool
        wall_seconds: float | None


# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

STANDARD_SIGNALS = frozenset(range(1, 32)) - {_signal.SIGKILL, _signal.SIGSTOP}
JOB_BYTES = 1 << 20
# Under pressure the kernel ends a program before the server; 0 is the server's own score, 1000 the first to go.
OOM_SCORE = 500
STOP_PASSES = 50
PAUSE_MILLISECONDS = 5
# A cgroup stays busy for a moment after its last process has gone.
REMOVE_TRIES = 400


class Failure(Exception):
    """The program cannot be started; the text says why."""


def prctl(option: int, argument: int) -> None:
    """Change an attribute of this process, where the kernel allows it."""
    process = _ctypes.dlopen(None, os.RTLD_NOW)  # type: ignore[arg-type] # None: what is loaded already
    function = _ctypes.dlsym(process, "prctl")
    _ctypes.call_function(function, (option, argument, 0, 0, 0))


# --- becoming a guardian ---------------------------------------------------------------------


def ignore_signals() -> int:
    """Be deaf to what is meant for programs. Returns a descriptor that becomes readable when a child ends."""
    faults = {_signal.SIGSEGV, _signal.SIGBUS, _signal.SIGILL, _signal.SIGFPE, _signal.SIGABRT}
    for number in STANDARD_SIGNALS - faults:
        _signal.signal(number, _signal.SIG_IGN)
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    _signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    _signal.signal(_signal.SIGCHLD, lambda number, frame: None)
    return readable


def become(user: int) -> None:
    """Give up root for good: no groups, no capabilities to be had again."""
    for capability in range(64):
        prctl(PR_CAPBSET_DROP, capability)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


# --- starting the program --------------------------------------------------------------------


def make_cgroups(cgroups: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> None:
    """Make each folder and write its limits."""
    for folder, files in cgroups:
        try:
            os.mkdir(folder)
            for name, text in files:
                write(f"{folder}/{name}", text)
        except OSError as error:
            raise Failure(f"its limits cannot be set: {error}") from None


def launch(job: Job) -> int:
    """Fork and execute the program; its process id.

    Raises:
        Failure: it could not be executed. The pipe closes by itself on success, and brings the reason otherwise.
    """
    readable, low = os.pipe()
    # Above every number that the program will use.
    writable = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, max(job["descriptors"], default=2) + 1)
    os.close(low)
    pid = os.fork()
    if pid == 0:
        try:
            execute(job)
        except BaseException as error:
            os.write(writable, explain(error, job).encode()[:4000])
        os._exit(127)
    os.close(writable)
    reason = b""
    while part := os.read(readable, 4096):
        reason += part
    os.close(readable)
    if reason:
        os.waitpid(pid, 0)
        raise Failure(reason.decode())
    return pid


def enlist(folders: list[str]) -> None:
    """Put every descendant into the cgroups. What they fork from then on is born there."""
    for folder in folders:
        known: set[int] = set()
        while new := descendants() - known:
            for pid in new:
                try:
                    write(f"{folder}/cgroup.procs", str(pid))
                except ProcessLookupError:
                    pass  # It has ended.
            known |= new


def execute(job: Job) -> NoReturn:
    """In the child: become the program."""
    prctl(PR_SET_PDEATHSIG, _signal.SIGKILL)
    if not job["runs_harmlessly"]:
        for folder, _ in job["cgroups"]:
            write(f"{folder}/cgroup.procs", "0")
    os.setsid()
    for number in STANDARD_SIGNALS:
        _signal.signal(number, _signal.SIG_DFL)
    try:
        write("/proc/self/oom_score_adj", str(OOM_SCORE))
    except OSError:
        pass  # Some containers keep /proc read-only.
    os.chdir(job["folder"])
    place(job["descriptors"])
    if job["terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    for number, value in job["limits"]:
        _, hard = resource.getrlimit(number)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))
    find_and_execute(job["command"], job["environment"])


def find_and_execute(command: tuple[str, ...], environment: dict[str, str]) -> NoReturn:
    """`os.execvpe`, which imports modules that may be out of reach by now, and does not say what it found."""
    if "/" in command[0]:
        os.execve(command[0], command, environment)  # noqa: S606
    obstacle: OSError | None = None
    for folder in environment.get("PATH", os.defpath).split(":"):
        try:
            os.execve(f"{folder or '.'}/{command[0]}", command, environment)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            obstacle = obstacle or error
    raise obstacle or FileNotFoundError(command[0])


def place(descriptors: dict[int, int]) -> None:
    """Give each descriptor the number that the program knows it by. All others close at the exec."""
    above = max(descriptors, default=2) + 1
    lifted = {
        number: fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, above)
        for number, ours in descriptors.items()
    }
    for ours in set(descriptors.values()):
        os.set_inheritable(ours, False)
    for number, copy in lifted.items():
        os.dup2(copy, number)


def explain(error: BaseException, job: Job) -> str:
    """Why the program was not executed, for people."""
    command = job["command"][0]
    if isinstance(error, FileNotFoundError) and error.filename != job["folder"]:
        if "/" in command:
            return f"there is no {command}, or what it is to be run by"
        path = job["environment"].get("PATH", os.defpath)
        return f"there is no command {command} on its PATH, {path}"
    return f"{command} cannot be executed: {error}"


# --- attending it ----------------------------------------------------------------------------


def attend(control: int, children: int, pid: int, wall_seconds: float | None) -> tuple[int, str]:
    """Wait until the program ends or is to be ended. Its wait status (-1: still running), and the cause."""
    deadline = None if wall_seconds is None else time.monotonic() + wall_seconds
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(children, select.POLLIN)
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return -1, "time"
        ready = {number for number, _ in poll.poll(left if left is None else left * 1000 + 1)}
        if children in ready:
            os.read(children, 4096)
            for ended, status in reap():
                if ended == pid:
                    return status, "-"
        if control in ready and not obey(control, pid):
            return -1, "-"


def obey(control: int, pid: int) -> bool:
    """Carry out one request of the server. False when the program is to be ended."""
    try:
        request = os.read(control, JOB_BYTES).split()
    except OSError:
        return False
    if not request:
        return False
    try:
        os.killpg(pid, int(request[1]))
    except OSError:
        pass  # It has just ended.
    return True


def reap() -> Iterator[tuple[int, int]]:
    """The children that have ended, and how."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


# --- ending everything -----------------------------------------------------------------------


def end_all(pid: int, status: int, folders: list[str]) -> int:
    """End all descendants and return when none is left. Returns the wait status of `pid`.

    First nothing may fork any more, for otherwise a fork bomb wins the race: its cgroups are shut, and what is
    found by parentage is stopped before it is killed.
    """
    for folder in folders:
        if os.path.exists(f"{folder}/pids.max"):
            write(f"{folder}/pids.max", "0")
    stop_all()
    pause = select.poll()
    while True:
        members = {member for folder in folders for member in numbers(f"{folder}/cgroup.procs")}
        for victim in members | descendants():
            send(victim, _signal.SIGKILL)
        for ended, how in reap():
            if ended == pid:
                status = how
        if not members and not has_children():
            return status
        pause.poll(PAUSE_MILLISECONDS)


def stop_all() -> None:
    """Stop all descendants, until a look finds no new one."""
    known: set[int] = set()
    for _ in range(STOP_PASSES):
        new = descendants() - known
        if not new:
            return
        for pid in new:
            send(pid, _signal.SIGSTOP)
        known |= new


def descendants() -> set[int]:
    """The processes below this one, zombies among them."""
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        new = children_of(waiting.pop()) - found
        found |= new
        waiting += new
    return found


def children_of(pid: int) -> set[int]:
    """The processes whose parent is a thread of `pid`."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return set()
    return {child for thread in threads for child in numbers(f"/proc/{pid}/task/{thread}/children")}


def has_children() -> bool:
    """Is any process, zombies included, a child of this one?"""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may have gone."""
    try:
        os.kill(pid, number)
    except OSError:
        pass


def remove_cgroups(folders: list[str]) -> int:
    """Remove the folders. Returns how many of their processes the kernel had killed for memory."""
    kills = 0
    pause = select.poll()
    for folder in folders:
        for name in ("memory.oom_control", "memory.events"):
            for line in lines(f"{folder}/{name}"):
                key, _, count = line.partition(" ")
                kills += int(count) if key == "oom_kill" else 0
        for _ in range(REMOVE_TRIES):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                break
            except OSError:
                pause.poll(PAUSE_MILLISECONDS)
            else:
                break
    return kills


# --- small files -----------------------------------------------------------------------------


def write(path: str, text: str) -> None:
    """Write a file of the kernel's in one call, as it wants it."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def lines(path: str) -> list[str]:
    """The lines of a small file; none when it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode().splitlines()
    except OSError:
        return []


def numbers(path: str) -> set[int]:
    """The process ids in a small file. 0 stands for one that this process namespace cannot name."""
    return {int(word) for line in lines(path) for word in line.split()} - {0}


def report(control: int, text: str) -> None:
    """Tell the server, if it is still there."""
    try:
        os.write(control, text.encode())
    except OSError:
        pass


def serve(job: Job, control: int, children: int) -> None:
    """Run the job and report, until nothing of it is left."""
    folders = [folder for folder, _ in job["cgroups"]]
    pid = status = -1
    try:
        if job["user"] is not None:
            become(job["user"])
        make_cgroups(job["cgroups"])
        pid = launch(job)
        # Whoever is the same user may not look into this process, nor take the control socket out of it.
        prctl(PR_SET_DUMPABLE, 0)
        for ours in set(job["descriptors"].values()):
            os.close(ours)
        if job["runs_harmlessly"]:
            enlist(folders)
        report(control, f"started {pid}")
        status, cause = attend(control, children, pid, job["wall_seconds"])
        status = end_all(pid, status, folders)
        report(control, f"exit {status} {cause}")
    except (Failure, OSError) as error:
        end_all(pid, status, folders)
        report(control, f"failed {error}")
    report(control, f"gone {remove_cgroups(folders)}")


def main(control: int) -> None:
    """Run the job that comes over `control`, and return when nothing of it is left."""
    os.set_inheritable(control, False)
    children = ignore_signals()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    # Nothing comes when the server went before it had said what to run.
    if message := os.read(control, JOB_BYTES):
        serve(marshal.loads(message), control, children)  # noqa: S302 - the server chose this program too


if __name__ == "__main__":
    main(int(sys.argv[1]))
