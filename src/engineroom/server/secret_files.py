"""The files of the data folder that make visitors known: the server's token and the key that signs.

Each may be read by its owner alone, and is made where it is missing. Nothing else of the folder is known here.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from engineroom.errors import DataFolderError

MODE = 0o600


@dataclass(frozen=True, slots=True)
class Secrets:
    """The server's token, and the key that signs share tokens and cookies."""

    token: str
    key: bytes


def load_secrets(folder: Path, token: str | None) -> Secrets:
    """The secrets kept in `folder`, made where they are missing; `token` is used instead of the
    kept one.

    Raises:
        DataFolderError: they can be neither read nor written.
    """
    try:
        key = _kept(folder / "cookie-key", 32)
        return Secrets(token or _kept(folder / "token", 24), key.encode())
    except OSError as error:
        raise DataFolderError(f"cannot keep secrets in {folder}: {error.strerror}") from error


def write_private(path: Path, data: bytes) -> None:
    """Replace the file's content, whole or not at all, whatever happens meanwhile; its owner alone may read it.

    Raises:
        OSError: it cannot be written; what was there still is.
    """
    # Written whole under another name first: a crash leaves either the old file or the new one.
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _kept(path: Path, size_bytes: int) -> str:
    """The text of a file that its owner alone may read; a new random one where the file is missing
    or empty.
    """
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        text = ""
    if text:
        path.chmod(MODE)
        return text
    text = secrets.token_urlsafe(size_bytes)
    write_private(path, text.encode() + b"\n")
    return text
