"""What happens in rooms, gathered into events for webhooks.

Part of the rooms' hooks: called in the event loop, returns at once, and hands what is to be told to a task that
writes it into the queue. Changes of one document are gathered until it has been quiet for a while. A change counts
when it is durable: who is told of it can read it.

Memory is bounded by the documents that changed in the last seconds; of members, the first `MAX_USERS` are named.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from engineroom.rooms.address import Address
from engineroom.rooms.hooks import Hooks
from engineroom.rooms.members import Access, MemberInfo

from .queue import Letter
from .subscription import Event, Webhook

MAX_USERS = 100
MAX_LETTERS = 10_000  # that wait for a queue which cannot be written
MAX_NEW = 10_000  # addresses that were opened and hold nothing yet; past it the oldest is forgotten


class MemberFacts(msgspec.Struct, frozen=True):
    """The member of a join or a leave."""

    id: int
    user: str
    name: str
    dialect: str


class EventData(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event says. `number` is the document's newest number, `users` who changed it since the last event."""

    address: str
    number: int = 0
    users: list[str] = []
    member: MemberFacts | None = None


class EventBody(msgspec.Struct, frozen=True):
    """The body of a delivery; `timestamp` is when it happened, in ISO 8601."""

    type: str
    timestamp: str
    data: EventData


@dataclass(slots=True)
class _Change:
    """A document that changed: since when, what is durable of it, who did it."""

    first: float
    last: float
    number: int = 0
    created: bool = False
    users: dict[str, None] = field(default_factory=dict)


class Watch(Hooks):
    """Hooks that make events. `put` takes letters, and `wake` says that there are some, at the latest at `due`."""

    def __init__(
        self, webhooks: Sequence[Webhook], *, clock: Callable[[], float], now: Callable[[], float]
    ) -> None:
        """`clock` counts seconds, `now` gives the seconds since the epoch."""
        self._webhooks = webhooks
        self._clock = clock
        self._now = now
        self._changes: dict[tuple[str, str], _Change] = {}
        self._new: dict[str, None] = {}
        self._users: dict[str, dict[str, None]] = {}
        self._letters: list[Letter] = []
        self.news = asyncio.Event()

    # --- hooks -------------------------------------------------------------------------------

    async def on_load(self, address: Address) -> bytes | None:
        """The store has no such document: its first record creates it."""
        self._new[str(address)] = None
        if len(self._new) > MAX_NEW:
            del self._new[next(iter(self._new))]
        return None

    def on_change(self, address: Address, member: MemberInfo | None, update: bytes) -> None:
        """Somebody has changed it; told when it is durable."""
        path = str(address)
        if member is not None and self._covered(path):
            users = self._users.setdefault(path, {})
            if len(users) < MAX_USERS:
                users[member.user.id] = None

    def on_store(self, address: Address, number: int) -> None:
        """All up to `number` is durable."""
        path, now = str(address), self._clock()
        created = path in self._new
        self._new.pop(path, None)
        users = self._users.pop(path, {})
        for webhook in self._webhooks:
            if webhook.wants("change", path) or (created and webhook.wants("create", path)):
                change = self._changes.setdefault((webhook.id, path), _Change(now, now))
                change.last, change.number = now, number
                change.created = change.created or created
                if len(change.users) < MAX_USERS:
                    change.users |= users
        self.news.set()

    def on_join(self, address: Address, member: MemberInfo) -> None:
        """A member has come in."""
        self._tell("join", str(address), member=_facts(member))

    def on_leave(self, address: Address, member: MemberInfo) -> None:
        """A member is gone. Who left without a change leaves nothing here."""
        self._tell("leave", str(address), member=_facts(member))

    # --- the server's side -------------------------------------------------------------------

    def deleted(self, address: Address) -> None:
        """The document was deleted."""
        path = str(address)
        self._new.pop(path, None)
        self._users.pop(path, None)
        for webhook in self._webhooks:
            self._changes.pop((webhook.id, path), None)
        self._tell("delete", path, mark=0)

    def missed(self, webhook: Webhook, path: str, *, number: int, mark: int) -> None:
        """A document is newer than what `webhook` was told of it, at the server's start."""
        if not mark and webhook.wants("create", path):
            self._write(webhook, "create", path, EventData(path, number), number)
        if webhook.wants("change", path):
            self._write(webhook, "change", path, EventData(path, number), number)

    def missed_deletion(self, webhook: Webhook, path: str) -> None:
        """A document is gone, and `webhook` was not told."""
        if webhook.wants("delete", path):
            self._write(webhook, "delete", path, EventData(path), 0)

    def take(self, *, everything: bool = False) -> tuple[list[Letter], float | None]:
        """The letters that are ready, and in how many seconds the next ones are (None: nothing waits).

        With `everything`, changes that are still gathered too.
        """
        now = self._clock()
        soonest: float | None = None
        for (hook, path), change in list(self._changes.items()):
            webhook = next(each for each in self._webhooks if each.id == hook)
            quiet = change.last + webhook.debounce_seconds
            due = min(quiet, change.first + webhook.max_wait_seconds)
            if due <= now or everything:
                del self._changes[hook, path]
                self._write_change(webhook, path, change)
            else:
                soonest = due if soonest is None else min(soonest, due)
        letters, self._letters = self._letters, []
        return letters, None if soonest is None else soonest - now

    def give_back(self, letters: Sequence[Letter]) -> int:
        """Letters that could not be queued: they go first, next time. How many there is no place for."""
        self._letters[:0] = letters
        left_out = len(self._letters) - MAX_LETTERS
        del self._letters[MAX_LETTERS:]
        return max(0, left_out)

    # --- inside ------------------------------------------------------------------------------

    def _covered(self, path: str) -> bool:
        return any(webhook.wants("change", path) for webhook in self._webhooks)

    def _write_change(self, webhook: Webhook, path: str, change: _Change) -> None:
        data = EventData(path, change.number, users=list(change.users))
        if change.created and webhook.wants("create", path):
            self._write(webhook, "create", path, data, change.number)
        if webhook.wants("change", path):
            self._write(webhook, "change", path, data, change.number)

    def _tell(
        self,
        event: Event,
        path: str,
        *,
        member: MemberFacts | None = None,
        mark: int | None = None,
    ) -> None:
        for webhook in self._webhooks:
            if webhook.wants(event, path):
                self._write(webhook, event, path, EventData(path, member=member), mark)
        self.news.set()

    def _write(
        self, webhook: Webhook, event: Event, path: str, data: EventData, mark: int | None
    ) -> None:
        moment = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        body = msgspec.json.encode(EventBody(event, moment, data))
        delivery = "msg_" + secrets.token_hex(12)
        self._letters.append(Letter(webhook.id, delivery, event, path, body, mark))


class JoinedHooks(Hooks):
    """The server's own hooks before the application's."""

    def __init__(self, own: Hooks, application: Hooks) -> None:
        self._all = (own, application)

    async def on_connect(self, request: Any, address: Address, access: Access) -> Access:
        """What all of them let a member do."""
        for hooks in self._all:
            access = await hooks.on_connect(request, address, access)
        return access

    async def on_load(self, address: Address) -> bytes | None:
        """What the last of them that has something says the document begins with."""
        found = None
        for hooks in self._all:
            found = await hooks.on_load(address) or found
        return found

    def on_join(self, address: Address, member: MemberInfo) -> None:
        """Tells all."""
        for hooks in self._all:
            hooks.on_join(address, member)

    def on_change(self, address: Address, member: MemberInfo | None, update: bytes) -> None:
        """Tells all."""
        for hooks in self._all:
            hooks.on_change(address, member, update)

    def on_store(self, address: Address, number: int) -> None:
        """Tells all."""
        for hooks in self._all:
            hooks.on_store(address, number)

    def on_message(self, address: Address, member: MemberInfo, text: str) -> None:
        """Tells all."""
        for hooks in self._all:
            hooks.on_message(address, member, text)

    def on_leave(self, address: Address, member: MemberInfo) -> None:
        """Tells all."""
        for hooks in self._all:
            hooks.on_leave(address, member)


def _facts(member: MemberInfo) -> MemberFacts:
    return MemberFacts(member.id, member.user.id, member.user.name, member.dialect)
