"""How many connections are open that are no WebSockets, or not yet, and of whom.

An address is what `proxies.site_of` makes of it. Connections of a trusted proxy count for nobody: who is behind it is
not known before their first request has been read. WebSockets are counted by the `turnstile`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .proxies import Proxies, site_of


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many may be open at a time: `connections` that are no WebSockets, `sockets` that are; and how long a client
    may let its answer lie (`stalled_seconds`), and its connection idle between two requests.
    """

    connections: int = 4_000
    connections_per_address: int = 200
    sockets: int = 20_000
    sockets_per_address: int = 500
    stalled_seconds: float = 60.0
    keep_alive_seconds: float = 5.0


class Connections:
    """Counts connections that are no WebSockets. `reached` counts, by limit, how often one was."""

    def __init__(
        self,
        limits: ConnectionLimits | None = None,
        proxies: Proxies | None = None,
        reached: Counter[str] | None = None,
    ) -> None:
        self.limits = limits or ConnectionLimits()
        self._proxies = proxies or Proxies()
        self._reached: Counter[str] = Counter() if reached is None else reached
        self._of_site: Counter[str] = Counter()
        self.total = 0

    def arrive(self, peer: str | None) -> str | None:
        """A connection from `peer` has come: what it counts for, to be handed to `leave`. None, and nothing is
        counted: it is one too many.
        """
        site = "" if self._proxies.trusts(peer) else site_of(peer or "")
        if self.total >= self.limits.connections:
            self._reached["max_connections"] += 1
            return None
        if site and self._of_site[site] >= self.limits.connections_per_address:
            self._reached["connections_per_address"] += 1
            return None
        self.total += 1
        if site:
            self._of_site[site] += 1
        return site

    def leave(self, site: str) -> None:
        """It is gone, or a WebSocket now."""
        self.total -= 1
        less(self._of_site, site)


def less(counts: Counter[str], site: str) -> None:
    """One fewer for `site`; nothing is kept of one that has none."""
    if counts[site] > 1:
        counts[site] -= 1
    else:
        del counts[site]
