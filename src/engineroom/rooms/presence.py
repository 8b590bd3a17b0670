"""Presence: the awareness states of a room's members.

The latest state of a client counts. Updates are coalesced: what changed is told once a tick. Many clients send back
every state they hear; what says nothing new is dropped before any work. The clocks of the departed are kept a
while, or a late echo would bring back their ghosts.

Source: y-protocols awareness (PROTOCOL.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from engineroom.errors import LimitExceeded
from engineroom.protocols.messages import AwarenessState, AwarenessUpdate

from .members import MemberId

GONE_SECONDS = 60.0  # twice the 30 s after which y-protocols' clients forget a silent peer
GONE = "null"


@dataclass(slots=True)
class _Known:
    state: AwarenessState
    member: MemberId | None
    gone_since: float | None


class Presence:
    """Awareness states by client id, at most `max_clients` living ones of at most `max_bytes` in all."""

    def __init__(self, max_clients: int, max_bytes: int) -> None:
        self._known: dict[int, _Known] = {}
        self._changed: dict[int, None] = {}
        self._max_clients = max_clients
        self._max_bytes = max_bytes
        self._living = 0
        self._bytes = 0

    @property
    def changed(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._changed)

    def receive(self, member: MemberId, update: AwarenessUpdate, now: float) -> None:
        """Take in what `member` says.

        Raises:
            LimitExceeded: too many clients or too large states; what came before in the update is taken in.
        """
        for state in update.states:
            known = self._known.get(state.client)
            if known is None:
                if state.state != GONE:
                    self._put(state, member, None)
            elif self._is_news(state, known):
                self._put(state, member, now if state.state == GONE else None)

    @staticmethod
    def _is_news(state: AwarenessState, known: _Known) -> bool:
        if state.clock == known.state.clock:
            return state.state == GONE and known.gone_since is None
        return state.clock > known.state.clock

    def leave(self, member: MemberId, now: float) -> None:
        """Everything that `member` said of itself is gone."""
        for client, known in self._known.items():
            if known.member == member and known.gone_since is None:
                gone = AwarenessState(client, known.state.clock + 1, GONE)
                self._put(gone, None, now)

    def take_changes(self, now: float) -> AwarenessUpdate | None:
        """What has changed since the last call, the latest state of each client; forgets the long departed."""
        if not self._changed:
            return None
        states = tuple(self._known[client].state for client in self._changed)
        self._changed.clear()
        gone = [
            c
            for c, k in self._known.items()
            if k.gone_since is not None and now - k.gone_since > GONE_SECONDS
        ]
        for client in gone:
            del self._known[client]
        return AwarenessUpdate(states)

    def snapshot(self) -> AwarenessUpdate | None:
        """Everybody who is here, for a newcomer."""
        states = tuple(k.state for k in self._known.values() if k.gone_since is None)
        return AwarenessUpdate(states) if states else None

    def user_name(self, member: MemberId) -> str:
        """The name that `member` has given itself, empty when it has none."""
        for known in self._known.values():
            if known.member == member and known.gone_since is None:
                try:
                    return msgspec.json.decode(known.state.state, type=_Named).user.name[:80]
                except msgspec.DecodeError:
                    continue
        return ""

    def _put(
        self, state: AwarenessState, member: MemberId | None, gone_since: float | None
    ) -> None:
        before = self._known.get(state.client)
        was_living = before is not None and before.gone_since is None
        living = self._living - was_living + (gone_since is None)
        size = self._bytes + len(state.state) - (len(before.state.state) if before else 0)
        if gone_since is None and living > self._max_clients:
            raise LimitExceeded("awareness_clients", self._max_clients)
        if gone_since is None and size > self._max_bytes:
            raise LimitExceeded("awareness_bytes", self._max_bytes)
        self._known[state.client] = _Known(state, member, gone_since)
        self._changed[state.client] = None
        self._living, self._bytes = living, size


class _User(msgspec.Struct):
    name: str = ""


class _Named(msgspec.Struct):
    user: _User = msgspec.field(default_factory=_User)
