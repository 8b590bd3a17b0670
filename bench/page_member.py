"""A page's member without a browser: joins a room of a page, asks for evaluations, reads the document."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from pycrdt import Array, Doc, Map, Text

from engineroom.protocols.messages import Evaluate, Refused, SyncStep2, SyncUpdate
from engineroom.protocols.page import SUBPROTOCOL, PageDialect
from load.members import Member, connect
from load.wire import STEP_1

BOUND_SECONDS = 60
FINAL_STATES = {"done", "failed", "interrupted", "lost"}


class PageMember:
    """`async with PageMember.join(url)`; one evaluation at a time."""

    def __init__(self) -> None:
        self.document: Doc[Any] = Doc()
        self.cells = self.document.get("cells", type=Array)
        self.frames = 0
        self.bytes = 0
        self._dialect = PageDialect()
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()
        self._echoes: set[bytes] = set()
        self._refusals: list[Refused] = []
        self._member: Member | None = None

    @classmethod
    async def join(cls, url: str) -> PageMember:
        """A member who has the document, its cells in it."""
        made = cls()
        made._member = await connect(url, made._take, subprotocol=SUBPROTOCOL)
        made._member.send(STEP_1)
        await made.wait(lambda: len(made.cells) > 0)
        return made

    def _take(self, frame: bytes) -> None:
        self.frames += 1
        self.bytes += len(frame)
        match self._dialect.decode_to_member(frame):
            case SyncStep2(update):
                self.document.apply_update(update)
            case SyncUpdate(update):
                self._echoes.add(update)
                self.document.apply_update(update)
            case Refused() as refused:
                self._refusals.append(refused)
        self._changed.set()

    async def wait(self, holds: Callable[[], bool]) -> None:
        """Returns once `holds`, which is asked after every frame.

        Raises:
            TimeoutError: it does not, within `BOUND_SECONDS`.
            RuntimeError: the room refused something.
        """
        async with asyncio.timeout(BOUND_SECONDS):
            while not holds():
                if self._refusals:
                    raise RuntimeError(f"the room refused: {self._refusals[0]}")
                self._changed.clear()
                await self._changed.wait()

    @property
    def cell(self) -> Map[Any]:
        """The page's first cell."""
        first = self.cells[0]
        assert isinstance(first, Map)
        return first

    def state(self, evaluation: str) -> str:
        """The state of that evaluation, empty when the cell knows nothing of it."""
        metadata = self.cell["metadata"]
        known = metadata.get("evaluation") if isinstance(metadata, Map) else None
        return str(known["state"]) if known and known["id"] == evaluation else ""

    def write_source(self, code: str) -> bytes:
        """Replaces the cell's source, as an editor does; the update, which comes back when durable."""
        before = self.document.get_state()
        source = self.cell["source"]
        assert isinstance(source, Text)
        with self.document.transaction():
            source.clear()
            source += code
        update = self.document.get_update(before)
        self._send(SyncUpdate(update))
        return update

    async def evaluate(self, code: str) -> None:
        """Runs `code` in the cell, and returns when the document says that it ended well."""
        evaluation = f"bench-{next(self._numbers)}"
        cell = str(self.cell["id"])
        self._send(Evaluate(next(self._numbers), evaluation, cell, code))
        await self.wait(lambda: self.state(evaluation) in FINAL_STATES)
        if (state := self.state(evaluation)) != "done":
            raise RuntimeError(f"the evaluation ended as {state}: {self.outputs()}")

    async def wait_durable(self, update: bytes) -> None:
        await self.wait(lambda: update in self._echoes)

    def outputs(self) -> list[dict[str, Any]]:
        """The cell's outputs as plain data."""
        outputs = self.cell["outputs"]
        assert isinstance(outputs, Array)
        return list(outputs.to_py() or [])

    def leave(self) -> None:
        assert self._member is not None
        self._member.leave()

    def _send(self, message: SyncUpdate | Evaluate) -> None:
        assert self._member is not None
        self._member.send(self._dialect.encode_from_member(message))
