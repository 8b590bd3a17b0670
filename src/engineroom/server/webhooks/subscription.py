"""A webhook as its operator states it, and which events it is for. Pure."""

from __future__ import annotations

import hashlib
import re
from fnmatch import fnmatchcase
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

Event: TypeAlias = Literal["change", "create", "delete", "join", "leave"]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=86_400)]

MAX_WEBHOOKS = 32
_VISIBLE = re.compile(r"[\x21-\x7e]+")


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table `[[webhooks]]` of the settings.

    `rooms` is a pattern of addresses, in which `*` stands for anything, slashes too. A change is told when a document
    has been quiet for `debounce_seconds`, and after `max_wait_seconds` at the latest.
    """

    url: Annotated[str, Meta(max_length=2_000)]
    secret: Annotated[str, Meta(min_length=16, max_length=500)]
    rooms: Annotated[str, Meta(min_length=1, max_length=255)] = "*"
    events: Annotated[tuple[Event, ...], Meta(min_length=1)] = ("change",)
    debounce_seconds: Seconds = 2.0
    max_wait_seconds: Seconds = 10.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("a webhook's url begins with https:// or http:// and names a host")
        if not _VISIBLE.fullmatch(self.url) or parts.username or parts.fragment:
            raise ValueError("a webhook's url holds no spaces, no user and no fragment")
        if self.max_wait_seconds < self.debounce_seconds:
            raise ValueError("max_wait_seconds is at least debounce_seconds")

    @property
    def id(self) -> str:
        """Names the webhook in the queue: the same after a restart, another one for another URL or pattern."""
        return hashlib.sha256(f"{self.url}\n{self.rooms}".encode()).hexdigest()[:16]

    @property
    def host(self) -> str:
        """Where it goes, for people: without the path, which may be a secret."""
        return urlsplit(self.url).netloc

    def wants(self, event: Event, address: str) -> bool:
        """Whether it is told of `event` in the room at `address`."""
        return event in self.events and self.covers(address)

    def covers(self, address: str) -> bool:
        """Whether it is for the room at `address`."""
        return fnmatchcase(address, self.rooms)
