"""Which stores the settings ask for, and where they are: the one place that knows all of them.

Stores that need a library of their own are imported when they are asked for. What object storage
needs to know beyond the settings (keys, region) is in the environment, where obstore reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from engineroom.errors import SettingsError, StoreError
from engineroom.stores.choice import ByPrefix, ChosenStore, OpenableStore
from engineroom.stores.file import FileStore
from engineroom.stores.memory import MemoryStore
from engineroom.stores.promises import Durability, DurabilityOf
from engineroom.stores.sqlite import SQLiteStore

from .settings import Settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SQLITE_FILE = "rooms.sqlite"
FILES_FOLDER = "documents"
ARCHIVE_RETRIES = 3
ARCHIVE_SECONDS = 60


def choose_store(settings: Settings, data: Path, *, read_only: bool = False) -> ChosenStore:
    """The stores of the settings as one, not opened yet; those of files are below `data`.

    Raises:
        SettingsError: an archive's URL is none.
        StoreError: a store's library is not installed.
    """
    kinds = ByPrefix({"": settings.store})
    durabilities = ByPrefix({"": settings.durability})
    for rule in settings.stores:
        kinds[rule.prefix] = rule.store or settings.store
        durabilities[rule.prefix] = rule.durability or settings.durability

    def durability_of(path: str) -> Durability:
        return "os" if durabilities.of(path) == "os" else "disk"

    made: dict[str, OpenableStore] = {}
    by_prefix: dict[str, OpenableStore] = {}
    for prefix, kind in kinds.items():
        kind = "memory" if durabilities[prefix] == "memory" else kind
        if kind not in made:
            store = _make(kind, data, durability_of, read_only=read_only)
            if settings.archive and kind != "memory" and not read_only:
                store = _archived(store, settings)
            made[kind] = store
        by_prefix[prefix] = made[kind]
    return ChosenStore(by_prefix)


def _make(kind: str, data: Path, durability_of: DurabilityOf, *, read_only: bool) -> OpenableStore:
    if kind == "memory":
        return MemoryStore()
    if kind == "file":
        return FileStore(data / FILES_FOLDER, durability_of=durability_of, read_only=read_only)
    if kind == "sqlite":
        return SQLiteStore(data / SQLITE_FILE, durability_of=durability_of, read_only=read_only)
    try:
        from engineroom.stores.postgres import PostgresStore
    except ImportError as error:
        raise _missing("PostgreSQL", "postgres", error) from error
    return PostgresStore(kind, durability_of=durability_of, read_only=read_only)


def _archived(store: OpenableStore, settings: Settings) -> OpenableStore:
    try:
        from engineroom.stores.archive import ArchivedStore
    except ImportError as error:
        raise _missing("an archive", "s3", error) from error
    assert settings.archive is not None
    objects = open_objects(settings.archive, settings.archive_endpoint)
    return ArchivedStore(store, objects, sweep_seconds=settings.archive_sweep_seconds)


def open_objects(url: str, endpoint: str | None) -> ObjectStore:
    """The place for objects at `url`: `s3://bucket/prefix` or `file:///folder`.

    Raises:
        SettingsError: it is none.
    """
    from obstore.store import LocalStore, S3Store

    parts = urlsplit(url)
    makers: dict[str, Callable[[], ObjectStore]] = {
        "s3": lambda: S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            config={"endpoint": endpoint} if endpoint else None,
            client_options={
                "allow_http": bool(endpoint and endpoint.startswith("http://")),
                "timeout": timedelta(seconds=ARCHIVE_SECONDS),
            },
            retry_config={
                "max_retries": ARCHIVE_RETRIES,
                "retry_timeout": timedelta(seconds=ARCHIVE_SECONDS),
            },
        ),
        "file": lambda: LocalStore(parts.path, mkdir=True, automatic_cleanup=True),
    }
    try:
        return makers[parts.scheme]()
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(f"the archive {url} cannot be used: {reason}") from error


def _missing(what: str, extra: str, error: ImportError) -> StoreError:
    return StoreError(
        f"{what} needs a library that is not installed ({error.name}): "
        f"pip install 'engineroom[{extra}]'"
    )
