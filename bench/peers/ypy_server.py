"""ypy-websocket, as its documentation shows it: one ASGI application under uvicorn.

Runs in a virtual environment of its own: `python ypy_server.py PORT`.
"""

import asyncio
import sys

import uvicorn
from ypy_websocket import ASGIServer, WebsocketServer


async def serve(port: int) -> None:
    websockets = WebsocketServer(auto_clean_rooms=False)
    config = uvicorn.Config(
        ASGIServer(websockets), host="127.0.0.1", port=port, log_level="warning", lifespan="off"
    )
    async with websockets:
        await uvicorn.Server(config).serve()


asyncio.run(serve(int(sys.argv[1])))
