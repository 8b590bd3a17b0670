"""Stores: the durable log of updates and its snapshots. Each keeps the promises of
`rooms.storage.Store`.

`memory.MemoryStore` keeps them without a disk, `sqlite.SQLiteStore` in one file, `file.FileStore`
in one file a document. `promises` says which calls every store refuses;
`engineroom.testing.stores` is the suite that any store passes. Stores know paths, numbers and
bytes: nothing of rooms, members or CRDTs.
"""

from engineroom.stores.file import FileStore
from engineroom.stores.memory import MemoryStore
from engineroom.stores.promises import StoreStatistics
from engineroom.stores.sqlite import SQLiteStore

__all__ = ["FileStore", "MemoryStore", "SQLiteStore", "StoreStatistics"]
