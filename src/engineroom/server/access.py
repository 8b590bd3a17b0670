"""Credentials: the server's token, shared links, cookies; and the tokens of an issuer, read elsewhere.

A credential that is good makes a `Visitor`. The server's token gives all rights, everywhere; a share token chosen
rights in one room; a cookie keeps what a browser was let in with. All that is ours is signed with one key, with a
`typ` in it, so that none can stand for another. Pure over strings, the key and the clock; nothing is known here of
HTTP nor of rooms.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeVar

import jwt
import msgspec

from engineroom.errors import AccessDenied
from engineroom.rooms.address import Address

from .grants import EVERYWHERE
from .revocations import Revocations
from .rights import MEMBER_RIGHTS, Right, Rights
from .secret_files import Secrets
from .visitors import MAX_PASS_IDS, Pass, Visitor, everything, new_user_id

COOKIE_SECONDS = 30 * 24 * 3600
MAX_COOKIE_BYTES = 4000  # 4096 with its name and attributes. Source: RFC 6265, section 6.1.
MAX_TOKEN_BYTES = 16 << 10

SERVER_ID = "server:"
OPEN_ID = "open"
"""Ids that begin so, or are this, name no link and no user: a pass with the first holds for one server's token, one
with the second is never kept.
"""


class Issuer(Protocol):
    """Who else gives tokens that are good here: see `issuer`."""

    async def visitor(self, token: str) -> Visitor | None:
        """The visitor whom the token names; None when it is not valid."""


class Share(msgspec.Struct, frozen=True, omit_defaults=True):
    """The claims of a share token. `by` is who made it; `via` is what else it stands and falls with."""

    typ: Literal["share"]
    room: str
    rights: frozenset[Right]
    exp: int | None = None
    jti: str = ""
    iat: int = 0
    by: str = ""
    via: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """What it stands and falls with: itself, all links of its room, who made it, what that one came with."""
        own = (f"link:{self.jti}",) if self.jti else ()
        return (*own, *links_of(self.room), *user_ids(self.by), *self.via)


class _KeptPass(msgspec.Struct, frozen=True, array_like=True):
    grants: dict[str, frozenset[Right]]
    end: float | None
    issued: float
    ids: tuple[str, ...]


class _Cookie(msgspec.Struct, frozen=True, omit_defaults=True):
    typ: Literal["visitor"]
    sub: str
    exp: int
    iat: int = 0
    passes: tuple[_KeptPass, ...] = ()
    name: str = ""
    named: bool = False


_Claims = TypeVar("_Claims", bound=msgspec.Struct)


def user_ids(user: str) -> tuple[str, ...]:
    """The id that everything of this user stands and falls with."""
    return (f"user:{user}",) if user else ()


def links_of(room: str) -> tuple[str, ...]:
    """The id that all links to this room stand and fall with; short, as cookies hold it."""
    return (f"links:{hashlib.sha256(room.encode()).hexdigest()[:24]}",)


class Access:
    """Reads and makes credentials.

    `open_to_all` gives every visitor what members can do, everywhere, as `--no-auth` asks for. With `strangers`, one
    who shows nothing is a visitor without rights: an application's own hook says what it may.
    """

    def __init__(
        self,
        server_secrets: Secrets,
        *,
        open_to_all: bool = False,
        strangers: bool = False,
        issuer: Issuer | None = None,
        revocations: Revocations | None = None,
    ) -> None:
        self.revocations = revocations or Revocations(None)
        self._key = server_secrets.key
        self._token = server_secrets.token.encode()
        self._server_id = SERVER_ID + hashlib.sha256(self._token).hexdigest()[:32]
        self._open = open_to_all
        self._strangers = strangers
        self._issuer = issuer

    # --- tokens ------------------------------------------------------------------------------

    async def visitor_of_token(self, text: str) -> Visitor | None:
        """The visitor who holds this token: the server's, a link's, or one of the issuer's. None when it is not valid
        (any more).

        Raises:
            AccessDenied: status 503: the issuer's keys cannot be had now.
        """
        if len(text) > MAX_TOKEN_BYTES:
            return None
        visitor = self.from_token(text)
        if visitor is None and self._issuer is not None:
            visitor = self._good(await self._issuer.visitor(text))
        return visitor

    def from_token(self, text: str) -> Visitor | None:
        """The visitor who holds this token, the server's or a link's; None when it is not valid."""
        if hmac.compare_digest(text.encode("utf-8", "replace"), self._token):
            return Visitor(new_user_id(), (everything(self._server_id),))
        share = self.read_share(text)
        if share is None:
            return None
        grants = {"=" + share.room: share.rights & MEMBER_RIGHTS}
        return self._good(Visitor(new_user_id(), (Pass(grants, share.exp, share.iat, share.ids),)))

    def anybody(self) -> Visitor | None:
        """The visitor who shows nothing; None where that is not let in."""
        if self._open:
            return Visitor(new_user_id(), (Pass({EVERYWHERE: MEMBER_RIGHTS}, ids=(OPEN_ID,)),))
        return Visitor(new_user_id()) if self._strangers else None

    # --- cookies -----------------------------------------------------------------------------

    def from_cookie(self, text: str) -> Visitor | None:
        """The visitor whom this cookie names, with what is still good of its passes; None when nothing is."""
        cookie = self._decode(text, _Cookie)
        if cookie is None or any(
            self.revocations.holds(one, cookie.iat) for one in user_ids(cookie.sub)
        ):
            return None
        passes = tuple(Pass(each.grants, each.end, each.issued, each.ids) for each in cookie.passes)
        return self._good(Visitor(cookie.sub, passes, cookie.name, cookie.named))

    def cookie_for(self, visitor: Visitor, now: float) -> str:
        """A cookie's value that `from_cookie` reads, valid for `COOKIE_SECONDS` from `now` (seconds
        since the epoch). Where it would be too long, the oldest passes stay out.

        Raises:
            AccessDenied: status 413: the newest pass alone is too long.
        """
        kept = [each for each in visitor.passes if OPEN_ID not in each.ids]
        while True:
            text = self._sign(
                _Cookie(
                    "visitor",
                    visitor.user,
                    int(now) + COOKIE_SECONDS,
                    int(now),
                    tuple(_KeptPass(dict(p.grants), p.end, p.issued, p.ids) for p in kept),
                    visitor.name,
                    visitor.is_named,
                )
            )
            if len(text) <= MAX_COOKIE_BYTES:
                return text
            if len(kept) <= 1:
                raise AccessDenied(
                    "This token grants too much for a cookie; send it in the Authorization header.",
                    413,
                )
            oldest = next((p for p in kept[:-1] if not p.is_whole), kept[0])
            kept.remove(oldest)

    # --- links -------------------------------------------------------------------------------

    def share(
        self,
        address: Address,
        rights: Rights,
        *,
        expires: float | None = None,
        giver: Visitor | None = None,
    ) -> str:
        """A token for one room with these rights, until `expires` (seconds since the epoch; None:
        for ever). It stands and falls with what its giver came with.

        Raises:
            AccessDenied: status 403: it was passed on too often.
        """
        via: tuple[str, ...] = ()
        if giver is not None:
            ids = giver.ids(address, rights)
            via = tuple(one for one in ids if one != OPEN_ID and not one.startswith(SERVER_ID))
        share = Share(
            "share",
            str(address),
            rights,
            exp=None if expires is None else int(expires),
            jti=secrets.token_urlsafe(9),
            iat=int(time.time()),
            by="" if giver is None else giver.user,
            via=via,
        )
        if len(share.ids) > MAX_PASS_IDS:
            raise AccessDenied("This link was passed on too often; ask whom you have it from.", 403)
        return self._sign(share)

    def read_share(self, text: str) -> Share | None:
        """What a link's token says, be it revoked; None when it is none of ours, or at its end."""
        return self._decode(text, Share)

    # --- within ------------------------------------------------------------------------------

    def is_void(self, each: Pass) -> bool:
        """Whether a pass was taken back, or is another server's."""
        own = each.ids[0] if each.ids else ""
        if own.startswith(SERVER_ID) and not hmac.compare_digest(own, self._server_id):
            return True
        return self.revocations.covers(each)

    def _good(self, visitor: Visitor | None) -> Visitor | None:
        if visitor is None:
            return None
        good = visitor.still(time.time(), self.is_void)
        if self._open and (anybody := self.anybody()):
            return replace(good, passes=(*good.passes, *anybody.passes))
        return good if good.passes or (self._strangers and not visitor.passes) else None

    def _sign(self, claims: msgspec.Struct) -> str:
        return jwt.encode(msgspec.to_builtins(claims), self._key, algorithm="HS256")

    def _decode(self, text: str, shape: type[_Claims]) -> _Claims | None:
        try:
            # Ours are good whatever time it was when they were made: a clock may be set back.
            options: Any = {"verify_iat": False}
            claims = jwt.decode(text, self._key, algorithms=["HS256"], options=options)
            return msgspec.convert(claims, shape)
        except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError):
            return None
