"""What somebody outside a room has asked of it and waits for: edits, and updates that are submitted.

An answer comes when what was asked for is durable, or has failed.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush

from engineroom.errors import (
    AccessDenied,
    CloseCode,
    EngineroomError,
    LimitExceeded,
    ProtocolError,
    RoomClosed,
)

from . import effects as e


class Orders:
    """Tickets, and the futures of those who hold them."""

    def __init__(self) -> None:
        self._next = 1
        self._open: dict[int, asyncio.Future[object]] = {}
        # Edits that are made and not durable yet: the number they wait for, the ticket, the result.
        self._made: list[tuple[int, int, object]] = []

    def new(self) -> tuple[int, asyncio.Future[object]]:
        """A ticket, and where its answer will be."""
        ticket, self._next = self._next, self._next + 1
        future = self._open[ticket] = asyncio.get_running_loop().create_future()
        return ticket, future

    def answer(self, effect: e.Edited | e.Submitted | e.Declined, durable: int) -> None:
        """What became of an order; `durable` is the log's newest durable number."""
        match effect:
            case e.Edited(error=BaseException() as error):
                self._fail(effect.ticket, error)
            case e.Edited() if effect.number <= durable:
                self._succeed(effect.ticket, effect.result)
            case e.Edited():
                heappush(self._made, (effect.number, effect.ticket, effect.result))
            case e.Submitted():
                self._succeed(effect.ticket, (effect.news, effect.number))
            case e.Declined():
                self._fail(effect.ticket, _error(effect))

    def stored(self, number: int) -> None:
        """All records up to `number` are durable."""
        while self._made and self._made[0][0] <= number:
            _, ticket, result = heappop(self._made)
            self._succeed(ticket, result)

    def close(self, error: RoomClosed) -> None:
        """Nothing more will be answered."""
        for ticket in list(self._open):
            self._fail(ticket, error)
        self._made.clear()

    def _succeed(self, ticket: int, result: object) -> None:
        future = self._open.pop(ticket, None)
        if future is not None and not future.done():
            future.set_result(result)

    def _fail(self, ticket: int, error: BaseException) -> None:
        future = self._open.pop(ticket, None)
        if future is not None and not future.done():
            future.set_exception(error)


def _error(declined: e.Declined) -> EngineroomError:
    """The error for what a member would have been closed with."""
    match declined.code:
        case CloseCode.PROTOCOL_ERROR:
            return ProtocolError(declined.reason)
        case CloseCode.OTHER_HISTORY:
            return AccessDenied(declined.reason, 409)
        case CloseCode.LIMIT_EXCEEDED:
            name, _, allowed = declined.reason.removeprefix("limit reached: ").partition(" = ")
            return LimitExceeded(name, float(allowed))
        case _:
            return RoomClosed(declined.reason)
