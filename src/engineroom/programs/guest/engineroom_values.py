"""The room's values, for programs that run in a room. Standard library only; any Python from 3.8 on.

    import engineroom_values as room

    room.set("/speed", 3)                    # JSON values, or bytes
    room.get("/speed", default=1)
    for address, value in room.watch("/speed"):
        ...                                  # the value now, then every change

On the command line: `python -m engineroom_values get /speed`, `set /speed 3`, `watch '/motor/*'`.

The environment's ENGINEROOM_VALUES_FD names a connected socket, which all processes of a program share. So a process
sends one end of a socket pair of its own through it, and speaks with the room on the other: JSON, one object a line.
"""

from __future__ import annotations

import argparse
import array
import base64
import functools
import json
import os
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["RoomError", "get", "set", "watch"]

VARIABLE = "ENGINEROOM_VALUES_FD"
CHUNK_BYTES = 1 << 16


class RoomError(Exception):
    """This program is in no room, the room has closed, or it refused a request; the text says which."""


def get(address: str, default: Any = None) -> Any:
    """The value at `address`, or `default` when there is none.

    Raises:
        RoomError: not in a room, or `address` is none.
    """
    answer = _conversation().ask({"get": address})
    return default if answer.get("missing") else _value(answer)


def set(address: str, value: Any) -> None:  # noqa: A001 - it reads as room.set(...)
    """Set the value at `address`, for everyone in the room; returns when the room has it.

    Raises:
        RoomError: not in a room, `address` is none, or the value is too large.
        TypeError: the value is neither bytes nor JSON.
    """
    _conversation().ask({"set": address, **_written(value)})


def watch(address: str) -> Iterator[tuple[str, Any]]:
    """Yields `(address, value)`: the value now, if there is one, then at every change, until the room closes.

    `/motor/*` watches all below `/motor/`. Who is slow gets the latest value of each address, not all between.

    Raises:
        RoomError: not in a room, or `address` is none.
    """
    with _Conversation() as conversation:
        conversation.send({"watch": address})
        latest: dict[str, Any] = {}
        while True:
            for answer in conversation.receive(wait=not latest):
                if answer is None:
                    return
                if "error" in answer:
                    raise RoomError(answer["error"])
                if not answer.get("missing"):
                    # The latest takes its place at the end: no address starves another.
                    latest.pop(answer["address"], None)
                    latest[answer["address"]] = _value(answer)
            if latest:
                first = next(iter(latest))
                yield first, latest.pop(first)


class _Conversation:
    """A connection of this process's own to the room's values. Safe to use from several threads."""

    def __init__(self) -> None:
        self._socket = _connect()
        self._lock = threading.Lock()
        self._partial = b""
        self._asked = 0

    def __enter__(self) -> _Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, request: dict[str, Any]) -> None:
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise RoomError("the room has closed") from error

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        with self._lock:
            self._asked += 1
            self.send({**request, "id": self._asked})
            while True:
                for answer in self.receive(wait=True):
                    if answer is None:
                        raise RoomError("the room has closed")
                    if answer.get("id") == self._asked:
                        if "error" in answer:
                            raise RoomError(answer["error"])
                        return answer

    def receive(self, wait: bool) -> list[dict[str, Any] | None]:
        """What has come, after waiting for something if `wait`; None at the end."""
        try:
            data = self._socket.recv(CHUNK_BYTES, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            return [None]
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [json.loads(line) for line in lines if line]


def _connect() -> socket.socket:
    """One end of a new socket pair, whose other end the room has been sent."""
    number = _shared_descriptor()
    ours, theirs = socket.socketpair()
    shared = socket.socket(fileno=os.dup(number))
    with theirs, shared:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))
        try:
            shared.sendmsg([b"\n"], [rights])
        except OSError as error:
            ours.close()
            raise RoomError("the room has closed") from error
    return ours


def _shared_descriptor() -> int:
    """The number of the program's descriptor.

    Raises:
        RoomError: there is none, or it was not passed on to this process.
    """
    text = os.environ.get(VARIABLE, "")
    if not text.isdigit():
        raise RoomError(f"not in a room: {VARIABLE} is not set")
    try:
        is_socket = stat.S_ISSOCK(os.fstat(int(text)).st_mode)
    except OSError:
        is_socket = False
    if not is_socket:
        raise RoomError(
            f"descriptor {text}, which {VARIABLE} names, was not passed on to this process"
            f" (Python's subprocess does so with pass_fds=[{text}])"
        )
    return int(text)


_opening = threading.Lock()


def _conversation() -> _Conversation:
    """The conversation that this process's threads share."""
    with _opening:
        return _conversation_of(os.getpid())


@functools.lru_cache(maxsize=1)
def _conversation_of(process: int) -> _Conversation:
    """The conversation of a process: one that has been forked off makes its own."""
    return _Conversation()


def _value(answer: dict[str, Any]) -> Any:
    return base64.b64decode(answer["base64"]) if "base64" in answer else answer.get("value")


def _written(value: Any) -> dict[str, Any]:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"base64": base64.b64encode(value).decode()}
    return {"value": value}


# --- the command line ------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engineroom_values",
        description="Read, set and watch the values of the room that this program runs in.",
        epilog="VALUE is JSON (3, true, '[1, 2]', '\"3\"'); what is no JSON is text; - reads bytes from stdin.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("get", "print the value as JSON (exit code 1 when there is none)"),
        ("set", "set the value for everyone in the room"),
        ("watch", "print ADDRESS and the value, now and at every change"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("address", help="as /speed; watch also takes /motor/*")
        if name == "set":
            command.add_argument("value", help="JSON, or text")
    return parser


def _parsed(text: str) -> Any:
    if text == "-":
        return sys.stdin.buffer.read()
    try:
        return json.loads(text)
    except ValueError:
        return text


def _print(value: Any, *before: str) -> None:
    if isinstance(value, bytes):
        value = base64.b64encode(value).decode()
    print(*before, json.dumps(value, ensure_ascii=False), flush=True)


def main() -> int:
    """Carry out the command line. Returns the exit code."""
    arguments = _parser().parse_args()
    nothing = object()
    try:
        if arguments.command == "set":
            set(arguments.address, _parsed(arguments.value))
        elif arguments.command == "watch":
            for address, value in watch(arguments.address):
                _print(value, address)
        else:
            value = get(arguments.address, nothing)
            if value is nothing:
                print(f"there is no value at {arguments.address}", file=sys.stderr)
                return 1
            _print(value)
    except RoomError as error:
        print(error, file=sys.stderr)
        return 2
    except (KeyboardInterrupt, BrokenPipeError):
        # Else Python's own last flush of a broken pipe complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
