"""Documents that would end the process below pycrdt: the server stands."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import websockets

from engineroom.errors import CloseCode
from engineroom.protocols import messages as m
from engineroom.protocols.lib0 import var_uint
from engineroom.protocols.yjs import YjsDialect
from engineroom.testing.server_process import ServerProcess

pytestmark = pytest.mark.anyio

YJS = YjsDialect()
CLIENT = var_uint(9)
DELETE_ROOT = b"\x00\x01" + CLIENT + b"\x01\x00\x01"


def nested_arrays(count: int) -> bytes:
    """Arrays, each in the one before it; the first in the root Array `a`. One update of client 9."""
    root = b"\x07\x01\x01a\x00"
    inner = b"".join(b"\x07\x00" + CLIENT + var_uint(i) + b"\x00" for i in range(count - 1))
    return b"\x01" + var_uint(count) + CLIENT + b"\x00" + root + inner + b"\x00"


async def say(url: str, *updates: bytes) -> int | None:
    """Send updates until each has come back; the close code, where the server closes instead."""
    async with websockets.connect(url, max_size=None) as socket, asyncio.timeout(60):
        for update in updates:
            frame = YJS.encode(m.SyncUpdate(update))
            assert frame is not None
            await socket.send(frame)
            try:
                while await socket.recv() != frame:
                    pass
            except websockets.ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else None
    return None


async def test_deep_nesting_does_not_end_the_server(tmp_path: Path) -> None:
    """As many nested types as the limit allows can be deleted; one more update of them is refused."""
    with ServerProcess(None, data=tmp_path / "data", log=tmp_path / "log", token=None) as server:
        url = server.url("/rooms/deep", scheme="ws")
        assert await say(url, nested_arrays(100_000), DELETE_ROOT) is None
        assert await say(url, nested_arrays(100_001)) == CloseCode.LIMIT_EXCEEDED
        assert await say(server.url("/rooms/other", scheme="ws"), nested_arrays(2)) is None
