"""The module with which programs speak with their room, against a room that is a dictionary."""

import array
import base64
import contextlib
import importlib.util
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from engineroom.programs.runtimes.surroundings import GUEST

PATIENCE_SECONDS = 30


class DictionaryRoom:
    """The room's side: takes connections over the shared socket, and answers from `values`."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, Any]] = {}
        self.watching: list[socket.socket] = []
        self.connections: list[socket.socket] = []
        self.watched = threading.Event()
        self._ours, self.theirs = socket.socketpair()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        numbers = array.array("i")
        while True:
            data, ancillary, _, _ = self._ours.recvmsg(1, socket.CMSG_SPACE(numbers.itemsize))
            if not data:
                return
            assert data == b"\n"
            for _, _, rights in ancillary:
                numbers = array.array("i", rights)
                self.connections.append(socket.socket(fileno=numbers[0]))
                self._threads.append(
                    threading.Thread(target=self._serve, args=[self.connections[-1]])
                )
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            for line in lines:
                self._answer(connection, json.loads(line))

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"id": request["id"]} if "id" in request else {}
        if "set" in request:
            if not request["set"].startswith("/"):
                answer["error"] = "an address begins with /"
            else:
                self.values[request["set"]] = {
                    key: request[key] for key in ("value", "base64") if key in request
                }
                answer["ok"] = True
        else:
            address = request.get("get", request.get("watch"))
            answer |= {"address": address, **self.values.get(address, {"missing": True})}
        self.say(connection, answer)
        if "watch" in request:
            self.watching.append(connection)
            self.watched.set()

    @staticmethod
    def say(connection: socket.socket, *answers: dict[str, Any]) -> None:
        """Send lines in one write."""
        connection.sendall(b"".join(json.dumps(answer).encode() + b"\n" for answer in answers))

    def close(self) -> None:
        """Close as a room does: its programs find their connections ended."""
        self.theirs.close()
        for connection in (self._ours, *self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in (self._ours, *self.connections):
            connection.close()


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[DictionaryRoom]:
    """A room, whose descriptor the environment names."""
    made = DictionaryRoom()
    monkeypatch.setenv("ENGINEROOM_VALUES_FD", str(made.theirs.fileno()))
    yield made
    made.close()


@pytest.fixture
def values() -> Iterator[ModuleType]:
    """The module as a program would import it, anew."""
    spec = importlib.util.spec_from_file_location(
        "engineroom_values", GUEST / "engineroom_values.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    if module._conversation_of.cache_info().currsize:
        module._conversation().__exit__()


def test_a_value_that_was_set_is_got(room: DictionaryRoom, values: ModuleType) -> None:
    """Every JSON value, also those that are false, and bytes come back as they were set."""
    for value in (0, False, "", None, 1.5, "é\n", [1, {"a": []}], b"", b"\x00\xff"):
        values.set("/speed", value)
        assert values.get("/speed", default="absent") == value
    assert len(room.connections) == 1


def test_an_absent_value_is_the_default(room: DictionaryRoom, values: ModuleType) -> None:
    """Where there is no value, `get` gives the default."""
    assert values.get("/nothing") is None
    assert values.get("/nothing", 7) == 7


def test_a_refusal_is_an_error(room: DictionaryRoom, values: ModuleType) -> None:
    """What the room refuses is raised with its reason, and the connection goes on."""
    with pytest.raises(values.RoomError, match="begins with /"):
        values.set("speed", 1)
    values.set("/speed", 1)


def test_a_watch_begins_with_the_value(room: DictionaryRoom, values: ModuleType) -> None:
    """A watch yields the value now and each change, bytes as bytes, and ends with the room."""
    room.values["/speed"] = {"value": 1}
    watched = values.watch("/speed")
    assert next(watched) == ("/speed", 1)
    assert room.watched.wait(PATIENCE_SECONDS)
    room.say(room.watching[0], {"address": "/speed", "value": 2})
    assert next(watched) == ("/speed", 2)
    room.say(room.watching[0], {"address": "/speed", "base64": base64.b64encode(b"x").decode()})
    assert next(watched) == ("/speed", b"x")
    room.watching[0].shutdown(socket.SHUT_RDWR)
    assert list(watched) == []


def test_a_slow_watcher_gets_the_latest(room: DictionaryRoom, values: ModuleType) -> None:
    """Of changes that came while nobody asked, only the latest of each address is yielded."""
    room.values["/motor/*"] = {"value": 0}
    watched = values.watch("/motor/*")
    next(watched)
    assert room.watched.wait(PATIENCE_SECONDS)
    changes = [{"address": f"/motor/{n % 2}", "value": n} for n in range(100)]
    room.say(room.watching[0], *changes)
    assert [next(watched), next(watched)] == [("/motor/0", 98), ("/motor/1", 99)]
    watched.close()


def test_threads_share_a_conversation(room: DictionaryRoom, values: ModuleType) -> None:
    """Many threads at once get each its own answer."""
    wrong: list[object] = []

    def work(name: str) -> None:
        for number in range(100):
            values.set(name, number)
            if values.get(name) != number:
                wrong.append(name)

    threads = [threading.Thread(target=work, args=[f"/{n}"]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_outside_a_room_the_error_says_so(
    values: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the environment variable, or without its descriptor, the error says what is missing."""
    monkeypatch.delenv("ENGINEROOM_VALUES_FD", raising=False)
    with pytest.raises(values.RoomError, match="not in a room: ENGINEROOM_VALUES_FD is not set"):
        values.get("/speed")
    monkeypatch.setenv("ENGINEROOM_VALUES_FD", "987")
    with pytest.raises(values.RoomError, match="descriptor 987, which ENGINEROOM_VALUES_FD names"):
        values.get("/speed")


def test_a_closed_room_is_an_error(values: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the room has closed, requests fail and do not hang."""
    room = DictionaryRoom()
    monkeypatch.setenv("ENGINEROOM_VALUES_FD", str(room.theirs.fileno()))
    values.set("/speed", 1)
    room.close()
    with pytest.raises(values.RoomError, match="the room has closed"):
        values.get("/speed")


def command(room: DictionaryRoom, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Run the command line in the room: its exit code, output and errors."""
    number = room.theirs.fileno()
    done = subprocess.run(
        [sys.executable, "-m", "engineroom_values", *arguments],
        env={"PYTHONPATH": str(GUEST), "ENGINEROOM_VALUES_FD": str(number)},
        pass_fds=[number],
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_the_command_line_sets_and_gets(room: DictionaryRoom) -> None:
    """On the command line values are JSON, or else text, or bytes from standard input."""
    assert command(room, "set", "/speed", "3") == (0, "", "")
    assert command(room, "get", "/speed") == (0, "3\n", "")
    assert command(room, "set", "/name", "Ada Lovelace") == (0, "", "")
    assert command(room, "get", "/name") == (0, '"Ada Lovelace"\n', "")
    assert command(room, "set", "/picture", "-", stdin=b"\x00\xff") == (0, "", "")
    assert base64.b64decode(room.values["/picture"]["base64"]) == b"\x00\xff"


def test_the_command_line_says_what_is_wrong(room: DictionaryRoom) -> None:
    """A missing value is exit code 1, a refusal 2, each with a line of explanation and no traceback."""
    assert command(room, "get", "/none") == (1, "", "there is no value at /none\n")
    assert command(room, "set", "none", "1") == (2, "", "an address begins with /\n")


def test_the_command_line_watches(room: DictionaryRoom) -> None:
    """`watch` prints the address and the value at once, and then every change, until the room closes."""
    room.values["/speed"] = {"value": 1}
    number = room.theirs.fileno()
    with subprocess.Popen(
        [sys.executable, "-m", "engineroom_values", "watch", "/speed"],
        env={"PYTHONPATH": str(GUEST), "ENGINEROOM_VALUES_FD": str(number)},
        pass_fds=[number],
        stdout=subprocess.PIPE,
        text=True,
    ) as watcher:
        assert watcher.stdout
        assert watcher.stdout.readline() == "/speed 1\n"
        assert room.watched.wait(PATIENCE_SECONDS)
        room.say(room.watching[0], {"address": "/speed", "value": [2]})
        assert watcher.stdout.readline() == "/speed [2]\n"
        room.watching[0].shutdown(socket.SHUT_RDWR)
        assert watcher.wait(PATIENCE_SECONDS) == 0
