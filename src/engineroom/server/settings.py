"""Every setting of the server: its name, its type, its default, and what it is for.

A setting has one name everywhere: `ping_idle_seconds` in a TOML file,
`ENGINEROOM_PING_IDLE_SECONDS` in the environment, `--ping-idle-seconds` on the command line where
there is an option for it. The order is: command line, environment, file, default. What a setting
does is not known here.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_origin

import msgspec
from msgspec import Meta

from engineroom.errors import SettingsError
from engineroom.protocols.hocuspocus import MAX_STATELESS_BYTES
from engineroom.protocols.page import MAX_CODE_BYTES, MAX_TYPED_BYTES, MAX_VALUE_BYTES
from engineroom.rooms.limits import RoomLimits

from .connection import SocketLimits
from .counts import ConnectionLimits
from .webhooks.subscription import MAX_WEBHOOKS, Webhook

PREFIX = "ENGINEROOM_"
# These are for the programs in a room (see programs/), among which a server may have been started.
JSON_SETTINGS = frozenset({"stores", "webhooks"})  # whose text in the environment is JSON
NOT_SETTINGS = frozenset({"ENGINEROOM_CONFIG", "ENGINEROOM_ROOM", "ENGINEROOM_VALUES_FD"})

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86400)]
Bytes: TypeAlias = Annotated[int, Meta(ge=1024, le=1 << 30)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=10_000_000)]
Rate: TypeAlias = Annotated[float, Meta(ge=1, le=1e9)]
KeyAlgorithm: TypeAlias = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]

# The bounds of the parts, whose defaults are the settings'.
_CONNECTIONS: Final = ConnectionLimits()
_ROOMS: Final = RoomLimits()
_SOCKETS: Final = SocketLimits()


StoreName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(sqlite|file|memory|postgres(ql)?://.+)\Z",
        description="it is sqlite, file, memory, or postgres://user:password@host/name",
    ),
]
Token: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._~-]{1,200}\Z", description="it has 1 to 200 letters, digits and ._~-"
    ),
]
MetricsToken: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._~-]{16,200}\Z",
        description="it has 16 to 200 letters, digits and ._~-",
    ),
]
Archive: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(s3://[^/]+|file:///).*\Z",
        description="it is s3://bucket/prefix or file:///folder",
    ),
]
Endpoint: TypeAlias = Annotated[
    str,
    Meta(pattern=r"^https?://.+\Z", description="it is a URL, http://… or https://…"),
]


class StoreRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another store, or another durability, for documents whose path begins with `prefix`. What it
    does not state is the server's.
    """

    prefix: Annotated[str, Meta(min_length=1, max_length=255)]
    store: StoreName | None = None
    durability: Literal["disk", "os", "memory"] | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one server. See `docs/reference/settings.md`, which a test holds equal to
    this.
    """

    # What is served, and where.
    site: str | None = None
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    data: str | None = None
    open: bool = False

    # Who may come in.
    token: Token | None = None
    no_auth: bool = False
    allow_host: tuple[str, ...] = ()
    allow_origin: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")

    # Tokens of an issuer.
    jwt_secret: Annotated[str, Meta(min_length=32, max_length=1024)] | None = None
    jwt_keys: Annotated[str, Meta(min_length=1)] | None = None
    jwt_algorithms: tuple[KeyAlgorithm, ...] = ("RS256", "ES256", "EdDSA")
    jwt_issuer: Annotated[str, Meta(min_length=1)] | None = None
    jwt_audience: Annotated[str, Meta(min_length=1)] | None = None
    jwt_leeway_seconds: Annotated[float, Meta(ge=0, le=300)] = 10.0
    jwt_require_exp: bool = True
    jwt_rooms_claim: Annotated[str, Meta(min_length=1)] = "rooms"
    jwt_keys_seconds: Seconds = 3_600.0
    jwt_keys_retry_seconds: Seconds = 30.0

    # Sockets.
    max_frame_bytes: Bytes = _SOCKETS.frame_bytes
    unfinished_bytes: Bytes = _SOCKETS.unfinished_bytes
    write_high_bytes: Bytes = _SOCKETS.write_high_bytes
    write_low_bytes: Bytes = _SOCKETS.write_low_bytes
    handshake_timeout_seconds: Seconds = _SOCKETS.handshake_timeout_seconds
    close_timeout_seconds: Seconds = _SOCKETS.close_timeout_seconds
    ping_idle_seconds: Seconds = _SOCKETS.ping_idle_seconds
    ping_reply_seconds: Seconds = _SOCKETS.ping_reply_seconds
    max_connections: Count = _CONNECTIONS.connections
    connections_per_address: Count = _CONNECTIONS.connections_per_address
    max_sockets: Count = _CONNECTIONS.sockets
    sockets_per_address: Count = _CONNECTIONS.sockets_per_address
    keep_alive_seconds: Seconds = _CONNECTIONS.keep_alive_seconds
    stalled_seconds: Seconds = _CONNECTIONS.stalled_seconds
    unauthenticated_sockets: Count = 1_000
    unauthenticated_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 40)] = 64 << 20
    authentication_seconds: Seconds = 30.0
    socket_documents: Annotated[int, Meta(ge=1, le=10_000)] = 100

    # Rooms.
    max_rooms: Count = 10_000
    room_members: Count = _ROOMS.room_members
    document_bytes: Bytes = _ROOMS.document_bytes
    linger_seconds: Annotated[float, Meta(ge=0, le=86400)] = _ROOMS.linger_seconds
    evaluation_seconds: Seconds = _ROOMS.evaluation_seconds
    store: StoreName = "sqlite"
    durability: Literal["disk", "os", "memory"] = "disk"
    stores: tuple[StoreRule, ...] = ()
    archive: Archive | None = None
    archive_endpoint: Endpoint | None = None
    archive_sweep_seconds: Seconds = 300.0
    other_history: Literal["refuse", "fork"] = _ROOMS.other_history
    drain_seconds: Annotated[float, Meta(gt=0, le=60)] = 3.0

    # What a member may make grow. The defaults are explained in `rooms/limits.py`.
    messages_per_second: Rate = _ROOMS.messages_per_second
    bytes_per_second: Rate = _ROOMS.bytes_per_second
    update_bytes: Bytes = _ROOMS.update_bytes
    reader_update_bytes: Bytes = _ROOMS.reader_update_bytes
    reader_update_structs: Count = _ROOMS.reader_update_structs
    reader_bytes_per_second: Rate = _ROOMS.reader_bytes_per_second
    update_deletions: Count = _ROOMS.update_deletions
    update_structs: Count = _ROOMS.update_structs
    waiting_updates: Count = _ROOMS.waiting_updates
    unstored_bytes: Bytes = _ROOMS.unstored_bytes
    document_types: Annotated[int, Meta(ge=1, le=100_000)] = _ROOMS.document_types
    held_bytes: Bytes = _ROOMS.held_bytes
    message_bytes: Annotated[int, Meta(ge=1024, le=MAX_STATELESS_BYTES)] = _ROOMS.message_bytes
    awareness_clients: Count = _ROOMS.awareness_clients
    awareness_bytes: Bytes = _ROOMS.awareness_bytes
    member_awareness_clients: Count = _ROOMS.member_awareness_clients
    member_awareness_bytes: Bytes = _ROOMS.member_awareness_bytes
    awareness_per_second: Rate = _ROOMS.awareness_per_second
    room_values: Count = _ROOMS.room_values
    value_bytes: Annotated[int, Meta(ge=1024, le=MAX_VALUE_BYTES)] = _ROOMS.value_bytes
    values_bytes: Bytes = _ROOMS.values_bytes
    queued_evaluations: Count = _ROOMS.queued_evaluations
    code_bytes: Annotated[int, Meta(ge=1024, le=MAX_CODE_BYTES)] = _ROOMS.code_bytes
    input_bytes: Annotated[int, Meta(ge=1024, le=MAX_TYPED_BYTES)] = _ROOMS.input_bytes

    # What a program may make grow.
    stream_bytes: Bytes = _ROOMS.stream_bytes
    evaluation_outputs: Count = _ROOMS.evaluation_outputs
    output_bytes: Bytes = _ROOMS.output_bytes
    evaluation_bytes: Bytes = _ROOMS.evaluation_bytes
    screen_bytes: Bytes = _ROOMS.screen_bytes

    # History.
    history: bool = True
    history_interval_seconds: Annotated[float, Meta(ge=1, le=30 * 86400)] = 600.0
    history_pause_seconds: Annotated[float, Meta(ge=1, le=86400)] = 60.0
    history_pause_updates: Count = 20
    history_seconds: Annotated[float, Meta(ge=0, le=3650 * 86400)] = 0.0
    versions: Annotated[int, Meta(ge=1, le=100_000)] = 500
    versions_bytes: Annotated[int, Meta(ge=1024, le=1 << 40)] = 256 << 20

    # Programs.
    runtime: Literal["auto", "sandbox", "local"] = "auto"
    program_memory_bytes: Annotated[int, Meta(ge=1 << 20)] = 512 << 20
    program_processes: Count = 128
    program_cpu: Annotated[float, Meta(gt=0, le=1024)] = 1.0
    program_file_bytes: Annotated[int, Meta(ge=1 << 10)] = 1 << 30

    # What is said on stderr.
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    # What is served to programs, and told to them.
    http_body_bytes: Bytes = 16 << 20
    metrics_token: MetricsToken | None = None
    webhooks: Annotated[tuple[Webhook, ...], Meta(max_length=MAX_WEBHOOKS)] = ()

    def __post_init__(self) -> None:
        if self.write_low_bytes >= self.write_high_bytes:
            raise ValueError("write_low_bytes is less than write_high_bytes")
        if self.ping_reply_seconds > self.ping_idle_seconds:
            raise ValueError("ping_reply_seconds is at most ping_idle_seconds")
        if len({rule.prefix for rule in self.stores}) < len(self.stores):
            raise ValueError("stores has two rules for one prefix")


FIELDS: Mapping[str, msgspec.structs.FieldInfo] = {
    field.name: field for field in msgspec.structs.fields(Settings)
}


def load_settings(
    argv: Mapping[str, object], environ: Mapping[str, str], file: Path | None = None
) -> Settings:
    """The settings that these sources state: `argv` before `environ` before `file` (TOML) before
    the defaults.

    In `argv`, None and False and an empty list say nothing. Without `file`, the one that
    `ENGINEROOM_CONFIG` names is read.

    Raises:
        SettingsError: a file that cannot be read, an unknown name, or a value that is not valid;
        says which.
    """
    file = file or (
        Path(environ["ENGINEROOM_CONFIG"]) if environ.get("ENGINEROOM_CONFIG") else None
    )
    stated: dict[str, object] = {}
    stated |= _from_file(file) if file else {}
    stated |= _from_environment(environ)
    stated |= _from_argv(argv)
    try:
        return msgspec.convert(stated, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(str(error)) from error


def settings_of(stated: Mapping[str, object]) -> Settings:
    """The settings that a program states as keywords; neither the environment nor a file is read. A
    folder may be a `Path`.

    Raises:
        SettingsError: an unknown name, or a value that is not valid; says which.
    """
    values = {_known(name, ""): value for name, value in stated.items()}
    texts = {n: os.fspath(v) if isinstance(v, os.PathLike) else v for n, v in values.items()}
    checked = {name: _checked(name, value, name, strict=True) for name, value in texts.items()}
    try:
        return msgspec.convert(checked, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(str(error)) from error


def default_data_folder(site: Path | None, environ: Mapping[str, str]) -> Path:
    """Where a site's data live when no folder is stated: one below the user's XDG data folder for
    each site.
    """
    home = environ.get("XDG_DATA_HOME", "")
    # Source: XDG Base Directory Specification: "All paths set in these environment variables must
    # be absolute."
    data_home = Path(home) if home.startswith("/") else Path.home() / ".local/share"
    if site is None:
        return data_home / "engineroom/documents"
    digest = hashlib.sha256(bytes(site.resolve())).hexdigest()
    return data_home / "engineroom" / f"{site.resolve().name}-{digest[:12]}"


def _from_file(path: Path) -> dict[str, object]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"cannot read the settings file {path}: {reason}") from error
    try:
        stated = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    return {
        _known(name, f"{path}: "): _checked(name, value, f"{path}: {name}", strict=True)
        for name, value in stated.items()
    }


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    stated: dict[str, object] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        name = _known(variable.removeprefix(PREFIX).lower(), f"{variable}: ")
        value: object = text
        if name in JSON_SETTINGS:
            value = _from_json(text, variable)
        elif isinstance(FIELDS[name].default, tuple):
            value = [part.strip() for part in text.split(",") if part.strip()]
        stated[name] = _checked(name, value, variable, strict=False)
    return stated


def _from_json(text: str, variable: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise SettingsError(f"{variable} is not valid JSON: {error}") from error


def _from_argv(argv: Mapping[str, object]) -> dict[str, object]:
    return {
        name: _checked(name, value, f"--{name.replace('_', '-')} {value}", strict=True)
        for name, value in argv.items()
        if value is not None and value is not False and value != []
    }


def _known(name: str, where: str) -> str:
    if name in FIELDS:
        return name
    nearest = difflib.get_close_matches(name, FIELDS, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "see docs/reference/settings.md"
    raise SettingsError(f"{where}there is no setting {name!r}; {hint}")


def _checked(name: str, value: object, where: str, *, strict: bool) -> Any:
    """The value as its setting's type, so that an error can name where it was stated."""
    try:
        return msgspec.convert(value, FIELDS[name].type, strict=strict)
    except msgspec.ValidationError as error:
        reason = _takes(FIELDS[name].type) or str(error)
        raise SettingsError(f"{where} is not valid: {reason}") from error


def _takes(kind: Any) -> str:
    """What a setting of this type takes, in words, where msgspec would show a pattern or leave the
    choices out; else empty.
    """
    if isinstance(kind, Meta):
        return kind.description or ""
    if get_origin(kind) is Literal:
        return f"it is one of {', '.join(get_args(kind))}"
    return next(filter(None, map(_takes, get_args(kind))), "")
