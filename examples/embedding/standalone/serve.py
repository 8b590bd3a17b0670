"""A server inside a program: rooms for any Yjs client, and the program works on a document, too.

python serve.py [PORT]
"""

import asyncio
import signal
import sys

from pycrdt import Doc, Text

import engineroom


def greet(document: Doc) -> None:
    """One transaction on the room's document."""
    document.get("text", type=Text).insert(0, "The server was here. ")


async def main(port: int) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with engineroom.Server(port=port, data="documents") as server:
        async with server.rooms.open("notes/today") as room:
            await room.edit(greet)  # durable when it returns
        print(f"{server.url}/rooms/notes/today?token={server.token}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000))
