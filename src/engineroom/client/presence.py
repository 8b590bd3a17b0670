"""A replica's side of presence: our own state goes out, the others' come in.

Works on a `pycrdt.Awareness`, whose interface users know. We speak for our own client alone: what others say is
never sent back. What comes in was read by the dialect first, and its amount is bounded here.

Source: y-protocols `awareness.js`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from pycrdt import Awareness

from engineroom.errors import ProtocolError
from engineroom.protocols.lib0 import MAX_INTEGER, var_string, var_uint
from engineroom.protocols.messages import AwarenessState, AwarenessUpdate
from engineroom.protocols.yjs import MAX_AWARENESS_STATE_BYTES, MAX_AWARENESS_STATES

RENEW_SECONDS: Final = 15.0
SILENT_SECONDS: Final = 30.0
"""After so long without a word a client is taken for gone. Source: y-protocols `outdatedTimeout`."""

GONE: Final = "null"


class SharedPresence:
    """One `Awareness`, shared while `with` lasts. `changed` is called when there is something to send."""

    def __init__(self, awareness: Awareness, changed: Callable[[], None]) -> None:
        self.awareness = awareness
        self._changed = changed
        self._news: AwarenessState | None = None
        self._connected = False
        self._subscription = ""

    def __enter__(self) -> SharedPresence:
        self._subscription = self.awareness.observe(self._observed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.awareness.unobserve(self._subscription)

    @property
    def has_news(self) -> bool:
        """Whether our own state has changed since it was taken."""
        return self._news is not None

    def take_news(self) -> AwarenessUpdate | None:
        """Our own state, when it has changed since the last call."""
        news, self._news = self._news, None
        return None if news is None else AwarenessUpdate((news,))

    def connected(self) -> None:
        """Tell a server that may remember an earlier connection of ours as gone.

        It keeps the clocks of the departed for a while, and lets only a higher one return. Seconds since the epoch
        are higher than whatever an earlier object with the same client id had counted to.
        """
        self._connected = True
        meta = self.awareness.meta[self.awareness.client_id]
        meta["clock"] = max(meta["clock"] + 2, int(time.time()))
        if self.awareness.get_local_state() is not None:
            with suppress(ValueError, TypeError):  # whoever set it was told
                self._news = self._own()

    def receive(self, update: AwarenessUpdate) -> None:
        """Take in what others say.

        Raises:
            ProtocolError: a state that Python's JSON cannot read.
        """
        known = self.awareness.meta
        states = [
            state
            for state in update.states
            if state.client in known or len(known) < MAX_AWARENESS_STATES
        ]
        body = [var_uint(len(states))]
        for state in states:
            body += (var_uint(state.client), var_uint(state.clock), var_string(state.state))
        try:
            self.awareness.apply_awareness_update(b"".join(body), self)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"an awareness state cannot be read: {error}") from None

    def renew(self) -> None:
        """Say again that we are here, and forget who has been silent for too long."""
        state = self.awareness.get_local_state()
        if state is not None:
            with suppress(ValueError, TypeError):
                self.awareness.set_local_state(state)
        oldest = (time.time() - SILENT_SECONDS) * 1000
        meta = self.awareness.meta
        self._remove([each for each in self._others() if meta[each]["lastUpdated"] < oldest])

    def disconnected(self) -> None:
        """Nobody else is seen any more."""
        self._connected, self._news = False, None
        self._remove(self._others())

    def goodbye(self) -> AwarenessUpdate | None:
        """What says that we are gone; None when we were not there."""
        if self.awareness.get_local_state() is None:
            return None
        meta = self.awareness.meta[self.awareness.client_id]
        meta["clock"] += 1
        return AwarenessUpdate((AwarenessState(self.awareness.client_id, meta["clock"], GONE),))

    def _others(self) -> list[int]:
        return [each for each in self.awareness.states if each != self.awareness.client_id]

    def _remove(self, clients: list[int]) -> None:
        if clients:
            self.awareness.remove_awareness_states(clients, self)

    def _observed(self, topic: str, event: tuple[dict[str, Any], Any]) -> None:
        changes, _origin = event
        mine = self.awareness.client_id
        if topic == "update" and any(mine in clients for clients in changes.values()):
            news = self._own()
            if self._connected:
                self._news = news
                self._changed()

    def _own(self) -> AwarenessState:
        client = self.awareness.client_id
        text = json.dumps(self.awareness.get_local_state(), separators=(",", ":"))
        if len(text) > MAX_AWARENESS_STATE_BYTES:
            raise ValueError(f"a state of awareness has at most {MAX_AWARENESS_STATE_BYTES} bytes")
        clock = min(self.awareness.meta[client]["clock"], MAX_INTEGER)
        return AwarenessState(client, clock, text)
