import os
from pathlib import Path

import pytest

from engineroom.errors import PageError
from engineroom.pages import Site, folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A site with an index page, beside a secret that is not part of it."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "secret.md").write_text("# Secret")
    site = tmp_path / "site"
    (site / "guide").mkdir(parents=True)
    (site / "index.md").write_text("# Index")
    (site / "guide" / "pump.svg").write_text("<svg/>")
    return site


def page_names(site: Site) -> list[str]:
    return [page.path for page in site.pages]


def test_a_file_beside_a_page_is_found(root: Path) -> None:
    """A regular file below the folder is served from its real path."""
    assert Site.load(root).file("guide/pump.svg") == (root / "guide/pump.svg").resolve()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "gone.svg",
        "guide",
        "guide/",
        "index.md",
        "INDEX.MD",
        "../secret.txt",
        "guide/../../secret.txt",
        "guide/../index.md",
        "./guide/pump.svg",
        "guide//pump.svg",
        "/etc/passwd",
        "guide/pump.svg\0.txt",
        "guide/pump.svg/x",
        "\ud800",
        "a" * 5000,
        "..",
        "guide\\pump.svg",
    ],
)
def test_no_other_name_is_a_file(root: Path, name: str) -> None:
    """No name leads to a folder, to a page's source, out of the site, or to an error."""
    assert Site.load(root).file(name) is None


@pytest.mark.parametrize(
    "name", [".env", ".git/config", "node_modules/a.js", "__pycache__/a.pyc", "guide/.hidden/a"]
)
def test_hidden_files_and_folders_do_not_exist(root: Path, name: str) -> None:
    """Hidden and generated folders are neither served nor made into pages."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("x")
    (root / name).with_name("page.md").write_text("# Hidden")
    site = Site.load(root)
    assert site.file(name) is None
    if name != ".env":
        assert page_names(site) == ["index"]


def test_links_out_of_the_folder_lead_nowhere(root: Path, tmp_path: Path) -> None:
    """A symbolic link to a file or a folder outside is not followed; a page behind one is a problem."""
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "out").symlink_to(tmp_path)
    (root / "out.md").symlink_to(tmp_path / "secret.md")
    (root / "loop.txt").symlink_to(root / "loop.txt")
    site = Site.load(root)
    assert [site.file(name) for name in ("out.txt", "out/secret.txt", "loop.txt")] == [None] * 3
    assert page_names(site) == ["index"]
    assert [problem.path for problem in site.problems] == ["out.md"]


def test_links_to_what_is_hidden_lead_nowhere(root: Path) -> None:
    """A visible name for a hidden file, or for a page's source, uncovers nothing; nor is a hidden name one."""
    (root / ".env").write_text("x")
    (root / "env.txt").symlink_to(root / ".env")
    (root / "index.txt").symlink_to(root / "index.md")
    site = Site.load(root)
    (root / ".pump.svg").symlink_to("guide/pump.svg")
    assert site.file(".pump.svg") is None
    assert site.file("env.txt") is None
    assert site.file("index.txt") is None


def test_links_inside_the_folder_are_followed(root: Path) -> None:
    """A symbolic link to a served file is served as that file."""
    (root / "again.svg").symlink_to("guide/pump.svg")
    assert Site.load(root).file("again.svg") == (root / "guide/pump.svg").resolve()


def test_what_is_no_regular_file_is_not_opened(root: Path) -> None:
    """A pipe is neither served nor read, so that nothing waits for it."""
    os.mkfifo(root / "pipe.txt")
    os.mkfifo(root / "pipe.md")
    site = Site.load(root)
    assert site.file("pipe.txt") is None
    assert page_names(site) == ["index"]


def test_excluded_files_and_folders_do_not_exist(root: Path) -> None:
    """A data folder and a file of settings inside the site are neither served nor read, nor watched."""
    (root / "data").mkdir()
    (root / "data" / "rooms.sqlite").write_text("x")
    (root / "data" / "page.md").write_text("# X")
    (root / "engineroom.toml").write_text("token = 'x'")
    site = Site.load(root, excluded=(root / "data", root / "engineroom.toml"))
    assert site.file("data/rooms.sqlite") is None
    assert site.file("engineroom.toml") is None
    assert page_names(site) == ["index"]
    assert not site.folder.holds(site.folder.root / "data" / "rooms.sqlite-wal")
    assert site.reload().file("data/rooms.sqlite") is None


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9.md", b"a@b.md", b"a\nb.md", b"a\x7f.md", b"-/x.md", b"-.md", b"x" * 200 + b".md"],
)
def test_a_hostile_file_name_is_a_problem(root: Path, name: bytes) -> None:
    """A Markdown file whose name cannot be part of a room's address is left out, and said so."""
    path = os.path.join(os.fsencode(root), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"# X")
    site = Site.load(root)
    assert page_names(site) == ["index"]
    (problem,) = site.problems
    assert problem.reason.startswith("not a page: ")
    problem.path.encode()


def test_names_are_one_in_all_their_writings(root: Path) -> None:
    """A page is found by its composed name, whichever way the file system and the visitor write it."""
    (root / "u\u0308ber.md").write_text("# Über")
    site = Site.load(root)
    page = site.page("über")
    assert page is not None
    assert page is site.page("u\u0308ber")
    (root / "über.md").write_text("# Again")
    assert "already" in Site.load(root).problems[0].reason


def test_a_readme_is_the_index_where_there_is_none(root: Path) -> None:
    """`README.md` is a folder's index page, unless the folder has an index.md."""
    (root / "README.md").write_text("# Readme")
    (root / "guide" / "README.md").write_text("# Guide")
    site = Site.load(root)
    assert sorted(page_names(site)) == ["README", "guide/index", "index"]
    guide = site.page("guide/index")
    assert guide is not None
    assert guide.title == "Guide"


def test_a_missing_folder_is_one_clear_line(tmp_path: Path) -> None:
    """A folder that is not there, or is a file, is a PageError in one line."""
    (tmp_path / "file").write_text("")
    for name, reason in (("gone", "No such file or directory"), ("file", "Not a directory")):
        with pytest.raises(PageError, match=f"{name}: no site here: {reason}"):
            Site.load(tmp_path / name)


def test_a_folder_of_far_too_many_pages_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone who serves a home folder by mistake is told so."""
    monkeypatch.setattr(folder, "MAX_PAGES", 2)
    for number in range(3):
        (root / f"{number}.md").write_text("")
    with pytest.raises(PageError, match="more than 2 Markdown files: is this the right folder"):
        Site.load(root)
