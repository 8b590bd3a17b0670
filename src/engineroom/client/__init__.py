"""The Python client: a `pycrdt.Doc` kept equal with a room, over any channel or by a URL.

It stands beside the server's layers, knows the wire (`protocols`) and nothing of rooms. `replica` holds all decisions
and does no I/O; `provider` carries its frames over a channel; `connection` opens channels, again and again.
"""

from .connection import Connection, connect
from .endings import ConnectionLost, OtherHistory
from .provider import Channel, WebsocketProvider

__all__ = [
    "Channel",
    "Connection",
    "ConnectionLost",
    "OtherHistory",
    "WebsocketProvider",
    "connect",
]
