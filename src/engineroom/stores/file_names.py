"""How the file store names its files: a safe file name for any path.

Letters, digits, `-`, `_` and `.` (not the first) stand for themselves, every other byte of the
path's UTF-8 form as `%` and two hexadecimal digits: two paths never share a name. A name that
would be too long for a file system (255 bytes) ends with `~` and a digest of the path instead; the
file itself says which path it is of.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

MAX_NAME = 200  # leaves room for suffixes
LOG, HISTORY, VERSIONS, TORN = ".log", ".history", ".versions", ".torn"


def file_name(path: str) -> str:
    """The name of the files of document `path`, without their suffix."""
    name = quote(path, safe="").replace("~", "%7E")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(path.encode()).hexdigest()[:32]
    return f"{name[: MAX_NAME - 33]}~{digest}"


def file_of(folder: Path, path: str, suffix: str) -> Path:
    """A file of document `path` below `folder`."""
    return folder / (file_name(path) + suffix)
