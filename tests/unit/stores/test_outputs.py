"""Whole outputs on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engineroom.stores.outputs import OutputFiles

pytestmark = pytest.mark.anyio


async def test_pieces_make_the_whole(tmp_path: Path) -> None:
    """The pieces of an output are found again as one text, in the order in which they were handed over."""
    async with OutputFiles(tmp_path) as outputs:
        for i in range(100):
            outputs.keep("run@a", "e1", 0, f"piece {i} é\n")
        outputs.keep("run@b", "e1", 0, "another room")
    found = outputs.find("run@a", "e1", 0)
    assert found is not None
    assert found.read_text() == "".join(f"piece {i} é\n" for i in range(100))


async def test_an_output_is_bounded(tmp_path: Path) -> None:
    """Past `output_bytes` nothing more is kept, and the file says so."""
    async with OutputFiles(tmp_path, output_bytes=1 << 20) as outputs:
        for _ in range(5):
            outputs.keep("run@a", "e1", 0, "x" * (1 << 19))
    found = outputs.find("run@a", "e1", 0)
    assert found is not None
    assert found.read_text().endswith("[cut: only 1 MiB of an output are kept]\n")
    assert found.stat().st_size < (1 << 20) + 100


async def test_a_room_is_bounded(tmp_path: Path) -> None:
    """A room's oldest outputs go when it has more than `room_bytes`."""
    async with OutputFiles(tmp_path, room_bytes=2_000) as outputs:
        outputs.keep("run@a", "old", 0, "x" * 1_500)
    old = outputs.find("run@a", "old", 0)
    assert old is not None
    os.utime(old, (1, 1))
    async with OutputFiles(tmp_path, room_bytes=2_000) as outputs:
        outputs.keep("run@a", "new", 0, "x" * 1_500)
        outputs.keep("run@a", "newer", 0, "x")
    assert outputs.find("run@a", "old", 0) is None
    assert outputs.find("run@a", "new", 0) is not None


async def test_what_waits_for_the_disk_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the disk does not keep up, text is left out and the log says so; memory does not grow."""
    monkeypatch.setattr("engineroom.stores.outputs.QUEUE_BYTES", 1_000)
    async with OutputFiles(tmp_path) as outputs:
        outputs.keep("run@a", "e1", 0, "x" * 1_001)
        outputs.keep("run@a", "e1", 0, "fits")
    found = outputs.find("run@a", "e1", 0)
    assert found is not None
    assert found.read_text() == "fits"
    assert "does not keep up" in caplog.text


@pytest.mark.parametrize("evaluation", ["../../etc/passwd", "", "a/b", "x" * 65, "."])
async def test_a_visitor_names_no_file(tmp_path: Path, evaluation: str) -> None:
    """An evaluation's name that could be a path is nobody's."""
    async with OutputFiles(tmp_path) as outputs:
        outputs.keep("run@a", evaluation, 0, "text")
        assert outputs.find("run@a", evaluation, 0) is None
    assert os.listdir(tmp_path) == []
