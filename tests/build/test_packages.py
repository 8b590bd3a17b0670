"""What `pip install` gives in an empty virtual environment: a working program, with its bundle.

Everything is built from a copy of the checkout, with the real pip, npm and Vite.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = ("node_modules", "bundle", "__pycache__", ".*cache", "tests", "bench", ".venv", ".git")
BOUND_SECONDS = 240
BUNDLE = "engineroom/server/static/bundle"


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What the command wrote; a failure shows all of it."""
    result = subprocess.run(
        command,
        cwd=cwd,
        env={**clean_environment(), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BOUND_SECONDS,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}"
    return result.stdout


def clean_environment() -> dict[str, str]:
    """Ours, without what would show a new interpreter this checkout."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PIP_BUILD_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PIP_ROOT_USER_ACTION": "ignore",
    }


def path_without_npm(folder: Path) -> str:
    """A PATH with what pip needs, and no npm."""
    folder.mkdir()
    for name in ("sh", "env", "uname", "git"):
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    return str(folder)


def make_environment(folder: Path) -> Path:
    """The `bin` folder of a virtual environment with nothing but pip."""
    venv.create(folder, with_pip=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout, as it is after `git clone`: nothing built, nothing installed."""
    folder = tmp_path_factory.mktemp("checkout") / "engineroom"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return folder


@pytest.fixture(scope="module")
def empty_bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("empty") / "venv")


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, packed by the build backend itself."""
    folder = tmp_path_factory.mktemp("sdist")
    bin_folder = make_environment(folder / "venv")
    run(bin_folder / "pip", "install", "--quiet", "hatchling", cwd=folder)
    run(
        bin_folder / "python", "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=checkout
    )
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, empty_bin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the unpacked sdist on a machine without npm."""
    folder = tmp_path_factory.mktemp("wheel")
    run("tar", "-xzf", sdist, cwd=folder)
    (source,) = folder.iterdir()
    path = path_without_npm(folder / "bin")
    run(empty_bin / "pip", "wheel", "--no-deps", "-w", folder, source, cwd=folder, PATH=path)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed_bin(wheel: Path, empty_bin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of the environment into which the wheel was installed."""
    run(empty_bin / "pip", "install", "--quiet", wheel, cwd=tmp_path_factory.mktemp("elsewhere"))
    return empty_bin


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_carries_the_bundle_and_every_module(wheel: Path) -> None:
    """A wheel built without npm from the sdist holds the bundle and every file of the package."""
    names = names_in(wheel)
    assert {f"{BUNDLE}/engineroom.js", f"{BUNDLE}/engineroom.css"} <= names
    package = ROOT / "src"
    wanted = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and "bundle" not in path.parts
    }
    assert wanted <= names
    assert not [name for name in names if not name.startswith("engineroom")]


def test_the_sdist_leaves_out_what_is_installed_or_built_elsewhere(sdist: Path) -> None:
    """The sdist holds the bundle, its sources and the licence, and no node_modules."""
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    wanted = {"web/package-lock.json", f"src/{BUNDLE}/engineroom.js", "LICENSE", "hatch_build.py"}
    assert wanted <= names
    assert not [name for name in names if "node_modules" in name]


def test_the_installed_program_tells_its_version(installed_bin: Path, tmp_path: Path) -> None:
    """`engineroom --version` works in an environment that holds only the wheel."""
    version = re.search(r'__version__ = "(.+)"', (ROOT / "src/engineroom/__init__.py").read_text())
    assert version is not None
    assert version[1] in run(installed_bin / "engineroom", "--version", cwd=tmp_path)


@contextlib.contextmanager
def serving(program: Path, site: Path, cwd: Path) -> Iterator[str]:
    """The URL of a server of `site`, which must end well when told to."""
    process = subprocess.Popen(
        [program, "serve", site, "--port", "0", "--no-auth", "--data", cwd / "data"],
        cwd=cwd,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        ready = next(
            (found for line in process.stdout if (found := re.search(r"http://[\d.:]+", line))),
            None,
        )
        assert ready is not None, "the server ended before it was ready"
        yield ready[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


def test_the_installed_program_serves_pages_and_the_bundle(
    installed_bin: Path, tmp_path: Path
) -> None:
    """From any folder it serves a page of Markdown, and the bundle that the page asks for."""
    site = tmp_path / "notes"
    site.mkdir()
    (site / "index.md").write_text("# Heat\n\nA page from a *wheel*.\n")
    with serving(installed_bin / "engineroom", site, tmp_path) as url:
        page = fetch(url)
        assert "<em>wheel</em>" in page
        assert "/-/static/engineroom.js" in page
        script = fetch(f"{url}/-/static/engineroom.js")
        chunks = re.findall(r'"\./([\w-]+\.js)"', script)
        assert chunks, script[:200]
        for chunk in chunks:
            assert fetch(f"{url}/-/static/{chunk}")
        assert "{" in fetch(f"{url}/-/static/engineroom.css")


def test_pip_install_from_a_checkout_builds_the_bundle(
    checkout: Path, empty_bin: Path, tmp_path: Path
) -> None:
    """A wheel made straight from a checkout, where an old bundle lies, carries a new one."""
    old = checkout / "src" / BUNDLE / "engineroom.js"
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_text("// old")
    run(empty_bin / "pip", "wheel", "--no-deps", "-w", tmp_path, checkout, cwd=tmp_path)
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        assert archive.read(f"{BUNDLE}/engineroom.js") != b"// old"
        assert sum(one.file_size for one in archive.infolist() if BUNDLE in one.filename) > 100_000


def test_a_checkout_without_npm_says_what_to_install(
    checkout: Path, empty_bin: Path, tmp_path: Path
) -> None:
    """Without npm, pip fails with the command that helps, and makes no wheel without a bundle."""
    path = path_without_npm(tmp_path / "bin")
    result = subprocess.run(
        [empty_bin / "pip", "wheel", "--no-deps", "-w", tmp_path, checkout],
        env={**clean_environment(), "PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
    )
    assert result.returncode != 0
    assert "apt-get install npm" in result.stdout + result.stderr


def test_an_editable_install_works(checkout: Path, tmp_path: Path) -> None:
    """`pip install --editable ./` gives developers the program and the bundle."""
    bin_folder = make_environment(tmp_path / "venv")
    shutil.rmtree(checkout / "src" / BUNDLE, ignore_errors=True)
    run(bin_folder / "pip", "install", "--quiet", "--editable", "./", cwd=checkout)
    assert "engineroom" in run(bin_folder / "engineroom", "--version", cwd=tmp_path).lower()
    where = run(
        bin_folder / "python", "-c", "import engineroom; print(engineroom.__file__)", cwd=tmp_path
    )
    assert Path(where.strip()).is_relative_to(checkout)
    assert (checkout / "src" / BUNDLE / "engineroom.js").is_file()


def test_the_environment_of_the_tests_is_not_used(installed_bin: Path, tmp_path: Path) -> None:
    """The installed package is the wheel's own copy, not this checkout."""
    where = run(
        installed_bin / "python",
        "-c",
        "import engineroom; print(engineroom.__file__)",
        cwd=tmp_path,
    )
    assert not Path(where.strip()).is_relative_to(ROOT)
    assert Path(sys.executable).parent != installed_bin
