"""What was taken back, and that it stays so."""

import json
import stat
from pathlib import Path

import pytest

from engineroom.errors import DataFolderError, LimitExceeded, StoreError
from engineroom.server import revocations
from engineroom.server.revocations import Revocations
from engineroom.server.visitors import Pass

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def made(issued: float, *ids: str) -> Pass:
    return Pass({}, None, issued, ids)


async def test_what_was_issued_until_then(tmp_path: Path) -> None:
    """A revocation stands against what was issued until then, and not against what is issued later."""
    revoked = Revocations.load(tmp_path / "r", clock=Clock(100))
    await revoked.add("user:ada")
    assert revoked.covers(made(100, "link:x", "user:ada"))
    assert revoked.covers(made(0, "user:ada"))
    assert not revoked.covers(made(101, "user:ada"))
    assert not revoked.covers(made(5, "user:bob"))
    assert not revoked.covers(made(5))


async def test_for_good(tmp_path: Path) -> None:
    """An id that is given once is void for good, also when the clock was set back meanwhile."""
    revoked = Revocations.load(tmp_path / "r", clock=Clock(100))
    await revoked.add("link:x", for_good=True)
    assert revoked.covers(made(5000, "link:x"))


async def test_kept(tmp_path: Path) -> None:
    """Another server finds what was taken back, in a file for its owner alone."""
    path = tmp_path / "r"
    await Revocations.load(path, clock=Clock(100)).add("link:x", for_good=True)
    await Revocations.load(path, clock=Clock(100)).add("user:ada")
    again = Revocations.load(path)
    assert again.covers(made(500, "link:x"))
    assert again.covers(made(100, "user:ada"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_forgotten_when_it_has_ended(tmp_path: Path) -> None:
    """An entry goes when all that it stands against has ended by itself."""
    path, clock = tmp_path / "r", Clock(100)
    revoked = Revocations.load(path, clock=clock)
    await revoked.add("link:x", until=200, for_good=True)
    clock.now = 201
    await revoked.add("link:y", for_good=True)
    assert json.loads(path.read_text()).keys() == {"link:y"}


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}'])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    """A damaged file is an error: nothing is let in on a guess."""
    (tmp_path / "r").write_text(content)
    with pytest.raises(DataFolderError, match="cannot read what was revoked"):
        Revocations.load(tmp_path / "r")


async def test_a_disk_that_fails(tmp_path: Path) -> None:
    """What cannot be written is in force nevertheless, and said to be so until the server ends."""
    revoked = Revocations.load(tmp_path / "missing" / "r")
    with pytest.raises(StoreError, match="until the server ends"):
        await revoked.add("link:x", for_good=True)
    assert revoked.covers(made(1, "link:x"))


async def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are only so many; one that is there may be made again."""
    monkeypatch.setattr(revocations, "MAX_REVOCATIONS", 2)
    revoked = Revocations(None)
    await revoked.add("a")
    await revoked.add("b")
    await revoked.add("a")
    with pytest.raises(LimitExceeded):
        await revoked.add("c")


async def test_visitors_do_not_use_up_the_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visitors who take back their own links leave room for those who look after the rooms."""
    monkeypatch.setattr(revocations, "MAX_REVOCATIONS", 4)
    monkeypatch.setattr(revocations, "MAX_OF_VISITORS", 2)
    revoked = Revocations.load(tmp_path / "r")
    for number in range(2):
        await revoked.add(f"link:{number}", for_good=True, of_visitor=True)
    with pytest.raises(LimitExceeded):
        await revoked.add("link:2", for_good=True, of_visitor=True)
    await revoked.add("user:ada")
    assert revoked.holds("user:ada", 0)
    assert not revoked.holds("link:2", 0)
