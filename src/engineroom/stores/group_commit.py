"""One thread that writes for all documents. What is queued while it commits goes into its next
commit, whatever the document, so that a commit costs the same for one append and for a thousand.

It knows a queue, one writer's tables and callbacks; nothing of what the calls change. Two sides,
with nothing shared but the queue: the event loop hands calls in and counts them; the thread takes
all that is there, commits, and tells the loop once for each commit. The loop never waits for the
thread, the thread never for the loop.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from engineroom.errors import StoreError
from engineroom.stores.database import explain
from engineroom.stores.outstanding import Call, Outstanding
from engineroom.stores.promises import StoreStatistics
from engineroom.stores.tables import Tables

logger = logging.getLogger("engineroom.stores")

Work = Callable[[Tables], None]


@dataclass(slots=True)
class _Job:
    """A call on its way through the thread, which writes `refusal` before it tells the loop."""

    work: Work
    refusal: StoreError | None = None


class GroupCommit:
    """The writer of the tables that `open_tables` opens: a thread for as long as `async with`.

    Leaving commits and reports everything that was submitted. The thread is a daemon: a process
    that ends without leaving loses what was not reported, as if it had been killed, and never
    hangs.
    """

    def __init__(self, open_tables: Callable[[], Tables]) -> None:
        self._open_tables = open_tables
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
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

    def submit(self, call: Call, work: Work) -> None:
        """Queue `work`; `call.done` is called in the loop after its commit. Calls keep their order.

        Raises:
            StoreError: the writer is closed, or its thread has crashed.
        """
        if self._closed is not None:
            raise StoreError(self._closed)
        self._outstanding.add(call)
        self._queue.put(_Job(work))

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

    def _report(self, jobs: list[_Job], failure: str | None) -> None:
        if failure is None:
            self._commits += 1
        else:
            self._failed_commits += 1
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
                if jobs:
                    failure = _commit(tables, jobs)
                    going = self._tell(self._report, jobs, failure) and going
        finally:
            _close_tables(tables)

    def _take(self) -> tuple[list[_Job], bool]:
        """All that is queued, once there is something; and whether more may come."""
        jobs: list[_Job] = []
        job = self._queue.get()
        while job is not None:
            jobs.append(job)
            try:
                job = self._queue.get_nowait()
            except Empty:
                return jobs, True
        return jobs, False

    def _tell(self, callback: Callable[..., None], *arguments: object) -> bool:
        """Call `callback` in the loop; False when it is closed and nobody is left to be told."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            return False
        return True


def _commit(tables: Tables, jobs: list[_Job]) -> str | None:
    """Do all `jobs` in one commit; why it failed, else None. A refused job disturbs no other."""
    try:
        with tables.transaction():
            for job in jobs:
                try:
                    job.work(tables)
                except StoreError as refusal:
                    job.refusal = refusal
    except sqlite3.Error as error:
        return f"the store could not be written: {explain(error)}"
    except Exception as error:
        logger.exception("a fault in the store")
        return f"the store could not be written: {error!r}"
    return None


def _close_tables(tables: Tables) -> None:
    try:
        tables.close()
    except sqlite3.Error as error:
        logger.warning(
            "the store's log could not be copied into its file (it stays beside it): %s", error
        )
