"""Tokens of an issuer: which are good, and what they grant."""

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from engineroom.errors import AccessDenied
from engineroom.rooms.address import Address
from engineroom.server.issuer import Issuer, TokenRules
from engineroom.server.key_set import KeySet
from engineroom.server.visitors import Visitor

pytestmark = pytest.mark.anyio

SECRET = b"s" * 64  # long enough for HS512 too
NOTES = Address.parse("notes/today")

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def public(algorithm: str, key: Any, **more: str) -> dict[str, Any]:
    make: dict[str, Callable[..., Any]] = {
        "RS": RSAAlgorithm.to_jwk,
        "ES": ECAlgorithm.to_jwk,
        "Ed": OKPAlgorithm.to_jwk,
    }
    return {**make[algorithm[:2]](key.public_key(), as_dict=True), **more}


KEYS = [
    public("RS256", RSA, kid="rsa"),
    public("ES256", EC, kid="ec", alg="ES256"),
    public("EdDSA", ED, kid="ed", use="sig"),
    public("RS256", WEAK_RSA, kid="weak"),
    public("RS256", RSA, kid="for-encryption", use="enc"),
    {"kty": "oct", "kid": "oct", "k": base64.urlsafe_b64encode(SECRET).decode().rstrip("=")},
]


def claims(**more: Any) -> dict[str, Any]:
    stated = {"sub": "ada", "exp": time.time() + 100, "rooms": {"notes/*": ["read", "write"]}}
    return {k: v for k, v in (stated | more).items() if v is not None}


def signed(key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **more: Any) -> str:
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(claims(**more), key, algorithm=algorithm, headers=headers)


async def read(token: str, rules: TokenRules | None = None) -> Visitor | None:
    """What an issuer with the secret and the keys makes of a token."""
    async with KeySet("keys.json", read=lambda source: KEYS) as keys:
        return await Issuer(rules, secret=SECRET, keys=keys).visitor(token)


# --- who it is, and what it may do -----------------------------------------------------------


async def test_a_token_names_a_visitor() -> None:
    """The visitor has the token's subject, name, rights by pattern, and end, with the leeway."""
    token = signed(
        name="Ada\u0000 L.", jti="t1", iat=1000, exp=2e9, rooms={"notes/*": ["read"], "**": []}
    )
    visitor = await read(token)
    assert visitor is not None
    assert (visitor.user, visitor.name, visitor.is_named) == ("ada", "Ada L.", True)
    assert visitor.rights(NOTES) == {"read"}
    assert visitor.rights(Address.parse("other")) == frozenset()
    assert visitor.end(NOTES, frozenset({"read"})) == 2e9 + 10
    assert visitor.passes[0].ids == ("token:t1", "user:ada")
    assert visitor.passes[0].issued == 1000


async def test_a_token_may_give_admin() -> None:
    """An issuer may give every right, admin among them."""
    visitor = await read(signed(rooms={"**": ["read", "write", "run", "admin"]}))
    assert visitor is not None
    assert visitor.is_admin


async def test_a_token_without_rooms() -> None:
    """A token that grants nothing still says who it is."""
    visitor = await read(signed(rooms=None))
    assert visitor is not None
    assert visitor.rights(NOTES) == frozenset()


async def test_another_claim_for_the_rooms() -> None:
    """The claim that grants rights is the one of the settings."""
    rules = TokenRules(rooms_claim="https://example.org/rooms")
    token = signed(**{"https://example.org/rooms": {"**": ["read"]}})
    visitor = await read(token, rules)
    assert visitor is not None
    assert visitor.rights(Address.parse("any")) == {"read"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"sub": None},
        {"sub": ""},
        {"sub": "a" * 201},
        {"sub": "a\nb"},
        {"exp": None},
        {"rooms": ["notes"]},
        {"rooms": {"notes": "read"}},
        {"rooms": {"notes": ["root"]}},
        {"rooms": {"": ["read"]}},
        {"rooms": {"a/../b": ["read"]}},
        {"rooms": {f"room{n}": ["read"] for n in range(201)}},
        {"nbf": 4e9},
        {"iat": 4e9},
        {"aud": "others"},
    ],
)
async def test_claims_that_are_not_valid(wrong: dict[str, Any]) -> None:
    """A token with a claim that is not valid gives nothing, not even what else it says."""
    assert await read(signed(**wrong)) is None


async def test_leeway() -> None:
    """A token is good for as long after its end as the settings say, and no longer."""
    assert await read(signed(exp=time.time() - 5)) is not None
    assert await read(signed(exp=time.time() - 60)) is None
    assert await read(signed(exp=time.time() - 5), TokenRules(leeway_seconds=0)) is None


async def test_an_end_may_be_left_out() -> None:
    """A token without an end is good where the settings allow it."""
    visitor = await read(signed(exp=None), TokenRules(require_end=False))
    assert visitor is not None
    assert visitor.end(NOTES, frozenset({"read"})) is None


async def test_issuer_and_audience() -> None:
    """Where the settings name an issuer and an audience, a token names the same."""
    rules = TokenRules(issuer="https://login.example", audience="rooms")
    assert await read(signed(iss="https://login.example", aud=["x", "rooms"]), rules) is not None
    for wrong in (
        {},
        {"iss": "https://login.example"},
        {"aud": "rooms"},
        {"iss": "https://other.example", "aud": "rooms"},
        {"iss": "https://login.example", "aud": "others"},
    ):
        assert await read(signed(**wrong), rules) is None


# --- signatures ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed")]
)
async def test_keys(key: Any, algorithm: str, kid: str) -> None:
    """Tokens signed with a key of the set are good, by the algorithm of that key."""
    visitor = await read(signed(key, algorithm, kid))
    assert visitor is not None
    assert visitor.user == "ada"


async def test_a_token_that_names_no_key() -> None:
    """A token that names no key is good when one key alone fits its algorithm."""
    assert await read(signed(EC, "ES256")) is not None
    assert await read(signed(RSA, "RS256")) is None  # two of them


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [
        (rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256", "rsa"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256", "ec"),
        (RSA, "RS256", "ec"),  # another key's name
        (RSA, "RS256", "unknown"),
        (RSA, "RS256", "for-encryption"),
        (RSA, "RS512", "rsa"),  # not among the algorithms of the settings
        (RSA, "PS256", "rsa"),
        (b"x" * 32, "HS256", None),
        (SECRET + SECRET, "HS512", None),
        (SECRET, "HS384", "oct"),
        (SECRET, "HS384", None),
        (SECRET, "HS512", None),
    ],
)
@pytest.mark.filterwarnings("ignore:The HMAC key")
async def test_other_signatures(key: Any, algorithm: str, kid: str | None) -> None:
    """A token signed with another key, or by another algorithm than the settings pin, is not valid."""
    assert await read(signed(key, algorithm, kid)) is None


@pytest.mark.filterwarnings("ignore:The RSA key")
async def test_a_weak_key() -> None:
    """A key of the set that is too short is not taken."""
    assert await read(signed(WEAK_RSA, "RS256", "weak")) is None


async def test_no_algorithm() -> None:
    """An unsigned token is not valid, however its algorithm is spelled."""
    for name in ("none", "None", "NONE", "", None, 1, ["HS256"]):
        assert await read(forged({"alg": name}, b"")) is None


async def test_a_public_key_is_no_secret() -> None:
    """What anybody can read, a public key, signs nothing: the algorithm is pinned by the kind of key."""
    spki = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    modulus = json.dumps(KEYS[0]).encode()
    for secret in (spki, modulus, KEYS[0]["n"].encode()):
        for kid in ("rsa", "oct", None):
            assert await read(forged({"alg": "HS256", "kid": kid}, secret)) is None
            assert await read(forged({"alg": "RS256", "kid": kid}, secret)) is None


async def test_a_secret_in_the_key_set_is_not_taken() -> None:
    """A symmetric key in a public key set signs nothing."""
    async with KeySet("keys.json", read=lambda source: KEYS) as keys:
        issuer = Issuer(keys=keys)
        assert await issuer.visitor(signed(SECRET, "HS256", "oct")) is None


async def test_a_secret_alone_takes_no_keys() -> None:
    """With a secret alone, tokens of other algorithms are not valid."""
    issuer = Issuer(secret=SECRET)
    assert await issuer.visitor(signed()) is not None
    assert await issuer.visitor(signed(RSA, "RS256", "rsa")) is None


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256", "crit": ["x"]},
        {"alg": "HS256", "b64": False, "crit": ["b64"]},
        {"alg": "RS256", "kid": 1},
        {"alg": "RS256", "kid": ["rsa"]},
    ],
)
async def test_headers_that_are_not_valid(header: dict[str, Any]) -> None:
    """A header that asks for what is not done, or is of a wrong type, makes a token void."""
    assert await read(forged(header, SECRET)) is None


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c", "...", "é.é.é", "x" * 9000, "\ud800.a.b"]
)
async def test_no_tokens(token: str) -> None:
    """What is no token gives nothing, and is no failure."""
    assert await read(token) is None


async def test_an_embedded_key_is_not_looked_at() -> None:
    """A token cannot bring its own key, nor say where it is."""
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    more = {"jwk": public("RS256", other), "jku": "http://127.0.0.1:1/", "kid": "rsa"}
    token = jwt.encode(claims(), other, algorithm="RS256", headers=more)
    assert await read(token) is None


async def test_no_keys_yet() -> None:
    """While no key could be had, a token cannot be judged: 503, so that its holder asks again."""

    def fail(source: str) -> list[dict[str, Any]]:
        raise OSError("down")

    async with KeySet("https://login.example/keys", read=fail) as keys:
        with pytest.raises(AccessDenied) as denied:
            await Issuer(keys=keys).visitor(signed(RSA, "RS256", "rsa"))
        assert denied.value.status == 503


async def test_nothing_of_a_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is logged without the token, or any part of it."""
    caplog.set_level(logging.DEBUG)
    for token in (signed(b"x" * 32), signed(sub=""), signed(rooms={"n": ["root"]}), "a.b.c"):
        await read(token)
        assert not any(part and part in caplog.text for part in token.split(".") if len(part) > 3)


def forged(header: dict[str, Any], secret: bytes) -> str:
    """A token with this header, signed by HMAC with this secret."""

    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    stated = {k: v for k, v in header.items() if v is not None or k == "alg"}
    body = part(stated) + b"." + part(claims())
    signature = hmac.new(secret, body, hashlib.sha256).digest() if secret else b""
    return (body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()
