"""What stands between a y-sweet client and its room: when its questions are passed on, and when they are answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from engineroom.protocols.frames import Bundle
from engineroom.rooms.membership import Membership
from engineroom.server.ysweet_socket import MAX_ASKED, YSweetSocket

pytestmark = pytest.mark.anyio

STEP2 = bytes.fromhex("0001020000")


def question(version: int) -> bytes:
    """What a client with so many changes asks; the room's answer has the same bytes."""
    return bytes([0x66, 1, version])


@dataclass
class Room:
    """A membership and a transport in one, that remember."""

    received: list[bytes] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def receive(self, frame: bytes) -> None:
        self.received.append(frame)

    def send(self, bundle: Bundle) -> None:
        self.sent += bundle.payloads
        self.news.set()

    def close(self, code: int, reason: str) -> None:
        self.calls.append(f"close {code} {reason}")

    def __getattr__(self, name: str) -> object:
        return lambda: self.calls.append(name)


def made(answer_seconds: float = 60.0, *, synced: bool = True) -> tuple[YSweetSocket, Room]:
    room = Room()
    socket = YSweetSocket(room, answer_seconds=answer_seconds)
    socket.membership = cast(Membership, room)
    if synced:
        socket.receive(STEP2)
        room.received.clear()
    return socket, room


async def test_a_question_is_passed_on_and_so_is_its_answer() -> None:
    """The room is asked, and what it answers reaches the client as it is."""
    socket, room = made()
    socket.receive(question(1))
    assert room.received == [question(1)]
    socket.send(Bundle((b"\x00\x02", question(1))))
    assert room.sent == [b"\x00\x02", question(1)]
    socket.leave()


async def test_a_question_before_step_2_waits_for_it() -> None:
    """A client that reconnects asks before it has sent what it changed meanwhile; the newest question counts."""
    socket, room = made(synced=False)
    socket.receive(question(4))
    socket.receive(question(5))
    assert room.received == []
    socket.receive(STEP2)
    assert room.received == [STEP2, question(5)]
    socket.leave()


async def test_a_client_that_waits_is_told_what_is_durable() -> None:
    """After a while the newest version that is durable is told again, and once for one question."""
    socket, room = made(answer_seconds=0.01)
    socket.receive(question(1))
    socket.send(Bundle((question(1),)))
    socket.receive(question(2))
    room.news.clear()
    async with asyncio.timeout(10):
        await room.news.wait()
    assert room.sent == [question(1), question(1)]
    assert room.received == [question(1), question(2)]
    socket.send(Bundle((question(2),)))
    assert room.sent[-1] == question(2)
    socket.leave()


async def test_nothing_is_told_before_anything_is_durable() -> None:
    """A client that was never answered waits without giving up; so it is left waiting."""
    socket, room = made(answer_seconds=0.0)
    socket.receive(question(0))
    for _ in range(5):
        await asyncio.sleep(0)
    assert room.sent == []
    socket.leave()


async def test_questions_in_the_room_are_bounded() -> None:
    """Of those beyond the bound the newest is kept, and asked when one was answered."""
    socket, room = made()
    for version in range(MAX_ASKED + 10):
        socket.receive(question(version))
    assert len(room.received) == MAX_ASKED
    socket.send(Bundle((question(0),)))
    assert room.received[MAX_ASKED:] == [question(MAX_ASKED + 9)]
    socket.leave()


async def test_everything_else_passes_through() -> None:
    """Messages, the outbox's marks, holds, the close and the leave are handed on."""
    socket, room = made()
    socket.receive(b"\x03")
    socket.paused()
    socket.resumed()
    socket.hold()
    socket.release()
    socket.close(1012, "later")
    socket.leave()
    assert room.received == [b"\x03"]
    assert room.calls == ["paused", "resumed", "hold", "release", "close 1012 later", "leave"]
