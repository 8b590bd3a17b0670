"""One y-sweet socket: what stands between its transport and its room, so that the client is told in time.

The client asks after each change whether it is durable (`66`), and takes a server that is silent for three seconds
for dead. The room answers when it is; here, a question that waits for longer is answered with the newest version
that *is* durable, which says nothing untrue and keeps the client.

A client that reconnects asks before it sends what it changed meanwhile. So its questions wait here until it has
answered the room's Step 1: only then does "all that came before" mean what the client means.
"""

from __future__ import annotations

import asyncio
from typing import Final

from engineroom.protocols.frames import Bundle
from engineroom.protocols.ysweet import is_step2, is_sync_status
from engineroom.rooms.membership import Connection

from .connection import Membership

ANSWER_SECONDS: Final = 2.0
"""After so long the client is told what is durable. It gives up after three."""

MAX_ASKED: Final = 100
"""Questions that may wait in the room. Of those beyond it the newest counts, which says all that the others do."""


class YSweetSocket:
    """A `Membership` for its transport, and the `Connection` of its member; `membership` is set once it has joined."""

    membership: Membership

    def __init__(self, connection: Connection, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._connection = connection
        self._answer_seconds = answer_seconds
        self._alarm: asyncio.TimerHandle | None = None
        self._asked = 0
        self._held: bytes | None = None
        self._durable: bytes | None = None
        self._is_synced = False
        self._is_paused = False

    # --- the transport's side ----------------------------------------------------------------

    def receive(self, frame: bytes) -> None:
        """A whole binary message."""
        if is_sync_status(frame):
            self._ask(frame)
            return
        self.membership.receive(frame)
        if not self._is_synced and is_step2(frame):
            self._is_synced = True
            self._pass_held_on()

    def paused(self) -> None:
        """What waits to be written has crossed the high mark."""
        self._is_paused = True
        self.membership.paused()

    def resumed(self) -> None:
        """What waits to be written has fallen below the low mark."""
        self._is_paused = False
        self.membership.resumed()

    def leave(self) -> None:
        """The socket is gone. Safe to call twice."""
        self._stop_alarm()
        self.membership.leave()

    # --- the room's side ---------------------------------------------------------------------

    def send(self, bundle: Bundle) -> None:
        """What the room says; its answers are counted."""
        answers = [payload for payload in bundle.payloads if is_sync_status(payload)]
        if answers:
            self._asked -= len(answers)
            self._durable = answers[-1]
            self._pass_held_on()
            if not self._asked:
                self._stop_alarm()
        self._connection.send(bundle)

    def close(self, code: int, reason: str) -> None:
        """Close after what has been sent."""
        self._stop_alarm()
        self._connection.close(code, reason)

    def hold(self) -> None:
        """Read no further."""
        self._connection.hold()

    def release(self) -> None:
        """Read on."""
        self._connection.release()

    # --- within ------------------------------------------------------------------------------

    def _ask(self, frame: bytes) -> None:
        if self._is_synced and self._asked < MAX_ASKED:
            self._asked += 1
            self.membership.receive(frame)
        else:
            self._held = frame
        if self._alarm is None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(self._answer_seconds, self._tell)

    def _pass_held_on(self) -> None:
        if self._held is not None:
            frame, self._held = self._held, None
            self._asked += 1
            self.membership.receive(frame)

    def _tell(self) -> None:
        self._alarm = None
        if self._durable is not None and not self._is_paused:
            self._connection.send(Bundle((self._durable,)))

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
