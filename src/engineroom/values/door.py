"""The door through which a room's programs reach its values: sockets on our side, requests and answers on the room's.

Knows sockets and `protocols/lines.py`. Must not know what a value is or who may set it: requests are handed on as
they come. Programs are not trusted: nothing here blocks, whatever they do with the sockets that they share with us.

Every program is started with one end of a socket pair. A process that wants a conversation of its own sends one end of
a further pair through it, as SCM_RIGHTS along with a line end (unix(7)).
"""

from __future__ import annotations

import array
import asyncio
import itertools
import os
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeAlias

from engineroom.protocols import lines
from engineroom.rooms.programs import ProgramAsked, ProgramGone

MAX_CONNECTIONS = 64
#: A value of 1 MiB in base64, and the words around it.
MAX_LINE_BYTES = 2 * 1024 * 1024
#: What may wait for a program that does not read. Of each value that it watches only the latest waits.
MAX_PENDING = 2000
MAX_PENDING_BYTES = 8 * 1024 * 1024
#: A few hundred requests a turn of the loop: a program that sets without end must leave the others theirs.
READ_BYTES = 8 * 1024
MAX_RECEIVED_SOCKETS = 16
#: Descriptors of no use that wait to be closed, before whoever sends more is cut off.
MAX_CLOSING = 64

DoorEvent: TypeAlias = ProgramAsked | ProgramGone
_Key: TypeAlias = str | int


class Door:
    """The connections of one room's programs. `emit` is called in the event loop and must not wait."""

    def __init__(
        self, emit: Callable[[DoorEvent], None], *, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        self._emit = emit
        self._max_connections = max_connections
        self._numbers = itertools.count(1)
        self._connections: dict[int, _Connection] = {}
        self._closer = _Closer()

    def connect(self) -> socket.socket:
        """The program's end of a new connection, for the caller to hand over and close."""
        ours, theirs = socket.socketpair()
        self._admit(ours)
        return theirs

    def answer(self, connection: int, message: lines.ToProgram) -> None:
        """Send `message`; when the program does not read, it waits its turn. Nothing happens when it has gone."""
        found = self._connections.get(connection)
        if found is not None:
            found.send(message)

    def close(self) -> None:
        """Close every connection, without a word to the room. Safe to call twice."""
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            connection.close()
        self._closer.end()

    def __len__(self) -> int:
        return len(self._connections)

    def _admit(self, end: socket.socket) -> None:
        number = next(self._numbers)
        self._connections[number] = _Connection(
            end,
            asked=lambda request: self._emit(ProgramAsked(number, request)),
            offered=self._offer,
            gone=lambda known: self._remove(number, known),
        )

    def _offer(self, descriptor: int) -> bool:
        """Take a descriptor that a program sent, if it is a stream socket of this machine and there is room for it.

        False when too many others wait to be closed: their sender is not heard any more.
        """
        try:
            end = socket.socket(fileno=descriptor)
        except OSError:  # no socket
            self._closer.close_soon(descriptor)
            return len(self._closer) <= MAX_CLOSING
        usable = end.family == socket.AF_UNIX and end.type == socket.SOCK_STREAM
        if usable and len(self._connections) < self._max_connections:
            self._admit(end)
        else:
            self._closer.close_soon(end.detach())
        return len(self._closer) <= MAX_CLOSING

    def _remove(self, number: int, known: bool) -> None:
        if self._connections.pop(number, None) is not None and known:
            self._emit(ProgramGone(number))


class _Connection:
    """One socket. It is known to the room from its first request on."""

    def __init__(
        self,
        end: socket.socket,
        *,
        asked: Callable[[lines.FromProgram], None],
        offered: Callable[[int], bool],
        gone: Callable[[bool], None],
    ) -> None:
        self._socket = end
        self._asked = asked
        self._offered = offered
        self._gone = gone
        self._known = False
        self._incoming = bytearray()
        self._too_long = False
        self._answers = itertools.count()
        # Text: a watched address, whose latest value alone waits. Numbers: answers, each of which counts.
        self._pending: OrderedDict[_Key, lines.ToProgram] = OrderedDict()
        self._pending_bytes = 0
        self._outgoing = b""
        self._writing = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end, self._read)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()

    def _end(self) -> None:
        self.close()
        self._gone(self._known)

    # --- in --------------------------------------------------------------------------------------

    def _read(self) -> None:
        # MSG_DONTWAIT rather than O_NONBLOCK, which the program could take from the socket that it shares with us.
        try:
            data, ancillary, _, _ = self._socket.recvmsg(
                READ_BYTES,
                socket.CMSG_SPACE(MAX_RECEIVED_SOCKETS * 4),
                socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC,
            )
        except BlockingIOError:
            return
        except OSError:
            self._end()
            return
        welcome = [self._offered(descriptor) for descriptor in _descriptors(ancillary)]
        if not data or not all(welcome):
            self._end()
            return
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        *whole, rest = data.split(b"\n")
        for part in whole:
            self._incoming += part
            line, self._incoming = bytes(self._incoming), bytearray()
            too_long, self._too_long = self._too_long, False
            # An empty line only carries a socket. An answer of ours, come back by some loop of the program's, would
            # be answered by an error again and again.
            if not too_long and line.strip() and not line.startswith(b'{"error":'):
                self._receive_line(line)
        self._incoming += rest
        if len(self._incoming) > MAX_LINE_BYTES:
            self._incoming.clear()
            if not self._too_long:
                self._too_long = True
                self.send(lines.Failed(f"the line has more than {MAX_LINE_BYTES} bytes"))

    def _receive_line(self, line: bytes) -> None:
        try:
            request = lines.decode_request(line)
        except lines.LineError as error:
            self.send(lines.Failed(error.reason, error.id))
            return
        self._known = True
        self._asked(request)

    # --- out -------------------------------------------------------------------------------------

    def send(self, message: lines.ToProgram) -> None:
        """Send `message` after what waits already; past the bounds the connection is ended."""
        if self._socket.fileno() < 0:
            return
        if isinstance(message, lines.ValueIs) and message.id is None:
            key: _Key = message.address
        else:
            key = next(self._answers)
        self._pending_bytes += _size(message) - _size(self._pending.get(key))
        self._pending[key] = message
        if not self._writing:
            self._write()
        if len(self._pending) > MAX_PENDING or self._pending_bytes > MAX_PENDING_BYTES:
            # Not from within this call: whoever answers a request may hold on to the connection.
            self._loop.call_soon(self._end)

    def _write(self) -> None:
        try:
            while self._outgoing or self._pending:
                if not self._outgoing:
                    _, message = self._pending.popitem(last=False)
                    self._pending_bytes -= _size(message)
                    self._outgoing = lines.encode_reply(message)
                sent = self._socket.send(self._outgoing, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                self._outgoing = self._outgoing[sent:]
        except BlockingIOError:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._socket, self._write)
            return
        except OSError:
            # It reads no more. What it has written is still to be read; the reader finds the end.
            self._outgoing, self._pending_bytes = b"", 0
            self._pending.clear()
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket)


class _Closer:
    """Closes what programs sent, in a thread of its own, which the first one starts.

    close(2) may block for as long as the program likes: on a TCP socket with SO_LINGER (socket(7)), on a file of the
    program's own file system. The thread is a daemon, so it holds up nothing but the descriptors behind it.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[int | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return self._queue.qsize()

    def close_soon(self, descriptor: int) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="door-closer", daemon=True)
            self._thread.start()
        self._queue.put(descriptor)

    def end(self) -> None:
        """Nothing more comes."""
        self._queue.put(None)

    def _run(self) -> None:
        while (descriptor := self._queue.get()) is not None:
            with suppress(OSError):
                os.close(descriptor)


def _size(message: lines.ToProgram | None) -> int:
    match message:
        case lines.ValueIs(value=value) if value is not None:
            return len(value.data)
        case lines.Failed(error=error):
            return len(error)
        case _:
            return 0


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> array.array[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            with suppress(ValueError):
                found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return found
