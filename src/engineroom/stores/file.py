"""The store of one file a document: `file_writing` changes them, `file_reading` reads them,
`threaded` joins them.
"""

from __future__ import annotations

import logging
from pathlib import Path

from engineroom.errors import StoreError
from engineroom.stores.disk import explain_os_error
from engineroom.stores.file_reading import FileReader, Log
from engineroom.stores.file_writing import OPEN_FILES, FileWriter
from engineroom.stores.promises import Durability, DurabilityOf
from engineroom.stores.threaded import ThreadedStore

logger = logging.getLogger("engineroom.stores")


class FileStore(ThreadedStore[FileWriter, Log]):
    """Documents below `folder` (made with mode 0700), each in an append-only file of its own,
    history and versions beside it. Open it with `async with`.

    For documents that are few and are to be seen, copied and backed up one by one: a commit costs
    one fdatasync for every document in it, where SQLite's costs one in all. Durability, order and
    `read_only` are `SQLiteStore`'s.
    """

    def __init__(
        self,
        folder: Path,
        *,
        durability: Durability = "disk",
        durability_of: DurabilityOf | None = None,
        open_files: int = OPEN_FILES,
        read_only: bool = False,
    ) -> None:
        place = folder.absolute()

        def open_writer() -> FileWriter:
            try:
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                reason = explain_os_error(error)
                raise StoreError(f"cannot open the store {place}: {reason}") from error
            return FileWriter(place, open_files=open_files)

        super().__init__(
            None if read_only else open_writer,
            FileReader(place),
            durability_of=durability_of or (lambda path: durability),
            alone=True,
        )

    async def _repair(self, path: str, found: Log) -> None:
        """Tell of damaged records, which stay in the file, and cut off a torn end."""
        if found.damaged:
            logger.error(
                "document %s: %d damaged places of its log were left out; they stay in its file",
                path,
                len(found.damaged),
            )
        if found.torn:  # unless it is an append under way, which the writer knows
            try:
                await self._change(path, lambda writer: writer.open(path))
            except StoreError as error:
                logger.warning("document %s: its torn end stays in its log: %s", path, error)
