"""A relay without a document, on picows: what delivering costs when nothing else is done.

Every frame goes to the room's other members at once; to a Step 1 it says "you have it all". No document, store,
acknowledgement, presence, access or limit: the floor, not a peer. `python relay_server.py PORT`.
"""

import asyncio
import sys
from collections import defaultdict

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

NOTHING_MISSING = b"\x00\x01\x02\x00\x00"  # Step 2 with an empty update
Rooms = defaultdict[bytes, dict["Member", WSTransport]]


class Member(WSListener):
    def __init__(self, others: dict["Member", WSTransport]) -> None:
        self._others = others

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._others[self] = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._others.pop(self, None)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
            return
        if frame.msg_type != WSMsgType.BINARY:
            return
        message = frame.get_payload_as_bytes()
        if message[:2] == b"\x00\x00":
            transport.send(WSMsgType.BINARY, NOTHING_MISSING)
            return
        for member, other in self._others.items():
            if member is not self:
                other.send(WSMsgType.BINARY, message)


async def serve(port: int) -> None:
    rooms: Rooms = defaultdict(dict)

    def join(request: WSUpgradeRequest) -> Member:
        return Member(rooms[request.path])

    server = await ws_create_server(join, "127.0.0.1", port, max_frame_size=1 << 26)
    async with server:
        await server.serve_forever()


asyncio.run(serve(int(sys.argv[1])))
