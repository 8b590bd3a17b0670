"""Where limits can be set on a machine, read from its files; and what is said and written of them."""

import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from engineroom.programs.runtimes import Limits
from engineroom.programs.runtimes.limits import (
    Cgroups,
    describe,
    find_cgroups,
    find_divided,
    own_folder,
    parse_membership,
    parse_mounts,
    remove_stale,
    resource_limits,
    started_ticks,
)

MIB = 1 << 20

MOUNTS_1 = """\
20 1 254:0 / / rw - ext4 /dev/vda rw
30 20 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 20 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 20 0:28 /docker/abc /sys/fs/cgroup/pids ro,relatime - cgroup cgroup rw,pids
"""
MOUNTS_2 = "30 20 0:26 / {folder} rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_mounts_are_read() -> None:
    """Hierarchies are told from other mounts, with their controllers and the part that they show."""
    memory, cpu, pids = parse_mounts(MOUNTS_1)
    assert memory.folder == Path("/sys/fs/cgroup/memory")
    assert {"cpu", "cpuacct"} <= cpu.controllers
    assert (pids.root, pids.version) == ("/docker/abc", 1)


def test_memberships_are_read() -> None:
    """Each controller's group is known by its name, and version 2's by the empty one."""
    text = "4:memory:/a\n3:cpu,cpuacct:/b:c\n0::/user.slice/x\n"
    assert parse_membership(text) == {
        "memory": "/a",
        "cpu": "/b:c",
        "cpuacct": "/b:c",
        "": "/user.slice/x",
    }


def test_a_group_is_found_under_a_partial_mount() -> None:
    """Where a container's mount shows only its own part, its group is the mount's top."""
    _, cpu, pids = parse_mounts(MOUNTS_1)
    assert own_folder(pids, "/docker/abc") == Path("/sys/fs/cgroup/pids")
    assert own_folder(pids, "/docker/abc/d") == Path("/sys/fs/cgroup/pids/d")
    assert own_folder(pids, "/") == Path("/sys/fs/cgroup/pids")
    assert own_folder(cpu, "/a/b") == Path("/sys/fs/cgroup/cpu,cpuacct/a/b")


def delegated(folder: Path, *, passed_on: str) -> Path:
    """A tree of version 2 in which `user` may be divided and holds our own group, `user/session`."""
    session = folder / "user" / "session"
    session.mkdir(parents=True)
    for group in (folder / "user", session):
        (group / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
        (group / "cgroup.subtree_control").write_text(passed_on)
        (group / "cgroup.procs").write_text("")
    return session


def test_a_delegated_tree_is_divided(tmp_path: Path) -> None:
    """In version 2, a group is made beside our own where the parent's controllers can be passed on."""
    delegated(tmp_path, passed_on="")
    mounts = parse_mounts(MOUNTS_2.format(folder=tmp_path))
    find_divided(mounts, {"": "/user/session"})
    assert (tmp_path / "user" / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_a_tree_without_the_controllers_is_not_used(tmp_path: Path) -> None:
    """In version 2, a tree that has no controllers (version 1 has them) gives no limits."""
    (tmp_path / "cgroup.controllers").write_text("hugetlb\n")
    mounts = parse_mounts(MOUNTS_2.format(folder=tmp_path))
    assert find_divided(mounts, {"": "/"}) == Cgroups()


def test_a_machine_without_groups_has_none(tmp_path: Path) -> None:
    """Where the kernel's files cannot be read, there are no groups."""
    assert find_cgroups(tmp_path) == Cgroups()


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (
            1,
            {"memory.limit_in_bytes": str(64 * MIB), "pids.max": "12", "cpu.cfs_quota_us": "50000"},
        ),
        (
            2,
            {
                "memory.max": str(64 * MIB),
                "memory.swap.max": "0",
                "pids.max": "12",
                "cpu.max": "50000 100000",
            },
        ),
    ],
)
def test_limits_are_written_for_each_version(version: int, expected: dict[str, str]) -> None:
    """The files of a program's groups get its limits, the runtime's own processes added, where the files exist."""
    parent = Path("/sys/fs/cgroup")
    cgroups = Cgroups(
        2 if version == 2 else 1,
        (("memory", parent), ("pids", parent), ("cpu", parent)),
        frozenset(expected),
    )
    ((folder, writes),) = cgroups.group(Limits(memory_bytes=64 * MIB, processes=10, cpu=0.5), 2)
    assert folder.startswith(f"{parent}/engineroom-{os.getpid()}-{started_ticks(os.getpid())}-")
    assert dict(writes) == expected


def test_separate_hierarchies_are_separate_folders() -> None:
    """In version 1 each controller's hierarchy has a folder of the same name."""
    cgroups = Cgroups(1, (("memory", Path("/m")), ("pids", Path("/p"))), frozenset({"pids.max"}))
    (memory, _), (pids, writes) = cgroups.group(Limits(processes=10))
    assert memory.removeprefix("/m/") == pids.removeprefix("/p/")
    assert writes == (("pids.max", "10"),)


def test_resource_limits_stand_in_for_groups() -> None:
    """Memory and processes have resource limits only where no group holds them, and only where they bind."""
    held = Cgroups(1, (("memory", Path("/m")), ("pids", Path("/p"))))
    assert {resource.RLIMIT_DATA, resource.RLIMIT_NPROC}.isdisjoint(
        dict(resource_limits(Limits(), held))
    )
    alone = dict(resource_limits(Limits(processes=10), Cgroups(), others=3))
    assert alone[resource.RLIMIT_NPROC] == 13
    assert alone[resource.RLIMIT_DATA] == Limits().memory_bytes
    assert resource.RLIMIT_NPROC not in dict(resource_limits(Limits(), Cgroups(), others=None))


def test_the_start_line_says_what_holds() -> None:
    """The description names the limits that hold, by what, and those that do not."""
    every = tuple((name, Path("/")) for name in ("memory", "pids", "cpu"))
    assert describe(Cgroups(1, every), counted=True) == "memory, processes and CPU by cgroup v1"
    assert (
        describe(Cgroups(2, every[:2]), counted=True)
        == "memory and processes by cgroup v2; none on CPU"
    )
    assert (
        describe(Cgroups(), counted=True)
        == "memory of each process and processes by resource limits; none on CPU"
    )
    assert describe(Cgroups(), counted=False) == (
        "memory of each process by resource limits; none on processes and CPU"
    )


def test_groups_of_dead_servers_are_removed(tmp_path: Path) -> None:
    """A group is stale when no process has its server's id and birth; others, and strangers, stay."""
    ticks = started_ticks(os.getpid())
    alive = tmp_path / f"engineroom-{os.getpid()}-{ticks}-aa"
    reborn = tmp_path / f"engineroom-{os.getpid()}-1{ticks}-bb"
    stranger = tmp_path / "engineroom-server"
    for folder in (alive, reborn, stranger):
        folder.mkdir()
    assert remove_stale(Cgroups(2, (("pids", tmp_path),))) == 1
    assert sorted(tmp_path.iterdir()) == sorted([alive, stranger])


@pytest.mark.skipif(not find_cgroups().parents, reason="this user can make no control groups here")
def test_what_runs_in_a_stale_group_ends() -> None:
    """A group of a dead server's is removed with the process in it, at the latest by trying again."""
    cgroups = find_cgroups()
    folder = cgroups.parents[0][1] / f"engineroom-{os.getpid()}-1-dead"
    folder.mkdir()
    with subprocess.Popen(["sleep", "1000"]) as left:
        (folder / "cgroup.procs").write_text(str(left.pid))
        remove_stale(cgroups)
        assert left.wait() == -signal.SIGKILL
    while folder.exists():
        remove_stale(cgroups)
