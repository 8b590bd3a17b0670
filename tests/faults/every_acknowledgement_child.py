"""A server with code of its own in it, which edits through `rooms.open` and says which of its words are durable.

`python every_acknowledgement_child.py DATA PORT ADDRESS LIFE STORE`: prints its URL, then each word as soon as the call
that made it durable has returned. It ends by SIGTERM like any other, and by SIGKILL. Run by
`test_every_acknowledgement.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from pycrdt import Array, Doc

import engineroom


async def scene(data: str, port: int, address: str, life: str, store: str) -> None:
    """Serve, and edit in both ways that a handle has, until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with engineroom.Server(port=port, data=data, no_auth=True, store=store) as server:
        os.write(1, f"{server.url}\n".encode())
        async with server.rooms.open(address) as room, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(edit_room(room, life)),
                group.create_task(edit_replica(room, life)),
            ]
            await over.wait()
            for task in tasks:
                task.cancel()


async def edit_room(room: Any, life: str) -> None:
    """Words through `edit`."""
    number = 0
    while True:
        word = f"edit-{life}-{number}"

        def change(doc: Doc[Any], word: str = word) -> None:
            doc.get("words", type=Array).append(word)

        await room.edit(change)
        os.write(1, f"{word}\n".encode())
        number += 1


async def edit_replica(room: Any, life: str) -> None:
    """Words through `document` and `stored`."""
    words = room.document.get("words", type=Array)
    number = 0
    while True:
        word = f"replica-{life}-{number}"
        words.append(word)
        await room.stored()
        os.write(1, f"{word}\n".encode())
        number += 1


if __name__ == "__main__":
    asyncio.run(
        scene(
            sys.argv[1],
            int(sys.argv[2]),
            sys.argv[3],
            sys.argv[4],
            sys.argv[5],
        )
    )
