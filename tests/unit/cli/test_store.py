"""`engineroom store`: what its commands print, do and return."""

import asyncio
import fcntl
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from unittest.mock import patch

import pytest
from pycrdt import Array, Doc, Map, Text

from engineroom import cli
from engineroom.rooms.storage import Record
from engineroom.server.stores import FILES_FOLDER, SQLITE_FILE
from engineroom.stores import FileStore, SQLiteStore
from engineroom.testing.stores import append, load

COMMANDS = ("list", "stats", "verify", "export", "compact", "delete", "import")


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, data: Path | None = None) -> Ran:
    """A command in this process, with nobody at its standard input."""
    place = [] if data is None else ["--data", str(data)]
    clean = {name: text for name, text in os.environ.items() if "ENGINEROOM" not in name}
    out, err = (TextIOWrapper(BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with (
        patch.object(sys, "argv", ["engineroom", "store", *arguments, *place]),
        patch.object(sys, "stdin", StringIO()),
        patch.dict(os.environ, clean, clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        cli.main()
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    code = end.value.code
    assert isinstance(code, int)
    return Ran(code, *said)


def updates_of(text: str) -> list[bytes]:
    """Somebody types `text`, and puts something else beside it."""
    doc: Doc[object] = Doc()
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    root = doc.get("text", type=Text)
    for character in text:
        root += character
    doc.get("list", type=Array).append(1.5)
    doc.get("map", type=Map)["key"] = "value"
    return updates


def fill(data: Path, documents: dict[str, list[bytes]], *, kind: str = "sqlite") -> None:
    async def write() -> None:
        store = (
            FileStore(data / FILES_FOLDER) if kind == "file" else SQLiteStore(data / SQLITE_FILE)
        )
        async with store:
            for path, updates in documents.items():
                records = [Record(n, 1e9 + n, "ada", update) for n, update in enumerate(updates, 1)]
                assert await append(store, path, records) is None

    asyncio.run(write())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    fill(folder, {"notes/a": updates_of("hello"), "notes/b": updates_of("world"), "x": [b"\0\0"]})
    return folder


def damage(data: Path) -> None:
    with closing(sqlite3.connect(data / SQLITE_FILE)) as connection, connection:
        connection.execute("UPDATE records SET bytes = x'00' WHERE number = 2 AND document = 1")


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    """Every command says what it does, with an example."""
    result = run(command, "--help")
    assert result.returncode == 0
    assert f"engineroom store {command}" in result.stdout
    assert "--data" in result.stdout


def test_the_group_tells_its_commands() -> None:
    """Alone it prints its help."""
    result = run()
    assert (result.returncode, result.stderr) == (0, "")
    assert all(command in result.stdout for command in COMMANDS)


def test_list(data: Path) -> None:
    """Paths with sizes and numbers, for people and as JSON, of a prefix."""
    lines = run("list", data=data).stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["notes/a", "notes/b", "x"]
    found = json.loads(run("list", "notes/", "--json", data=data).stdout)
    assert [(one["path"], one["last_number"]) for one in found] == [("notes/a", 7), ("notes/b", 7)]


def test_stats(data: Path) -> None:
    """Totals, and the largest."""
    result = json.loads(run("stats", "--json", data=data).stdout)
    assert (result["documents"], result["updates"], result["tail_updates"]) == (3, 15, 15)
    assert result["largest"][0]["path"] in ("notes/a", "notes/b")
    assert "documents       3" in run("stats", data=data).stdout


def test_verify_finds_nothing_in_a_sound_store(data: Path) -> None:
    """Exit code 0 and silence."""
    result = run("verify", data=data)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_verify_tells_damage_and_what_waits_for_it(data: Path) -> None:
    """A record whose checksum does not hold, and those that wait for it; others are not named."""
    damage(data)
    result = run("verify", data=data)
    assert result.returncode == 1
    (line,) = result.stdout.splitlines()
    assert line.startswith("notes/a: 1 updates are damaged or missing; ")
    assert "wait for others that are missing" in line
    findings = json.loads(run("verify", "--json", data=data).stdout)
    assert [bool(one["problems"]) for one in findings] == [True, False, False]


def test_verify_changes_nothing(data: Path) -> None:
    """A damaged record stays where it is: nothing is moved aside by a reader."""
    damage(data)
    before = (data / SQLITE_FILE).read_bytes()
    run("verify", data=data)
    assert (data / SQLITE_FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("text", "hello\n"),
        ("json", '{\n  "list": [\n    1.5\n  ],\n  "map": {\n    "key": "value"\n  },\n  "text": "hello"\n}\n'),
    ],
)  # fmt: skip
def test_export_to_stdout(data: Path, form: str, expected: str) -> None:
    """One document, as text or as JSON."""
    result = run("export", "notes/a", "--format", form, data=data)
    assert (result.returncode, result.stdout, result.stderr) == (0, expected, "")


def test_export_into_a_folder(data: Path, tmp_path: Path) -> None:
    """Every document of a prefix in a file, whose update any client can apply."""
    out = tmp_path / "out"
    assert run("export", "--prefix", "notes/", "-o", str(out), data=data).returncode == 0
    assert sorted(file.name for file in out.iterdir()) == ["notes%2Fa.bin", "notes%2Fb.bin"]
    doc: Doc[Text] = Doc()
    doc.apply_update((out / "notes%2Fb.bin").read_bytes())
    assert str(doc.get("text", type=Text)) == "world"


def test_export_of_several_needs_a_folder(data: Path) -> None:
    """And of nothing too; a document that is not there is told."""
    result = run("export", "notes/a", "notes/b", data=data)
    assert (result.returncode, "--output" in result.stderr) == (2, True)
    result = run("export", "nowhere", data=data)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "nowhere: there is no such document\n"


def test_compact(data: Path) -> None:
    """Logs become snapshots, the content stays, and the file shrinks."""
    fill(data, {"big": updates_of("typed " * 300)})
    before = (data / SQLITE_FILE).stat().st_size
    result = run("compact", data=data)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (data / SQLITE_FILE).stat().st_size < before
    assert json.loads(run("stats", "--json", data=data).stdout)["tail_updates"] == 0
    assert run("export", "big", "--format", "text", data=data).stdout == "typed " * 300 + "\n"


def test_compact_leaves_what_it_would_lose(data: Path) -> None:
    """A document with an update that waits keeps its log, and it is told."""
    damage(data)
    result = run("compact", data=data)
    assert result.returncode == 1
    assert result.stdout.startswith("notes/a: left as it is; ")
    found = json.loads(run("list", "--json", data=data).stdout)
    assert [one["snapshot_number"] for one in found] == [0, 7, 1]


def test_delete(data: Path) -> None:
    """What is named goes; what is not there is told; without --yes it asks."""
    result = run("delete", "notes/a", "nowhere", "--yes", data=data)
    assert (result.returncode, result.stderr) == (1, "nowhere: there is no such document\n")
    assert [one["path"] for one in json.loads(run("list", "--json", data=data).stdout)] == [
        "notes/b",
        "x",
    ]
    assert run("delete", "x", data=data).returncode == 130  # nobody answers


@pytest.mark.parametrize("command", [("compact",), ("delete", "x", "--yes"), ("import", "y.db")])
def test_a_servers_data_folder_is_left_alone(data: Path, command: tuple[str, ...]) -> None:
    """While a server has it, changing commands are refused, and readers read."""
    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (data / "y.db").touch()
        named = [part.replace("y.db", str(data / "y.db")) for part in command]
        result = run(*named, data=data)
        assert result.returncode == 2
        assert "in use by another server" in result.stderr
        assert run("list", data=data).returncode == 0
        assert run("verify", data=data).returncode == 0


def test_a_missing_data_folder_is_named(tmp_path: Path) -> None:
    """Reading makes none."""
    result = run("list", data=tmp_path / "nowhere")
    assert result.returncode == 2
    assert f"there is no data folder {tmp_path}/nowhere" in result.stderr


def test_another_store(tmp_path: Path) -> None:
    """`--store file` looks at the files in the same folder."""
    fill(tmp_path, {"a": updates_of("in a file")}, kind="file")
    result = run("export", "a", "--format", "text", "--store", "file", data=tmp_path)
    assert result.stdout == "in a file\n"
    assert run("compact", "--store", "file", data=tmp_path).returncode == 0
    found = json.loads(run("list", "--store", "file", "--json", data=tmp_path).stdout)
    assert found[0]["snapshot_number"] == found[0]["last_number"]


# --- import ----------------------------------------------------------------------------------


def foreign(file: Path, documents: dict[str, list[bytes]]) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE yupdates (path, yupdate BLOB, metadata BLOB, timestamp)")
        for path, updates in documents.items():
            rows = [(path, update, None, 1.0) for update in updates]
            connection.executemany("INSERT INTO yupdates VALUES (?, ?, ?, ?)", rows)
        connection.execute("PRAGMA user_version = 2")


def test_import(tmp_path: Path) -> None:
    """Documents come in under their names, compacted, into a new data folder; a second time they are left alone."""
    foreign(tmp_path / "y.db", {"a": updates_of("one"), "/b/": updates_of("two")})
    data = tmp_path / "data"
    arguments = ("import", str(tmp_path / "y.db"), "--prefix", "old/")
    dry = run(*arguments, "--dry-run", "--json", data=data)
    assert [one["updates"] for one in json.loads(dry.stdout)] == [0, 5]
    assert not data.exists(), "a try makes nothing"
    result = run(*arguments, data=data)
    assert (result.returncode, result.stdout.splitlines()[-1]) == (1, "a as old/a: 5 updates")
    assert "empty" in result.stderr, "'/b/' can be no path"
    assert run("export", "old/a", "--format", "text", data=data).stdout == "one\n"
    again = json.loads(run(*arguments, "--json", data=data).stdout)
    assert again[1]["lost"] == ["there is a document of this name already"]


def test_import_of_what_is_torn(tmp_path: Path, data: Path) -> None:
    """What can be read comes in, the loss is told, and the exit code is 1."""
    good = updates_of("torn")
    foreign(tmp_path / "y.db", {"a": [*good[:2], b"rubbish", *good[2:]]})
    result = run("import", str(tmp_path / "y.db"), "--name", "mine", data=data)
    assert result.returncode == 1
    assert result.stdout == "a as mine: 6 updates\n"
    assert "1 of 7 updates are none, the first is 3" in result.stderr
    assert run("export", "mine", "--format", "text", data=data).stdout == "torn\n"


def test_import_of_what_waits(tmp_path: Path, data: Path) -> None:
    """A document whose updates wait for missing ones comes in whole, waits on, and is told."""
    updates = updates_of("wait")
    foreign(tmp_path / "y.db", {"a": [updates[0], *updates[2:]]})
    result = run("import", str(tmp_path / "y.db"), data=data)
    assert result.returncode == 0, "nothing of it was lost here"
    assert "wait for others that are missing" in result.stderr

    async def read() -> int:
        async with SQLiteStore(data / SQLITE_FILE) as store:
            document = await load(store, "a")
            return len(document.records)

    assert asyncio.run(read()) == len(updates) - 1


def test_help_needs_no_server() -> None:
    """The help of the group imports neither the server nor what rooms are made of."""
    script = (
        "import sys; from engineroom.cli import application; application.run(['store', '--help'])\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in "
        "('uvicorn', 'starlette', 'pycrdt', 'msgspec', 'asyncpg', 'obstore')))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]"
