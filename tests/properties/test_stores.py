"""Any sequence of calls leaves a store with what a model of it holds."""

import asyncio
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engineroom.errors import StoreError
from engineroom.rooms.storage import Record, StoredDocument
from engineroom.stores import MemoryStore, SQLiteStore

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
    snapshot: bytes | None = None
    snapshot_number: int = 0

    def stored(self) -> StoredDocument:
        tail = tuple(self.records[self.snapshot_number :])
        return StoredDocument(
            self.lineage, self.snapshot, self.snapshot_number, tail, len(self.records)
        )


class StoreMachine(RuleBasedStateMachine):
    """Appends are not waited for before the next call, except by chance: order is the store's own affair."""

    on_disk = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.store: MemoryStore | SQLiteStore
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
        file = Path(self.folder.name) / "rooms.db"
        self.store = SQLiteStore(file, durability="os") if self.on_disk else self.memory
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

    @rule(path=PATHS, share=st.integers(0, 10), beyond=st.sampled_from([0, 0, 1]), snapshot=UPDATES)
    def compact(self, path: str, share: int, beyond: int, snapshot: bytes) -> None:
        """A snapshot replaces what it covers, and is refused where it covers what is not there."""
        model = self.models.get(path)
        last = len(model.records) if model else 0
        number = last * share // 10 + beyond
        try:
            self.run(self.store.compact(path, snapshot, number))
        except StoreError:
            assert model is None or not max(1, model.snapshot_number) <= number <= last
            return
        assert model is not None
        model.snapshot, model.snapshot_number = snapshot, number

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


class DiskStoreMachine(StoreMachine):
    """The same on a disk."""

    on_disk = True


@pytest.mark.parametrize("machine", [StoreMachine, DiskStoreMachine])
def test_a_store_equals_its_model(machine: type[StoreMachine]) -> None:
    """Whatever is appended, compacted, deleted, loaded and reopened, a store answers as its model."""
    case = machine.TestCase
    case.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
    case().runTest()
