"""Any sequence of calls leaves a store with what a model of it holds."""

import asyncio
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engineroom.errors import StoreError
from engineroom.rooms.storage import Record, StoredDocument
from engineroom.stores import FileStore, MemoryStore, SQLiteStore

Result = TypeVar("Result")

PATHS = st.sampled_from(["a", "b", "a@1"])
LINEAGES = st.sampled_from(["one", "two"])
UPDATES = st.binary(max_size=40)
USERS = st.text(max_size=5)
TIMES = st.floats(allow_nan=False, allow_infinity=False)
BODIES = st.lists(st.tuples(TIMES, USERS, UPDATES), max_size=4)


@dataclass
class Model:
    """A document as it should be."""

    lineage: str
    records: list[Record] = field(default_factory=list)
    history: set[int] = field(default_factory=set)
    snapshot: bytes | None = None
    snapshot_number: int = 0

    def readable(self) -> list[Record]:
        """What the history holds: covered records that were kept, and the tail."""
        return [
            one
            for one in self.records
            if one.number in self.history or one.number > self.snapshot_number
        ]

    def stored(self) -> StoredDocument:
        tail = tuple(self.records[self.snapshot_number :])
        return StoredDocument(
            self.lineage, self.snapshot, self.snapshot_number, tail, len(self.records)
        )


class StoreMachine(RuleBasedStateMachine):
    """Appends are not waited for before the next call, except by chance: order is the store's own affair."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.store: MemoryStore | SQLiteStore | FileStore
        self.memory = MemoryStore()
        self.models: dict[str, Model] = {}
        self.expected: list[bool] = []
        self.reports: list[bool] = []

    def run(self, awaitable: Awaitable[Result]) -> Result:
        async def wait() -> Result:
            return await awaitable

        return self.runner.run(wait())

    @initialize()
    def open(self) -> None:
        place = Path(self.folder.name)
        if self.kind == "sqlite":
            self.store = SQLiteStore(place / "rooms.db", durability="os")
        elif self.kind == "file":
            self.store = FileStore(place / "documents", durability="os", open_files=2)
        else:
            self.store = self.memory
        self.run(self.store.__aenter__())

    @rule()
    def reopen(self) -> None:
        """Closing reports everything."""
        self.run(self.store.__aexit__(None, None, None))
        assert self.reports == self.expected
        self.open()

    @rule(path=PATHS, lineage=LINEAGES, skip=st.sampled_from([0, 0, 0, 0, 1, -1]), bodies=BODIES)
    def append(
        self, path: str, lineage: str, skip: int, bodies: list[tuple[float, str, bytes]]
    ) -> None:
        """An append of the next numbers is taken; one that skips or repeats, or of another lineage, is not."""
        model = self.models.get(path)
        first = (len(model.records) if model else 0) + 1 + skip
        new = [Record(first + i, *body) for i, body in enumerate(bodies)]
        accepted = (skip == 0 or not new) and (model is None or model.lineage == lineage)
        self.expected.append(accepted)
        if accepted and new:
            self.models.setdefault(path, Model(lineage)).records += new

        async def append() -> None:
            self.store.append(path, lineage, new, lambda error: self.reports.append(error is None))

        self.run(append())

    @rule(
        path=PATHS,
        share=st.integers(0, 10),
        beyond=st.sampled_from([0, 0, 1]),
        snapshot=UPDATES,
        since=st.one_of(st.just(inf), TIMES),
    )
    def compact(self, path: str, share: int, beyond: int, snapshot: bytes, since: float) -> None:
        """A snapshot replaces what it covers, and is refused where it covers what is not there."""
        model = self.models.get(path)
        last = len(model.records) if model else 0
        number = last * share // 10 + beyond
        try:
            self.run(self.store.compact(path, snapshot, number, history_since=since))
        except StoreError:
            assert model is None or not max(1, model.snapshot_number) <= number <= last
            return
        assert model is not None
        known = model.history | set(range(model.snapshot_number + 1, number + 1))
        model.history = {one for one in known if model.records[one - 1].time >= since}
        model.snapshot, model.snapshot_number = snapshot, number

    @rule(path=PATHS, after=st.integers(0, 8), limit=st.integers(1, 4))
    def read_history(self, path: str, after: int, limit: int) -> None:
        """The history has what was kept, in order, and the tail."""
        model = self.models.get(path)
        expected = [one for one in model.readable() if one.number > after] if model else []
        read = self.run(self.store.read_history(path, after=after, limit=limit))
        assert read == expected[:limit]

    @rule(path=PATHS)
    def delete(self, path: str) -> None:
        """Deleting tells whether there was something."""
        assert self.run(self.store.delete(path)) is (self.models.pop(path, None) is not None)

    @rule(path=PATHS)
    def load(self, path: str) -> None:
        """A load has everything that was appended before it."""
        model = self.models.get(path)
        assert self.run(self.store.load(path)) == (model.stored() if model else None)

    @rule()
    def list_documents(self) -> None:
        """The list follows what was reported; a load of every path waits for that."""
        for path in ("a", "b", "a@1"):
            self.load(path)
        listed = self.run(self.store.list_documents())
        assert [
            (info.path, info.lineage, info.last_number, info.snapshot_number) for info in listed
        ] == [
            (path, model.lineage, len(model.records), model.snapshot_number)
            for path, model in sorted(self.models.items())
        ]

    @invariant()
    def reports_are_in_order(self) -> None:
        assert self.reports == self.expected[: len(self.reports)]

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()


class SQLiteStoreMachine(StoreMachine):
    """The same in an SQLite file."""

    kind = "sqlite"


class FileStoreMachine(StoreMachine):
    """The same in a file a document."""

    kind = "file"


@pytest.mark.parametrize("machine", [StoreMachine, SQLiteStoreMachine, FileStoreMachine])
def test_a_store_equals_its_model(machine: type[StoreMachine]) -> None:
    """Whatever is appended, compacted, deleted, loaded and reopened, a store answers as its model."""
    case = machine.TestCase
    case.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
    case().runTest()
