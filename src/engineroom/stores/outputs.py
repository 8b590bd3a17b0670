"""Whole outputs: the text of long outputs, of which a document holds only the end.

One file an output, below a folder a room. One thread writes them in the order of the calls. What is kept is bounded:
an output at `output_bytes`, a room at `room_bytes` (its oldest outputs go first). So is what waits for the disk: past
`QUEUE_BYTES` text is left out, and the log says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType

from engineroom.rooms.address import Address

logger = logging.getLogger("engineroom.stores")

QUEUE_BYTES = 64 << 20
_EVALUATION = re.compile(r"[A-Za-z0-9_-]{1,64}")


class OutputFiles:
    """Keeps and finds whole outputs: `async with OutputFiles(folder) as outputs`."""

    def __init__(
        self, folder: Path, *, output_bytes: int = 64 << 20, room_bytes: int = 256 << 20
    ) -> None:
        self._folder = folder
        self._output_bytes = output_bytes
        self._room_bytes = room_bytes
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="engineroom-outputs")
        self._queued_bytes = 0
        self._lock = threading.Lock()

    async def __aenter__(self) -> OutputFiles:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Return when all that was handed over is written."""
        await asyncio.get_running_loop().run_in_executor(None, self._writer.shutdown)

    def keep(self, path: str, evaluation: str, index: int, text: str) -> None:
        """Add `text` to output `index` of `evaluation` in the room `path`; returns at once."""
        file = self._file(path, evaluation, index)
        if file is None:
            return
        data = text.encode()
        if self._count(len(data)) > QUEUE_BYTES:
            self._count(-len(data))
            logger.warning("%s: the disk does not keep up with an output: a part is not kept", path)
            return
        self._writer.submit(self._write, file, data)

    def _count(self, size: int) -> int:
        with self._lock:
            self._queued_bytes += size
            return self._queued_bytes

    def find(self, path: str, evaluation: str, index: int) -> Path | None:
        """The file of an output, when there is one: UTF-8 text."""
        file = self._file(path, evaluation, index)
        return file if file is not None and file.is_file() else None

    async def forget(self, address: Address) -> None:
        """Remove all outputs of a room, after what was handed over is written."""
        loop = asyncio.get_running_loop()
        folder = self._room_folder(str(address))
        await loop.run_in_executor(self._writer, partial(shutil.rmtree, folder, ignore_errors=True))

    def _room_folder(self, path: str) -> Path:
        return self._folder / hashlib.sha256(path.encode()).hexdigest()[:32]

    def _file(self, path: str, evaluation: str, index: int) -> Path | None:
        if not _EVALUATION.fullmatch(evaluation) or not 0 <= index < 100_000:
            return None
        return self._room_folder(path) / f"{evaluation}-{index}.txt"

    def _write(self, file: Path, data: bytes) -> None:
        try:
            size = file.stat().st_size if file.exists() else self._begin(file)
            left = self._output_bytes - size
            if left >= 0:
                with file.open("ab") as stream:
                    stream.write(data[:left])
                    if len(data) > left:
                        note = (
                            f"\n[cut: only {self._output_bytes >> 20} MiB of an output are kept]\n"
                        )
                        stream.write(note.encode())
        except OSError as error:
            logger.warning("an output could not be kept: %s", error)
        finally:
            self._count(-len(data))

    def _begin(self, file: Path) -> int:
        """Make the room's folder, and room in it."""
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = sorted((f.stat().st_mtime, f.stat().st_size, f) for f in file.parent.iterdir())
        total = sum(size for _, size, _ in known)
        for _, size, oldest in known:
            if total <= self._room_bytes:
                break
            oldest.unlink(missing_ok=True)
            total -= size
        return 0
