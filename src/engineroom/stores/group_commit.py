"""One thread that writes for all documents. What is queued while it commits goes into its next
commit, whatever the document, so that a commit costs the same for one append and for a thousand.

It knows a queue, something that commits (`Written`) and callbacks; nothing of what the calls
change. Two sides,
with nothing shared but the queue: the event loop hands calls in and counts them; the thread takes
all that is there, commits, and tells the loop once for each commit. The loop never waits for the
thread, the thread never for the loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from engineroom.errors import StoreError
from engineroom.stores.outstanding import Call, Outstanding
from engineroom.stores.pace import Pace
from engineroom.stores.promises import Durability, StoreStatistics

logger = logging.getLogger("engineroom.stores")


class Written(Protocol):
    """What is written, by one thread. Errors of the disk come out of both as `StoreError`."""

    def transaction(self, durability: Durability) -> AbstractContextManager[None]:
        """One commit: everything in the block, or nothing of it when this raises."""

    def close(self) -> None:
        """The end, in no transaction."""


Tables = TypeVar("Tables", bound=Written)


@dataclass(slots=True)
class _Job(Generic[Tables]):
    """A call on its way through the thread, which writes `refusal` before it tells the loop."""

    work: Callable[[Tables], None]
    durability: Durability
    alone: bool
    records: int
    fence: bool
    refusal: StoreError | None = None


class GroupCommit(Generic[Tables]):
    """The writer of the tables that `open_tables` opens: a thread for as long as `async with`.

    Leaving commits and reports everything that was submitted. The thread is a daemon: a process
    that ends without leaving loses what was not reported, as if it had been killed, and never
    hangs.
    """

    def __init__(self, open_tables: Callable[[], Tables]) -> None:
        self._open_tables = open_tables
        self._queue: SimpleQueue[_Job[Tables] | None] = SimpleQueue()
        self._pace = Pace()
        self._hurry = threading.Event()
        self._outstanding = Outstanding()
        self._commits = 0
        self._failed_commits = 0
        self._failing = False
        self._closed: str | None = None
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="engineroom-store", daemon=True)

    async def __aenter__(self) -> Self:
        """Open the tables.

        Raises:
            StoreError: they cannot be opened.
        """
        self._thread.start()
        try:
            await self._opened
        except BaseException:
            self._close("the store is closed")
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit and report everything that was submitted, and end the thread.

        When it is cancelled, the thread still commits what it has and ends by itself.
        """
        self._close("the store is closed")
        await asyncio.shield(self._ended)
        self._thread.join()

    def concerns(self, path: str) -> bool:
        """Whether something submitted for the document `path` has not been reported."""
        return self._outstanding.concerns(path)

    def submit(
        self,
        call: Call,
        work: Callable[[Tables], None],
        *,
        durability: Durability = "disk",
        alone: bool = False,
        records: int = 0,
        fence: bool = False,
    ) -> None:
        """Queue `work`; `call.done` is called in the loop after its commit. Calls keep their order.

        A commit is synchronised with the disk when one of its jobs asks for `disk`. Work that is
        `alone` has a commit of its own. Work that adds `records` to a log may wait for others some
        milliseconds (see `pace`); work that adds none is somebody's who waits, and is begun at
        once. A `fence` changes nothing, it waits for what came before: that it could be committed
        says nothing about the disk.

        Raises:
            StoreError: the writer is closed, or its thread has crashed.
        """
        if self._closed is not None:
            raise StoreError(self._closed)
        self._outstanding.add(call)
        self._queue.put(_Job(work, durability, alone, records, fence))
        if not records:
            self._hurry.set()

    def statistics(self) -> StoreStatistics:
        """What was submitted and not reported, and the commits since the opening."""
        outstanding = self._outstanding
        return StoreStatistics(
            len(outstanding), outstanding.size_bytes, self._commits, self._failed_commits
        )

    # --- in the loop -------------------------------------------------------------------------

    def _close(self, reason: str) -> None:
        if self._closed is None:
            self._closed = reason
            self._queue.put(None)
            self._hurry.set()

    def _report(self, jobs: list[_Job[Tables]], failure: str | None) -> None:
        if failure is None:
            self._commits += 1
        else:
            self._failed_commits += 1
        if failure is not None or not all(job.fence for job in jobs):
            self._log_change(failure)
        for job in jobs:
            # An error for each: one exception raised in several tasks would mix their tracebacks.
            self._outstanding.report_next(job.refusal or (StoreError(failure) if failure else None))

    def _log_change(self, failure: str | None) -> None:
        """Log the first of many failed commits, and the end of them: callers try again and again."""
        if failure is not None and not self._failing:
            logger.error("%s; nothing of that commit was stored", failure)
        elif failure is None and self._failing:
            logger.warning("the store can be written again")
        self._failing = failure is not None

    def _end(self, crash: BaseException | None) -> None:
        if isinstance(crash, StoreError):  # the tables could not be opened
            if not self._opened.done():
                self._opened.set_exception(crash)
        elif crash is not None:
            self._fail(crash)
        self._ended.set_result(None)

    def _fail(self, crash: BaseException) -> None:
        """The thread has crashed: nobody may wait for it, now or later."""
        logger.critical(
            "the store's writer has crashed; nothing is stored any more", exc_info=crash
        )
        self._closed = f"the store's writer has crashed ({crash!r}): restart the server"
        if not self._opened.done():
            self._opened.set_exception(StoreError(self._closed))
        while self._outstanding:
            self._outstanding.report_next(StoreError(self._closed))

    def _note_opened(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    # --- in the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        crash: BaseException | None = None
        try:
            self._serve()
        except BaseException as error:  # told to the loop, which reports it
            crash = error
        if not self._tell(self._end, crash) and crash is not None:
            logger.critical("the store's writer has crashed after its loop", exc_info=crash)

    def _serve(self) -> None:
        tables = self._open_tables()
        try:
            going = self._tell(self._note_opened)
            while going:
                jobs, going = self._take()
                for commit in _commits(jobs):
                    failure = _commit(tables, commit)
                    going = self._tell(self._report, commit, failure) and going
        finally:
            _close_tables(tables)

    def _take(self) -> tuple[list[_Job[Tables]], bool]:
        """All that is queued, once there is something; and whether more may come."""
        job = self._queue.get()
        if job is None:
            return [], False
        jobs = [job]
        going = self._drain(jobs)
        if going and (delay := self._delay(jobs)):
            self._hurry.wait(delay)
            going = self._drain(jobs)
        self._hurry.clear()  # who has hurried since is in the queue, and is not made to wait
        self._pace.begin(_records(jobs), time.monotonic())
        return jobs, going

    def _drain(self, jobs: list[_Job[Tables]]) -> bool:
        """Add all that is queued to `jobs`; whether more may come."""
        try:
            while (job := self._queue.get_nowait()) is not None:
                jobs.append(job)
        except Empty:
            return True
        return False

    def _delay(self, jobs: list[_Job[Tables]]) -> float:
        """How many seconds these wait for others."""
        if not all(job.records for job in jobs):
            return 0.0
        return self._pace.delay(_records(jobs), time.monotonic())

    def _tell(self, callback: Callable[..., None], *arguments: object) -> bool:
        """Call `callback` in the loop; False when it is closed and nobody is left to be told."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            return False
        return True


def _records(jobs: list[_Job[Tables]]) -> int:
    return sum(job.records for job in jobs)


def _commits(jobs: list[_Job[Tables]]) -> list[list[_Job[Tables]]]:
    """The jobs in order, by commits."""
    if not any(job.alone for job in jobs):
        return [jobs] if jobs else []
    commits: list[list[_Job[Tables]]] = [[]]
    for job in jobs:
        if job.alone:
            commits += [[job], []]
        else:
            commits[-1].append(job)
    return [commit for commit in commits if commit]


def _commit(tables: Tables, jobs: list[_Job[Tables]]) -> str | None:
    """Do all `jobs` in one commit; why it failed, else None. A refused job disturbs no other."""
    synchronised = any(job.durability == "disk" for job in jobs)
    try:
        with tables.transaction("disk" if synchronised else "os"):
            for job in jobs:
                try:
                    job.work(tables)
                except StoreError as refusal:
                    job.refusal = refusal
    except StoreError as error:
        return str(error)
    except Exception as error:
        logger.exception("a fault in the store")
        return f"the store could not be written: {error!r}"
    return None


def _close_tables(tables: Written) -> None:
    try:
        tables.close()
    except StoreError as error:
        logger.warning("%s", error)
