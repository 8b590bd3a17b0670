"""Who a visitor is, and what it may do.

A visitor holds the server's token (all rights, everywhere) or share tokens (chosen rights in one
room each), in a query, an `Authorization` header, or a signed cookie made from them. Pure over
strings, the key and the clock's time, except `load_secrets`, which reads and makes the two files.
Nothing is known here of HTTP responses nor of rooms.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar, cast

import jwt
import msgspec

from engineroom.errors import AccessDenied, DataFolderError
from engineroom.rooms.address import Address

Right: TypeAlias = Literal["read", "write", "run"]
Rights: TypeAlias = frozenset[Right]

ALL_RIGHTS: Rights = frozenset({"read", "write", "run"})
NO_RIGHTS: Rights = frozenset()
COOKIE_SECONDS = 30 * 24 * 3600
# A cookie has 4096 bytes at most (RFC 6265, section 6.1), and an address up to 255.
MAX_COOKIE_ROOMS = 8


# --- visitors --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Visitor:
    """One visitor: a stable id, and its rights: `everything`, or those in the rooms it was let
    into. `ends` says until when (seconds since the epoch), for rooms whose link has an end.
    """

    user: str
    everything: bool = False
    rooms: Mapping[str, Rights] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)

    def rights(self, address: Address) -> Rights:
        """What the visitor may do in the room at `address`."""
        return ALL_RIGHTS if self.everything else self.rooms.get(str(address), NO_RIGHTS)

    def end(self, address: Address) -> int | None:
        """When the visitor's rights in the room at `address` end; None: they do not."""
        return None if self.everything else self.ends.get(str(address))

    def joined(self, other: Visitor) -> Visitor:
        """This visitor with the other's rights in addition; the newest rooms are kept."""
        rooms = {
            name: self.rooms.get(name, NO_RIGHTS) | rights for name, rights in other.rooms.items()
        }
        older = {name: rights for name, rights in self.rooms.items() if name not in rooms}
        kept = dict(list((older | rooms).items())[-MAX_COOKIE_ROOMS:])
        ends = {name: end for name in kept if (end := self._end(name, other)) is not None}
        return Visitor(self.user, self.everything or other.everything, kept, ends)

    def _end(self, room: str, other: Visitor) -> int | None:
        """When the rights of both in `room` end: with the one that gives all that both do, else with
        the first.
        """
        both = self.rooms.get(room, NO_RIGHTS) | other.rooms.get(room, NO_RIGHTS)
        whole = [each for each in (self, other) if each.rooms.get(room) == both]
        if any(room not in each.ends for each in whole):
            return None
        if whole:
            return max(each.ends[room] for each in whole)
        return min((each.ends[room] for each in (self, other) if room in each.ends), default=None)


def new_user_id() -> str:
    """An id for a visitor who has none yet."""
    return "v-" + secrets.token_hex(6)


# --- signed tokens ---------------------------------------------------------------------------


class _Share(msgspec.Struct, frozen=True):
    typ: Literal["share"]
    room: str
    rights: frozenset[Right]
    exp: int | None = None


class _Cookie(msgspec.Struct, frozen=True):
    typ: Literal["visitor"]
    sub: str
    token: str | None = None
    rooms: dict[str, frozenset[Right]] = {}
    ends: dict[str, int] = {}


_Claims = TypeVar("_Claims", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The server's token, and the key that signs share tokens and cookies."""

    token: str
    key: bytes


class Access:
    """Reads and makes credentials. `open_to_all` gives every visitor all rights, as `--no-auth`
    asks for.
    """

    def __init__(self, server_secrets: Secrets, *, open_to_all: bool = False) -> None:
        self._key = server_secrets.key
        self._token = server_secrets.token
        self._fingerprint = hashlib.sha256(b"engineroom token\0" + self._token.encode()).hexdigest()
        self.open_to_all = open_to_all

    def from_token(self, text: str) -> Visitor | None:
        """The visitor who holds this token, the server's or a share token; None when it is not
        valid.
        """
        if hmac.compare_digest(text.encode("utf-8", "replace"), self._token.encode()):
            return Visitor(new_user_id(), everything=True)
        share = self._decode(text, _Share)
        if share is None:
            return None
        ends = {} if share.exp is None else {share.room: share.exp}
        return Visitor(new_user_id(), rooms={share.room: share.rights}, ends=ends)

    def from_cookie(self, text: str) -> Visitor | None:
        """The visitor whom this cookie names; None when it is not valid, or was made for another
        token.
        """
        cookie = self._decode(text, _Cookie)
        if cookie is None:
            return None
        everything = cookie.token is not None and hmac.compare_digest(
            cookie.token, self._fingerprint
        )
        # A cookie lives longer than a link may: what a link gave ends with the link.
        now = time.time()
        over = {room for room, end in cookie.ends.items() if end <= now}
        rooms = {room: rights for room, rights in cookie.rooms.items() if room not in over}
        if not everything and not rooms:
            return None
        ends = {room: end for room, end in cookie.ends.items() if room in rooms}
        return Visitor(cookie.sub, everything, rooms, ends)

    def anybody(self) -> Visitor | None:
        """The visitor who shows nothing: None, unless the server is open to all."""
        return Visitor(new_user_id(), everything=True) if self.open_to_all else None

    def cookie_for(self, visitor: Visitor, now: float) -> str:
        """A cookie's value that `from_cookie` reads, valid for `COOKIE_SECONDS` from `now` (seconds
        since the epoch).
        """
        claims: dict[str, object] = {
            "typ": "visitor",
            "sub": visitor.user,
            "exp": int(now) + COOKIE_SECONDS,
            "rooms": {name: sorted(rights) for name, rights in visitor.rooms.items()},
        }
        if visitor.ends:
            claims["ends"] = dict(visitor.ends)
        if visitor.everything:
            claims["token"] = self._fingerprint
        return jwt.encode(claims, self._key, algorithm="HS256")

    def share(self, address: Address, rights: Rights, *, expires: float | None = None) -> str:
        """A token for one room with these rights, until `expires` (seconds since the epoch; None:
        for ever).
        """
        claims: dict[str, object] = {"typ": "share", "room": str(address), "rights": sorted(rights)}
        if expires is not None:
            claims["exp"] = int(expires)
        return jwt.encode(claims, self._key, algorithm="HS256")

    def _decode(self, text: str, shape: type[_Claims]) -> _Claims | None:
        try:
            claims = jwt.decode(text, self._key, algorithms=["HS256"])
            return msgspec.convert(claims, shape)
        except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError):
            return None


def parse_rights(names: Iterable[str]) -> Rights:
    """The rights with these names; writing and running include reading.

    Raises:
        AccessDenied: status 400: a name is unknown, or there is none.
    """
    rights = frozenset(names)
    if not rights or not rights <= ALL_RIGHTS or "read" not in rights:
        raise AccessDenied(
            "rights are a list of read, write and run; read is always among them", 400
        )
    return cast(Rights, rights)


# --- the files -------------------------------------------------------------------------------


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


def _kept(path: Path, size_bytes: int) -> str:
    """The text of a file that its owner alone may read; a new random one where the file is missing
    or empty.
    """
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        text = ""
    if text:
        path.chmod(0o600)
        return text
    text = secrets.token_urlsafe(size_bytes)
    # Written whole under another name first: a crash leaves either no file or a complete one.
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return text
