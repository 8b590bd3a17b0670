"""Every setting of the server: its name, its type, its default, and what it is for.

A setting has one name everywhere: `ping_idle_seconds` in a TOML file,
`ENGINEROOM_PING_IDLE_SECONDS` in the environment, `--ping-idle-seconds` on the command line where
there is an option for it. The order is: command line, environment, file, default. What a setting
does is not known here.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from engineroom.errors import SettingsError

PREFIX = "ENGINEROOM_"
# These are for the programs in a room (see programs/), among which a server may have been started.
NOT_SETTINGS = frozenset({"ENGINEROOM_CONFIG", "ENGINEROOM_ROOM", "ENGINEROOM_VALUES_FD"})

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86400)]
Bytes: TypeAlias = Annotated[int, Meta(ge=1024, le=1 << 30)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=10_000_000)]


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
    token: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~-]{1,200}\Z")] | None = None
    no_auth: bool = False
    allow_host: tuple[str, ...] = ()
    allow_origin: tuple[str, ...] = ()

    # Sockets.
    max_frame_bytes: Bytes = 17 << 20
    write_high_bytes: Bytes = 256 << 10
    write_low_bytes: Bytes = 64 << 10
    handshake_timeout_seconds: Seconds = 10.0
    close_timeout_seconds: Seconds = 3.0
    ping_idle_seconds: Seconds = 30.0
    ping_reply_seconds: Seconds = 20.0

    # Rooms.
    max_rooms: Count = 10_000
    room_members: Count = 1_000
    document_bytes: Bytes = 256 << 20
    linger_seconds: Annotated[float, Meta(ge=0, le=86400)] = 30.0
    evaluation_seconds: Seconds = 3_600.0
    durability: Literal["disk", "os"] = "disk"
    drain_seconds: Annotated[float, Meta(gt=0, le=60)] = 3.0

    # Programs.
    runtime: Literal["auto", "sandbox", "local"] = "auto"
    program_memory_bytes: Annotated[int, Meta(ge=1 << 20)] = 512 << 20
    program_processes: Count = 128
    program_cpu: Annotated[float, Meta(gt=0, le=1024)] = 1.0
    program_file_bytes: Annotated[int, Meta(ge=1 << 10)] = 1 << 30

    # What is said on stderr.
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __post_init__(self) -> None:
        if self.write_low_bytes >= self.write_high_bytes:
            raise ValueError("write_low_bytes is less than write_high_bytes")
        if self.ping_reply_seconds > self.ping_idle_seconds:
            raise ValueError("ping_reply_seconds is at most ping_idle_seconds")


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
        if isinstance(FIELDS[name].default, tuple):
            value = [part.strip() for part in text.split(",") if part.strip()]
        stated[name] = _checked(name, value, variable, strict=False)
    return stated


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
        raise SettingsError(f"{where} is not valid: {error}") from error
