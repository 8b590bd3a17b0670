"""Which limits can hold on this machine, and the writing of them into a guardian's job.

Control groups bound a program with all its descendants: version 2 where a part of the tree is ours to divide, version
1 as root. Without them each process has resource limits of its own. Knows the kernel's files; starts nothing.
"""

from __future__ import annotations

import os
import resource
import secrets
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .spec import Limits

Controller = Literal["memory", "pids", "cpu"]
CONTROLLERS: tuple[Controller, ...] = ("memory", "pids", "cpu")
CPU_PERIOD_MICROSECONDS = 100_000
PREFIX = "engineroom-"
STACK_BYTES = (
    8 << 20
)  # the usual; the server itself has a larger one, which programs are not to inherit
# What each controller is called in the start line.
WORDS: Mapping[str, str] = {"memory": "memory", "pids": "processes", "cpu": "CPU"}


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted hierarchy: where it is, which part of it that shows, and its controllers (none named in version 2)."""

    folder: Path
    root: str
    version: Literal[1, 2]
    controllers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Cgroups:
    """Where groups can be made: for each controller that works, a folder and the files that a new group has there."""

    version: Literal[0, 1, 2] = 0
    parents: tuple[tuple[Controller, Path], ...] = ()
    files: frozenset[str] = frozenset()

    def holds(self, controller: Controller) -> bool:
        """Can this be bounded for a program and its descendants together?"""
        return any(name == controller for name, _ in self.parents)

    def group(
        self, limits: Limits, own_processes: int = 0
    ) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
        """The folders to make for one program, and what to write there.

        `own_processes` is how many processes of the runtime's own will be in the group too.
        """
        name = f"{PREFIX}{os.getpid()}-{started_ticks(os.getpid())}-{secrets.token_hex(4)}"
        folders: dict[str, list[tuple[str, str]]] = {}
        for controller, parent in self.parents:
            writes = folders.setdefault(str(parent / name), [])
            writes += [
                (file, text)
                for file, text in self._settings(controller, limits, own_processes)
                if file in self.files
            ]
        return tuple((folder, tuple(writes)) for folder, writes in folders.items())

    def _settings(
        self, controller: Controller, limits: Limits, own_processes: int
    ) -> Iterable[tuple[str, str]]:
        memory, quota = str(limits.memory_bytes), int(limits.cpu * CPU_PERIOD_MICROSECONDS)
        match controller, self.version:
            case "memory", 1:
                # Memory and swap together may not be bounded below memory alone: so in this order.
                yield "memory.limit_in_bytes", memory
                yield "memory.memsw.limit_in_bytes", memory
            case "memory", _:
                yield "memory.max", memory
                yield "memory.swap.max", "0"
            case "cpu", 1:
                yield "cpu.cfs_period_us", str(CPU_PERIOD_MICROSECONDS)
                yield "cpu.cfs_quota_us", str(quota)
            case "cpu", _:
                yield "cpu.max", f"{quota} {CPU_PERIOD_MICROSECONDS}"
            case _:
                yield "pids.max", str(limits.processes + own_processes)


def describe(cgroups: Cgroups, *, counted: bool) -> str:
    """Which limits hold, for people. `counted`: a resource limit on processes binds (see `resource_limits`)."""
    held = [WORDS[name] for name, _ in cgroups.parents]
    parts = [f"{join_words(held)} by cgroup v{cgroups.version}"] if held else []
    singly = [] if cgroups.holds("memory") else ["memory of each process"]
    singly += [] if cgroups.holds("pids") or not counted else ["processes"]
    if singly:
        parts.append(f"{join_words(singly)} by resource limits")
    missing = [] if cgroups.holds("pids") or counted else ["processes"]
    missing += [] if cgroups.holds("cpu") else ["CPU"]
    if missing:
        parts.append(f"none on {join_words(missing)}")
    return "; ".join(parts)


def join_words(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def resource_limits(
    limits: Limits, cgroups: Cgroups, *, others: int | None = 0
) -> tuple[tuple[int, int], ...]:
    """The limits of each process; those on memory and processes where no cgroup holds them.

    The kernel counts a user's processes, not a program's: `others` is how many that user has already. None: the count
    does not bind (root's never does).
    """
    bounds = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_STACK, STACK_BYTES),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
    ]
    if not cgroups.holds("memory"):
        # Not RLIMIT_AS: many programs reserve address space that they never touch.
        bounds.append((resource.RLIMIT_DATA, limits.memory_bytes))
    if not cgroups.holds("pids") and others is not None:
        bounds.append((resource.RLIMIT_NPROC, others + limits.processes))
    return tuple(bounds)


def count_tasks(user: int) -> int:
    """How many tasks (processes and their threads) a user has, as RLIMIT_NPROC counts them."""
    count = 0
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == user:
                count += len(os.listdir(f"/proc/{entry.name}/task"))
        except OSError:
            continue
    return count


# --- finding groups --------------------------------------------------------------------------


def find_cgroups(process: Path = Path("/proc/self")) -> Cgroups:
    """The groups that can be made, tried by making one. Blocks for about a millisecond."""
    try:
        mounts = parse_mounts((process / "mountinfo").read_text())
        own = parse_membership((process / "cgroup").read_text())
    except OSError:
        return Cgroups()
    divided = find_divided(mounts, own)
    return divided if divided.parents else find_separate(mounts, own)


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """The hierarchies in `/proc/self/mountinfo`. Source: proc(5)."""
    mounts = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        root, folder = before.split()[3:5]
        kind, _, options = after.split(maxsplit=2)
        if kind == "cgroup2":
            mounts.append(Mount(Path(folder), root, 2, frozenset()))
        elif kind == "cgroup":
            mounts.append(Mount(Path(folder), root, 1, frozenset(options.split(","))))
    return tuple(mounts)


def parse_membership(text: str) -> dict[str, str]:
    """This process's group by controller, and by "" in version 2, from `/proc/self/cgroup`. Source: cgroups(7)."""
    own: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    return own


def find_separate(mounts: Iterable[Mount], own: Mapping[str, str]) -> Cgroups:
    """Version 1: a group below our own in each controller's hierarchy."""
    parents: list[tuple[Controller, Path]] = []
    files: set[str] = set()
    for controller in CONTROLLERS:
        for mount in mounts:
            if mount.version == 1 and controller in mount.controllers:
                parent = own_folder(mount, own.get(controller, "/"))
                if found := try_group(parent):
                    parents.append((controller, parent))
                    files |= found
                break
    return Cgroups(1, tuple(parents), frozenset(files)) if parents else Cgroups()


def find_divided(mounts: Iterable[Mount], own: Mapping[str, str]) -> Cgroups:
    """Version 2: a group beside our own or, when the tree is delegated to us alone, below it."""
    for mount in mounts:
        if mount.version == 2 and "" in own:
            ours = own_folder(mount, own[""])
            for parent in [ours] if ours == mount.folder else [ours.parent, ours]:
                if hold := divide(parent):
                    files = try_group(parent)
                    parents = tuple((name, parent) for name in hold)
                    return Cgroups(2, parents, files) if files else Cgroups()
    return Cgroups()


def divide(parent: Path) -> tuple[Controller, ...]:
    """Have `parent` pass its controllers on to groups below it. Those that it does, memory and processes at least."""
    try:
        wanted = [name for name in CONTROLLERS if name in words(parent / "cgroup.controllers")]
        if not {"memory", "pids"} <= set(wanted) or not os.access(parent, os.W_OK):
            return ()
        if not set(wanted) <= words(parent / "cgroup.subtree_control"):
            step_aside(parent)
            (parent / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in wanted))
    except OSError:
        return ()
    return tuple(wanted)


def step_aside(parent: Path) -> None:
    """Leave `parent` when this process is alone in it: only a group without processes can be divided."""
    if words(parent / "cgroup.procs") == {str(os.getpid())}:
        leaf = parent / f"{PREFIX}server"
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text("0")


def try_group(parent: Path) -> frozenset[str]:
    """The files that a new group below `parent` has; none when it cannot be made."""
    trial = parent / f"{PREFIX}{os.getpid()}-{started_ticks(os.getpid())}-trial"
    try:
        trial.mkdir()
        try:
            return frozenset(os.listdir(trial))
        finally:
            trial.rmdir()
    except OSError:
        return frozenset()


def own_folder(mount: Mount, path: str) -> Path:
    """Where a group's path is found under a mount, which may show only a part of the hierarchy."""
    relative = os.path.relpath(path, mount.root)
    return mount.folder if relative.startswith("..") else (mount.folder / relative)


def words(file: Path) -> set[str]:
    """The words in a small file."""
    return set(file.read_text().split())


# --- what dead servers left ------------------------------------------------------------------


def remove_stale(cgroups: Cgroups) -> int:
    """Remove groups of servers that are no more, with what runs in them; how many. Guardians do this; they can die."""
    removed = 0
    for parent in {parent for _, parent in cgroups.parents}:
        for folder in parent.glob(f"{PREFIX}*-*-*"):
            pid, ticks = folder.name.removeprefix(PREFIX).split("-")[:2]
            if pid.isdigit() and started_ticks(int(pid)) != ticks:
                removed += remove_group(folder)
    return removed


def remove_group(folder: Path) -> bool:
    """End what runs in a group and remove it. True: it is gone; its last processes may need another try."""
    try:
        for pid in members(folder) - {"0"}:
            os.kill(int(pid), signal.SIGKILL)
        folder.rmdir()
    except OSError:
        return not folder.exists()
    return True


def members(folder: Path) -> set[str]:
    """The processes in a group; none when it has gone."""
    try:
        return words(folder / "cgroup.procs")
    except OSError:
        return set()


def started_ticks(pid: int) -> str:
    """When a process began, in clock ticks since the machine did; "" when there is none. It tells reused ids apart."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
