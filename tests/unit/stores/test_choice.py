"""Which store has which documents."""

from pathlib import Path

import pytest

from engineroom.errors import SettingsError, StoreError
from engineroom.server.settings import Settings, StoreRule
from engineroom.server.stores import choose_store
from engineroom.stores import FileStore, MemoryStore, SQLiteStore
from engineroom.stores.choice import ByPrefix, ChosenStore
from engineroom.testing.stores import STORE_CHECKS, Check, append, load, record

pytestmark = pytest.mark.anyio


def test_the_longest_prefix_counts() -> None:
    """Of all prefixes that a path begins with the longest has it; the empty one has the rest."""
    values = ByPrefix({"": 0, "a": 1, "a/b": 2, "a/b/c": 3})
    paths = ("z", "a", "ab", "a/b", "a/bx", "a/b/c/d")
    assert [values.of(path) for path in paths] == [0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_contract(check: Check, tmp_path: Path) -> None:
    """Stores chosen by prefix keep this promise as one does, where their documents have no order
    among each other.
    """
    if check.__name__ in (
        "reports_keep_the_order_of_appends",
        "a_refused_append_disturbs_no_other",
    ):
        rules: dict[str, SQLiteStore] = {}
    else:
        rules = {"a": SQLiteStore(tmp_path / "a.db"), "notes/": SQLiteStore(tmp_path / "n.db")}
    await check(lambda: ChosenStore({"": SQLiteStore(tmp_path / "rooms.db"), **rules}))


async def test_documents_go_to_their_store(tmp_path: Path) -> None:
    """Each prefix's documents are in its store alone; the list has all, once."""
    files, memory = FileStore(tmp_path / "files"), MemoryStore()
    async with ChosenStore({"": memory, "notes/": files, "notes/x": memory}) as store:
        for path in ("a", "notes/1", "notes/x"):
            assert await append(store, path, [record(1)]) is None
        assert [info.path for info in await store.list_documents()] == ["a", "notes/1", "notes/x"]
        assert [info.path for info in await files.list_documents()] == ["notes/1"]
        assert await store.delete("notes/1")
        assert await files.list_documents() == []
        assert store.statistics().commits == 4


async def test_a_store_that_cannot_be_opened_closes_the_others(tmp_path: Path) -> None:
    """Opening is all or nothing."""
    memory = MemoryStore()
    broken = SQLiteStore(tmp_path / "missing" / "rooms.db")
    with pytest.raises(StoreError, match="missing"):
        await ChosenStore({"": memory, "b": broken}).__aenter__()
    with pytest.raises(StoreError, match="closed"):
        await memory.load("a")


# --- by settings -----------------------------------------------------------------------------


def files_below(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.is_file())


def rule(prefix: str, **stated: str) -> StoreRule:
    return StoreRule(prefix=prefix, **stated)  # type: ignore[arg-type]


async def test_the_settings_choose(tmp_path: Path) -> None:
    """SQLite, files and memory by prefix; what stands in memory is gone with the server."""
    rules = (rule("f/", store="file"), rule("m/", durability="memory"), rule("m/k/", store="file"))
    settings = Settings(stores=rules)
    for _ in range(2):
        async with choose_store(settings, tmp_path) as store:
            assert await store.load("m/1") is None
            assert await append(store, "m/1", [record(1)]) is None
            number = 1 if await store.load("a") is None else 2
            for path in ("a", "f/1", "m/k/1"):
                assert await append(store, path, [record(number)]) is None
    assert files_below(tmp_path) == ["f%2F1.log", "m%2Fk%2F1.log", "rooms.sqlite"]
    async with choose_store(settings, tmp_path, read_only=True) as store:
        assert (await load(store, "f/1")).last_number == 2


async def test_one_file_has_several_durabilities(tmp_path: Path) -> None:
    """A prefix with another durability stays in the same file: changing it moves no document."""
    settings = Settings(durability="os", stores=(rule("d/", durability="disk"),))
    chosen = choose_store(settings, tmp_path)
    (sqlite,) = chosen._stores
    assert isinstance(sqlite, SQLiteStore)
    assert [sqlite._durability_of(path) for path in ("a", "d/1")] == ["os", "disk"]


async def test_memory_for_all(tmp_path: Path) -> None:
    """With `durability = "memory"` nothing is written."""
    async with choose_store(Settings(durability="memory"), tmp_path) as store:
        assert await append(store, "a", [record(1)]) is None
    assert files_below(tmp_path) == []


async def test_an_archive_by_settings(tmp_path: Path) -> None:
    """`archive` puts copies there; memory has none."""
    place = tmp_path / "archive"
    settings = Settings(
        archive=f"file://{place}", archive_sweep_seconds=0.01, stores=(rule("m", store="memory"),)
    )
    async with choose_store(settings, tmp_path) as store:
        assert await append(store, "m", [record(1)]) is None
        assert await append(store, "a", [record(1)]) is None
        await store.compact("a", b"snapshot", 1)
        archived = store._by_prefix.of("a")
        while not archived.archive_statistics().copies:  # type: ignore[attr-defined]
            await store.load("a")
    (copy,) = files_below(place)
    assert copy.endswith("-1.log")


def test_an_archive_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Where the URL names no place, starting fails with it."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"the archive file://.* cannot be used"):
        choose_store(Settings(archive=f"file://{tmp_path}/file/below"), tmp_path)
