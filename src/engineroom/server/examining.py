"""Opening stored documents away from here: in a process of its own, with a time limit.

What is stored may be poison: pycrdt may panic on it, abort the process, or never return. A child
opens one document after another and answers with what came of it; when it dies or takes too long,
that document is told, and the next one gets a new child. Nothing is written here.
"""

from __future__ import annotations

import multiprocessing
import resource
import secrets
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

from engineroom.errors import AddressError, EngineroomError
from engineroom.rooms.storage import StoredDocument

SECONDS = 60.0
STACK_BYTES = 112 << 20  # a server's, see server.run


class ExaminationFailed(EngineroomError):
    """The document could not be opened."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A document that was opened: `encoding` is the whole of it as one update (V1).

    `refused` are the numbers of records that could not be applied (0: the snapshot), `waiting` how
    many updates wait for others that are missing. `whole` tells whether the encoding carries all
    that the document names, so that it may stand in the log's place, with `notes`.
    """

    encoding: bytes
    notes: bytes
    refused: tuple[int, ...]
    waiting: int
    whole: bool

    @property
    def replaceable(self) -> bool:
        """Whether the encoding may take the place of the log."""
        return self.whole and not self.refused and not self.waiting


class Examiner:
    """`with Examiner() as examiner`. One call at a time; it waits, so call it from a thread."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._child: SpawnProcess | None = None
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def examine(self, path: str, stored: StoredDocument) -> Examined:
        """Open a document.

        Raises:
            ExaminationFailed: it could not be opened, or not in time.
        """
        connection = self._connected()
        try:
            connection.send((path, stored))
            if not connection.poll(self._seconds):
                self._end()
                raise ExaminationFailed(f"it does not open within {self._seconds:g} s")
            answer = connection.recv()
        except (EOFError, OSError) as error:
            child = self._child
            self._end()
            code = child.exitcode if child is not None else None
            raise ExaminationFailed(f"opening it ends the process (status {code})") from error
        if not isinstance(answer, Examined):
            raise ExaminationFailed(f"it does not open: {answer}")
        return answer

    def _connected(self) -> Connection:
        if self._connection is None:
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._child = context.Process(
                target=serve, args=(theirs,), name="engineroom-examiner", daemon=True
            )
            self._child.start()
            theirs.close()
        return self._connection

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._child is not None:
            self._child.kill()
            self._child.join()
        self._child = self._connection = None


def serve(connection: Connection) -> None:
    """The child: answers until nobody asks any more."""
    _raise_stack()
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            path, stored = connection.recv()
            try:
                answer: Examined | str = examine(path, stored)
            except BaseException as error:  # a panic of pycrdt is no Exception
                answer = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            connection.send(answer)


def examine(path: str, stored: StoredDocument) -> Examined:
    """Open a document here."""
    from engineroom.protocols.updates import is_whole
    from engineroom.rooms.address import Address
    from engineroom.rooms.limits import RoomLimits
    from engineroom.rooms.loading import open_room
    from engineroom.rooms.notes import decode_notes, encode_notes
    from engineroom.rooms.plan import Plan

    try:
        address = Address.parse(path)
    except AddressError:
        address = Address(None, path)
    client = secrets.randbits(32) or 1
    opened = open_room(
        address, Plan(), stored, client_id=client, lineage=stored.lineage, limits=RoomLimits()
    )
    document = opened.room.document
    encoding = document.encoded()
    notes = decode_notes(stored.notes)
    notes.authors = opened.room.authors.notes()
    whole = is_whole(encoding, document.state_vector())
    return Examined(encoding, encode_notes(notes), opened.refused, document.waiting, whole)


def _raise_stack() -> None:
    """As much stack as a server has: shared types that are nested deep are freed recursively."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    wanted = STACK_BYTES if hard == resource.RLIM_INFINITY else min(hard, STACK_BYTES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))
