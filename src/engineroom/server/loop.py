"""How a server runs that has its process to itself: its event loop, and when Python looks for garbage.

The loop is asyncio's, except for the sockets that it accepts: their transports are aiofastnet's, which
picows is made for. They write without letting another thread in between two of a hundred sends, and
hold what a slow reader has yet to be sent without copying it.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, Final

import aiofastnet

# Python's own are 700, 10 and 10. What a server makes for a message is gone when it is answered, and
# not by the collector; but thousands of messages may be under way, and each passing of the first bound
# would look through all of them.
COLLECT_AFTER: Final = (20_000, 10, 20)


class ServerLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, with aiofastnet's transports for accepted connections."""

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:
        """As asyncio's."""
        return await aiofastnet.create_server(self, *arguments, **options)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a server to its end. Not inside a program that has other work: the collector is the process's."""
    gc.collect()
    gc.freeze()  # the program itself is no garbage, and need not be looked through again
    gc.set_threshold(*COLLECT_AFTER)
    with asyncio.Runner(loop_factory=ServerLoop) as runner:
        runner.run(main)
