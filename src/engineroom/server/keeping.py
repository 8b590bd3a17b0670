"""What `engineroom store` does, for a store that the settings name: one function a command.

Each opens what it needs for itself, and tells its results one by one as they come. Readers open the
store to read alone and may stand beside a server; the others claim the data folder first.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Literal, Self, TypeAlias

import msgspec

from engineroom.errors import (
    AddressError,
    DataFolderError,
    LimitExceeded,
    ProtocolError,
    StoreError,
)
from engineroom.fabric.local import LocalFabric
from engineroom.protocols.items import read_items
from engineroom.protocols.plain import plain_roots
from engineroom.rooms.storage import DocumentInfo, Store, StoredDocument
from engineroom.stores.disk import replace_file
from engineroom.stores.file_names import file_name
from engineroom.stores.foreign import ForeignDocument
from engineroom.stores.sqlite import SQLiteStore

from .examining import ExaminationFailed, Examined, Examiner
from .importing import Imported, bring_in_one, nameless, path_for
from .settings import Settings, default_data_folder
from .stores import SQLITE_FILE, choose_store

LARGEST = 5
Form: TypeAlias = Literal["update", "json", "text"]
SUFFIXES: Mapping[Form, str] = {"update": ".bin", "json": ".json", "text": ".txt"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the documents are."""

    settings: Settings
    data: Path

    @classmethod
    def of(
        cls,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        this_store_alone: bool,
        new: bool = False,
    ) -> Self:
        """The place that the settings name; with `this_store_alone` the rules for prefixes do not
        count. A `new` one may have no folder yet: writing makes it.

        Raises:
            DataFolderError: there is no such folder.
        """
        site = Path(settings.site) if settings.site is not None else None
        data = Path(settings.data) if settings.data else default_data_folder(site, environ)
        if not new and not data.is_dir():
            raise DataFolderError(
                f"there is no data folder {data}: name it with --data, or its site with --site"
            )
        if this_store_alone:
            settings = msgspec.structs.replace(settings, stores=(), durability="disk")
        return cls(settings, data)

    @property
    def history_since(self) -> float:
        """Since when covered records stay readable."""
        kept = self.settings.history_seconds
        return time.time() - kept if kept else math.inf

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Store]:
        """The store, to read."""
        async with choose_store(self.settings, self.data, read_only=True) as store:
            yield store

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Store]:
        """The store, while no server has the data folder.

        Raises:
            DataFolderError: one has.
        """
        async with LocalFabric(self.data), choose_store(self.settings, self.data) as store:
            yield store


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a document: nothing, when all is well. `content` is what was asked for."""

    path: str
    problems: tuple[str, ...] = ()
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts, and bytes; `changed` in seconds since the epoch. `tail_updates` are those that no
    snapshot covers.
    """

    documents: int
    stored_bytes: int
    updates: int
    tail_updates: int
    changed: float
    largest: tuple[DocumentInfo, ...]


@dataclass(frozen=True, slots=True)
class Naming:
    """How documents that come in are named."""

    prefix: str = ""
    name: str | None = None
    strip: str = ""

    def path_of(self, name: str) -> str:
        """Raises AddressError: it can be no path."""
        if self.name is not None:
            return path_for(self.name, prefix=self.prefix)
        return path_for(name, prefix=self.prefix, strip=self.strip)


async def list_documents(place: Place, prefix: str) -> list[DocumentInfo]:
    """The documents whose path begins with `prefix`."""
    async with place.reading() as store:
        return await store.list_documents(prefix)


async def summarise(place: Place, prefix: str) -> Summary:
    """All of them together."""
    found = await list_documents(place, prefix)
    return Summary(
        len(found),
        sum(info.stored_bytes for info in found),
        sum(info.last_number for info in found),
        sum(info.last_number - info.snapshot_number for info in found),
        max((info.changed for info in found), default=0.0),
        tuple(sorted(found, key=lambda info: -info.stored_bytes)[:LARGEST]),
    )


async def select(place: Place, paths: Sequence[str], prefix: str | None) -> list[str]:
    """The paths that are named, and those that begin with `prefix`."""
    found = [] if prefix is None else [info.path for info in await list_documents(place, prefix)]
    return list(dict.fromkeys((*paths, *found)))


async def verify(place: Place, prefix: str, tell: Callable[[Finding], None]) -> None:
    """Every document: whether it can be read and opened, and what it lacks."""
    with Examiner() as examiner:
        async with place.reading() as store:
            for info in await store.list_documents(prefix):
                tell(await _verify(store, info.path, examiner))


async def export(
    place: Place, paths: Sequence[str], form: Form, tell: Callable[[Finding], None]
) -> None:
    """The content of documents, with what is wrong with each."""
    with Examiner() as examiner:
        async with place.reading() as store:
            for path in paths:
                tell(await _export(store, path, form, examiner))


async def compact(place: Place, prefix: str, tell: Callable[[Finding], None]) -> None:
    """Put a snapshot in place of every log, where it carries all that the log does. At last the
    SQLite file is written anew.
    """
    with Examiner() as examiner:
        async with place.writing() as store:
            for info in await store.list_documents(prefix):
                tell(await _compact(place, store, info, examiner))
    file = place.data / SQLITE_FILE
    if file.exists():
        async with LocalFabric(place.data):
            await SQLiteStore(file).rewrite()


async def delete(place: Place, paths: Sequence[str]) -> list[str]:
    """Delete documents; those that were not there."""
    async with place.writing() as store:
        return [path for path in paths if not await store.delete(path)]


async def bring_in(
    place: Place,
    documents: Iterable[ForeignDocument],
    naming: Naming,
    tell: Callable[[Imported], None],
    *,
    dry_run: bool = False,
) -> None:
    """The documents of another program's store. With `dry_run` nothing is written.

    Raises:
        StoreError: their store cannot be read, or ours cannot be written.
    """
    with Examiner() as examiner:
        async with place.reading() if dry_run else place.writing() as store:
            for number, document in enumerate(documents):
                if naming.name is not None and number:
                    raise StoreError("--name is for one document, and there are several")
                try:
                    path = naming.path_of(document.name)
                except AddressError as error:
                    tell(nameless(document, error))
                    continue
                tell(await bring_in_one(store, document, path, None if dry_run else examiner))


def write_export(folder: Path, path: str, form: Form, content: bytes) -> None:
    """Write an export into a folder, under a name made of the path.

    Raises:
        DataFolderError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / (file_name(path) + SUFFIXES[form]), [content], durable=False)
    except OSError as error:
        raise DataFolderError(f"cannot write into {folder}: {error.strerror or error}") from error


def as_plain(value: object) -> object:
    """A result as what JSON can say."""
    assert is_dataclass(value)
    assert not isinstance(value, type)
    return asdict(value)


# --- one document ----------------------------------------------------------------------------


async def _verify(store: Store, path: str, examiner: Examiner) -> Finding:
    try:
        stored = await _load(store, path)
        examined = await asyncio.to_thread(examiner.examine, path, stored)
    except (StoreError, ExaminationFailed) as error:
        return Finding(path, (str(error),))
    return Finding(path, _problems(stored, examined))


async def _export(store: Store, path: str, form: Form, examiner: Examiner) -> Finding:
    try:
        stored = await _load(store, path)
        examined = await asyncio.to_thread(examiner.examine, path, stored)
        content = _content(examined.encoding, form)
    except (StoreError, ExaminationFailed, ProtocolError, LimitExceeded) as error:
        return Finding(path, (str(error),))
    return Finding(path, _problems(stored, examined), content)


async def _compact(place: Place, store: Store, info: DocumentInfo, examiner: Examiner) -> Finding:
    path = info.path
    if info.snapshot_number == info.last_number:
        return Finding(path)
    try:
        stored = await _load(store, path)
        examined = await asyncio.to_thread(examiner.examine, path, stored)
        problems = _problems(stored, examined)
        if not examined.replaceable:
            return Finding(path, ("left as it is", *problems))
        await store.compact(
            path,
            examined.encoding,
            stored.last_number,
            notes=examined.notes,
            history_since=place.history_since,
        )
    except (StoreError, ExaminationFailed) as error:
        return Finding(path, ("left as it is", str(error)))
    return Finding(path, problems)


async def _load(store: Store, path: str) -> StoredDocument:
    stored = await store.load(path)
    if stored is None:
        raise StoreError("there is no such document")
    return stored


def _problems(stored: StoredDocument, examined: Examined) -> tuple[str, ...]:
    problems = []
    if stored.damaged:
        problems.append(f"{stored.damaged} updates are damaged or missing")
    if examined.refused:
        numbers = ", ".join(map(str, examined.refused[:10]))
        problems.append(f"{len(examined.refused)} updates cannot be applied ({numbers})")
    if examined.waiting:
        problems.append(f"{examined.waiting} updates wait for others that are missing")
    if not examined.whole:
        problems.append("its snapshot would lack something")
    return tuple(problems)


def _content(encoding: bytes, form: Form) -> bytes:
    """Raises ProtocolError, LimitExceeded: it cannot be read as JSON."""
    if form == "update":
        return encoding
    roots = plain_roots(read_items(encoding))
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(roots), indent=2) + b"\n"
    texts = [value for value in roots.values() if isinstance(value, str)]
    return "\n".join((*texts, "")).encode("utf-8", "replace")
