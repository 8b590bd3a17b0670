"""The front doors: which dialect a WebSocket speaks, by its path.

    /hocuspocus                      Hocuspocus: many documents, each entered with a token of its own
    /y-sweet/d/<name>/ws/<name>      y-sweet: the document `<name>`
    anything else                    the gate's: Yjs, or our own page's

They stand before the gate, which has the last word on every room that is entered through them.
"""

from __future__ import annotations

import re
from typing import Final

from engineroom.errors import AccessDenied
from engineroom.protocols.ysweet import YSweetDialect
from engineroom.rooms.address import Address
from engineroom.rooms.membership import Connection

from .doorway import Admission
from .gate import Gate
from .hocuspocus_socket import HocuspocusSocket
from .lobby import Lobby
from .request import Request
from .ysweet_socket import YSweetSocket

HOCUSPOCUS_PATH: Final = b"/hocuspocus"
YSWEET_PREFIX: Final = b"/y-sweet/"

_YSWEET_SOCKET = re.compile(rb"/y-sweet/d/([^/]*)/ws/([^/]*)")
_YSWEET_NAME = re.compile(rb"[A-Za-z0-9_-]{1,255}")


class FrontDoors:
    """Lets a WebSocket in at the door that it comes to."""

    def __init__(self, gate: Gate, lobby: Lobby) -> None:
        self._gate = gate
        self._lobby = lobby
        self._ysweet = YSweetDialect()

    async def join(self, request: Request, connection: Connection) -> Admission:
        """As `Gate.join`; a Hocuspocus socket is let in before it is known, and bounded until it is.

        Raises:
            AccessDenied: with the status to answer.
        """
        if request.raw_path == HOCUSPOCUS_PATH:
            await self._gate.check(request)
            hub = HocuspocusSocket(request, connection, self._gate, self._lobby)
            return Admission(hub, None, hub)
        if request.raw_path.startswith(YSWEET_PREFIX):
            return await self._join_ysweet(request, connection)
        return await self._gate.join(request, connection)

    async def _join_ysweet(self, request: Request, connection: Connection) -> Admission:
        await self._gate.check(request)
        match = _YSWEET_SOCKET.fullmatch(request.raw_path)
        if match is None:
            raise AccessDenied("y-sweet's sockets are at /y-sweet/d/<name>/ws/<name>.", 404)
        name, again = match.groups()
        if name != again or not _YSWEET_NAME.fullmatch(name):
            raise AccessDenied(
                "A document's name is letters, digits, - and _, twice the same.", 400
            )
        socket = YSweetSocket(connection)
        address = Address(None, name.decode("ascii"))
        socket.membership = await self._gate.enter(request, address, socket, self._ysweet)
        return Admission(socket, None)
