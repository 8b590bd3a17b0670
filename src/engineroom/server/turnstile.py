"""The turnstile: how many WebSockets there are, and of whom.

It stands before the gate, and counts each socket from the first word of its handshake to its end. What comes through
a trusted proxy counts for whom the proxy names. Nothing is known here of rooms, nor of who the visitors are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from engineroom.errors import AccessDenied
from engineroom.rooms.membership import Connection

from .connection import Membership
from .counts import ConnectionLimits, less
from .doorway import Admission, Entry
from .proxies import Proxies, site_of
from .request import Request


class Turnstile:
    """An `Entry` before another one, which counts those that come in."""

    def __init__(
        self,
        entry: Entry,
        limits: ConnectionLimits | None = None,
        proxies: Proxies | None = None,
        reached: Counter[str] | None = None,
    ) -> None:
        self._entry = entry
        self._limits = limits or ConnectionLimits()
        self._proxies = proxies or Proxies()
        self._reached: Counter[str] = Counter() if reached is None else reached
        self._of_site: Counter[str] = Counter()
        self.total = 0

    async def join(self, request: Request, connection: Connection) -> Admission:
        """As the entry behind it.

        Raises:
            AccessDenied: also with status 503, too many sockets are open; or 429, of this address.
        """
        site = self._take(request)
        try:
            admission = await self._entry.join(request, connection)
        except BaseException:
            self.leave(site)
            raise
        return replace(admission, membership=Seat(self, site, admission.membership))

    def leave(self, site: str) -> None:
        """A socket that counted for `site` is gone."""
        self.total -= 1
        less(self._of_site, site)

    def _take(self, request: Request) -> str:
        source = self._proxies.source(request)
        site = "" if self._proxies.trusts(source) else site_of(source)
        if self.total >= self._limits.sockets:
            self._reached["max_sockets"] += 1
            raise AccessDenied(
                f"Too many sockets are open; limit reached: max_sockets = {self._limits.sockets}",
                503,
            )
        if site and self._of_site[site] >= self._limits.sockets_per_address:
            self._reached["sockets_per_address"] += 1
            raise AccessDenied(
                "Too many sockets are open from your address; limit reached: "
                f"sockets_per_address = {self._limits.sockets_per_address}",
                429,
            )
        self.total += 1
        if site:
            self._of_site[site] += 1
        return site


class Seat:
    """A `Membership` for its transport, which is counted until it leaves."""

    __slots__ = ("_membership", "_site", "_turnstile", "paused", "receive", "resumed")

    def __init__(self, turnstile: Turnstile, site: str, membership: Membership) -> None:
        # Handed on as they are: every message goes this way.
        self.receive = membership.receive
        self.paused = membership.paused
        self.resumed = membership.resumed
        self._membership = membership
        self._turnstile: Turnstile | None = turnstile
        self._site = site

    def leave(self) -> None:
        """The socket is gone. Safe to call twice."""
        turnstile, self._turnstile = self._turnstile, None
        if turnstile is not None:
            turnstile.leave(self._site)
        self._membership.leave()
