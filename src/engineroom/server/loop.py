"""The event loop of a server that has its process to itself.

asyncio's, except for the sockets that it accepts: their transports are aiofastnet's, which picows is
made for. They write without letting other threads in between two of a hundred sends, and keep what a
slow reader has yet to be sent without copying it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiofastnet


class ServerLoop(asyncio.SelectorEventLoop):
    """`asyncio.Runner(loop_factory=ServerLoop)` runs a server on it."""

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:
        """As asyncio's, with aiofastnet's transports."""
        return await aiofastnet.create_server(self, *arguments, **options)
