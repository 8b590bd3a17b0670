"""Addresses: how rooms and values are named."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from engineroom.errors import AddressError

MAX_ADDRESS_BYTES = 255


@dataclass(frozen=True, slots=True)
class Address:
    """A room's address: `write@abc` is room `abc` of page `write`; a document alone has only a path, `notes/today`.

    `page` is None for a document alone. `str(address)` is the canonical form; equal rooms have equal addresses.
    """

    page: str | None
    room: str

    def __str__(self) -> str:
        return self.room if self.page is None else f"{self.page}@{self.room}"

    @property
    def url(self) -> str:
        """The canonical form, percent-encoded for a URL's path."""
        return quote(str(self), safe="/@")

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address in `text`, which is already percent-decoded; normalised to NFC.

        Raises:
            AddressError: too long, an empty, `.` or `..` segment, a control character, or a stray `@`.
        """
        text = unicodedata.normalize("NFC", text)
        if len(text.encode("utf-8", "surrogatepass")) > MAX_ADDRESS_BYTES:
            raise AddressError(text[:40] + "…", f"longer than {MAX_ADDRESS_BYTES} bytes")
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
            raise AddressError(text, "it holds a control character")
        page, at, room = text.rpartition("@")
        if "@" in page or (at and "/" in room):
            raise AddressError(text, "'@' stands only once, before the room's name")
        for part in (page, room) if at else (text,):
            if any(segment in ("", ".", "..") for segment in part.split("/")):
                raise AddressError(text, "it has an empty, '.' or '..' segment")
        return cls(page, room) if at else cls(None, text)

    @classmethod
    def from_url(cls, raw_path: bytes) -> Address:
        """The address in the still percent-encoded path of a URL, without its leading slash.

        Raises:
            AddressError: as `parse`, or not UTF-8.
        """
        try:
            text = unquote_to_bytes(raw_path).decode()
        except UnicodeDecodeError:
            raise AddressError(repr(raw_path[:40]), "it is not UTF-8") from None
        return cls.parse(text)


def check_value_address(text: str) -> str:
    """`text` itself, when it may name a value: `/speed`, `/motor/left`.

    Raises:
        AddressError: it does not begin with `/`, is too long, has an empty segment, or begins with the reserved `#`.
    """
    if text.startswith("#"):
        raise AddressError(text, "addresses that begin with '#' are reserved")
    if not text.startswith("/") or len(text.encode("utf-8", "replace")) > MAX_ADDRESS_BYTES:
        raise AddressError(text[:40], "a value's address begins with '/' and has at most 255 bytes")
    if "" in text[1:].split("/"):
        raise AddressError(text, "it has an empty segment")
    return text
