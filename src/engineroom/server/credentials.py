"""From settings to `Access`: the server's secrets, what was revoked, the issuer of tokens and its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from engineroom.errors import SettingsError

from .access import Access
from .issuer import Issuer, TokenRules
from .key_set import KeySet
from .revocations import Revocations
from .secret_files import Secrets, load_secrets
from .settings import Settings

REVOKED_FILE = "revoked.json"


@asynccontextmanager
async def open_access(
    settings: Settings, data: Path, *, strangers: bool = False
) -> AsyncIterator[tuple[Access, Secrets]]:
    """What reads and makes credentials, as the settings say, and the secrets behind it; its files are in `data`.

    `strangers`: who shows nothing is let in without rights, for the application to say more.

    Raises:
        DataFolderError: the secrets, or what was revoked, can be neither read nor written.
        SettingsError: the issuer's keys are no key set, or need a library that is not there.
    """
    secrets = load_secrets(data, settings.token)
    async with AsyncExitStack() as stack:
        access = Access(
            secrets,
            open_to_all=settings.no_auth,
            strangers=strangers,
            issuer=await _issuer(settings, stack),
            revocations=Revocations.load(data / REVOKED_FILE),
        )
        yield access, secrets


async def _issuer(settings: Settings, stack: AsyncExitStack) -> Issuer | None:
    if settings.jwt_secret is None and settings.jwt_keys is None:
        return None
    keys = None
    if settings.jwt_keys is not None:
        _need_cryptography()
        keys = await stack.enter_async_context(
            KeySet(
                settings.jwt_keys,
                refresh_seconds=settings.jwt_keys_seconds,
                retry_seconds=settings.jwt_keys_retry_seconds,
            )
        )
    secret = None if settings.jwt_secret is None else settings.jwt_secret.encode()
    return Issuer(token_rules(settings), secret=secret, keys=keys)


def token_rules(settings: Settings) -> TokenRules:
    """What a token of the issuer must say, as the settings have it."""
    return TokenRules(
        key_algorithms=settings.jwt_algorithms,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        leeway_seconds=settings.jwt_leeway_seconds,
        require_end=settings.jwt_require_exp,
        rooms_claim=settings.jwt_rooms_claim,
    )


def _need_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise SettingsError(
            "jwt_keys needs the library `cryptography`: pip install 'engineroom[jwt]'"
        ) from None
