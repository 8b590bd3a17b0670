"""The contract suite of stores: what every `rooms.storage.Store` promises, one check a promise.

    import pytest
    from engineroom.testing.stores import STORE_CHECKS

    pytestmark = pytest.mark.anyio

    @pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
    async def test_contract(check, tmp_path):
        await check(lambda: MyStore(tmp_path / "documents"))

or all of them at once, each in a place of its own, with every broken promise named:

    async def test_contract(tmp_path_factory):
        def make_place():
            folder = tmp_path_factory.mktemp("store")
            return lambda: MyStore(folder)

        await check_store(make_place)

A check is given a *place*: a function that opens the store there, as often as it is called, with
what an earlier opening left. Each check needs a place of its own. A store that keeps nothing beyond
its closing passes too when the place gives the same object again, as `MemoryStore` does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TypeAlias

from engineroom.errors import StoreError
from engineroom.rooms.storage import Record, Store, StoredDocument, Version

Place: TypeAlias = Callable[[], AbstractAsyncContextManager[Store]]
Check: TypeAlias = Callable[[Place], Awaitable[None]]

PATIENCE_SECONDS = 30.0  # a report that has not come by then never will
LINEAGE = "lineage-1"


def record(number: int, update: bytes | None = None, *, user: str = "ada") -> Record:
    """A record whose update can be told from every other's."""
    return Record(number, 1_700_000_000.25 + number, user, update or b"update %d" % number)


def records(first: int, last: int) -> list[Record]:
    """Records `first` to `last`."""
    return [record(number) for number in range(first, last + 1)]


def version(name: str, number: int = 1, *, encoding: bytes = b"encoding") -> Version:
    """A version of `encoding`, made by hand."""
    return Version(name, number, 1_700_000_100.5 + number, "hand", "", "ada", len(encoding))


async def append(
    store: Store, path: str, new: Sequence[Record], *, lineage: str = LINEAGE
) -> StoreError | None:
    """Append, and wait for the report: None, or the error."""
    report: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()
    store.append(path, lineage, new, report.set_result)
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await report


async def load(store: Store, path: str) -> StoredDocument:
    """The document, which must be there."""
    document = await store.load(path)
    assert document is not None, f"there is no document {path!r}"
    return document


async def is_refused(change: Awaitable[object]) -> bool:
    """Whether it raises `StoreError`."""
    try:
        await change
    except StoreError:
        return True
    return False


async def check_store(make_place: Callable[[], Place]) -> None:
    """Run every check, each in a fresh place of `make_place`.

    Raises:
        ExceptionGroup: the failures, each with a note that names its check.
    """
    failures: list[Exception] = []
    for check in STORE_CHECKS:
        try:
            await check(make_place())
        except Exception as failure:
            failure.add_note(f"{check.__name__}: {check.__doc__}")
            failures.append(failure)
    if failures:
        raise ExceptionGroup("the store breaks its contract", failures)


# --- documents -------------------------------------------------------------------------------


async def a_document_begins_with_its_first_append(place: Place) -> None:
    """What was never written to is not there, and an append of nothing does not make it."""
    async with place() as store:
        assert await store.load("notes") is None
        assert await append(store, "notes", []) is None
        assert await store.load("notes") is None
        assert await store.list_documents() == []
        assert await append(store, "notes", [record(1)]) is None
        assert await load(store, "notes") == StoredDocument(LINEAGE, None, 0, (record(1),), 1)


async def records_come_back_as_they_were(place: Place) -> None:
    """Bytes, users, times and order are kept, whatever they are; a clock set back changes nothing."""
    odd = [
        Record(1, 1_700_000_000.123456, "ada", b"\x00\xff" * 10),
        Record(2, 1_600_000_000.5, "", b""),
        Record(3, -0.0, "Zoë \U0001f600 'x\" --\x00", b"\x00"),
        Record(4, -1.5, "bob", bytes(1024 * 1024)),
        Record(5, 1e300, "ada", b"last"),
    ]
    async with place() as store:
        assert await append(store, "notes", odd) is None
        assert (await load(store, "notes")).records == tuple(odd)


async def documents_do_not_touch_each_other(place: Place) -> None:
    """Paths are told apart to the byte, whatever is in them."""
    paths = ["notes", "Notes", "notes/", "notes@1", "n%tes", "n_tes", "é", "e\u0301", "'; --", " "]
    async with place() as store:
        for path in paths:
            assert await append(store, path, [record(1, path.encode())], lineage=path) is None
        for path in paths:
            document = await load(store, path)
            assert (document.lineage, document.records) == (path, (record(1, path.encode()),))


async def a_closed_store_opens_again_with_everything(place: Place) -> None:
    """What was stored is there at the next opening, and the numbers go on."""
    async with place() as store:
        assert await append(store, "notes", records(1, 5)) is None
        await store.compact("notes", b"snapshot", 3)
    async with place() as store:
        stored = StoredDocument(LINEAGE, b"snapshot", 3, tuple(records(4, 5)), 5)
        assert await load(store, "notes") == stored
        assert await append(store, "notes", [record(6)]) is None
    async with place() as store:
        assert (await load(store, "notes")).last_number == 6


# --- reports ---------------------------------------------------------------------------------


async def append_returns_before_its_report(place: Place) -> None:
    """An append never calls back before it has returned, and then once, in the event loop."""
    async with place() as store:
        calls: list[tuple[StoreError | None, int]] = []
        done = asyncio.Event()

        def stored(error: StoreError | None) -> None:
            calls.append((error, threading.get_ident()))
            done.set()

        store.append("notes", LINEAGE, [record(1)], stored)
        assert calls == []
        async with asyncio.timeout(PATIENCE_SECONDS):
            await done.wait()
        assert await append(store, "notes", [record(2)]) is None
        assert calls == [(None, threading.get_ident())]


async def reports_keep_the_order_of_appends(place: Place) -> None:
    """Appends are reported in the order of their calls, over all documents."""
    async with place() as store:
        reported: list[tuple[str, int]] = []
        expected: list[tuple[str, int]] = []
        for number in range(1, 21):
            for path in ("a", "b", "c"):
                expected.append((path, number))
                store.append(
                    path,
                    LINEAGE,
                    [record(number)],
                    lambda error, key=(path, number): reported.append(key),  # type: ignore[misc]
                )
        assert await append(store, "d", [record(1)]) is None
        assert reported == expected


async def a_callback_that_raises_stops_no_other(place: Place) -> None:
    """An exception in one callback reaches the loop's handler, and every other callback is called."""
    loop = asyncio.get_running_loop()
    handler, problems = loop.get_exception_handler(), list[BaseException | None]()
    loop.set_exception_handler(lambda _, context: problems.append(context.get("exception")))
    try:
        async with place() as store:
            fault = RuntimeError("a fault of the caller")

            def stored(error: StoreError | None) -> None:
                raise fault

            store.append("a", LINEAGE, [record(1)], stored)
            assert await append(store, "b", [record(1)]) is None
            assert await append(store, "a", [record(2)]) is None
            assert problems == [fault]
    finally:
        loop.set_exception_handler(handler)


async def a_callback_may_append(place: Place) -> None:
    """A callback may append in its turn."""
    async with place() as store:
        second: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()
        store.append(
            "notes",
            LINEAGE,
            [record(1)],
            lambda _: store.append("notes", LINEAGE, [record(2)], second.set_result),
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await second is None
        assert (await load(store, "notes")).last_number == 2


# --- refusals --------------------------------------------------------------------------------


async def numbers_have_no_gaps(place: Place) -> None:
    """A number that is not the next is refused with its whole call, and the next one may follow."""
    async with place() as store:
        assert await append(store, "notes", [record(2)]) is not None
        assert await store.load("notes") is None
        assert await append(store, "notes", records(1, 2)) is None
        for wrong in ([record(2)], [record(4)], [record(3), record(5)], [record(3), record(3)]):
            assert isinstance(await append(store, "notes", wrong), StoreError)
        assert (await load(store, "notes")).records == tuple(records(1, 2))
        assert await append(store, "notes", records(3, 4)) is None
        assert (await load(store, "notes")).records == tuple(records(1, 4))


async def a_refused_append_disturbs_no_other(place: Place) -> None:
    """Appends that are queued together are refused one by one; what follows a refused one in its
    document is refused too.
    """
    async with place() as store:
        reports: list[bool] = []

        def queue(path: str, number: int) -> None:
            store.append(path, LINEAGE, [record(number)], lambda error: reports.append(not error))

        for path, number in (("a", 1), ("b", 2), ("b", 3), ("a", 2), ("c", 1), ("b", 1)):
            queue(path, number)
        assert await append(store, "d", [record(1)]) is None
        assert reports == [True, False, False, True, True, True]
        assert [info.path for info in await store.list_documents()] == ["a", "b", "c", "d"]


async def another_lineage_is_refused(place: Place) -> None:
    """Records of another history are not mixed into a document."""
    async with place() as store:
        assert await append(store, "notes", [record(1)]) is None
        assert await append(store, "notes", [record(2)], lineage="other") is not None
        assert await load(store, "notes") == StoredDocument(LINEAGE, None, 0, (record(1),), 1)


async def what_no_store_can_hold_is_refused_alone(place: Place) -> None:
    """A lone surrogate, a time that is no number, an empty path: the call is refused, no other."""
    async with place() as store:
        wrong = [
            ("a", [Record(1, 1.0, "\ud800", b"x")]),
            ("a", [Record(1, float("nan"), "", b"x")]),
            ("a", [Record(1, float("inf"), "", b"x")]),
            ("\ud800", [record(1)]),
            ("", [record(1)]),
        ]
        refused: list[StoreError | None] = []
        for path, new in wrong:
            store.append(path, LINEAGE, new, refused.append)
        assert await append(store, "b", [record(1)]) is None
        assert all(isinstance(error, StoreError) for error in refused)
        assert len(refused) == len(wrong)
        assert [info.path for info in await store.list_documents()] == ["b"]


# --- order -----------------------------------------------------------------------------------


async def load_sees_every_append_before_it(place: Place) -> None:
    """A load answers with all that was appended before it was called, reported or not."""
    async with place() as store:
        for number in range(1, 101):
            store.append("notes", LINEAGE, [record(number)], lambda error: None)
            store.append("other", LINEAGE, [record(number)], lambda error: None)
        assert (await load(store, "notes")).records == tuple(records(1, 100))


async def loads_run_beside_appends(place: Place) -> None:
    """Loads that are waited for together each see one moment: numbers from 1 without gaps."""
    async with place() as store:
        for first in range(1, 200, 10):
            store.append("notes", LINEAGE, records(first, first + 9), lambda error: None)
        documents = await asyncio.gather(*(load(store, "notes") for _ in range(8)))
        assert all(document.records == tuple(records(1, 200)) for document in documents)


async def a_cancelled_load_disturbs_nobody(place: Place) -> None:
    """Cancelling a load leaves the store as it was, for appends and for other loads."""
    async with place() as store:
        store.append("notes", LINEAGE, records(1, 3), lambda error: None)
        cancelled = asyncio.ensure_future(store.load("notes"))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert (await load(store, "notes")).last_number == 3
        assert await append(store, "notes", [record(4)]) is None


# --- compaction ------------------------------------------------------------------------------


async def compaction_puts_a_snapshot_in_place_of_records(place: Place) -> None:
    """After a compaction the snapshot stands for the records it covers; later ones stay."""
    async with place() as store:
        assert await append(store, "notes", records(1, 10)) is None
        await store.compact("notes", b"first", 4)
        first = StoredDocument(LINEAGE, b"first", 4, tuple(records(5, 10)), 10)
        assert await load(store, "notes") == first
        await store.compact("notes", b"second", 10)
        assert await load(store, "notes") == StoredDocument(LINEAGE, b"second", 10, (), 10)
        assert await append(store, "notes", [record(10)]) is not None
        assert await append(store, "notes", [record(11)]) is None
        assert (await load(store, "notes")).records == (record(11),)


async def compaction_comes_after_earlier_appends(place: Place) -> None:
    """A compaction may cover records whose appends are still queued, and keeps those beyond it."""
    async with place() as store:
        store.append("notes", LINEAGE, records(1, 5), lambda error: None)
        compaction = asyncio.ensure_future(store.compact("notes", b"snapshot", 4))
        await asyncio.sleep(0)
        store.append("notes", LINEAGE, records(6, 7), lambda error: None)
        await compaction
        assert await load(store, "notes") == StoredDocument(
            LINEAGE, b"snapshot", 4, tuple(records(5, 7)), 7
        )


async def a_wrong_compaction_is_refused(place: Place) -> None:
    """A snapshot of nothing, of records that are not there, or older than the present one changes
    nothing.
    """
    async with place() as store:
        assert await append(store, "notes", records(1, 5)) is None
        await store.compact("notes", b"snapshot", 3)
        for path, number in (("notes", 6), ("notes", 2), ("notes", 0), ("other", 1)):
            assert await is_refused(store.compact(path, b"wrong", number)), (path, number)
        assert await is_refused(store.compact("notes", b"wrong", 4, history_since=float("nan")))
        assert await load(store, "notes") == StoredDocument(
            LINEAGE, b"snapshot", 3, tuple(records(4, 5)), 5
        )
        assert await store.load("other") is None


async def notes_stand_beside_the_snapshot(place: Place) -> None:
    """Notes are empty at first, come back with the document, and the next compaction replaces them."""
    notes = b"notes \x00\xff"
    async with place() as store:
        assert await append(store, "notes", records(1, 3)) is None
        assert (await load(store, "notes")).notes == b""
        await store.compact("notes", b"first", 2, notes=notes)
        assert (await load(store, "notes")).notes == notes
        assert await append(store, "notes", [record(4)]) is None
    async with place() as store:
        stored = StoredDocument(LINEAGE, b"first", 2, tuple(records(3, 4)), 4, notes=notes)
        assert await load(store, "notes") == stored
        await store.compact("notes", b"second", 3)
        assert (await load(store, "notes")).notes == b""


# --- history ---------------------------------------------------------------------------------


async def history_has_the_whole_log_before_a_compaction(place: Place) -> None:
    """Every record can be read from its log, in pieces; a document that is not there has none."""
    async with place() as store:
        assert await store.read_history("notes") == []
        assert await append(store, "other", [record(1)]) is None
        store.append("notes", LINEAGE, records(1, 5), lambda error: None)
        assert await store.read_history("notes") == records(1, 5)
        assert await store.read_history("notes", after=3) == records(4, 5)
        assert await store.read_history("notes", after=1, limit=2) == records(2, 3)
        assert await store.read_history("notes", after=5) == []


async def compaction_keeps_history_since_a_time(place: Place) -> None:
    """Covered records of that time or later stay readable, in order, and leave the document's tail."""
    async with place() as store:
        assert await append(store, "notes", records(1, 10)) is None
        await store.compact("notes", b"first", 8, history_since=record(4).time)
        document = await load(store, "notes")
        assert (document.snapshot_number, document.records) == (8, tuple(records(9, 10)))
        assert await store.read_history("notes") == records(4, 10)
        assert await store.read_history("notes", after=6, limit=3) == records(7, 9)
        await store.compact("notes", b"second", 9, history_since=record(7).time)
    async with place() as store:
        assert await store.read_history("notes") == records(7, 10)
        await store.compact("notes", b"third", 10)
        assert await store.read_history("notes") == []
        assert (await load(store, "notes")).last_number == 10


async def history_goes_by_time_not_by_number(place: Place) -> None:
    """When the clock was set back, what stays is decided record by record."""
    times = (50.0, 10.0, 60.0, 20.0, 70.0)
    odd = [Record(number, time, "", b"x") for number, time in enumerate(times, 1)]
    async with place() as store:
        assert await append(store, "notes", odd) is None
        await store.compact("notes", b"snapshot", 4, history_since=50.0)
        assert await store.read_history("notes") == [odd[0], odd[2], odd[4]]
        await store.compact("notes", b"snapshot", 5, history_since=60.0)
        assert await store.read_history("notes") == [odd[2], odd[4]]


# --- versions --------------------------------------------------------------------------------


async def versions_are_kept_beside_the_document(place: Place) -> None:
    """Versions are listed in the order in which they were made, and read as they were."""
    first, second = version("b", 1), version("a", 2, encoding=b"")
    other = Version("c", 0, -0.5, "activity", "Zoë\x00", "", 3)
    async with place() as store:
        store.append("notes", LINEAGE, records(1, 3), lambda error: None)
        assert await store.list_versions("notes") == []
        await store.put_version("notes", first, b"encoding")
        await store.put_version("notes", second, b"")
        await store.put_version("notes", other, b"\x00\x01\xff")
        assert await append(store, "alone", [record(1)]) is None
        assert await store.list_versions("alone") == []
    async with place() as store:
        assert await store.list_versions("notes") == [first, second, other]
        assert await store.read_version("notes", "b") == b"encoding"
        assert await store.read_version("notes", "a") == b""
        assert await store.read_version("notes", "c") == b"\x00\x01\xff"
        assert await store.read_version("notes", "d") is None
        assert await store.read_version("alone", "b") is None
        assert await store.list_versions("nowhere") == []


async def versions_are_renamed_and_deleted(place: Place) -> None:
    """A new name changes nothing else; both tell whether there was such a version."""
    async with place() as store:
        assert await append(store, "notes", [record(1)]) is None
        for name in ("a", "b", "c"):
            await store.put_version("notes", version(name), b"encoding")
        assert await store.rename_version("notes", "a", "Draft \U0001f600") is True
        assert await store.rename_version("notes", "nope", "x") is False
        assert await store.rename_version("nowhere", "a", "x") is False
        assert await store.delete_version("notes", "b") is True
        assert await store.delete_version("notes", "b") is False
        assert await store.delete_version("nowhere", "a") is False
    async with place() as store:
        renamed = replace(version("a"), name="Draft \U0001f600")
        assert await store.list_versions("notes") == [renamed, version("c")]
        assert await store.read_version("notes", "a") == b"encoding"
        assert await store.read_version("notes", "b") is None
        await store.put_version("notes", version("b", 7), b"encoding")
        listed = await store.list_versions("notes")
        assert [one.id for one in listed] == ["a", "c", "b"]


async def a_wrong_version_is_refused(place: Place) -> None:
    """Without a document, with an id that is taken or none, a size that is not its own, or text
    that is none, nothing changes.
    """
    async with place() as store:
        assert await append(store, "notes", [record(1)]) is None
        await store.put_version("notes", version("a"), b"encoding")
        wrong = [
            ("nowhere", version("a"), b"encoding"),
            ("notes", version("a", 2), b"encoding"),
            ("notes", version(""), b"encoding"),
            ("notes", version("x" * 65), b"encoding"),
            ("notes", version("\u00e9"), b"encoding"),
            ("notes", version("b"), b"other"),
            ("notes", replace(version("b"), name="\ud800"), b"encoding"),
            ("notes", replace(version("b"), time=float("nan")), b"encoding"),
        ]
        for path, new, encoding in wrong:
            assert await is_refused(store.put_version(path, new, encoding)), (path, new)
        assert await is_refused(store.rename_version("notes", "a", "\ud800"))
        assert await store.list_versions("notes") == [version("a")]
        assert await store.list_versions("nowhere") == []


async def compaction_leaves_versions_alone(place: Place) -> None:
    """Versions outlive the records that they were made of."""
    async with place() as store:
        assert await append(store, "notes", records(1, 5)) is None
        await store.put_version("notes", version("a", 3), b"encoding")
        await store.compact("notes", b"snapshot", 5)
        assert await store.list_versions("notes") == [version("a", 3)]
        assert await store.read_version("notes", "a") == b"encoding"


# --- list and delete -------------------------------------------------------------------------


async def the_list_describes_every_document(place: Place) -> None:
    """The list is in the order of paths, and tells numbers, bytes and the last record's time."""
    async with place() as store:
        assert await append(store, "b", records(1, 3)) is None
        assert await append(store, "a", [record(1, b"12345")], lineage="lineage-a") is None
        await store.compact("b", b"snapshot", 2)
        a, b = await store.list_documents()
        assert (a.path, a.lineage, a.last_number, a.snapshot_number) == ("a", "lineage-a", 1, 0)
        assert (a.stored_bytes, a.changed) == (5, record(1).time)
        assert (b.path, b.lineage, b.last_number, b.snapshot_number) == ("b", LINEAGE, 3, 2)
        assert (b.stored_bytes, b.changed) == (len(b"snapshot" + record(3).update), record(3).time)
        await store.compact("b", b"snapshot", 3)
        assert (await store.list_documents())[1].changed == record(3).time


async def the_list_counts_all_that_is_stored(place: Place) -> None:
    """A document's bytes are those of snapshot, notes, log, history and versions."""
    async with place() as store:
        assert await append(store, "a", [record(n, bytes(100 * n)) for n in (1, 2, 3)]) is None
        await store.compact("a", bytes(7), 2, notes=bytes(11), history_since=record(2).time)
        await store.put_version("a", version("v", encoding=bytes(13)), bytes(13))
        (a,) = await store.list_documents()
        assert a.stored_bytes == 300 + 200 + 7 + 11 + 13
        assert (a.last_number, a.snapshot_number, a.changed) == (3, 2, record(3).time)


async def the_list_is_of_a_prefix(place: Place) -> None:
    """With a prefix the list has the paths that begin with it, taken literally."""
    paths = ["a", "a%b", "a/1", "a/2", "a_b", "b", "\u00e9/1", "A/1"]
    async with place() as store:
        for path in paths:
            assert await append(store, path, [record(1)]) is None
        for prefix in ("", "a", "a/", "a%", "a_", "\u00e9", "a/1", "a/12", "z"):
            listed = [info.path for info in await store.list_documents(prefix)]
            assert listed == sorted(path for path in paths if path.startswith(prefix)), prefix


async def delete_removes_a_document_alone(place: Place) -> None:
    """A deleted document is gone, tail and snapshot; another history may begin at its path."""
    async with place() as store:
        for path in ("a", "b"):
            assert await append(store, path, records(1, 4)) is None
            await store.compact(path, b"snapshot", 2, notes=b"notes", history_since=0.0)
            await store.put_version(path, version("v"), b"encoding")
        assert await store.delete("a") is True
        assert await store.delete("a") is False
        assert await store.load("a") is None
        assert [info.path for info in await store.list_documents()] == ["b"]
        assert await append(store, "a", [record(5)]) is not None
        assert await append(store, "a", [record(1)], lineage="new") is None
        assert await load(store, "a") == StoredDocument("new", None, 0, (record(1),), 1)
        assert await store.read_history("a") == [record(1)]
        assert await store.list_versions("a") == []
        assert (await load(store, "b")).snapshot == b"snapshot"
        assert await store.read_history("b") == records(1, 4)
        assert await store.read_version("b", "v") == b"encoding"


async def delete_keeps_its_turn(place: Place) -> None:
    """What was appended before a deletion goes, what is appended after it stays."""
    async with place() as store:
        store.append("notes", LINEAGE, records(1, 3), lambda error: None)
        deletion = asyncio.ensure_future(store.delete("notes"))
        await asyncio.sleep(0)
        assert await append(store, "notes", [record(1)], lineage="new") is None
        assert await deletion is True
        assert await load(store, "notes") == StoredDocument("new", None, 0, (record(1),), 1)


# --- closing ---------------------------------------------------------------------------------


async def closing_stores_and_reports_what_is_queued(place: Place) -> None:
    """When a store has closed, every append has been reported, and is there."""
    reports: list[StoreError | None] = []
    async with place() as store:
        for number in range(1, 101):
            store.append("notes", LINEAGE, [record(number)], reports.append)
    assert reports == [None] * 100
    async with place() as store:
        assert (await load(store, "notes")).records == tuple(records(1, 100))


async def a_closed_store_refuses(place: Place) -> None:
    """After closing, an append is reported as refused, and everything else raises `StoreError`."""
    async with place() as store:
        assert await append(store, "notes", [record(1)]) is None
    assert isinstance(await append(store, "notes", [record(2)]), StoreError)
    for question in (
        lambda: store.load("notes"),
        lambda: store.compact("notes", b"snapshot", 1),
        store.list_documents,
        lambda: store.delete("notes"),
        lambda: store.read_history("notes"),
        lambda: store.put_version("notes", version("a"), b"encoding"),
        lambda: store.list_versions("notes"),
        lambda: store.read_version("notes", "a"),
        lambda: store.rename_version("notes", "a", "name"),
        lambda: store.delete_version("notes", "a"),
    ):
        assert await is_refused(question()), "a closed store has answered"
    async with place() as store:
        assert (await load(store, "notes")).last_number == 1


STORE_CHECKS: tuple[Check, ...] = (
    a_document_begins_with_its_first_append,
    records_come_back_as_they_were,
    documents_do_not_touch_each_other,
    a_closed_store_opens_again_with_everything,
    append_returns_before_its_report,
    reports_keep_the_order_of_appends,
    a_callback_that_raises_stops_no_other,
    a_callback_may_append,
    numbers_have_no_gaps,
    a_refused_append_disturbs_no_other,
    another_lineage_is_refused,
    what_no_store_can_hold_is_refused_alone,
    load_sees_every_append_before_it,
    loads_run_beside_appends,
    a_cancelled_load_disturbs_nobody,
    compaction_puts_a_snapshot_in_place_of_records,
    compaction_comes_after_earlier_appends,
    a_wrong_compaction_is_refused,
    notes_stand_beside_the_snapshot,
    history_has_the_whole_log_before_a_compaction,
    compaction_keeps_history_since_a_time,
    history_goes_by_time_not_by_number,
    versions_are_kept_beside_the_document,
    versions_are_renamed_and_deleted,
    a_wrong_version_is_refused,
    compaction_leaves_versions_alone,
    the_list_describes_every_document,
    the_list_counts_all_that_is_stored,
    the_list_is_of_a_prefix,
    delete_removes_a_document_alone,
    delete_keeps_its_turn,
    closing_stores_and_reports_what_is_queued,
    a_closed_store_refuses,
)
