"""Hooks: where an application hears of what happens in its rooms, and has a say.

Made to be subclassed: override what you need. The plain methods are called in the event loop and return at once;
what takes longer belongs into a task of the application's own. An exception in one of them is logged, and harms
nobody; only `on_connect` and `on_load` may refuse.
"""

from __future__ import annotations

from typing import Any

from .address import Address
from .members import Access, MemberInfo


class Hooks:
    """Does nothing. Give an instance of a subclass to the server."""

    async def on_connect(self, request: Any, address: Address, access: Access) -> Access:
        """Before a member comes in: what it may do; `access` is what the server would give it.

        `request` is the `server.gate.Request` of the upgrade.

        Raises:
            AccessDenied: it may not come in; its `status` is the answer (401, 403, …).
        """
        return access

    async def on_load(self, address: Address) -> bytes | None:
        """A document that the store does not have is opened: what it begins with, as one update (V1).

        It is stored at once, as the beginning of a new history. None: it begins empty, or with its page's seed.
        """
        return None

    def on_join(self, address: Address, member: MemberInfo) -> None:
        """`member` has come in."""

    def on_change(self, address: Address, member: MemberInfo | None, update: bytes) -> None:
        """`update` (V1) has been applied and relayed, not yet stored. `member` is None for the server's own edits."""

    def on_store(self, address: Address, number: int) -> None:
        """All records of the document's log up to `number` are durable."""

    def on_message(self, address: Address, member: MemberInfo, text: str) -> None:
        """`member` has sent a stateless message: text that is no part of the document."""

    def on_leave(self, address: Address, member: MemberInfo) -> None:
        """`member` is gone."""
