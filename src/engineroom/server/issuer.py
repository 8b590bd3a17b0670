"""Tokens of an issuer: JSON Web Tokens that an application, or a login service, signs for its users.

    {"sub": "ada", "name": "Ada", "exp": 1767225600, "rooms": {"notes/**": ["read", "write"], "**": ["read"]}}

Which algorithms are good is pinned by the settings, and each by the kind of its key: a token chooses among them, and
nothing more. `none` is never one of them. Source: RFC 7519; RFC 8725 (best practices).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, cast

import jwt
import msgspec

from engineroom.errors import AccessDenied

from .grants import MAX_PATTERNS, Grants, check_pattern
from .key_set import KeySet
from .rights import ALL_RIGHTS, Rights
from .visitors import Pass, Visitor

logger = logging.getLogger("engineroom.access")

SECRET_ALGORITHM = "HS256"  # noqa: S105
KEY_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
DEFAULT_KEY_ALGORITHMS = ("RS256", "ES256", "EdDSA")
MIN_SECRET_BYTES = 32  # RFC 7518, section 3.2: as long as the hash
MAX_TOKEN_BYTES = 8 << 10
MAX_NAME_CHARACTERS = 100
MAX_USER_BYTES = 200


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say. `key_algorithms` are good with keys of the set; a secret has its own one.

    `rooms_claim` names the claim that grants rights.
    """

    key_algorithms: tuple[str, ...] = DEFAULT_KEY_ALGORITHMS
    issuer: str | None = None
    audience: str | None = None
    leeway_seconds: float = 10.0
    require_end: bool = True
    rooms_claim: str = "rooms"


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    exp: float | None = None
    iat: float = 0
    jti: str = ""


class Issuer:
    """Reads tokens that were signed with `secret`, or with a key of `keys`."""

    def __init__(
        self,
        rules: TokenRules | None = None,
        *,
        secret: bytes | None = None,
        keys: KeySet | None = None,
    ) -> None:
        self._rules = rules or TokenRules()
        self._secret = secret
        self._keys = keys
        self._reader = jwt.PyJWT({"enforce_minimum_key_length": True})

    async def visitor(self, token: str) -> Visitor | None:
        """The visitor whom a token names; None when it is not valid. May wait for the issuer's keys.

        Raises:
            AccessDenied: status 503: no key of the issuer's is known yet.
        """
        if len(token) > MAX_TOKEN_BYTES:
            return None
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            key = await self._key(algorithm, kid)
            if key is None or algorithm is None:
                return None
            return self._visitor(self._verified(token, key, algorithm))
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError) as error:
            # The text names the claim that is wrong, and never the token.
            logger.debug("a token was refused: %s", error)
            return None

    async def _key(self, algorithm: object, kid: object) -> bytes | jwt.PyJWK | None:
        if algorithm == SECRET_ALGORITHM:
            return self._secret
        if self._keys is None or algorithm not in self._rules.key_algorithms:
            return None
        if not (isinstance(algorithm, str) and (kid is None or isinstance(kid, str))):
            return None
        key = await self._keys.find(kid, algorithm)
        if key is None and self._keys.is_empty:
            raise AccessDenied("The keys of the tokens' issuer cannot be had now; try again.", 503)
        return key

    def _verified(self, token: str, key: bytes | jwt.PyJWK, algorithm: str) -> dict[str, Any]:
        rules = self._rules
        required = ["sub", *(["exp"] if rules.require_end else [])]
        return self._reader.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=rules.issuer,
            audience=rules.audience,
            leeway=rules.leeway_seconds,
            options={"require": required},
        )

    def _visitor(self, claims: dict[str, Any]) -> Visitor:
        known = msgspec.convert(claims, _Claims)
        if not 1 <= len(known.sub.encode()) <= MAX_USER_BYTES or not known.sub.isprintable():
            raise ValueError(f"sub is printable, and has 1 to {MAX_USER_BYTES} bytes")
        # What is let in until `exp` and a little is let stay as long: else it would come again and again.
        end = None if known.exp is None else int(known.exp) + self._rules.leeway_seconds
        ids = (f"token:{known.jti}",) if known.jti else ()
        grants = parse_grants(claims.get(self._rules.rooms_claim, {}))
        one = Pass(grants, end, known.iat, (*ids, f"user:{known.sub}"))
        name = claims.get("name")
        return Visitor(known.sub, (one,), _shown(name) if isinstance(name, str) else "", True)


def parse_grants(claim: object) -> Grants:
    """The grants in a token: an object of patterns, each with a list of rights.

    Raises:
        ValueError: it is none, or has a right or a pattern that is not known. Nothing is granted by halves.
    """
    stated = msgspec.convert(claim, dict[str, list[str]])
    if len(stated) > MAX_PATTERNS:
        raise ValueError(f"a token has at most {MAX_PATTERNS} patterns")
    for pattern, names in stated.items():
        if unknown := set(names) - ALL_RIGHTS:
            raise ValueError(f"{pattern!r} grants {sorted(unknown)}; rights are {ALL_RIGHTS}")
    return {
        check_pattern(pattern): cast(Rights, frozenset(names)) for pattern, names in stated.items()
    }


def _shown(name: str) -> str:
    """A name for people: without control characters, and not too long."""
    return "".join(c for c in name if c.isprintable())[:MAX_NAME_CHARACTERS].strip()
