"""Programs in a sandbox of bubblewrap's: namespaces of their own, a read-only system, the workspace at `/data`.

    guardian (limits) ──> bwrap (namespaces, mounts) ──> guardian, process 1 inside ──> the program

A server that is root gives up root inside: bubblewrap mounts as root, and process 1 becomes an unprivileged user of
this machine before it starts the program. Mapping root into a user namespace would not do: outside it, and so for
files and for limits on processes, that user is root still. Any other server uses a user namespace.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from engineroom import errors

from . import limits
from .guarded import GUARDIAN, Conversation, Job, guardian_command
from .limits import Cgroups
from .process import Process, start
from .spec import Spec
from .streams import Streams
from .surroundings import GUEST, environment

WORKSPACE = "/data"
OURS = "/run/engineroom"
# Between the ranges that Debian and systemd give to people, services and containers.
USER = 60600
# Bubblewrap, and the guardian inside.
OWN_PROCESSES = 2
SHARED_MEMORY_BYTES = 64 * 1024 * 1024
COMPLAINT_BYTES = 4000
PROBE_SECONDS = 10
# What programs read of /etc, and holds no secret; absent ones are left out. Each mount costs half a millisecond.
SETTINGS = ("alternatives", "fonts", "inputrc", "ld.so.cache", "localtime")
NETWORK_SETTINGS = (
    "hosts",
    "pki/ca-trust",
    "pki/tls/certs",
    "protocols",
    "resolv.conf",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
)


class SandboxRuntime:
    """Runs programs in sandboxes of bubblewrap's, which `probe` has found to work."""

    name = "sandbox"

    def __init__(self, cgroups: Cgroups | None = None, *, user: int = USER) -> None:
        self._cgroups = cgroups or Cgroups()
        self._user = user
        # The user of this machine that programs are: one of their own, when the server may choose.
        self._owner = user if os.geteuid() == 0 else None

    @property
    def contained(self) -> bool:
        """Are programs kept from the rest of the machine?"""
        return True

    def describe_limits(self) -> str:
        """Which limits hold, for people."""
        return limits.describe(self._cgroups, counted=True)

    def workspace_inside(self, workspace: Path) -> str:
        """The workspace's path as programs see it."""
        return WORKSPACE

    async def run(self, spec: Spec) -> Process:
        """The program, started. Cancelled, it leaves nothing behind.

        Raises:
            ProgramError: it cannot be started; the message names the command, or has bubblewrap's complaint.
        """
        await asyncio.to_thread(check_workspace, spec.workspace, self._owner)
        streams = Streams.open(spec.terminal, owner=self._owner)
        with ExitStack() as files:
            complaints = memory_file(files)
            try:
                return await self._start(spec, streams, complaints, files)
            except errors.ProgramError as error:
                said = os.pread(complaints, COMPLAINT_BYTES, 0).decode(errors="replace").strip()
                raise errors.ProgramError(str(error) or said or "the sandbox ended") from None

    async def _start(
        self, spec: Spec, streams: Streams, complaints: int, files: ExitStack
    ) -> Process:
        outer, inner = Conversation.open(), Conversation.open()
        arguments, shared = self._arguments(spec, streams, files)
        inside = {**streams.inside, **spec.descriptors}
        shared |= {inner.theirs.fileno(), *inside.values()}
        guardian = guardian_command(f"{OURS}/guardian.py", inner.theirs.fileno())
        job = Job(
            command=("bwrap", *arguments, "--", *guardian),
            environment={"PATH": os.defpath},
            folder="/",
            descriptors={2: complaints, **{number: number for number in shared}},
            cgroups=self._cgroups.group(spec.limits, OWN_PROCESSES),
            runs_harmlessly=True,
        )
        return await start(
            job,
            streams,
            outer=outer,
            inner=inner,
            inner_job=self._inner_job(spec, inside),
            inherited={complaints, *shared},
        )

    def _arguments(
        self, spec: Spec, streams: Streams, files: ExitStack
    ) -> tuple[list[str], set[int]]:
        """Bubblewrap's arguments, and the descriptors that they name."""
        arguments = [*namespaces(self._owner, network=spec.network), *system(spec)]
        shared = set()
        for path, text in written_files(network=spec.network, user=self._user).items():
            number = memory_file(files, text)
            shared.add(number)
            arguments += ["--perms", "0644", "--file", str(number), path]
        if streams.terminal:
            # By its own name the terminal is not to be seen: /dev/pts inside is another one.
            arguments += ["--dev-bind", os.ttyname(streams.inside[0]), "/dev/console"]
        # Else a program could fill the memory that these are made of.
        arguments += ["--remount-ro", "/dev", "--remount-ro", "/"]
        if self._owner is None:
            arguments += ["--uid", str(self._user), "--gid", str(self._user)]
        return [*arguments, "--chdir", "/", "--as-pid-1"], shared

    def _inner_job(self, spec: Spec, descriptors: dict[int, int]) -> Job:
        return Job(
            command=spec.command,
            environment=environment(spec, home=WORKSPACE, guest=f"{OURS}/guest"),
            folder=WORKSPACE,
            descriptors=descriptors,
            terminal=spec.terminal is not None,
            user=self._owner,
            limits=limits.resource_limits(spec.limits, self._cgroups, others=self._others()),
            wall_seconds=spec.limits.wall_seconds,
        )

    def _others(self) -> int:
        """How many processes count against a program's that are not its own."""
        # A user namespace counts its own; without one, all sandboxes of this machine are one user.
        shared = self._owner is not None and not self._cgroups.holds("pids")
        return OWN_PROCESSES + (limits.count_tasks(self._user) if shared else 0)


def namespaces(owner: int | None, *, network: bool) -> Iterator[str]:
    """What is the program's own, and which rights process 1 begins with: those to become `owner`, or none."""
    yield from ("--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts")
    yield from ("--unshare-cgroup-try", "--hostname", "room")
    if not network:
        yield "--unshare-net"
    yield from ("--cap-drop", "ALL")
    if owner is None:
        yield from ("--unshare-user", "--disable-userns")
    else:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            yield from ("--cap-add", capability)


def system(spec: Spec) -> Iterator[str]:
    """What the program sees: arguments for bubblewrap, in the order of mounting."""
    for folder in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(folder):
            yield from ("--symlink", os.readlink(folder), folder)
        elif os.path.isdir(folder):
            yield from ("--ro-bind", folder, folder)
    yield from ("--proc", "/proc", "--dev", "/dev")
    for folder, size in (("/dev/shm", SHARED_MEMORY_BYTES), ("/tmp", spec.limits.temporary_bytes)):  # noqa: S108
        yield from ("--size", str(size), "--perms", "1777", "--tmpfs", folder)
    shown = dict(seen(spec))
    # Bubblewrap would make them for its own eyes only.
    for parent in sorted({parent for inside in shown for parent in Path(inside).parents[:-1]}):
        yield from ("--perms", "0755", "--dir", str(parent))
    for inside, outside in shown.items():
        yield from ("--ro-bind", outside, inside)
    yield from ("--bind", str(spec.workspace), WORKSPACE)


def seen(spec: Spec) -> Iterator[tuple[str, str]]:
    """What of this machine is to be read inside, each with its path here; beside the system's own folders."""
    for name in (*SETTINGS, *(NETWORK_SETTINGS if spec.network else ())):
        if os.path.exists(f"/etc/{name}"):
            yield f"/etc/{name}", os.path.realpath(f"/etc/{name}")
    for path in (*python_folders(), *map(str, spec.read_only_paths)):
        yield path, path
    yield f"{OURS}/guardian.py", str(GUARDIAN)
    yield f"{OURS}/guest", str(GUEST)


def python_folders() -> list[str]:
    """The folders of this interpreter, its environment's first: so that programs have what the server has."""
    folders = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    folders.add(str(Path(sys.executable).resolve().parent.parent))
    return sorted(folder for folder in folders if not Path(folder).is_relative_to("/usr"))


def written_files(*, network: bool, user: int) -> dict[str, str]:
    """Files in place of the machine's: who the program is, how names are found, and a prompt that keeps PATH."""
    files = {
        "/etc/passwd": f"room:x:{user}:{user}:room:{WORKSPACE}:/bin/bash\n",
        "/etc/group": f"room:x:{user}:\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "/etc/profile": 'if [ -n "$BASH" ]; then . /etc/bash.bashrc; fi\n',
        "/etc/bash.bashrc": "PS1='\\w \\$ '\n",
    }
    if not network:
        files["/etc/hosts"] = "127.0.0.1 localhost room\n::1 localhost\n"
    return files


def memory_file(files: ExitStack, text: str = "") -> int:
    """A descriptor of a nameless file with this text, to be read from its beginning; `files` closes it."""
    number = os.memfd_create("engineroom")
    files.callback(os.close, number)
    os.pwrite(number, text.encode(), 0)
    return number


def check_workspace(workspace: Path, owner: int | None) -> None:
    """See that the workspace is there, and is its user's when the program is one of its own.

    Raises:
        ProgramError: it is no folder.
    """
    if not os.path.isdir(workspace):
        raise errors.ProgramError(f"the workspace is no folder: {workspace}")
    if owner is not None:
        hand_over(workspace, owner)


def hand_over(workspace: Path, user: int) -> None:
    """Make the workspace, with all that is in it, the user's. Only its own owner is looked at to see if it is."""
    if workspace.stat().st_uid == user:
        return
    for _, folders, names, folder in os.fwalk(workspace, topdown=False):
        for name in (*folders, *names):
            os.chown(name, user, user, dir_fd=folder, follow_symlinks=False)
    os.chown(workspace, user, user)


async def probe() -> str | None:
    """Run a sandbox once. None: it works; else why it does not."""
    if shutil.which("bwrap", path=os.defpath) is None:
        return "bubblewrap is not installed (Debian and Ubuntu: apt install bubblewrap)"
    with TemporaryDirectory(prefix="engineroom-probe-") as folder:
        spec = Spec(command=("true",), workspace=Path(folder))
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                async with await SandboxRuntime().run(spec) as process:
                    ended = await process.wait()
        except errors.ProgramError as error:
            return str(error)
        except TimeoutError:
            return f"a trial run had not ended after {PROBE_SECONDS} s"
    return None if ended.code == 0 else f"a trial run ended with {ended.reason}"
