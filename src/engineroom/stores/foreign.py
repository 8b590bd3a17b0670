"""Reading the stores of pycrdt-websocket (pycrdt-store) and of ypy-websocket, of every version.

It reads files alone and changes nothing. What it cannot read it names, and gives what stands
before it.

- A *file store* is one document: `VERSION:2` and a line feed, then records of three fields, each a
  varUint length and that many bytes: update, metadata, and the time, a double in little-endian
  order. There are no checksums, so a torn record shows only by what follows it.
- An *SQLite store* has many documents: `yupdates(path, yupdate, metadata, timestamp)`, of which
  ypy-websocket before 0.8 had no metadata, no times or times as text, and no version; in newer ones
  `ycheckpoints(path, checkpoint, timestamp)` too. A checkpoint is read as one update more:
  which rows it covers goes by a clock that may have been set back, and updates may come twice.

Metadata is the application's, and left behind.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any

from engineroom.errors import ProtocolError, StoreError
from engineroom.protocols.lib0 import Reader
from engineroom.protocols.updates import read_update

FILE_MAGIC = b"VERSION:"
SQLITE_MAGIC = b"SQLite format 3\x00"
KNOWN_VERSION = 2
UNVERSIONED = 0  # of a database, before versions were counted
_TIME = Struct("<d")

Decompress = Callable[[bytes], bytes]
DECOMPRESSIONS: Mapping[str, Decompress] = {
    "zlib": zlib.decompress,
    "gzip": gzip.decompress,
    "bz2": bz2.decompress,
    "lzma": lzma.decompress,
}
_NOT_COMPRESSED = (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError)


@dataclass(frozen=True, slots=True)
class ForeignDocument:
    """A document of another store: its updates (V1) with their times, in the order of the store.

    `name` is the store's own. `lost` says what could not be read, and is empty when all was.
    """

    name: str
    updates: tuple[tuple[float, bytes], ...]
    lost: tuple[str, ...]


def read_foreign(
    source: Path, *, decompress: Decompress | None = None
) -> Iterator[ForeignDocument]:
    """The documents of the store at `source`: a file, a database, or a folder of either, below which
    a file's relative path is its document's name.

    Raises:
        StoreError: it is none, or cannot be read.
    """
    try:
        if source.is_dir():
            yield from _read_folder(source, decompress)
            return
        kind = _kind_of(source)
    except OSError as error:
        raise StoreError(f"cannot read {source}: {error.strerror or error}") from error
    if kind is None:
        raise StoreError(
            f"{source} is no store of pycrdt-websocket or ypy-websocket: neither a file that "
            "begins with VERSION: nor an SQLite database"
        )
    yield from _read_one(source, source.name, kind, decompress)


def _read_folder(folder: Path, decompress: Decompress | None) -> Iterator[ForeignDocument]:
    for file in sorted(folder.rglob("*")):
        kind = _kind_of(file) if file.is_file() else None
        if kind is not None:
            yield from _read_one(file, file.relative_to(folder).as_posix(), kind, decompress)


def _kind_of(file: Path) -> str | None:
    with file.open("rb") as stream:
        beginning = stream.read(len(SQLITE_MAGIC))
    if beginning == SQLITE_MAGIC:
        return "sqlite"
    return "file" if beginning.startswith(FILE_MAGIC) else None


def _read_one(
    file: Path, name: str, kind: str, decompress: Decompress | None
) -> Iterator[ForeignDocument]:
    if kind == "file":
        yield read_file(name, file.read_bytes())
    else:
        yield from read_database(file, decompress)


# --- files -----------------------------------------------------------------------------------


def read_file(name: str, data: bytes) -> ForeignDocument:
    """The document of a file store, up to its first record that is none.

    Raises:
        StoreError: it is no such file, or of a version that is not known.
    """
    line, _, rest = data.partition(b"\n")
    version = line.removeprefix(FILE_MAGIC)
    if not line.startswith(FILE_MAGIC) or version.strip() != str(KNOWN_VERSION).encode():
        raise StoreError(
            f"{name} is a file store of version {version[:20].decode(errors='replace')!r}; "
            f"only version {KNOWN_VERSION} is known"
        )
    reader = Reader(rest)
    updates: list[tuple[float, bytes]] = []
    position = 0
    while reader.remaining:
        try:
            update, time = _read_record(reader)
        except ProtocolError as error:
            left = len(rest) - position
            where = f"record {len(updates) + 1} cannot be read ({error.reason})"
            return ForeignDocument(name, tuple(updates), (f"{where}: the last {left} bytes",))
        updates.append((time, update))
        position = reader.position
    return ForeignDocument(name, tuple(updates), ())


def _read_record(reader: Reader) -> tuple[bytes, float]:
    """Raises ProtocolError: it is torn, or is none."""
    update = reader.buf()
    reader.buf()
    time = reader.buf()
    if len(time) != _TIME.size:
        raise ProtocolError("its time has another length")
    read_update(update)
    return update, _plain_time(_TIME.unpack(time)[0])


# --- databases -------------------------------------------------------------------------------


def read_database(file: Path, decompress: Decompress | None) -> Iterator[ForeignDocument]:
    """The documents of an SQLite store, by path.

    Raises:
        StoreError: it is none, or its list of documents cannot be read.
    """
    uri = f"{file.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.text_factory = lambda text: text.decode(errors="replace")
            tables = _tables_of(connection, file)
            paths, problem = _paths_of(connection, tables)
            for path in paths:
                yield _read_document(connection, path, tables, decompress)
            if problem:
                yield ForeignDocument(file.name, (), (problem,))
    except sqlite3.Error as error:
        raise StoreError(f"cannot read {file}: {error}") from error


def _tables_of(connection: sqlite3.Connection, file: Path) -> set[str]:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    tables = {name for (name,) in found}
    if "yupdates" not in tables:
        raise StoreError(f"{file} has no table yupdates: it is no store of pycrdt-websocket")
    if version not in (UNVERSIONED, KNOWN_VERSION):
        raise StoreError(
            f"{file} is an SQLite store of version {version}; only version {KNOWN_VERSION} is known"
        )
    return tables


def _paths_of(connection: sqlite3.Connection, tables: set[str]) -> tuple[list[str], str]:
    """The documents, and why there may be more."""
    queries = ["SELECT DISTINCT path FROM yupdates"]
    queries += ["SELECT path FROM ycheckpoints"] * ("ycheckpoints" in tables)
    paths: dict[object, None] = {}
    problem = ""
    for query in queries:
        rows, failure = _rows(connection, query)
        if failure:  # an index is damaged; the table may be less so
            more, failure = _rows(connection, f"{query} NOT INDEXED")
            rows += more
            problem = f"the list of documents cannot be read to its end ({failure})"
        paths.update(dict.fromkeys(path for (path,) in rows))
    return sorted(path for path in paths if isinstance(path, str)), problem


def _rows(
    connection: sqlite3.Connection, query: str, *values: object
) -> tuple[list[tuple[Any, ...]], str]:
    """What a query gives, up to where the file is damaged; and how."""
    rows: list[tuple[Any, ...]] = []
    try:
        rows.extend(connection.execute(query, values))  # keeps what came before an error
    except sqlite3.Error as error:
        return rows, str(error)
    return rows, ""


def _read_document(
    connection: sqlite3.Connection, path: str, tables: set[str], decompress: Decompress | None
) -> ForeignDocument:
    updates: list[tuple[float, bytes]] = []
    lost: list[str] = []
    for what, table, column in (
        ("checkpoint", "ycheckpoints", "checkpoint"),
        ("update", "yupdates", "yupdate"),
    ):
        if table not in tables:
            continue
        rows, problem = _rows_of(connection, path, table, column)
        if problem:
            lost.append(f"what follows {what} {len(rows)} cannot be read ({problem})")
        bad: list[tuple[int, bytes]] = []
        for number, (blob, time) in enumerate(rows, 1):
            update = _update_of(blob, decompress)
            if update is not None:
                updates.append((_plain_time(time), update))
            elif isinstance(blob, bytes):
                bad.append((number, blob))
        if bad:
            first, blob = bad[0]
            hint = _hint(blob) if decompress is None else ""
            lost.append(f"{len(bad)} of {len(rows)} {what}s are none, the first is {first}{hint}")
    return ForeignDocument(path, tuple(updates), tuple(lost))


def _rows_of(
    connection: sqlite3.Connection, path: str, table: str, column: str
) -> tuple[list[tuple[Any, ...]], str]:
    """A document's rows in the order in which they were written; through the index, or past it when
    that is damaged.
    """
    columns = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
    time = "timestamp" if "timestamp" in columns else "NULL"
    select = f"SELECT {column}, {time} FROM {table}"  # noqa: S608
    rows, problem = _rows(connection, f"{select} WHERE path = ? ORDER BY rowid", path)
    if problem:
        past = f"{select} NOT INDEXED WHERE path = ? ORDER BY rowid"
        rows, problem = _rows(connection, past, path)
    return rows, problem


def _update_of(blob: object, decompress: Decompress | None) -> bytes | None:
    """The update in a row, which may be compressed although its neighbours are not."""
    if not isinstance(blob, bytes):
        return None
    candidates = [blob]
    if decompress is not None:
        with suppress(*_NOT_COMPRESSED):
            candidates.insert(0, decompress(blob))
    for candidate in candidates:
        with suppress(ProtocolError):
            read_update(candidate)
            return candidate
    return None


def _hint(blob: bytes) -> str:
    """What may be done about a row that is no update."""
    for name, attempt in DECOMPRESSIONS.items():
        with suppress(*_NOT_COMPRESSED):
            attempt(blob)
            return f" (it is compressed: --decompress {name})"
    return ""


def _plain_time(time: object) -> float:
    """Seconds since the epoch; 0 for what is no time."""
    return time if isinstance(time, float) and math.isfinite(time) else 0.0
