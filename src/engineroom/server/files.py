"""Files as answers: the right type, and a browser's copy confirmed by its ETag instead of sent
again.

Which file a visitor may have is decided elsewhere.
"""

from __future__ import annotations

import mimetypes
import os
import stat
from pathlib import Path

from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse

from .request import Request

# The machine's own table of types differs from one to the next; what the browser needs is stated
# here.
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".py": "text/plain",
}
REVALIDATE = "no-cache"
FOR_EVER = "public, max-age=31536000, immutable"


def media_type(path: Path) -> str:
    """The type of a file, by its name's ending."""
    known = TYPES.get(path.suffix.lower())
    return known or mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def file_answer(path: Path, request: Request, *, cache_control: str) -> Response | None:
    """The file's content, the part that is asked for, or 304; None when there is no such file (any
    more).
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    answer = FileResponse(path, media_type=media_type(path), stat_result=status)
    answer.headers["cache-control"] = cache_control
    if answer.headers["etag"] in _etags(request):
        return NotModifiedResponse(answer.headers)
    return answer


def _etags(request: Request) -> list[str]:
    """The ETags that the browser has. Source: RFC 9110, section 13.1.2 (compared weakly)."""
    values = request.values(b"if-none-match")
    return [tag.strip().removeprefix("W/") for value in values for tag in value.split(",")]
