"""A process that serves one room to two members on a real store, and kills itself before a chosen effect.

`python effect_kill_child.py DATABASE EFFECT`: prints each word as soon as its author is told that it is durable, and
`done` when nothing killed it. Run by `test_effect_kill.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from pycrdt import Array, Doc

from engineroom.protocols import messages as m
from engineroom.protocols.frames import Bundle
from engineroom.protocols.yjs import YjsDialect
from engineroom.rooms import effects as e
from engineroom.rooms.address import Address
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.members import Access, User
from engineroom.rooms.open_room import OpenRoom
from engineroom.rooms.open_rooms import Rooms
from engineroom.rooms.room import Room
from engineroom.stores.sqlite import SQLiteStore

YJS = YjsDialect()
ADDRESS = Address.parse("notes/today")


class Writer:
    """A member that types words, and says which came back."""

    def __init__(self, name: str, begin: bytes) -> None:
        self.name = name
        self.doc: Doc[Any] = Doc()
        self.doc.apply_update(begin)
        self.waiting: dict[bytes, str] = {}
        self.idle = asyncio.Event()
        self._updates: list[bytes] = []
        self.doc.observe(lambda event: self._updates.append(event.update))

    def type(self, word: str) -> m.SyncUpdate:
        """The update that appends `word`."""
        self.doc.get("words", type=Array).append(word)
        self.waiting[self._updates[-1]] = word
        self.idle.clear()
        return m.SyncUpdate(self._updates[-1])

    def send(self, bundle: Bundle) -> None:
        for payload in bundle.payloads:
            message = YJS.decode(payload)
            if isinstance(message, m.SyncUpdate) and message.update in self.waiting:
                os.write(1, f"{self.waiting.pop(message.update)}\n".encode())
        if not self.waiting:
            self.idle.set()

    def close(self, code: int, reason: str) -> None:
        self.idle.set()

    def hold(self) -> None:
        pass

    def release(self) -> None:
        pass


def die_before(effect_number: int) -> None:
    """Have this process killed when the room is about to carry out its effect of this number (from 0)."""
    real = OpenRoom._carry_out
    carried_out = 0

    def carry_out(self: OpenRoom, effect: e.Effect, room: Room) -> None:
        nonlocal carried_out
        if carried_out == effect_number:
            os.kill(os.getpid(), signal.SIGKILL)
        carried_out += 1
        real(self, effect, room)

    OpenRoom._carry_out = carry_out  # type: ignore[method-assign]


async def scene(database: Path, life: str) -> None:
    """Two members type, one leaves and comes back, the log is compacted, the room closes."""
    limits = RoomLimits(linger_seconds=0, compact_bytes=300)
    async with SQLiteStore(database) as store, Rooms(store, limits=limits) as rooms:
        for visit in range(2):
            async with rooms.open(ADDRESS) as room:
                begin = room.encoded()
            writers = [Writer(f"{life}-{visit}-{name}", begin) for name in "ab"]
            for turn in range(3):
                members = [
                    await rooms.join(
                        ADDRESS, writer, user=User(writer.name), access=Access(), dialect=YJS
                    )
                    for writer in writers
                ]
                for word in range(4):
                    for member, writer in zip(members, writers, strict=True):
                        member.say(writer.type(f"{writer.name}-{turn}-{word}"))
                    await asyncio.sleep(0)
                await asyncio.gather(*(writer.idle.wait() for writer in writers))
                for member in members:
                    member.leave()
            await rooms.close(ADDRESS)
    os.write(1, b"done\n")


if __name__ == "__main__":
    die_before(int(sys.argv[2]))
    asyncio.run(scene(Path(sys.argv[1]), sys.argv[2]))
