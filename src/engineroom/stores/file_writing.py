"""Changing the file store's files: one thread's affair, inside of `transaction()`.

Appends of a transaction are gathered and written at its end, one write and one fdatasync a
document. A file is only ever appended to, or replaced as a whole by a new one that is on disk
before it takes its place. What an append that failed has left is cut off before anything else is
written, so a document's log never holds what was reported as refused.
"""

from __future__ import annotations

import os
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from logging import getLogger
from math import inf
from pathlib import Path

import msgspec

from engineroom.errors import StoreError
from engineroom.rooms.storage import Record, Version
from engineroom.stores.disk import (
    add_to_file,
    explain_os_error,
    replace_file,
    sync_folder,
    write_all,
)
from engineroom.stores.file_format import (
    IDENTITY_BYTES,
    Heading,
    Kind,
    encode_frame,
    encode_heading,
)
from engineroom.stores.file_names import HISTORY, LOG, TORN, VERSIONS, file_of
from engineroom.stores.file_reading import (
    Log,
    VersionText,
    read_history,
    read_log,
    read_versions,
)
from engineroom.stores.promises import (
    Durability,
    Head,
    check_history,
    check_new_version,
    check_path,
    check_version,
    check_version_name,
    head_after_append,
    head_after_compaction,
)

logger = getLogger("engineroom.stores")

OPEN_FILES = 128
SYNCERS = 8  # files that are synchronised at a time
KNOWN_DOCUMENTS = 10_000
TORN_BYTES = 16 << 20  # what is kept of torn ends, a document


@dataclass(slots=True)
class _Document:
    """A document's log, as this thread has left it: `length` is where its last whole frame ends."""

    path: str
    file: Path
    identity: bytes
    head: Head
    length: int
    inode: int
    descriptor: int | None = None
    pending: list[bytes] = field(default_factory=list)
    head_before: Head | None = None
    torn: bool = False


class FileWriter:
    """The files below `folder`, to change. At most `open_files` of them are open at a time."""

    def __init__(self, folder: Path, *, open_files: int = OPEN_FILES) -> None:
        self._folder = folder
        self._open_files = open_files
        self._known: OrderedDict[str, _Document] = OrderedDict()
        self._open: OrderedDict[str, _Document] = OrderedDict()
        self._new: dict[str, _Document] = {}
        self._touched: dict[str, _Document] = {}
        self._durability: Durability = "disk"
        self._syncers = ThreadPoolExecutor(SYNCERS, "engineroom-store-sync")

    @contextmanager
    def transaction(self, durability: Durability = "disk") -> Iterator[None]:
        """One commit: everything in the block is in the files when it ends, or nothing of it.

        Raises:
            StoreError: the files could not be written; says why, and what to do.
        """
        self._durability = durability
        try:
            try:
                yield
                self._write()
            except BaseException:
                self._roll_back()
                raise
        except OSError as error:
            raise StoreError(
                f"the store could not be written: {explain_os_error(error)}"
            ) from error
        finally:
            self._touched.clear()
            self._new.clear()
            self._forget()

    def open(self, path: str) -> None:
        """Look at a document's log for the first time: a torn end is cut off and kept aside."""
        self._find(path)

    def append(self, path: str, lineage: str, records: Sequence[Record]) -> None:
        """Add `records` to the document's log; the first ones make the document.

        Raises:
            StoreError: refused, see `promises.head_after_append`.
        """
        document = self._find(path)
        head = head_after_append(path, document.head if document else None, lineage, records)
        if not records:
            return
        identity = document.identity if document else secrets.token_bytes(IDENTITY_BYTES)
        frames = [_record_frame(identity, record) for record in records]
        if document is None:
            document = self._begin(path, lineage, identity)
        self._touch(document)
        document.pending += frames
        document.head = head

    def compact(
        self,
        path: str,
        snapshot: bytes,
        number: int,
        notes: bytes = b"",
        history_since: float = inf,
    ) -> None:
        """Put `snapshot` in place of the records up to `number`. Alone in its transaction.

        Raises:
            StoreError: refused, see `promises.head_after_compaction`.
        """
        check_history(history_since)
        document = self._find(path)
        head = head_after_compaction(path, document.head if document else None, number)
        assert document is not None
        log = self._read(document)
        covered = [record for record in log.records if record.number <= number]
        heading = Heading(
            path,
            head.lineage,
            number,
            covered[-1].time if covered else log.heading.changed,
            None if history_since == inf else history_since,
        )
        self._keep_history(document, log, heading, covered)
        content = [
            encode_heading(log.identity, heading),
            encode_frame(log.identity, Kind.SNAPSHOT, number, heading.changed, notes, snapshot),
            *_lost_frames(document.file, log, number),
            *_tail_frames(document.file, log, number),
        ]
        self._replace(document.file, content)
        self._close(document)
        document.head, document.length = head, sum(map(len, content))
        document.inode = os.stat(document.file).st_ino
        if history_since == inf:
            _remove(file_of(self._folder, path, HISTORY))

    def delete(self, path: str) -> bool:
        """Remove the document and all that belongs to it; whether there was one. Alone in its
        transaction.

        The log goes first: what is left of the others, should this end half-way, is no document's.
        """
        document = self._find(path)
        if document is None:
            return False
        self._drop(document)
        document.file.unlink()
        self._sync_folder()
        for suffix in (HISTORY, VERSIONS, TORN):
            _remove(file_of(self._folder, path, suffix))
        return True

    def put_version(self, path: str, version: Version, encoding: bytes) -> None:
        """Keep `encoding` as a version. Alone in its transaction.

        Raises:
            StoreError: refused, see `promises.check_version` and `check_new_version`.
        """
        check_version(path, version, encoding)
        document = self._find(path)
        taken = document is not None and self._has_version(document, version.id)
        check_new_version(path, version, document=document is not None, taken=taken)
        assert document is not None
        text = VersionText(version.id, version.kind, version.name, version.user)
        self._say(document, Kind.VERSION, text, version.number, version.time, encoding)

    def rename_version(self, path: str, version: str, name: str) -> bool:
        """Give a version another name; whether there was one. Alone in its transaction."""
        check_version_name(path, name)
        document = self._find(path)
        if document is None or not self._has_version(document, version):
            return False
        self._say(document, Kind.RENAME, VersionText(version, name=name))
        return True

    def delete_version(self, path: str, version: str) -> bool:
        """Remove a version; whether there was one. Alone in its transaction."""
        document = self._find(path)
        if document is None or not self._has_version(document, version):
            return False
        self._say(document, Kind.REMOVE, VersionText(version))
        self._shrink_versions(document)
        return True

    def close(self) -> None:
        """Close all files."""
        for document in list(self._open.values()):
            self._close(document)
        self._known.clear()
        self._syncers.shutdown()

    # --- documents ---------------------------------------------------------------------------

    def _find(self, path: str) -> _Document | None:
        """The document, looked up and repaired when it is not known or another file stands there."""
        check_path(path)
        document = self._new.get(path) or self._known.get(path)
        if document is not None and path not in self._new and not _is_in_place(document):
            self._drop(document)
            document = None
        if document is None:
            document = self._look_up(path)
        if document is not None and document.torn:
            self._cut(document)
        return document

    def _look_up(self, path: str) -> _Document | None:
        file = file_of(self._folder, path, LOG)
        log = read_log(file, path)
        if log is None:
            return None
        head = Head(log.heading.lineage, log.last_number, log.heading.snapshot_number)
        document = _Document(path, file, log.identity, head, log.end, os.stat(file).st_ino)
        if log.torn:
            self._keep_torn(document, log.torn)
        self._known[path] = document
        return document

    def _keep_torn(self, document: _Document, size: int) -> None:
        """Keep aside what stands behind the last whole record, and cut it off."""
        with document.file.open("rb") as log:
            log.seek(document.length)
            rest = log.read(TORN_BYTES)
        aside = file_of(self._folder, document.path, TORN)
        if not aside.exists() or aside.stat().st_size + len(rest) <= TORN_BYTES:
            add_to_file(aside, [rest], durable=True)
        document.torn = True
        self._cut(document)
        logger.warning(
            "document %s: the last %d bytes of its log are no whole record; they were moved to %s",
            document.path,
            size,
            aside,
        )

    def _begin(self, path: str, lineage: str, identity: bytes) -> _Document:
        """A document that takes its place at the end of the transaction."""
        file = file_of(self._folder, path, LOG)
        document = _Document(path, file, identity, Head(lineage), 0, 0)
        document.pending.append(encode_heading(identity, Heading(path, lineage)))
        self._new[path] = document
        return document

    def _touch(self, document: _Document) -> None:
        if document.path not in self._touched:
            self._touched[document.path] = document
            document.head_before = document.head

    def _read(self, document: _Document) -> Log:
        log = read_log(document.file, document.path)
        if log is None:
            raise StoreError(f"{document.file} has gone: bring it back from a backup")
        return log

    # --- the end of a transaction ------------------------------------------------------------

    def _write(self) -> None:
        """Write what was gathered, and synchronise it with the disk."""
        for path, document in self._touched.items():
            if path not in self._new:
                descriptor = self._descriptor(document)
                document.torn = True  # until this commit is through
                write_all(descriptor, document.pending, document.length)
        for document in self._new.values():
            replace_file(document.file, document.pending, durable=self._durability == "disk")
        if self._durability == "disk":
            grown = [each for path, each in self._touched.items() if path not in self._new]
            self._synchronise(grown)
        if self._new:
            self._sync_folder()
        for path, document in self._touched.items():
            document.length += sum(map(len, document.pending))
            document.pending, document.torn = [], False
            if path in self._new:
                document.inode = os.stat(document.file).st_ino
                self._known[path] = document

    def _synchronise(self, documents: Sequence[_Document]) -> None:
        """Wait for the disk: for several files at a time, which it takes together."""
        if len(documents) == 1:
            os.fdatasync(self._descriptor(documents[0]))
            return
        for first in range(0, len(documents), self._open_files):
            some = [self._descriptor(one) for one in documents[first : first + self._open_files]]
            list(self._syncers.map(os.fdatasync, some))

    def _roll_back(self) -> None:
        for path, document in self._touched.items():
            assert document.head_before is not None
            document.head, document.pending = document.head_before, []
            with suppress(OSError):  # tried again before the next change
                if path in self._new:
                    document.file.unlink(missing_ok=True)
                elif document.torn:
                    self._cut(document)

    def _cut(self, document: _Document) -> None:
        """Cut off what stands behind the last whole frame."""
        descriptor = self._descriptor(document)
        os.ftruncate(descriptor, document.length)
        os.fsync(descriptor)
        document.torn = False

    # --- files -------------------------------------------------------------------------------

    def _descriptor(self, document: _Document) -> int:
        """The open log. The one that was used longest ago is closed when there are too many."""
        if document.descriptor is None:
            while len(self._open) >= self._open_files:
                self._close(next(iter(self._open.values())))
            document.descriptor = os.open(document.file, os.O_RDWR | os.O_CLOEXEC)
            self._open[document.path] = document
        self._open.move_to_end(document.path)
        return document.descriptor

    def _close(self, document: _Document) -> None:
        self._open.pop(document.path, None)
        if document.descriptor is not None:
            descriptor, document.descriptor = document.descriptor, None
            os.close(descriptor)

    def _drop(self, document: _Document) -> None:
        self._close(document)
        self._known.pop(document.path, None)

    def _forget(self) -> None:
        """What is remembered of documents is bounded."""
        while len(self._known) > KNOWN_DOCUMENTS:
            self._drop(next(iter(self._known.values())))

    def _replace(self, file: Path, content: Sequence[bytes]) -> None:
        """Put a file in the place of `file`; it is on disk before, and its name after."""
        replace_file(file, content, durable=self._durability == "disk")
        self._sync_folder()

    def _sync_folder(self) -> None:
        if self._durability == "disk":
            sync_folder(self._folder)

    # --- history and versions ----------------------------------------------------------------

    def _keep_history(
        self, document: _Document, log: Log, heading: Heading, covered: Sequence[Record]
    ) -> None:
        """Add what is covered now, and leave out what has become too old once that is a quarter."""
        since = heading.history_since
        if since is None:
            return
        file = file_of(self._folder, document.path, HISTORY)
        fresh = [_record_frame(log.identity, one) for one in covered if one.time >= since]
        known = {record.number: record for record in read_history(file, log)}
        kept = [_record_frame(log.identity, one) for one in known.values() if one.time >= since]
        size = file.stat().st_size if file.exists() else 0
        reopened = (log.heading.history_since or -inf) > since  # what was given up stays so
        if not kept or reopened or size * 3 > sum(map(len, kept)) * 4:
            beginning = encode_heading(log.identity, Heading(document.path, heading.lineage))
            self._replace(file, [beginning, *kept, *fresh])
        elif fresh:
            add_to_file(file, fresh, durable=self._durability == "disk")

    def _has_version(self, document: _Document, version: str) -> bool:
        file = file_of(self._folder, document.path, VERSIONS)
        kept = read_versions(file, document.identity).kept
        return any(one.version.id == version for one in kept)

    def _say(
        self,
        document: _Document,
        kind: Kind,
        text: VersionText,
        number: int = 0,
        time: float = 0.0,
        encoding: bytes = b"",
    ) -> None:
        """Add a frame to the file of versions."""
        file = file_of(self._folder, document.path, VERSIONS)
        first = msgspec.json.encode(text)
        frame = encode_frame(document.identity, kind, number, time, first, encoding)
        end = read_versions(file, document.identity).end
        if end:
            add_to_file(file, [frame], end, durable=self._durability == "disk")
        else:  # none yet, or an earlier document's
            heading = Heading(document.path, document.head.lineage)
            self._replace(file, [encode_heading(document.identity, heading), frame])

    def _shrink_versions(self, document: _Document) -> None:
        """Write the file of versions anew once half of it means nothing any more."""
        file = file_of(self._folder, document.path, VERSIONS)
        versions = read_versions(file, document.identity)
        if versions.dead_bytes * 2 < versions.end:
            return
        data = file.read_bytes()
        heading = Heading(document.path, document.head.lineage)
        content = [encode_heading(document.identity, heading)]
        for one in versions.kept:
            content.append(data[one.offset : one.offset + one.size])
            rename = VersionText(one.version.id, name=one.version.name)
            text = msgspec.json.encode(rename)
            content.append(encode_frame(document.identity, Kind.RENAME, 0, 0.0, text, b""))
        self._replace(file, content)


def _is_in_place(document: _Document) -> bool:
    """Whether the file that is known still stands there: somebody may have moved the folder away."""
    try:
        found = os.stat(document.file)
    except OSError:
        return False
    return found.st_ino == document.inode and found.st_size >= document.length


def _record_frame(identity: bytes, record: Record) -> bytes:
    user = record.user.encode()
    return encode_frame(identity, Kind.RECORD, record.number, record.time, user, record.update)


def _lost_frames(file: Path, log: Log, number: int) -> list[bytes]:
    """What could not be read, as it stands, with how many records up to `number` that was."""
    covered = sum(record.number <= number for record in log.records)
    lost = number - log.heading.snapshot_number - covered + log.lost_before
    pieces = [piece for known, piece in _damaged(file, log) if known <= number]
    if lost <= 0 and not pieces and not log.aside:
        return []
    aside = b"".join((log.aside, *pieces))[:TORN_BYTES]
    return [encode_frame(log.identity, Kind.DAMAGED, max(lost, 0), 0.0, b"", aside)]


def _tail_frames(file: Path, log: Log, number: int) -> list[bytes]:
    """What stands behind `number`, in order. A damaged record keeps its place, and so its number."""
    sound = [
        (record.number, _record_frame(log.identity, record))
        for record in log.records
        if record.number > number
    ]
    damaged = [(known, piece) for known, piece in _damaged(file, log) if known > number]
    return [frame for _, frame in sorted(sound + damaged)]


def _damaged(file: Path, log: Log) -> list[tuple[int, bytes]]:
    """What could not be read, with its number where that is known, else 0."""
    with file.open("rb") as stream:
        return [
            (damage.number or 0, os.pread(stream.fileno(), damage.size, damage.offset))
            for damage in log.damaged
        ]


def _remove(file: Path) -> None:
    """Remove what nobody reads any more; when that fails, it stays."""
    with suppress(OSError):
        file.unlink(missing_ok=True)
