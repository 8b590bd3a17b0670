"""What a document was: its versions kept, compared and restored, its authors, its log.

Touches rooms and the store, as `documents` does; no requests. Whatever grows with a document is done in a thread, on
encodings and items alone, and within `items.MAX_ITEMS`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from engineroom.errors import LimitExceeded
from engineroom.protocols.attribution import Count, Span, spans, tally
from engineroom.protocols.comparison import Change, compare
from engineroom.protocols.items import read_items
from engineroom.protocols.plain import Plain, plain_roots
from engineroom.protocols.restoring import Reserve, restoring
from engineroom.protocols.unified import unified_changes
from engineroom.rooms.address import Address
from engineroom.rooms.authors import AuthorNotes
from engineroom.rooms.document import EMPTY_UPDATE
from engineroom.rooms.handles import RoomHandle
from engineroom.rooms.history import is_lasting, thinned_out, version_id
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.loading import encoding_after
from engineroom.rooms.reserves import PageReserve
from engineroom.rooms.storage import Record, Store, Version

from .documents import STORED_SECONDS, Documents
from .problems import Problem

NOW: Final = "now"
"""The id under which the present is read and compared as if it were a version."""

AT: Final = "@"
"""Begins the id of a state between versions: `@17` is the document when record 17 had come."""

MAX_RECORDS_BYTES: Final = 2 << 20
FIRST_RECORDS: Final = 16
MAX_REPLAYED_RECORDS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A version, or the present, and its encoding."""

    version: Version
    encoding: bytes


@dataclass(frozen=True, slots=True)
class _Base:
    """A state from which records lead on; `encoding` is None for the empty document."""

    number: int
    time: float
    encoding: bytes | None


@dataclass(frozen=True, slots=True)
class Restored:
    """What restoring came to: the version of the state before, None when nothing was different."""

    before: Version | None
    number: int


@dataclass(frozen=True, slots=True)
class Authorship:
    """Who wrote a version: users by id, what each has put in, the users of each client, the spans of each root."""

    notes: AuthorNotes
    counts: dict[str | None, Count]
    roots: dict[str, list[Span]]


class Past:
    """The past of a server's documents."""

    def __init__(
        self,
        documents: Documents,
        store: Store,
        limits: RoomLimits,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._documents = documents
        self._store = store
        self._limits = limits
        self._clock = clock

    # --- reading -----------------------------------------------------------------------------

    async def versions(self, address: Address) -> list[Version]:
        """The versions of a document, oldest first.

        Raises:
            StoreError: they cannot be read.
        """
        return await self._store.list_versions(str(address))

    async def snapshot(self, address: Address) -> int:
        """The number of the document's snapshot: the oldest state from which the newest records lead on; 0: none."""
        number, _ = await self._snapshot(str(address))
        return number

    async def read(self, address: Address, version: str) -> Kept:
        """A version, the present, or a state between versions.

        Raises:
            Problem: `not_found`.
            EngineroomError: it cannot be had now.
        """
        if version == NOW:
            async with self._documents.room(address) as room:
                return self._present(room)
        if version.startswith(AT):
            return await self._read_at(address, version)
        for known in await self.versions(address):
            if known.id == version:
                encoding = await self._store.read_version(str(address), version)
                if encoding is not None:
                    return Kept(known, encoding)
        raise Problem("not_found", f"There is no version {version[:64]!r}.")

    async def _read_at(self, address: Address, version: str) -> Kept:
        """The state after one record: from the newest state before it that is kept, and the records since."""
        gone = Problem("not_found", f"The state {version[:64]!r} is not kept.")
        digits = version.removeprefix(AT)
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
            raise gone
        number, path = int(digits), str(address)
        base = await self._base(path, number)
        records = await self._records_between(path, base.number, number)
        if records is None:
            raise gone
        encoding = base.encoding
        if encoding is None or records:
            encoding = await self._documents.in_thread(encoding_after, encoding, records)
        then = records[-1].time if records else base.time
        at = Version(f"{AT}{number}", number, then, "at", "", "", len(encoding))
        return Kept(at, encoding)

    async def _base(self, path: str, number: int) -> _Base:
        """The newest state up to `number`: a version, the snapshot, or the empty document."""
        older = [each for each in await self._store.list_versions(path) if each.number <= number]
        version = max(older, key=lambda each: each.number, default=None)
        newest = version.number if version is not None else 0
        snapshot, changed = await self._snapshot(path)
        if newest < snapshot <= number:
            stored = await self._store.load(path)
            # It may have moved on meanwhile.
            if stored is not None and newest < stored.snapshot_number <= number:
                return _Base(stored.snapshot_number, changed, stored.snapshot)
        if version is None:
            return _Base(0, 0.0, None)
        return _Base(version.number, version.time, await self._store.read_version(path, version.id))

    async def _snapshot(self, path: str) -> tuple[int, float]:
        """The number of the document's snapshot, and when the document changed last; 0 where there is none."""
        for info in await self._store.list_documents(path):
            if info.path == path:
                return info.snapshot_number, info.changed
        return 0, 0.0

    async def _records_between(self, path: str, first: int, last: int) -> list[Record] | None:
        """The records above `first` up to `last`; None when one of them is not kept.

        Raises:
            LimitExceeded: they are too many to be read at once.
        """
        if last - first > MAX_REPLAYED_RECORDS:
            raise LimitExceeded("history_records", MAX_REPLAYED_RECORDS)
        if last == first:
            return [] if first else None
        records = await self._store.read_history(path, after=first, limit=last - first)
        whole = [record.number for record in records] == list(range(first + 1, last + 1))
        return records if whole else None

    async def plain(self, encoding: bytes) -> dict[str, Plain]:
        """What an encoding says, by root.

        Raises:
            LimitExceeded: it is too large to be read so.
        """
        return await self._documents.in_thread(lambda: plain_roots(read_items(encoding)))

    async def authors(self, address: Address) -> tuple[AuthorNotes, int]:
        """Who has written in the document until now, and its newest number; nobody where there is no document.

        Raises:
            EngineroomError: it cannot be had now.
        """
        try:
            async with self._documents.room(address) as room:
                return room.authors(), room.number
        except Problem as problem:
            if problem.code != "not_found":
                raise
            return AuthorNotes(), 0

    async def authorship(self, address: Address, version: str) -> Authorship:
        """Who wrote what of a version.

        Raises:
            Problem: `not_found`.
            EngineroomError: it cannot be had now.
        """
        kept = await self.read(address, version)
        notes, _ = await self.authors(address)

        def read() -> Authorship:
            items = read_items(kept.encoding)
            return Authorship(notes, tally(items, notes.whose), spans(items, notes.whose))

        return await self._documents.in_thread(read)

    async def records(self, address: Address, after: int, limit: int) -> list[Record]:
        """Records of the log above number `after`, at most `limit` of them and about `MAX_RECORDS_BYTES`, one at least.

        Raises:
            StoreError: they cannot be read.
        """
        found: list[Record] = []
        size, piece = 0, FIRST_RECORDS
        while len(found) < limit and size < MAX_RECORDS_BYTES:
            wanted = min(piece, limit - len(found))
            records = await self._store.read_history(str(address), after=after, limit=wanted)
            found += records
            if len(records) < wanted:
                break
            size += sum(len(record.update) for record in records)
            after, piece = records[-1].number, 2 * piece
        return found

    # --- comparing ---------------------------------------------------------------------------

    async def compare(self, old: Kept, new: Kept) -> list[Change]:
        """What is different in `new`, by root.

        Raises:
            LimitExceeded: they are too large to be compared.
        """
        return await self._documents.in_thread(
            lambda: compare(read_items(old.encoding), read_items(new.encoding))
        )

    async def compare_text(self, old: Kept, new: Kept) -> str:
        """The same as unified diffs.

        Raises:
            LimitExceeded: they are too large to be compared.
        """
        names = (_title(old.version), _title(new.version))
        return await self._documents.in_thread(
            lambda: unified_changes(read_items(old.encoding), read_items(new.encoding), *names)
        )

    # --- changing ----------------------------------------------------------------------------

    async def keep(
        self, address: Address, name: str, user: str, number: int | None = None
    ) -> Version:
        """Keep the present, or the state after record `number`, as a version with a name, made by `user`.

        Raises:
            Problem: `not_found`: nothing was written yet, or that state is not kept; `limit`; `timed_out`.
            EngineroomError: it cannot be kept now.
        """
        past = await self.read(address, f"{AT}{number}") if number is not None else None
        async with self._documents.room(address) as room:
            kept = self._present(room, kind="hand", name=name, user=user)
            if past is not None:
                then = past.version
                version = replace(
                    kept.version, number=then.number, time=then.time, bytes=then.bytes
                )
                kept = Kept(version, past.encoding)
            self._check_bounds(await self.versions(address), kept.version)
            await self._put(room, kept)
        return kept.version

    async def rename(self, address: Address, version: str, name: str) -> Version:
        """Give a version another name.

        Raises:
            Problem: `not_found`.
            StoreError: it could not be renamed.
        """
        if not await self._store.rename_version(str(address), version, name):
            raise Problem("not_found", f"There is no version {version[:64]!r}.")
        return next(each for each in await self.versions(address) if each.id == version)

    async def delete(self, address: Address, version: str) -> None:
        """Remove a version.

        Raises:
            Problem: `not_found`.
            StoreError: it could not be removed.
        """
        if not await self._store.delete_version(str(address), version):
            raise Problem("not_found", f"There is no version {version[:64]!r}.")

    async def restore(self, address: Address, version: str, user: str) -> Restored:
        """Make the document say what a version says, with one update that merges with what others do meanwhile.

        The state before is kept first, as a version of the kind `restore`.

        Raises:
            Problem: `not_found`, `timed_out`.
            EngineroomError: it cannot be restored now, or the update is past a bound of rooms.
        """
        kept = await self.read(address, version)
        async with self._documents.room(address) as room:
            before = self._present(room, kind="restore", user=user)
            update = await self._documents.in_thread(
                _restoring, before.encoding, kept.encoding, address.page is not None
            )
            if update == EMPTY_UPDATE:
                return Restored(None, room.number)
            await self._put(room, before)
            try:
                async with asyncio.timeout(STORED_SECONDS):
                    await room.apply(update, user=user)
            except TimeoutError:
                reason = "It may still be stored; read the document again."
                raise Problem("timed_out", reason) from None
            return Restored(before.version, room.number)

    # --- inside ------------------------------------------------------------------------------

    def _present(
        self, room: RoomHandle, *, kind: str = NOW, name: str = "", user: str = ""
    ) -> Kept:
        """The document as it is at this moment."""
        number, encoding = room.number, room.encoded()
        own = NOW if kind == NOW else version_id(number, kind, secrets.token_hex(6))
        version = Version(own, number, self._clock(), kind, name, user, len(encoding))
        return Kept(version, encoding)

    async def _put(self, room: RoomHandle, kept: Kept) -> None:
        """Keep a version once all that it holds is durable: its number must not come to mean something else."""
        if not room.begun:
            raise Problem("not_found", "Nothing has been written here yet.")
        path = str(room.address)
        try:
            async with asyncio.timeout(STORED_SECONDS):
                await room.edit(lambda _: None)
                await self._store.put_version(path, kept.version, kept.encoding)
                versions = await self._store.list_versions(path)
                for version in thinned_out(versions, self._clock(), self._limits):
                    if version != kept.version.id:
                        await self._store.delete_version(path, version)
        except TimeoutError:
            raise Problem("timed_out", "The version was not kept in time.") from None

    def _check_bounds(self, versions: Sequence[Version], new: Version) -> None:
        lasting = [version for version in versions if is_lasting(version)]
        sizes = {
            "versions": len(lasting) + 1,
            "versions_bytes": sum(version.bytes for version in lasting) + new.bytes,
        }
        for limit, size in sizes.items():
            allowed = getattr(self._limits, limit)
            if size > allowed:
                raise LimitExceeded(limit, allowed)


def _restoring(present: bytes, earlier: bytes, of_page: bool) -> bytes:
    now, then = read_items(present), read_items(earlier)
    client = 0
    while not client or client in now.clocks:
        client = secrets.randbits(32)
    return restoring(now, then, client, PageReserve(now) if of_page else Reserve())


def _title(version: Version) -> str:
    return version.name or version.id
