"""The room's own edits: what the server, not a member, changes in the document.

Each is one transaction, in the order in which they were asked for. An edit that fails is undone and reported; it
harms neither the room nor the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycrdt import Doc

from engineroom.protocols import messages as m

from . import effects as e
from .authors import Authors
from .document import Document, EditFailed
from .log import Log
from .turn import Turn


class Edits:
    """Edits that wait for the room's turn."""

    def __init__(self, document: Document, log: Log, authors: Authors) -> None:
        self._document = document
        self._log = log
        self._authors = authors
        self._waiting: list[e.Edit] = []

    def add(self, change: Callable[[Doc[Any]], object]) -> None:
        """An edit that the room itself wants; nobody waits for its end."""
        self._waiting.append(e.Edit(change))

    def receive(self, edit: e.Edit) -> None:
        """An edit that somebody asked for."""
        self._waiting.append(edit)

    def make_all(self, turn: Turn) -> None:
        """Make what waits."""
        waiting, self._waiting = self._waiting, []
        for edit in waiting:
            self._make(edit, turn)

    def _make(self, edit: e.Edit, turn: Turn) -> None:
        results: list[object] = []
        try:
            update = self._document.edit(lambda doc: results.append(edit.change(doc)))
        except EditFailed as error:
            if edit.ticket:
                cause = error.__cause__
                failure = cause if isinstance(cause, Exception) else error
                turn.effects.append(e.Edited(edit.ticket, self._log.number, None, failure))
            else:
                turn.effects.append(e.Report(f"an edit of the room's own failed: {error}"))
            return
        if update is not None:
            self.tell(update, edit.user, turn)
        if edit.ticket:
            turn.effects.append(e.Edited(edit.ticket, self._log.number, results[0], None))

    def tell(self, update: bytes, user: str, turn: Turn) -> None:
        """What the document has from the server itself: everybody hears of it, and it is stored."""
        turn.mail.to_all(m.SyncUpdate(update))
        turn.changed(None, update)
        client, end = self._document.own
        if end:
            self._authors.wrote(((client, 0, end),), user, turn.now)
        self._log.add(update, user, turn.now)
