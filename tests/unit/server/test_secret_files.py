"""The files that make visitors known."""

import stat
from pathlib import Path

import pytest

from engineroom.errors import DataFolderError
from engineroom.server.secret_files import load_secrets, write_private


def test_secrets_are_kept(tmp_path: Path) -> None:
    """The token and the key are made once, readable by their owner alone, and found again."""
    secrets = load_secrets(tmp_path, None)
    assert load_secrets(tmp_path, None) == secrets
    assert len(secrets.token) >= 32
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["cookie-key", "token"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_stated_token_is_not_kept(tmp_path: Path) -> None:
    """A token from the settings is used, and not written down."""
    assert load_secrets(tmp_path, "mine").token == "mine"
    assert not (tmp_path / "token").exists()


def test_unfinished_and_open_files(tmp_path: Path) -> None:
    """What a crash left half-made is made anew; a file that others can read is closed to them."""
    (tmp_path / "token").touch(mode=0o644)
    (tmp_path / "token.new").write_text("half")
    (tmp_path / "cookie-key").write_text("k" * 43)
    (tmp_path / "cookie-key").chmod(0o644)
    secrets = load_secrets(tmp_path, None)
    assert secrets.key == b"k" * 43
    assert (tmp_path / "token").read_text().strip() == secrets.token
    assert stat.S_IMODE((tmp_path / "cookie-key").stat().st_mode) == 0o600


def test_unusable_folder(tmp_path: Path) -> None:
    """Secrets that cannot be kept are an error that names the folder."""
    (tmp_path / "token").mkdir()
    with pytest.raises(DataFolderError, match=str(tmp_path)):
        load_secrets(tmp_path, None)


def test_written_whole(tmp_path: Path) -> None:
    """A file is replaced as a whole, and is its owner's alone."""
    path = tmp_path / "a"
    path.write_text("old")
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
