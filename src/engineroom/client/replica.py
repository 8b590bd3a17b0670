"""The replica: a document of ours, what it has to say to a server, and what it takes in.

Decides everything and does no I/O: messages go in, frames come out in the order in which they are to be sent. It lives
longer than a connection. What is changed offline is not kept piece by piece: the document holds it, and the answer to
the server's next Step 1 carries it.

After a connection is made, nothing is sent but Step 1 and presence until the server has asked for what it lacks. So
no update reaches it before what it depends on.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, TypeAlias

from pycrdt import Awareness, Doc, Subscription, TransactionEvent, merge_updates

from engineroom.errors import AccessDenied, ProtocolError
from engineroom.protocols.condense import quick_pieces
from engineroom.protocols.lib0 import Reader
from engineroom.protocols.messages import (
    AwarenessUpdate,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
)
from engineroom.protocols.updates import read_state_vector
from engineroom.protocols.yjs import YjsDialect

from .ledger import EMPTY_UPDATE, Ledger
from .presence import SharedPresence

MAX_PENDING_BYTES: Final = 1 << 20
"""Updates that wait to be sent; past it they give way to one difference."""

_AUTH: Final = 2
_DENIED: Final = 0
_EMPTY_STATE_VECTOR: Final = b"\x00"

Incoming: TypeAlias = SyncStep1 | SyncStep2 | SyncUpdate | AwarenessUpdate | QueryAwareness


class Replica:
    """`document` and `awareness`, followed while `with` lasts. `changed` is called when anything here is news."""

    def __init__(
        self, document: Doc[Any], awareness: Awareness, changed: Callable[[], None]
    ) -> None:
        self.document = document
        self.presence = SharedPresence(awareness, changed)
        self.ledger = Ledger()
        self.connected = False
        self.synced = False
        self.refusal = ""
        self._changed = changed
        self._dialect = YjsDialect()
        self._frames: list[bytes] = []
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._pending_since = _EMPTY_STATE_VECTOR
        self._collapsed = False
        self._asked = False
        self._sending = False
        self._applying = False
        self._subscription: Subscription | None = None
        if document.get_state() != _EMPTY_STATE_VECTOR:
            self.ledger.change()  # what it holds already

    def __enter__(self) -> Replica:
        self._subscription = self.document.observe(self._observed)
        self.presence.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.presence.__exit__(kind, error, trace)
        if self._subscription is not None:
            self.document.unobserve(self._subscription)
            self._subscription = None

    # --- connections -------------------------------------------------------------------------

    def connect(self) -> None:
        """A connection is there."""
        self.connected = True
        self._say(SyncStep1(self.document.get_state()))
        self.presence.connected()
        self._changed()

    def disconnect(self) -> None:
        """The connection is gone. Safe to call twice."""
        self.connected = self.synced = self._asked = self._sending = False
        self.refusal = ""
        self._frames.clear()
        self._drop_pending()
        self.ledger.disconnected()
        self.presence.disconnected()
        self._changed()

    def goodbye(self) -> None:
        """Tell the others that we go."""
        farewell = self.presence.goodbye()
        if self.connected and farewell is not None:
            self._say(farewell)
            self._changed()

    # --- what comes in -----------------------------------------------------------------------

    def read(self, frame: bytes) -> Incoming | None:
        """The message in a frame; None for one that is not for us.

        Raises:
            ProtocolError: it does not follow the dialect.
        """
        if frame[:1] == bytes([_AUTH]):
            self._read_denial(frame)
            return None
        message = self._dialect.decode(frame)
        match message:
            case SyncStep1() | SyncStep2() | SyncUpdate() | AwarenessUpdate() | QueryAwareness():
                return message
        return None

    def receive(self, message: Incoming) -> None:
        """Take in a message whose update, if it has one, `protocols.updates` has read.

        Raises:
            ProtocolError: it cannot be applied.
        """
        match message:
            case SyncStep1(state_vector):
                self._answer(state_vector)
            case SyncStep2(update):
                self._apply(update)
                self.synced = True
            case SyncUpdate(update):
                if not self.ledger.echoed(update):
                    self._apply(update)
            case AwarenessUpdate():
                self.presence.receive(message)
            case QueryAwareness():
                self.presence.renew()
        self._changed()

    def check(self) -> None:
        """Whether changes may still become durable on this connection.

        Raises:
            AccessDenied: the server refused one.
        """
        if self.refusal:
            raise AccessDenied(self.refusal)

    def _read_denial(self, frame: bytes) -> None:
        """Source: y-protocols `auth.js`. JupyterLab's type 2 is none, and passes."""
        if frame[1:2] == bytes([_DENIED]):
            reader = Reader(frame, 2)
            self.refusal = reader.var_string() or "The server refused a change."
            self._changed()

    def _answer(self, state_vector: bytes) -> None:
        """All that the server lacks; what was about to be sent is in it."""
        read_state_vector(state_vector)
        self._drop_pending()
        self._asked = True
        first, *rest = self.ledger.sent(self.document.get_update(state_vector))
        self._say(SyncStep2(first))
        for update in rest:
            self._say(SyncUpdate(update))

    def _apply(self, update: bytes) -> None:
        if update == EMPTY_UPDATE:
            return
        self._applying = True
        try:
            for piece in quick_pieces(update):
                self.document.apply_update(piece)
        except BaseException as error:
            # pycrdt's PanicException is no Exception, and is not exported.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            reason = f"an update cannot be applied to this document: {error}"
            raise ProtocolError(reason) from error
        finally:
            self._applying = False

    # --- what goes out -----------------------------------------------------------------------

    @property
    def talkative(self) -> bool:
        """Whether there is something to be taken and sent."""
        return bool(self._frames or self._pending or self.presence.has_news)

    @property
    def idle(self) -> bool:
        """Whether everything has been taken and sent."""
        return not self._sending and not self.talkative

    def take_frames(self) -> list[bytes]:
        """What is to be sent now, in order; `sent` follows. Changes of one turn of the event loop go as one update."""
        if self._pending:
            for update in self.ledger.sent(self._take_pending()):
                self._say(SyncUpdate(update))
        news = self.presence.take_news()
        if news is not None:
            self._say(news)
        frames, self._frames = self._frames, []
        self._sending = bool(frames)
        return frames

    def sent(self) -> None:
        """What was taken has been sent."""
        self._sending = False
        self._changed()

    def _observed(self, event: TransactionEvent) -> None:
        if self._applying:
            return
        self.ledger.change()
        if self._asked:  # else the answer to Step 1 will hold it
            if not self._pending:
                self._pending_since = event.before_state  # type: ignore[attr-defined]
            self._pending.append(event.update)
            self._pending_bytes += len(event.update)
            if self._pending_bytes > MAX_PENDING_BYTES:
                self._pending, self._pending_bytes = self._pending[:1], 0
                self._collapsed = True  # the document holds it all
        self._changed()

    def _take_pending(self) -> bytes:
        pending, collapsed = self._pending, self._collapsed
        self._drop_pending()
        if collapsed:
            return self.document.get_update(self._pending_since)
        return pending[0] if len(pending) == 1 else merge_updates(*pending)

    def _drop_pending(self) -> None:
        self._pending, self._pending_bytes, self._collapsed = [], 0, False

    def _say(self, message: Incoming) -> None:
        frame = self._dialect.encode(message)
        assert frame is not None, "the Yjs dialect has words for all of these"
        self._frames.append(frame)
