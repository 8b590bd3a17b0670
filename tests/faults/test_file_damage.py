"""What a disk has damaged in the file store's files is found, kept aside and told; nothing else is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engineroom.errors import StoreError
from engineroom.rooms.storage import StoredDocument
from engineroom.stores import FileStore
from engineroom.stores.file_format import HEAD_BYTES, MARK
from engineroom.testing.stores import LINEAGE, append, load, record, records, version

pytestmark = pytest.mark.anyio

WORD = b"a word that stands nowhere else"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "documents"


async def write(folder: Path, last: int = 8) -> Path:
    """A closed store with the document `a`, whose record 5 is `WORD`; its log."""
    async with FileStore(folder) as store:
        new = [*records(1, 4), record(5, WORD), *records(6, last)]
        assert await append(store, "a", new) is None
        assert await append(store, "b", records(1, 3)) is None
    return folder / "a.log"


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def payload(content: bytes) -> int:
    return content.index(WORD) + 3


def head(content: bytes) -> int:
    return content.index(WORD) - 20


@pytest.mark.parametrize("where", [payload, head], ids=["payload", "head"])
async def test_a_damaged_record_is_left_out(folder: Path, where: Callable[[bytes], int]) -> None:
    """Those before and after it come back, the loss is counted, and numbers go on after the last."""
    log = await write(folder)
    flip(log, where(log.read_bytes()))
    async with FileStore(folder) as store:
        document = await load(store, "a")
        assert document.records == (*records(1, 4), *records(6, 8))
        assert (document.last_number, document.damaged) == (8, 1)
        assert await append(store, "a", [record(9)]) is None
        assert (await load(store, "b")).damaged == 0
        assert await store.read_history("a") == [*records(1, 4), *records(6, 9)]


async def test_damage_outlives_compactions(folder: Path) -> None:
    """Compacted over, a damaged record is still counted and its bytes are still in the file."""
    log = await write(folder)
    flip(log, payload(log.read_bytes()))
    damaged = bytearray(WORD)
    damaged[3] ^= 1
    async with FileStore(folder) as store:
        for number in (4, 7, 8):
            await store.compact("a", b"snapshot", number)
            assert (await load(store, "a")).damaged == 1
            assert bytes(damaged) in log.read_bytes()
        stored = StoredDocument(LINEAGE, b"snapshot", 8, (), 8, 1)
        assert await load(store, "a") == stored


async def test_a_damaged_last_record_keeps_its_number(folder: Path) -> None:
    """The number of a lost record is never given again, also after a compaction before it."""
    log = await write(folder, 5)
    flip(log, payload(log.read_bytes()))
    async with FileStore(folder) as store:
        assert (await load(store, "a")).last_number == 5
        await store.compact("a", b"snapshot", 4)
    async with FileStore(folder) as store:
        document = await load(store, "a")
        assert (document.last_number, document.damaged) == (5, 1)
        assert await append(store, "a", [record(5)]) is not None
        assert await append(store, "a", [record(6)]) is None


@pytest.mark.parametrize("left", [1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 5])
async def test_a_torn_end_is_cut_off_and_kept_aside(
    folder: Path, left: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A record of which a part was written is none: what it left is moved aside, and told once."""
    log = await write(folder, 8)
    content = log.read_bytes()
    start = content.rindex(MARK)
    log.write_bytes(content[: start + left])
    async with FileStore(folder) as store:
        for _ in range(2):
            document = await load(store, "a")
            assert (document.last_number, document.damaged) == (7, 0)
        assert await append(store, "a", [record(8)]) is None
        assert (await load(store, "a")).last_number == 8
    assert caplog.text.count(f"the last {left} bytes of its log are no whole record") == 1
    assert (folder / "a.torn").read_bytes() == content[start : start + left]


async def test_an_append_repairs_what_no_load_has_seen(folder: Path) -> None:
    """Appended to without a load, a torn log is repaired first."""
    log = await write(folder, 8)
    log.write_bytes(log.read_bytes()[:-3])
    async with FileStore(folder) as store:
        assert await append(store, "a", [record(8)]) is None
        assert (await load(store, "a")).damaged == 0


async def test_a_client_cannot_write_a_frame(folder: Path) -> None:
    """An update that holds the bytes of a frame is passed over with its damaged record."""
    async with FileStore(folder) as store:
        assert await append(store, "a", records(1, 9)) is None
    content = (folder / "a.log").read_bytes()
    frame = content[content.rindex(MARK) :]
    other = folder / "b.log"
    async with FileStore(folder) as store:
        assert await append(store, "b", [record(1), record(2, frame), record(3)]) is None
    content = other.read_bytes()
    flip(other, content.index(frame) - 10)
    async with FileStore(folder) as store:
        document = await load(store, "b")
        assert (document.records, document.damaged) == ((record(1), record(3)), 1)


@pytest.mark.parametrize("place", [3, 30])
async def test_a_damaged_beginning_is_an_error_that_keeps_everything(
    folder: Path, place: int
) -> None:
    """The document does not open as if it were empty, and is not begun anew over the old one."""
    log = await write(folder)
    flip(log, place)
    before = log.read_bytes()
    async with FileStore(folder) as store:
        with pytest.raises(StoreError, match=r"a\.log.*beginning.*damaged.*restore"):
            await store.load("a")
        assert await append(store, "a", [record(1)], lineage="new") is not None
        assert (await load(store, "b")).last_number == 3
    assert log.read_bytes() == before


async def test_a_damaged_snapshot_is_an_error_that_keeps_everything(folder: Path) -> None:
    """As in the SQLite store: without it nearly nothing of the document would show."""
    log = await write(folder)
    async with FileStore(folder) as store:
        await store.compact("a", WORD, 6)
    flip(log, payload(log.read_bytes()))
    async with FileStore(folder) as store:
        with pytest.raises(StoreError, match=r"snapshot of document 'a' \(up to record 6\)"):
            await store.load("a")
        assert await store.delete("b")


async def test_a_damaged_version_is_an_error(folder: Path) -> None:
    """It is listed still, and its neighbours can be read."""
    await write(folder)
    async with FileStore(folder) as store:
        await store.put_version("a", version("one", encoding=WORD), WORD)
        await store.put_version("a", version("two"), b"encoding")
    file = folder / "a.versions"
    flip(file, payload(file.read_bytes()))
    async with FileStore(folder) as store:
        assert [one.id for one in await store.list_versions("a")] == ["one", "two"]
        with pytest.raises(StoreError, match=r"version 'one' .* is damaged"):
            await store.read_version("a", "one")
        assert await store.read_version("a", "two") == b"encoding"
        assert await store.delete_version("a", "one")


async def test_a_deletion_that_was_cut_off_leaves_nothing_behind(folder: Path) -> None:
    """History and versions of a document whose log is gone are not the next one's, even of the same
    lineage.
    """
    log = await write(folder)
    async with FileStore(folder) as store:
        await store.compact("a", b"snapshot", 8, history_since=0.0)
        await store.put_version("a", version("one"), b"encoding")
    log.unlink()
    async with FileStore(folder) as store:
        assert await append(store, "a", [record(1)]) is None
        assert await store.read_history("a") == [record(1)]
        assert await store.list_versions("a") == []
        await store.put_version("a", version("two"), b"encoding")
        await store.compact("a", b"snapshot", 1, history_since=0.0)
        assert await store.read_history("a") == [record(1)]
        assert [one.id for one in await store.list_versions("a")] == ["two"]
