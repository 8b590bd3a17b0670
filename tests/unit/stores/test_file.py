"""The file store's own ways; its promises are in the contract suite."""

import asyncio
import os
from pathlib import Path

import pytest

from engineroom.errors import StoreError
from engineroom.stores import FileStore
from engineroom.stores.file_reading import read_versions
from engineroom.testing.stores import append, is_refused, load, record, records, version

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "documents"


def open_files_below(folder: Path) -> int:
    links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
    return sum(link.is_symlink() and str(folder) in os.readlink(link) for link in links)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def modes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in (folder, *folder.iterdir())}


def total(folder: Path, suffix: str) -> int:
    return sum(file.stat().st_size for file in folder.glob(f"*{suffix}"))


async def test_files_are_their_users_alone(folder: Path) -> None:
    """The folder has mode 0700, the files 0600, and nothing is left beside them."""
    async with FileStore(folder) as store:
        assert await append(store, "a/b", records(1, 3)) is None
        await store.compact("a/b", b"snapshot", 2, history_since=0.0)
        await store.put_version("a/b", version("v"), b"encoding")
    assert modes(folder) == {
        "documents": 0o700,
        "a%2Fb.history": 0o600,
        "a%2Fb.log": 0o600,
        "a%2Fb.versions": 0o600,
    }


async def test_only_so_many_files_are_open(folder: Path) -> None:
    """Hundreds of documents in one commit, and no more descriptors than were allowed."""
    async with FileStore(folder, open_files=5) as store:
        for number in (1, 2, 3):
            reports: list[StoreError | None] = []
            for document in range(200):
                store.append(f"{document}", "l", [record(number)], reports.append)
            assert await append(store, "last", [record(number)]) is None
            assert reports == [None] * 200
            assert open_files_below(folder) <= 5
        assert len(await store.list_documents()) == 201
    assert open_files_below(folder) == 0


async def test_deleting_leaves_no_file(folder: Path) -> None:
    """History and versions go with the log."""
    async with FileStore(folder) as store:
        assert await append(store, "a", records(1, 3)) is None
        await store.compact("a", b"snapshot", 2, history_since=0.0)
        await store.put_version("a", version("v"), b"encoding")
        assert await store.delete("a")
        assert names(folder) == []


async def test_history_and_versions_shrink(folder: Path) -> None:
    """What is too old, and what was deleted, leaves the files by and by."""
    async with FileStore(folder, durability="os") as store:
        for number in range(1, 101):
            assert await append(store, "a", [record(number, bytes(1000))]) is None
            since = record(max(1, number - 9)).time
            await store.compact("a", b"snapshot", number, history_since=since)
            await store.put_version("a", version(f"{number}", encoding=bytes(1000)), bytes(1000))
            if number > 10:
                assert await store.delete_version("a", f"{number - 10}")
        assert [one.number for one in await store.read_history("a")] == list(range(91, 101))
        assert len(await store.list_versions("a")) == 10
    assert total(folder, ".history") < 20_000
    assert total(folder, ".versions") < 25_000


async def test_a_renamed_version_keeps_its_name_when_the_file_is_written_anew(folder: Path) -> None:
    """Names, order and encodings outlive it."""
    async with FileStore(folder) as store:
        assert await append(store, "a", [record(1)]) is None
        for name in ("a", "b", "c", "d"):
            await store.put_version("a", version(name, encoding=bytes(500)), bytes(500))
        assert await store.rename_version("a", "d", "Draft")
        for name in ("a", "b"):
            assert await store.delete_version("a", name)
        listed = await store.list_versions("a")
        assert [(one.id, one.name) for one in listed] == [("c", ""), ("d", "Draft")]
        assert await store.read_version("a", "d") == bytes(500)
        log = await asyncio.to_thread(store._reader.document, "a")
        assert log is not None
        assert read_versions(folder / "a.versions", log.identity).dead_bytes < 200


async def test_a_file_of_another_document_is_not_taken_for_it(folder: Path) -> None:
    """A file that was copied under another name is told, not read."""
    async with FileStore(folder) as store:
        assert await append(store, "a", [record(1)]) is None
        (folder / "b.log").write_bytes((folder / "a.log").read_bytes())
        with pytest.raises(StoreError, match=r"b\.log is of document 'a', not of 'b'"):
            await store.load("b")
        assert await append(store, "b", [record(1)]) is not None


@pytest.fixture
def unfinished(folder: Path) -> Path:
    """What a crash left while a document was made."""
    folder.mkdir()
    (folder / "a.log.new").write_bytes(b"EngrLog1")
    return folder


async def test_an_unfinished_file_is_no_document(unfinished: Path) -> None:
    """It counts for nothing."""
    folder = unfinished
    async with FileStore(folder) as store:
        assert await store.load("a") is None
        assert await store.list_documents() == []
        assert await append(store, "a", [record(1)]) is None
    assert names(folder) == ["a.log"]


async def test_a_reader_beside_a_writer(folder: Path) -> None:
    """Opened to read it sees what is reported, repairs nothing, and refuses every change."""
    async with FileStore(folder) as store, FileStore(folder, read_only=True) as reader:
        assert await append(store, "a", [record(1)]) is None
        assert (await load(reader, "a")).last_number == 1
        with (folder / "a.log").open("ab") as log:
            log.write(b"an append under way")
        assert (await load(reader, "a")).last_number == 1
        assert await append(reader, "a", [record(2)]) is not None
        assert await is_refused(reader.delete("a"))
    assert names(folder) == ["a.log"]


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Something else stands in its place."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot open the store .*file/documents"):
        await FileStore(tmp_path / "file" / "documents").__aenter__()


async def test_history_that_was_given_up_does_not_come_back(folder: Path) -> None:
    """Also when a later compaction keeps more than the one before it."""
    async with FileStore(folder) as store:
        assert await append(store, "a", records(1, 20)) is None
        await store.compact("a", b"snapshot", 18, history_since=0.0)
        await store.compact("a", b"snapshot", 19, history_since=record(3).time)
        await store.compact("a", b"snapshot", 20, history_since=0.0)
        assert await store.read_history("a") == records(3, 20)
