"""Presence: the awareness states of a room's members.

The latest state of a client counts. Updates are coalesced: what changed is told once a tick. Many clients send back
every state they hear; what says nothing new is dropped before any work. The clocks of the departed are kept a
while, or a late echo would bring back their ghosts.

Source: y-protocols awareness (PROTOCOL.md).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import msgspec

from engineroom.errors import LimitExceeded
from engineroom.protocols.lib0 import MAX_INTEGER
from engineroom.protocols.messages import AwarenessState, AwarenessUpdate

from .allowance import Allowance
from .limits import RoomLimits
from .members import MemberId

GONE_SECONDS = 60.0  # twice the 30 s after which y-protocols' clients forget a silent peer
GONE = "null"


@dataclass(slots=True)
class _Known:
    state: AwarenessState
    member: MemberId | None
    gone_since: float | None


@dataclass(slots=True)
class _Share:
    """Living states, and their bytes."""

    clients: int = 0
    bytes: int = 0

    def add(self, known: _Known, sign: int) -> None:
        self.clients += sign
        self.bytes += sign * len(known.state.state)


class Presence:
    """Awareness states by client id.

    A member that says too much is refused. What is past the room's own bounds is dropped, so that nobody is
    punished for another's presence.
    """

    def __init__(self, limits: RoomLimits) -> None:
        self._limits = limits
        self._known: dict[int, _Known] = {}
        self._gone: dict[int, None] = {}  # the departed, those who left first in front
        self._changed: dict[int, None] = {}
        self._all = _Share()
        self._shares: defaultdict[MemberId, _Share] = defaultdict(_Share)
        self._allowances: dict[MemberId, Allowance] = {}
        self._reached: list[str] = []

    @property
    def changed(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._changed)

    def receive(self, member: MemberId, update: AwarenessUpdate, now: float) -> None:
        """Take in what `member` says.

        Raises:
            LimitExceeded: `member` speaks for too many clients, or says too much or too often; what came before in
            the update is taken in.
        """
        for state in update.states:
            known = self._known.get(state.client)
            if known is None:
                if state.state != GONE:
                    self._count_news(member, now)
                    self._put(state, member, None)
            elif self._is_news(state, known):
                self._count_news(member, now)
                self._put(state, member, now if state.state == GONE else None)

    def take_reached(self) -> list[str]:
        """The room's own bounds at which something was dropped since the last call."""
        reached, self._reached = self._reached, []
        return reached

    def _count_news(self, member: MemberId, now: float) -> None:
        allowance = self._allowances.get(member)
        if allowance is None:
            per_second = self._limits.awareness_per_second
            allowance = self._allowances[member] = Allowance(per_second, now)
        if not allowance.take(1, now):
            raise LimitExceeded("awareness_per_second", self._limits.awareness_per_second)

    @staticmethod
    def _is_news(state: AwarenessState, known: _Known) -> bool:
        if state.clock == known.state.clock:
            return state.state == GONE and known.gone_since is None
        return state.clock > known.state.clock

    def leave(self, member: MemberId, now: float) -> None:
        """Everything that `member` said of itself is gone."""
        for client, known in list(self._known.items()):
            if known.member == member and known.gone_since is None:
                # "Gone" counts with the same clock, too, which the last one that there is needs.
                clock = min(known.state.clock + 1, MAX_INTEGER)
                gone = AwarenessState(client, clock, GONE)
                self._put(gone, None, now)
        self._shares.pop(member, None)
        self._allowances.pop(member, None)

    def take_changes(self, now: float) -> AwarenessUpdate | None:
        """What has changed since the last call, the latest state of each client; forgets the long departed."""
        if not self._changed:
            return None
        states = tuple(self._known[client].state for client in self._changed)
        self._changed.clear()
        while self._gone:
            client = next(iter(self._gone))
            since = self._known[client].gone_since or 0.0
            few = len(self._gone) <= self._limits.awareness_clients
            if few and now - since <= GONE_SECONDS:
                break
            del self._gone[client], self._known[client]
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
        before, now = self._known.get(state.client), _Known(state, member, gone_since)
        if gone_since is None and member is not None and not self._fits(now, member, before):
            return
        if before is not None:
            self._count(before, -1)
        self._known[state.client] = now
        self._changed[state.client] = None
        self._gone.pop(state.client, None)
        if gone_since is not None:
            self._gone[state.client] = None
        self._count(now, 1)

    def _count(self, known: _Known, sign: int) -> None:
        if known.gone_since is None and known.member is not None:
            self._all.add(known, sign)
            self._shares[known.member].add(known, sign)

    def _fits(self, known: _Known, member: MemberId, before: _Known | None) -> bool:
        limits, share = self._limits, self._shares[member]
        size, same = len(known.state.state), 0
        if before is not None and before.gone_since is None and before.member == member:
            size, same = size - len(before.state.state), 1
        if share.clients - same >= limits.member_awareness_clients:
            raise LimitExceeded("member_awareness_clients", limits.member_awareness_clients)
        if share.bytes + size > limits.member_awareness_bytes:
            raise LimitExceeded("member_awareness_bytes", limits.member_awareness_bytes)
        if self._all.clients - same >= limits.awareness_clients:
            self._reached.append("awareness_clients")
        elif self._all.bytes + size > limits.awareness_bytes:
            self._reached.append("awareness_bytes")
        else:
            return True
        return False


class _User(msgspec.Struct):
    name: str = ""


class _Named(msgspec.Struct):
    user: _User = msgspec.field(default_factory=_User)
