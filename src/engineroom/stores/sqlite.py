"""The store in one SQLite file: `tables` changes it, `reading` reads it, `threaded` joins them."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path

from engineroom.errors import StoreError
from engineroom.stores.database import open_database
from engineroom.stores.promises import Durability, DurabilityOf
from engineroom.stores.reading import Reading, SQLiteReader
from engineroom.stores.tables import Tables
from engineroom.stores.threaded import ThreadedStore

logger = logging.getLogger("engineroom.stores")


class SQLiteStore(ThreadedStore[Tables, Reading]):
    """Documents in the SQLite file at `path` (made with mode 0600). Open it with `async with`.

    With `durability="disk"` what is reported as stored survives a loss of power: the log is
    synchronised at every commit. With `"os"` it survives the end of the process, not of the
    machine. `durability_of` may say it for each path. One process at a time: the data folder's lock
    (`fabric.local`) sees to that. With `read_only` it may stand beside a server's, and every change
    is refused; the file must exist.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: Durability = "disk",
        durability_of: DurabilityOf | None = None,
        read_only: bool = False,
    ) -> None:
        file = path.absolute()
        super().__init__(
            None if read_only else lambda: Tables(open_database(file, durability=durability), file),
            SQLiteReader(file),
            durability_of=durability_of or (lambda path: durability),
        )
        self._file = file

    async def rewrite(self) -> None:
        """Write the file anew, without its free pages. For a store that is closed.

        Raises:
            StoreError: it could not be written anew; it is as it was.
        """
        if self._readers is not None:
            raise StoreError("an open store cannot be written anew: close it first")
        await asyncio.to_thread(self._rewrite)

    def _rewrite(self) -> None:
        tables = Tables(open_database(self._file, durability="disk"))
        try:
            tables.rewrite()
        finally:
            tables.close()

    async def _repair(self, path: str, found: Reading) -> None:
        """Move damaged records into the table `quarantine`. When that fails, the next load finds
        them again.
        """
        numbers = found.damaged_numbers
        if not numbers:
            return
        logger.error(
            "document %s: %d damaged records were left out and moved aside, the first is %d",
            path,
            len(numbers),
            numbers[0],
        )
        move = partial(Tables.quarantine, document=found.id, numbers=numbers)
        try:
            await self._change(path, move)
        except StoreError as error:
            logger.warning("document %s: its damaged records stay in the log: %s", path, error)
