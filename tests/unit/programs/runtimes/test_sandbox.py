"""What a sandboxed program can and cannot reach."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engineroom.errors import ProgramError
from engineroom.programs.runtimes import SandboxRuntime, Spec, TerminalSize
from engineroom.programs.runtimes.sandbox import hand_over, probe
from engineroom.testing.runtimes import PATIENCE_SECONDS, python, read_all, shell

pytestmark = pytest.mark.anyio


async def output_of(spec: Spec) -> str:
    """All that a sandboxed program writes."""
    async with asyncio.timeout(PATIENCE_SECONDS), await SandboxRuntime().run(spec) as process:
        return (await read_all(process)).decode()


async def test_the_probe_finds_no_trouble() -> None:
    """Where bubblewrap works, a trial run says nothing."""
    assert await probe() is None


async def test_the_probe_names_a_missing_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no bubblewrap, the probe says how to get it."""
    monkeypatch.setattr(os, "defpath", "/nowhere")
    assert "apt install bubblewrap" in str(await probe())


async def test_bubblewraps_complaint_is_passed_on(tmp_path: Path) -> None:
    """A sandbox that cannot be made fails with bubblewrap's own words."""
    spec = shell("true", tmp_path, read_only_paths=(tmp_path / "missing",))
    with pytest.raises(ProgramError, match=r"bwrap: .*missing"):
        await SandboxRuntime().run(spec)


async def test_a_missing_workspace_is_named(tmp_path: Path) -> None:
    """A workspace that is no folder is named."""
    with pytest.raises(ProgramError, match="the workspace is no folder"):
        await SandboxRuntime().run(shell("true", tmp_path / "absent"))


async def test_a_program_is_nobody_special(tmp_path: Path) -> None:
    """A sandboxed program is not root here, whoever the server is, has no capabilities, and cannot get them."""
    text = await output_of(
        shell("id -un; id -u; grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/self/status", tmp_path)
    )
    name, number, *capabilities = text.splitlines()
    assert (name, number) == ("room", "60600")
    assert {int(line.split()[1], 16) for line in capabilities} == {0}
    (tmp_path / "made").touch()
    await output_of(shell("touch by_program", tmp_path))
    owner = (tmp_path / "by_program").stat().st_uid
    assert owner == (60600 if os.geteuid() == 0 else os.geteuid())


async def test_the_machines_secrets_are_absent(tmp_path: Path) -> None:
    """A program sees a read-only system, its workspace, and nothing of users, services or their secrets."""
    script = "cat /etc/shadow; ls -A /home /var /srv /boot /mnt /opt /sys; ls -A /root; ls -A $OUTSIDE; true"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    text = await output_of(shell(script, workspace, environment={"OUTSIDE": str(outside)}))
    seen = {line for line in text.splitlines() if not line.endswith(":")}
    # The way to this interpreter may lead through a home folder, of which nothing else is seen.
    assert seen <= {".pyenv", ".local", Path(sys.prefix).name}


async def test_only_the_workspace_can_be_written(tmp_path: Path) -> None:
    """The system, this interpreter and read-only paths cannot be written; the workspace and /tmp can."""
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "file").write_text("shown")
    shown.chmod(0o777)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    script = f"""
        cat {shown}/file; echo
        for folder in /usr /etc {shown} {sys.prefix} /run/engineroom /data /tmp; do
            (: > $folder/new) 2>/dev/null && echo $folder
        done; true
    """
    text = await output_of(shell(script, workspace, read_only_paths=(shown,)))
    assert text.split() == ["shown", "/data", "/tmp"]


async def test_other_processes_are_unseen(tmp_path: Path) -> None:
    """A program sees its own processes alone, and its guardian as process 1, into which it cannot look."""
    text = await output_of(
        shell("echo /proc/[0-9]*; ls /proc/1/fd && echo open; hostname", tmp_path)
    )
    processes, host = text.splitlines()
    assert set(processes.split()) <= {"/proc/1", "/proc/2", "/proc/3"}
    assert host == "room"


async def test_the_network_is_there_only_when_asked(tmp_path: Path) -> None:
    """A program reaches a server of this machine only when its specification lets it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = (
            f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))"
        )
        for network in (False, True):
            spec = python(program, tmp_path, network=network)
            async with (
                asyncio.timeout(PATIENCE_SECONDS),
                await SandboxRuntime().run(spec) as process,
            ):
                assert ((await process.wait()).code == 0) is network


async def test_loopback_works_without_a_network(tmp_path: Path) -> None:
    """Processes of one program can speak over its own loopback, by name."""
    program = """if True:
        import socket
        server = socket.create_server(("127.0.0.1", 0))
        socket.create_connection(("localhost", server.getsockname()[1]))
        print("connected")
    """
    assert await output_of(python(program, tmp_path)) == "connected\n"


async def test_job_control_works_in_a_terminal(tmp_path: Path) -> None:
    """An interactive shell in a sandboxed terminal has job control and our prompt, and keeps PATH."""
    spec = Spec(("bash", "-l"), tmp_path, terminal=TerminalSize())
    async with asyncio.timeout(PATIENCE_SECONDS), await SandboxRuntime().run(spec) as process:
        await process.write(b"sleep 1000 & jobs; python -c 'import sys; print(sys.prefix)'; exit\n")
        text = (await read_all(process)).decode()
        assert "no job control" not in text
        assert "Running" in text
        assert sys.prefix in text


async def test_a_workspace_is_handed_over(tmp_path: Path) -> None:
    """A workspace with files of another user's becomes the program's, links themselves and not what they point to."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    outside = tmp_path / "outside"
    outside.touch()
    workspace = tmp_path / "workspace"
    (workspace / "folder").mkdir(parents=True)
    (workspace / "folder" / "file").touch()
    (workspace / "link").symlink_to(outside)
    hand_over(workspace, 60600)
    assert (workspace / "folder" / "file").stat().st_uid == 60600
    assert (workspace / "link").lstat().st_uid == 60600
    assert outside.stat().st_uid == 0


ORDINARY = """
import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from engineroom.programs.runtimes import Limits, SandboxRuntime, Spec
from engineroom.programs.runtimes.sandbox import probe

async def main():
    assert await probe() is None, await probe()
    script = "id -u; touch x; for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; echo over"
    with TemporaryDirectory() as folder:
        spec = Spec(("sh", "-c", script), Path(folder), limits=Limits(processes=5))
        async with await SandboxRuntime().run(spec) as process:
            ended = await process.wait()
            print((await process.read()).decode().split(), (await process.read_errors()).decode())
        assert (Path(folder) / "x").exists()

asyncio.run(main())
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/usr/bin/python3") or not shutil.which("setpriv"),
    reason="only root can become another user here; and as that user all other tests are this one",
)
def test_the_sandbox_works_for_an_ordinary_user() -> None:
    """A server that is not root has a sandbox too, by a user namespace, in which a limit on processes binds."""
    # Root's own interpreter may be where nobody else can read it: the system's runs this.
    user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    done = subprocess.run(
        [*user, "/usr/bin/python3", "-c", ORDINARY],
        env={"PYTHONPATH": str(Path(__file__).parents[4] / "src"), "PATH": os.defpath},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.stdout.startswith("['60600']"), (done.stdout, done.stderr)
    assert "fork" in done.stdout
