"""From settings to what reads and makes credentials."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from engineroom.errors import DataFolderError, SettingsError
from engineroom.rooms.address import Address
from engineroom.server import credentials
from engineroom.server.credentials import open_access
from engineroom.server.settings import Settings

pytestmark = pytest.mark.anyio

KEY = ec.generate_private_key(ec.SECP256R1())
SECRET = "s" * 32


def settings(tmp_path: Path, **more: Any) -> Settings:
    return Settings(data=str(tmp_path), token="t", **more)


def signed(key: Any, algorithm: str, **more: Any) -> str:
    claims = {"sub": "ada", "exp": time.time() + 100, "rooms": {"**": ["read"]}} | more
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": "a"})


async def test_secret_and_keys(tmp_path: Path) -> None:
    """Tokens by the secret and by the keys of the settings are good, side by side with the server's own."""
    keys = tmp_path / "keys.json"
    public = ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    keys.write_text(json.dumps({"keys": [public | {"kid": "a"}]}))
    stated = settings(tmp_path, jwt_secret=SECRET, jwt_keys=str(keys))
    async with open_access(stated, tmp_path) as (access, secrets):
        assert secrets.token == "t"
        for token in (signed(SECRET, "HS256"), signed(KEY, "ES256"), "t"):
            visitor = await access.visitor_of_token(token)
            assert visitor is not None
            assert visitor.rights(Address.parse("notes")) >= {"read"}


async def test_without_an_issuer(tmp_path: Path) -> None:
    """Without a secret or keys no issuer's token is good."""
    async with open_access(settings(tmp_path), tmp_path) as (access, _):
        assert await access.visitor_of_token(signed(SECRET, "HS256")) is None


async def test_a_revoked_user(tmp_path: Path) -> None:
    """What was issued to a user until it was revoked is void; a newer token is good, also for the next server."""
    stated = settings(tmp_path, jwt_secret=SECRET)
    async with open_access(stated, tmp_path) as (access, _):
        await access.revocations.add("user:ada")
    async with open_access(stated, tmp_path) as (access, _):
        old, new = (signed(SECRET, "HS256", iat=int(time.time()) + d) for d in (-100, 5))
        assert await access.visitor_of_token(old) is None
        assert await access.visitor_of_token(signed(SECRET, "HS256")) is None  # says no time
        assert await access.visitor_of_token(new) is not None


async def test_keys_that_cannot_be_read(tmp_path: Path) -> None:
    """A server whose keys cannot be read does not start, and says which setting is wrong."""
    with pytest.raises(SettingsError, match="jwt_keys"):
        async with open_access(settings(tmp_path, jwt_keys="/nowhere"), tmp_path):
            pass


async def test_revocations_that_cannot_be_read(tmp_path: Path) -> None:
    """A server that cannot read what was revoked does not start."""
    (tmp_path / credentials.REVOKED_FILE).write_text("{")
    with pytest.raises(DataFolderError):
        async with open_access(settings(tmp_path), tmp_path):
            pass


async def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys without the library that reads them are an error that says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    with pytest.raises(SettingsError, match=r"engineroom\[jwt\]"):
        async with open_access(settings(tmp_path, jwt_keys="keys.json"), tmp_path):
            pass
