"""Clients that hang up without a word, in the middle of saying goodbye."""

from __future__ import annotations

import base64
import os
import socket
from pathlib import Path

from engineroom.testing.server_process import ServerProcess

CLOSE = b"\x88\x82\x00\x00\x00\x00" + (1000).to_bytes(2, "big")  # masked with zeros
STEP_1 = b"\x82\x04\x00\x00\x01\x00"
ROUNDS = 50


def hang_up(port: int) -> None:
    """Join a document, send a close frame, and close the socket at once: what comes then is answered with a reset."""
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        f"GET /rooms/notes HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.encode())
        heard = b""
        while STEP_1 not in heard:  # nothing is left unread, or closing would be a reset at once
            heard += connection.recv(4096)
        connection.sendall(CLOSE)


def test_hanging_up_is_no_error(tmp_path: Path) -> None:
    """A client that is gone before the server has answered its close leaves no error in the log."""
    log = tmp_path / "server.log"
    with ServerProcess(None, data=tmp_path / "data", log=log, token=None) as server:
        for _ in range(ROUNDS):
            hang_up(server.port)
    assert "Traceback" not in log.read_text()
