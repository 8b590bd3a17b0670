"""What the admin page shows: the server, its rooms, their members, as plain structs.

It reads statistics and decides nothing. Lists are bounded: a page shows the rooms that matter most by the chosen
order, and says how many there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from engineroom import __version__
from engineroom.rooms.address import Address
from engineroom.rooms.members import MemberInfo
from engineroom.rooms.open_room import RoomStatistics

from .health import Health
from .metrics import Sources
from .webhooks.opening import Webhooks, WebhookStatistics
from .webhooks.queue import Delivery

Order: TypeAlias = Literal["address", "members", "document_bytes", "unstored_seconds"]

MAX_ROOMS = 200
MAX_MEMBERS = 500
MAX_DEAD = 100


class RoomLine(msgspec.Struct, frozen=True):
    """One open room. Sizes in bytes, `opened` in seconds since the epoch."""

    address: str
    members: int
    document_bytes: int
    newest_number: int
    durable_number: int
    unstored_bytes: int
    unstored_seconds: float
    waiting_updates: int
    failing: str
    opened: float


class MemberLine(msgspec.Struct, frozen=True):
    """One member of a room."""

    id: int
    user: str
    name: str
    rights: list[str]
    dialect: str
    source: str
    since: float


class HookLine(msgspec.Struct, frozen=True):
    """A webhook as it is stated, without its secret and without the path of its URL."""

    host: str
    rooms: str
    events: list[str]


class DeadLetter(msgspec.Struct, frozen=True):
    """A delivery that was given up."""

    number: int
    host: str
    event: str
    document: str
    made: float
    attempts: int
    error: str


class WebhooksView(msgspec.Struct, frozen=True):
    """The webhooks, their queue, and what was given up."""

    hooks: list[HookLine]
    statistics: WebhookStatistics
    dead: list[DeadLetter]


class ServerView(msgspec.Struct, frozen=True):
    """The answer of `GET /-/admin/state`. `counters` only grow: rates are theirs between two answers. `time` and
    `started` are seconds since the epoch; `rooms` are those shown, of `room_count` in all.
    """

    version: str
    time: float
    started: float
    status: str
    checks: dict[str, str]
    loop_lag_seconds: float
    member_count: int
    room_count: int
    rooms: list[RoomLine]
    counters: dict[str, int]
    closes: dict[str, int]
    limits: dict[str, int]
    webhooks: WebhooksView | None


class RoomView(msgspec.Struct, frozen=True):
    """The answer of `GET /-/admin/rooms/{address}`: its line (null: it is not open) and its members."""

    room: RoomLine | None
    member_count: int
    members: list[MemberLine]


COUNTERS = (
    "messages_received", "bytes_received", "updates_applied", "updates_refused",
    "acknowledgements", "deliveries", "bytes_sent", "appends", "append_failures", "compactions",
    "quarantined", "rooms_opened", "rooms_failed", "joins", "leaves",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AdminView:
    """Looks at the parts of a server."""

    sources: Sources
    health: Health
    members_of: Callable[[Address], Sequence[MemberInfo]]
    webhooks: Webhooks | None
    started: float

    async def server(self, order: Order, prefix: str) -> ServerView:
        """The whole server, with the rooms whose address begins with `prefix`."""
        rooms = self.sources.rooms.statistics()
        readiness = await self.health.readiness()
        counters = self.sources.rooms.counters
        limits = dict(counters.limits)
        for name, count in self.sources.limits.items():
            limits[name] = limits.get(name, 0) + count
        return ServerView(
            version=__version__,
            time=time.time(),
            started=self.started,
            status=readiness.status,
            checks={name: str(verdict) for name, verdict in readiness.checks.items()},
            loop_lag_seconds=self.sources.lag.worst_seconds,
            member_count=sum(each.members for each in rooms),
            room_count=len(rooms),
            rooms=_shown(rooms, order, prefix),
            counters={name: getattr(counters, name) for name in COUNTERS},
            closes={str(int(code)): count for code, count in sorted(counters.closes.items())},
            limits=dict(sorted(limits.items())),
            webhooks=None if self.webhooks is None else await _webhooks(self.webhooks),
        )

    def room(self, address: Address) -> RoomView:
        """One room with its members, in the order in which they came."""
        path = str(address)
        line = next((r for r in self.sources.rooms.statistics() if r.address == path), None)
        members = self.members_of(address)
        lines = [_member(each) for each in members[:MAX_MEMBERS]]
        return RoomView(None if line is None else _room(line), len(members), lines)


def _shown(rooms: Sequence[RoomStatistics], order: Order, prefix: str) -> list[RoomLine]:
    found = [each for each in rooms if each.address.startswith(prefix)]
    if order != "address":
        found.sort(key=lambda each: (-getattr(each, order), each.address))
    # Failing ones are seen whatever the order is.
    found.sort(key=lambda each: not each.failing)
    return [_room(each) for each in found[:MAX_ROOMS]]


def _room(room: RoomStatistics) -> RoomLine:
    return RoomLine(
        address=room.address,
        members=room.members,
        document_bytes=room.document_bytes,
        newest_number=room.newest_number,
        durable_number=room.durable_number,
        unstored_bytes=room.unstored_bytes,
        unstored_seconds=room.unstored_seconds,
        waiting_updates=room.waiting_updates,
        failing=room.failing,
        opened=room.opened,
    )


def _member(member: MemberInfo) -> MemberLine:
    return MemberLine(
        id=member.id,
        user=member.user.id,
        name=member.user.name,
        rights=member.access.rights,
        dialect=member.dialect,
        source=member.source,
        since=member.since,
    )


async def _webhooks(webhooks: Webhooks) -> WebhooksView:
    hosts = {each.id: each.host for each in webhooks.subscriptions}
    dead = await webhooks.queue.dead_letters(MAX_DEAD)
    return WebhooksView(
        hooks=[
            HookLine(each.host, each.rooms, list(each.events)) for each in webhooks.subscriptions
        ],
        statistics=webhooks.statistics(),
        dead=[_dead(each, hosts) for each in dead],
    )


def _dead(delivery: Delivery, hosts: dict[str, str]) -> DeadLetter:
    return DeadLetter(
        number=delivery.number,
        host=hosts.get(delivery.webhook, "a webhook that is no longer stated"),
        event=delivery.event,
        document=delivery.document,
        made=delivery.made,
        attempts=delivery.attempts,
        error=delivery.error,
    )
