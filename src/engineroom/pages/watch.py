"""Says when something in a site's folder changed. It looks at no file's content: the site is loaded again by its owner.

Editors write by renaming, checkouts replace folders: so a folder that vanishes is waited for, and when it is there
again (which counts as a change) it is watched anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

from .folder import Folder

logger = logging.getLogger("engineroom.pages")

DEBOUNCE_MILLISECONDS = 200
STEP_MILLISECONDS = 50
POLL_MILLISECONDS = 1000
LOOK_MILLISECONDS = 500  # how often to look whether the folder is still the one that is watched


async def watch(folder: Folder) -> AsyncGenerator[frozenset[Path], None]:
    """Yields the paths that changed below `folder`, a burst of changes as one; hidden and excluded files do not count.

    The first set comes as soon as the folder is watched, mostly empty: what changed between loading and watching is not
    known. The same when the folder was away. It ends only when it is cancelled or closed.
    """
    polling = False
    while True:
        identity = await _wait_for(folder.root)
        new = True
        try:
            async with aclosing(_changes(folder, polling=polling)) as changes:
                async for changed in changes:
                    if changed or new:
                        yield changed
                    new = False
                    # The number of a removed folder may be given to the next one, so its removal counts too.
                    if folder.root in changed or _identity(folder.root) != identity:
                        break
        except FileNotFoundError:
            pass  # it went before it was watched
        except (OSError, RuntimeError) as error:
            if polling:
                raise
            polling = True  # the system's watches are used up, or this file system has none
            logger.warning("%s is polled for changes: %s", folder.root, error)


async def _changes(folder: Folder, *, polling: bool) -> AsyncGenerator[frozenset[Path], None]:
    """The changes in the folder of this moment; empty sets in between."""
    stop = asyncio.Event()
    try:
        async for changes in awatch(
            folder.root,
            watch_filter=lambda _, path: folder.holds(Path(path)),
            debounce=DEBOUNCE_MILLISECONDS,
            step=STEP_MILLISECONDS,
            stop_event=stop,
            rust_timeout=LOOK_MILLISECONDS,
            yield_on_timeout=True,
            ignore_permission_denied=True,
            force_polling=polling,
            poll_delay_ms=POLL_MILLISECONDS,
        ):
            yield frozenset(Path(path) for _, path in changes)
    finally:
        stop.set()


async def _wait_for(root: Path) -> tuple[int, int]:
    """Waits until the folder is there; which one it is."""
    while True:
        identity = _identity(root)
        if identity is not None:
            return identity
        await asyncio.sleep(LOOK_MILLISECONDS / 1000)


def _identity(root: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(root)
    except OSError:
        return None
    return status.st_dev, status.st_ino
