"""What has happened so far, in plain numbers: for metrics and for the admin page.

One object for all rooms of a server. Rooms count; nobody decides anything by it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Everything since the server's start; numbers only grow. Bytes are of messages, without their frames."""

    messages_received: int = 0
    bytes_received: int = 0
    updates_applied: int = 0
    updates_refused: int = 0
    acknowledgements: int = 0
    deliveries: int = 0
    bytes_sent: int = 0
    appends: int = 0
    append_failures: int = 0
    compactions: int = 0
    quarantined: int = 0
    rooms_opened: int = 0
    rooms_failed: int = 0
    joins: int = 0
    leaves: int = 0
    closes: Counter[int] = field(default_factory=Counter)
    """Connections that rooms closed, by close code."""
    limits: Counter[str] = field(default_factory=Counter)
    """Limits that were reached, by their setting's name."""
