"""File names for paths."""

from pathlib import Path

import pytest

from engineroom.stores.file_names import LOG, MAX_NAME, file_name, file_of

PATHS = [
    "notes", "Notes", "notes/today", "notes%2Ftoday", ".hidden", "..", "a.b", "~", "%", " ", "\n", "\0",
    "é", "e\u0301", "\U0001f600" * 63, "x" * 255, "x" * 254 + "y", "/" * 255, "a" * 200, "a" * 201,
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_name_is_safe(path: str, tmp_path: Path) -> None:
    """It can be made in any folder, with any suffix, and is neither hidden nor above the folder."""
    name = file_name(path)
    assert len(name) <= MAX_NAME
    assert not name.startswith(".")
    file = file_of(tmp_path, path, LOG + ".new")
    file.touch()
    assert list(tmp_path.iterdir()) == [file]


def test_names_differ() -> None:
    """Two paths never share a name, not even without regard to what stands for what."""
    assert len({file_name(path) for path in PATHS}) == len(PATHS)


def test_short_names_can_be_read() -> None:
    """Letters, digits, dots, dashes and underscores stand for themselves."""
    assert file_name("Notes_1-2.md") == "Notes_1-2.md"
    assert file_name("notes/today") == "notes%2Ftoday"
