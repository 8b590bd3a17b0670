"""Reading the file store's files. It changes nothing: the writer's thread repairs.

A file is opened, read and closed: what a compaction puts in its place meanwhile is not seen by
halves.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import msgspec

from engineroom.errors import StoreError
from engineroom.rooms.storage import DocumentInfo, Record, StoredDocument, Version
from engineroom.stores.file_format import (
    Damage,
    Frame,
    Heading,
    Held,
    Kind,
    Torn,
    decode_heading,
    read_frames,
)
from engineroom.stores.file_names import HISTORY, LOG, VERSIONS, file_of
from engineroom.stores.promises import check_path


class VersionText(msgspec.Struct, frozen=True):
    """What describes a version in its frame, beside number, time and encoding."""

    id: str
    kind: str = ""
    name: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """A document's log. `end` is where its last whole frame ends, `torn` how many bytes stand
    behind it. `damaged` are the places of what could not be read; of what was lost before the last
    compaction, `lost_before` is how many records, `aside` the bytes.
    """

    identity: bytes
    heading: Heading
    snapshot: bytes | None
    notes: bytes
    records: tuple[Record, ...]
    last_number: int
    lost_before: int
    aside: bytes
    damaged: tuple[Damage, ...]
    end: int
    torn: int

    @property
    def document(self) -> StoredDocument:
        """What a load answers. Lost records are counted by the numbers that are missing."""
        number = self.heading.snapshot_number
        lost = self.last_number - number - len(self.records) + self.lost_before
        return StoredDocument(
            self.heading.lineage,
            self.snapshot,
            number,
            self.records,
            self.last_number,
            lost,
            self.notes,
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """A version in its file: where its encoding's frame stands."""

    version: Version
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Versions:
    """A file of versions. `dead_bytes` are those of frames that mean nothing any more."""

    kept: tuple[Kept, ...]
    end: int
    dead_bytes: int


class Opened:
    """An open file as a `Source`."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Less than `size` bytes at the file's end."""
        return os.pread(self.descriptor, size, offset)


@dataclass(frozen=True, slots=True)
class FileReader:
    """The files below `folder`, to read. Any thread may call it, several at a time.

    Every call raises `StoreError` when a file cannot be read.
    """

    folder: Path

    def document(self, path: str) -> Log | None:
        """The document's log, None when there is none.

        Raises:
            StoreError: its beginning or its snapshot is damaged.
        """
        check_path(path)
        return read_log(file_of(self.folder, path, LOG), path)

    def documents(self, prefix: str) -> list[DocumentInfo]:
        """All documents whose path begins with `prefix`, by path."""
        with reading(self.folder):
            names = [name for name in os.listdir(self.folder) if name.endswith(LOG)]
        found = (self._describe(self.folder / name, prefix) for name in names)
        return sorted((info for info in found if info is not None), key=lambda info: info.path)

    def history(self, path: str, after: int, limit: int) -> list[Record]:
        """The oldest `limit` sound records with a number above `after`."""
        log = self.document(path)
        if log is None:
            return []
        known = {
            record.number: record
            for record in read_history(file_of(self.folder, path, HISTORY), log)
        }
        known |= {record.number: record for record in log.records}
        return [known[number] for number in sorted(known) if number > after][:limit]

    def versions(self, path: str) -> list[Version]:
        """The versions of a document, oldest first."""
        log = self.document(path)
        if log is None:
            return []
        file = file_of(self.folder, path, VERSIONS)
        return [kept.version for kept in read_versions(file, log.identity).kept]

    def version(self, path: str, version: str) -> bytes | None:
        """The encoding of a version.

        Raises:
            StoreError: it is damaged.
        """
        log = self.document(path)
        if log is None:
            return None
        file = file_of(self.folder, path, VERSIONS)
        for kept in read_versions(file, log.identity).kept:
            if kept.version.id == version:
                return _read_encoding(file, log.identity, kept)
        return None

    def _describe(self, file: Path, prefix: str) -> DocumentInfo | None:
        """A line of the list, None when the path begins otherwise or the file has just gone."""
        with opened(file) as source:
            if source is None:
                return None
            identity, heading, start = decode_heading(source)
            if not heading.path.startswith(prefix):
                return None
            frames = list(read_frames(source, start, identity, heads_only=True))
        number, changed, size = heading.snapshot_number, heading.changed, 0
        for frame in frames:
            if isinstance(frame, Frame) and frame.kind is Kind.RECORD:
                number, changed = frame.number, frame.time
            if isinstance(frame, Frame) and frame.kind is not Kind.DAMAGED:
                size += frame.second_bytes
                size += frame.first_bytes if frame.kind is Kind.SNAPSHOT else 0
        size += self._beside(identity, heading)
        return DocumentInfo(
            heading.path, heading.lineage, number, heading.snapshot_number, size, changed
        )

    def _beside(self, identity: bytes, heading: Heading) -> int:
        """Bytes of history and versions."""
        versions = read_versions(file_of(self.folder, heading.path, VERSIONS), identity)
        size = sum(kept.version.bytes for kept in versions.kept)
        with opened(file_of(self.folder, heading.path, HISTORY)) as source:
            start = _frames_of(source, identity)
            if source is None or start is None:
                return size
            frames = read_frames(source, start, identity, heads_only=True)
            return size + sum(frame.second_bytes for frame in _history(frames, heading))


def read_log(file: Path, path: str) -> Log | None:
    """The log in `file`, None when there is no such file.

    Raises:
        StoreError: it cannot be read, is of another document, or its snapshot is damaged.
    """
    with opened(file) as source:
        if source is None:
            if not file.parent.is_dir():
                raise StoreError(f"cannot read the store: {file.parent} is gone; bring it back")
            return None
        held = Held(source.read(0, source.size))
    return parse_log(held, path, str(file))


def parse_log(held: Held, path: str, place: str) -> Log:
    """The log in memory; `place` is where it comes from, for errors.

    Raises:
        StoreError: it is of another document, or its beginning or its snapshot is damaged.
    """
    identity, heading, start = _heading_of(held, place)
    if heading.path != path:
        raise StoreError(f"{place} is of document {heading.path!r}, not of {path!r}: move it away")
    frames = list(read_frames(held, start, identity))
    snapshot, notes = _snapshot_of(frames, heading, place)
    records: list[Record] = []
    last = heading.snapshot_number
    for frame in frames:
        if isinstance(frame, Frame) and frame.kind is Kind.RECORD and frame.number > last:
            records.append(record_of(frame))
        if isinstance(frame, Damage) or (isinstance(frame, Frame) and frame.kind is Kind.RECORD):
            last = max(last, frame.number or 0)
    before = [f for f in frames if isinstance(f, Frame) and f.kind is Kind.DAMAGED]
    torn = frames[-1] if frames and isinstance(frames[-1], Torn) else Torn(held.size, 0)
    return Log(
        identity,
        heading,
        snapshot,
        notes,
        tuple(records),
        last,
        sum(frame.number for frame in before),
        b"".join(frame.second for frame in before),
        tuple(frame for frame in frames if isinstance(frame, Damage)),
        torn.offset,
        torn.size,
    )


def read_history(file: Path, log: Log) -> Iterator[Record]:
    """Covered records of `log` that are still kept, in the order of the file; some may come twice."""
    with opened(file) as source:
        start = _frames_of(source, log.identity)
        if source is None or start is None:
            return
        frames = read_frames(source, start, log.identity)
        yield from map(record_of, _history(frames, log.heading))


def read_versions(file: Path, identity: bytes) -> Versions:
    """The versions in `file`; none when there is no such file, or it is an earlier document's."""
    with opened(file) as source:
        start = _frames_of(source, identity)
        if source is None or start is None:
            return Versions((), 0, 0)
        kept: dict[str, Kept] = {}
        end, alive = start, 0
        for frame in read_frames(source, start, identity, heads_only=True):
            if isinstance(frame, Frame):
                text = source.read(frame.offset + frame.size - frame.second_bytes
                                   - frame.first_bytes, frame.first_bytes)  # fmt: skip
                _take_version(kept, frame, text)
                end = frame.offset + frame.size
            elif isinstance(frame, Damage):
                end = frame.offset + frame.size
        alive = sum(one.size for one in kept.values())
        return Versions(tuple(kept.values()), end, end - start - alive)


def record_of(frame: Frame) -> Record:
    """The record in a frame."""
    return Record(frame.number, frame.time, frame.first.decode(), frame.second)


@contextmanager
def opened(file: Path) -> Iterator[Opened | None]:
    """The open file, None when there is none.

    Raises:
        StoreError: it cannot be read.
    """
    with reading(file):
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            yield None
            return
        try:
            yield Opened(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Errors of the operating system as `StoreError`."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot read the store {file}: {error.strerror or error}") from error


def _heading_of(source: Held, place: str) -> tuple[bytes, Heading, int]:
    try:
        return decode_heading(source)
    except StoreError as error:
        raise StoreError(
            f"cannot read {place}: {error}. Nothing was changed: restore the file from a "
            "backup, or move it away"
        ) from error


def _snapshot_of(
    frames: list[Frame | Damage | Torn], heading: Heading, place: str
) -> tuple[bytes | None, bytes]:
    if heading.snapshot_number == 0:
        return None, b""
    frame = frames[0] if frames else None
    if isinstance(frame, Frame) and frame.kind is Kind.SNAPSHOT:
        return frame.second, frame.first
    raise StoreError(
        f"the snapshot of document {heading.path!r} (up to record {heading.snapshot_number}) in "
        f"{place} is damaged. Nothing was changed: restore the file from a backup, or delete the "
        "document"
    )


def _frames_of(source: Opened | None, identity: bytes) -> int | None:
    """Where the frames begin, None when the file is an earlier document's or of no use."""
    if source is None:
        return None
    try:
        own, _, start = decode_heading(source)
    except StoreError:
        return None
    return start if own == identity else None


def _history(frames: Iterable[Frame | Damage | Torn], heading: Heading) -> Iterator[Frame]:
    """The records that a snapshot covers and that are not too old."""
    since = inf if heading.history_since is None else heading.history_since
    for frame in frames:
        if not isinstance(frame, Frame) or frame.kind is not Kind.RECORD:
            continue
        if frame.number <= heading.snapshot_number and frame.time >= since:
            yield frame


def _take_version(kept: dict[str, Kept], frame: Frame, text: bytes) -> None:
    """What a frame says of versions; text that is none (damage) says nothing."""
    try:
        said = msgspec.json.decode(text, type=VersionText)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if frame.kind is Kind.VERSION:
        version = Version(
            said.id, frame.number, frame.time, said.kind, said.name, said.user, frame.second_bytes
        )
        kept[said.id] = Kept(version, frame.offset, frame.size)
    elif frame.kind is Kind.REMOVE:
        kept.pop(said.id, None)
    elif frame.kind is Kind.RENAME and said.id in kept:
        one = kept[said.id]
        kept[said.id] = replace(one, version=replace(one.version, name=said.name))


def _read_encoding(file: Path, identity: bytes, kept: Kept) -> bytes:
    with opened(file) as source:
        data = b"" if source is None else source.read(kept.offset, kept.size)
    for frame in read_frames(Held(data), 0, identity):
        if isinstance(frame, Frame):
            return frame.second
    raise StoreError(
        f"version {kept.version.id!r} in {file} is damaged: restore the file from a backup, or "
        "delete the version"
    )
