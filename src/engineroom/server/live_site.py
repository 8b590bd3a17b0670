"""The site as it is on disk now: loaded once, loaded again whenever its folder changes.

It knows pages and plans. Rooms are told through a callback; what they do with it is theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from engineroom.errors import PageError
from engineroom.pages import Site
from engineroom.pages.watch import watch
from engineroom.rooms.address import Address
from engineroom.rooms.plan import Plan

logger = logging.getLogger("engineroom.site")

SHARED_ROOM = "shared"


class LiveSite:
    """The pages of a server: `current` is the site's newest snapshot, None when it serves documents
    alone.
    """

    def __init__(self, site: Site | None) -> None:
        self.current = site

    @classmethod
    async def load(
        cls, folder: Path | None, *, engines: frozenset[str], excluded: tuple[Path, ...] = ()
    ) -> LiveSite:
        """The pages in `folder`, whose cells may name these engines.

        Raises:
            PageError: there is no such folder, or it cannot be read.
        """
        if folder is None:
            return cls(None)
        return cls(await asyncio.to_thread(Site.load, folder, engines=engines, excluded=excluded))

    def plan_of(self, address: Address) -> Plan | None:
        """What the room at `address` is made from; None where there is no such room.

        A document alone has an empty plan, and without a site every room is one.
        """
        if self.current is None or address.page is None:
            return Plan()
        page = self.current.page(address.page)
        if page is None or (page.shared and address.room != SHARED_ROOM):
            return None
        return page.plan

    async def follow(self, changed: Callable[[], None]) -> None:
        """Keeps `current` up to date until it is cancelled; calls `changed` when a page has another
        version.
        """
        if self.current is None:
            return
        try:
            async for _ in watch(self.current.folder):
                if await self._reload(self.current):
                    changed()
        except Exception:
            logger.exception("pages that change on disk are no longer noticed")

    async def _reload(self, before: Site) -> bool:
        try:
            self.current = await asyncio.to_thread(before.reload)
        except PageError as error:
            logger.warning("the site stays as it was: %s", error)
            return False
        changes = self.current.changed_since(before)
        if changes:
            logger.info("changed on disk: %s", ", ".join(changes))
        return bool(changes)
