"""SIGKILL before every single effect of a room's life: whatever was acknowledged by then is on the disk."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Array

from engineroom.rooms.address import Address
from engineroom.rooms.limits import RoomLimits
from engineroom.rooms.loading import open_room
from engineroom.rooms.plan import Plan
from engineroom.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

CHILD = Path(__file__).with_name("effect_kill_child.py")
AT_ONCE = 2
MOST_EFFECTS = 2_000


def start(database: Path, effect: int) -> subprocess.Popen[str]:
    """A life that ends before the effect of this number."""
    command = [sys.executable, str(CHILD), str(database), str(effect)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def words_in(database: Path) -> set[str]:
    """What a room would have that opens now."""
    async with SQLiteStore(database) as store:
        stored = await store.load("notes/today")
    if stored is None:
        return set()
    opened: Any = open_room(
        Address.parse("notes/today"),
        Plan(),
        stored,
        client_id=1,
        lineage="unused",
        limits=RoomLimits(),
    )
    assert opened.refused == ()
    assert stored.damaged == 0
    return set(opened.room.document.doc.get("words", type=Array).to_py() or [])


async def test_kill_before_every_effect_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Each life works on the database that the life before it left, so that recoveries are recovered from, too."""
    chains = [tmp_path / f"chain-{chain}.sqlite" for chain in range(AT_ONCE)]
    acknowledged: list[set[str]] = [set() for _ in chains]
    killed = 0
    for first in count(0, AT_ONCE):
        assert first < MOST_EFFECTS, "the scene does not end"
        lives = [start(database, first + chain) for chain, database in enumerate(chains)]
        ended = False
        for chain, life in enumerate(lives):
            said = life.communicate(timeout=60)[0].split()
            ended = ended or "done" in said
            killed += life.returncode == -9
            assert life.returncode == (0 if "done" in said else -9)
            acknowledged[chain] |= set(said) - {"done"}
            missing = acknowledged[chain] - await words_in(chains[chain])
            assert not missing, f"killed before effect {first + chain}: lost {sorted(missing)[:5]}"
        if ended:
            break
    assert killed > 50, "the scene has hardly any effects: the test shows nothing"
    assert all(len(words) > killed for words in acknowledged)
