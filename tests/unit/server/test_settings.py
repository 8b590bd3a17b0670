"""Settings: where they come from, in which order, and that each is documented and reaches its
place.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from engineroom.errors import SettingsError
from engineroom.rooms.limits import RoomLimits
from engineroom.server.credentials import token_rules
from engineroom.server.limits import (
    connection_limits,
    host_rules,
    lobby_limits,
    program_limits,
    room_limits,
    socket_limits,
)
from engineroom.server.settings import (
    FIELDS,
    Settings,
    StoreRule,
    default_data_folder,
    load_settings,
)

REFERENCE = Path(__file__).parents[3] / "docs/reference/settings.md"


def load(
    argv: dict[str, object] | None = None,
    environ: dict[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    return load_settings(argv or {}, environ or {}, file)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "engineroom.toml"


def test_defaults() -> None:
    """Without any source every setting has its default."""
    assert load() == Settings()


def test_order_of_sources(config: Path) -> None:
    """The command line goes before the environment, that before the file, that before the default."""
    config.write_text('port = 1\nhost = "file"\ntoken = "file"\n')
    environ = {"ENGINEROOM_PORT": "2", "ENGINEROOM_HOST": "environment"}
    settings = load({"port": 3}, environ, config)
    assert (settings.port, settings.host, settings.token) == (3, "environment", "file")


def test_an_argument_of_zero_counts() -> None:
    """Port 0 is a statement; an option that was not given is none."""
    assert load({"port": 0}).port == 0
    assert load({"port": None, "open": False, "allow_host": []}, {"ENGINEROOM_OPEN": "true"}).open


def test_environment_types(config: Path) -> None:
    """In the environment numbers, switches and lists are text."""
    environ = {
        "ENGINEROOM_NO_AUTH": "1",
        "ENGINEROOM_LINGER_SECONDS": "0",
        "ENGINEROOM_ALLOW_HOST": "a.example, b.example,",
        "ENGINEROOM_ROOM": "for programs",
        "ENGINEROOM_VALUES_FD": "for programs",
        "OTHER": "x",
    }
    settings = load({}, environ)
    assert settings.no_auth is True
    assert settings.linger_seconds == 0
    assert settings.allow_host == ("a.example", "b.example")


def test_rules_for_stores(config: Path) -> None:
    """`stores` is an array of tables in TOML, and a JSON array in the environment."""
    config.write_text('[[stores]]\nprefix = "notes/"\nstore = "file"\n')
    rule = StoreRule(prefix="notes/", store="file")
    assert load({}, {}, config).stores == (rule,)
    environ = {"ENGINEROOM_STORES": '[{"prefix": "a", "durability": "memory"}]'}
    assert load({}, environ, config).stores == (StoreRule(prefix="a", durability="memory"),)
    with pytest.raises(SettingsError, match="ENGINEROOM_STORES is not valid JSON"):
        load({}, {"ENGINEROOM_STORES": "notes/=file"})
    with pytest.raises(SettingsError, match="stores has two rules for one prefix"):
        load({}, {"ENGINEROOM_STORES": '[{"prefix": "a"}, {"prefix": "a"}]'})


@pytest.mark.parametrize("store", ["sqlite3", "postgres", "/a/file", "postgres://", ""])
def test_a_store_that_is_none_is_refused(store: str) -> None:
    """A store is one of three words, or a database's URL."""
    with pytest.raises(SettingsError, match="ENGINEROOM_STORE is not valid"):
        load({}, {"ENGINEROOM_STORE": store})


def test_the_environment_names_the_file(config: Path) -> None:
    """`ENGINEROOM_CONFIG` names a file, unless the command line does."""
    config.write_text("port = 7")
    assert load({}, {"ENGINEROOM_CONFIG": str(config)}).port == 7
    other = config.with_name("other.toml")
    other.write_text("port = 8")
    assert load({}, {"ENGINEROOM_CONFIG": str(config)}, other).port == 8


@pytest.mark.parametrize(
    ("argv", "environ", "toml", "expected"),
    [
        ({}, {}, "prot = 1", r"engineroom\.toml: there is no setting 'prot'; did you mean 'port'"),
        ({}, {"ENGINEROOM_HOSTS": "a"}, "", "ENGINEROOM_HOSTS: .* did you mean 'host'"),
        ({}, {"ENGINEROOM_XYZZY": "a"}, "", "there is no setting 'xyzzy'; see docs"),
        ({}, {}, 'port = "80"', r"engineroom\.toml: port is not valid"),
        ({}, {}, "[port]\na = 1", "port is not valid"),
        ({}, {"ENGINEROOM_PORT": "many"}, "", "ENGINEROOM_PORT is not valid"),
        ({"port": 70000}, {}, "", "--port 70000 is not valid"),
        ({"token": "a b"}, {}, "", "--token a b is not valid"),
        ({"token": ""}, {}, "", "--token"),
        ({}, {}, "port = ", "not valid TOML"),
        ({}, {}, "runtime = 'docker'", "runtime is not valid: it is one of auto, sandbox, local"),
        ({}, {"ENGINEROOM_STORE": "mysql://db"}, "", "it is sqlite, file, memory, or postgres"),
        ({}, {}, "metrics_token = 'short'", "not valid: it has 16 to 200 letters, digits and"),
        ({}, {}, "jwt_algorithms = ['none']", "jwt_algorithms is not valid: it is one of RS256,"),
        ({}, {}, "ping_reply_seconds = 60", "ping_reply_seconds is at most ping_idle_seconds"),
        ({}, {}, "write_low_bytes = 300000", "write_low_bytes is less than write_high_bytes"),
    ],
)
def test_what_is_not_valid_is_named(
    config: Path,
    argv: dict[str, object],
    environ: dict[str, str],
    toml: str,
    expected: str,
) -> None:
    """A wrong setting is refused with its name, where it was stated, and where known the right one."""
    config.write_text(toml)
    with pytest.raises(SettingsError, match=expected):
        load(argv, environ, config)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A file of settings that is not there, or is no text, is an error that names it."""
    with pytest.raises(SettingsError, match=r"nowhere\.toml"):
        load({}, {}, tmp_path / "nowhere.toml")
    (tmp_path / "picture.toml").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"picture\.toml.*UTF-8"):
        load({}, {}, tmp_path / "picture.toml")


def test_data_folders_differ_by_site(tmp_path: Path) -> None:
    """Each site has a data folder of its own below the XDG data folder."""
    environ = {"XDG_DATA_HOME": str(tmp_path)}
    notes, other = (default_data_folder(tmp_path / name, environ) for name in ("notes", "other"))
    documents = default_data_folder(None, environ)
    assert len({notes, other, documents}) == 3
    assert {folder.parent for folder in (notes, other, documents)} == {tmp_path / "engineroom"}
    assert default_data_folder(tmp_path / "x/../notes", environ) == notes


def test_a_relative_data_home_is_ignored() -> None:
    """The XDG data folder is an absolute path, else the default one is taken."""
    folder = default_data_folder(None, {"XDG_DATA_HOME": "relative"})
    assert folder == Path.home() / ".local/share/engineroom/documents"


# --- documented, and in its place ------------------------------------------------------------


def documented() -> dict[str, str]:
    """The settings of the reference, with the text of their defaults."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", REFERENCE.read_text(), re.MULTILINE)
    return {name: default.strip("`") for name, default in rows}


def test_every_setting_is_documented() -> None:
    """The reference has a row for each setting, and for nothing else."""
    assert documented().keys() == FIELDS.keys()


@pytest.mark.parametrize("name", FIELDS)
def test_documented_defaults(name: str) -> None:
    """A default in the reference is the setting's; one that has none is described."""
    default = FIELDS[name].default
    stated = documented()[name]
    if default in (None, ()):
        assert stated
    elif isinstance(default, tuple):
        assert stated == ",".join(default)
    elif isinstance(default, bool):
        assert stated == str(default).lower()
    else:
        assert stated == str(default)


PLACES: dict[str, tuple[Any, str]] = {
    "max_frame_bytes": (socket_limits, "frame_bytes"),
    "unfinished_bytes": (socket_limits, "unfinished_bytes"),
    "write_high_bytes": (socket_limits, "write_high_bytes"),
    "write_low_bytes": (socket_limits, "write_low_bytes"),
    "handshake_timeout_seconds": (socket_limits, "handshake_timeout_seconds"),
    "close_timeout_seconds": (socket_limits, "close_timeout_seconds"),
    "ping_idle_seconds": (socket_limits, "ping_idle_seconds"),
    "ping_reply_seconds": (socket_limits, "ping_reply_seconds"),
    "unauthenticated_sockets": (lobby_limits, "sockets"),
    "unauthenticated_bytes": (lobby_limits, "queued_bytes"),
    "authentication_seconds": (lobby_limits, "seconds"),
    "socket_documents": (lobby_limits, "documents"),
    "max_connections": (connection_limits, "connections"),
    "connections_per_address": (connection_limits, "connections_per_address"),
    "max_sockets": (connection_limits, "sockets"),
    "sockets_per_address": (connection_limits, "sockets_per_address"),
    "keep_alive_seconds": (connection_limits, "keep_alive_seconds"),
    "stalled_seconds": (connection_limits, "stalled_seconds"),
    "jwt_algorithms": (token_rules, "key_algorithms"),
    "jwt_issuer": (token_rules, "issuer"),
    "jwt_audience": (token_rules, "audience"),
    "jwt_leeway_seconds": (token_rules, "leeway_seconds"),
    "jwt_require_exp": (token_rules, "require_end"),
    "jwt_rooms_claim": (token_rules, "rooms_claim"),
    "program_memory_bytes": (program_limits, "memory_bytes"),
    "program_processes": (program_limits, "processes"),
    "program_cpu": (program_limits, "cpu"),
    "program_file_bytes": (program_limits, "file_bytes"),
    "allow_host": (lambda settings: host_rules(settings, 1), "allow_hosts"),
    "allow_origin": (lambda settings: host_rules(settings, 1), "allow_origins"),
    "host": (lambda settings: host_rules(settings, 1), "bound"),
}
ROOM_BOUNDS = {field.name: (room_limits, field.name) for field in dataclasses.fields(RoomLimits)}
PLACES |= {name: place for name, place in ROOM_BOUNDS.items() if name in FIELDS}
# What no operator needs to know: how soon, how often, and how large inside.
UNSETTABLE = {
    "awareness_tick_seconds", "output_frame_seconds", "settle_seconds", "compact_bytes", "authors",
}  # fmt: skip
# Seen at work by a whole server in test_run, test_services, test_observing, test_credentials and test_guard.
SEEN_AT_WORK = {
    "site", "port", "data", "open", "token", "no_auth", "max_rooms", "durability",
    # Which store, in tests/unit/stores/test_choice.py and tests/faults/test_s3_archive.py.
    "store", "stores", "archive", "archive_endpoint", "archive_sweep_seconds",
    "drain_seconds", "runtime", "log_level", "trusted_proxies",
    "log_format", "http_body_bytes", "metrics_token", "webhooks",
    "jwt_secret", "jwt_keys", "jwt_keys_seconds", "jwt_keys_retry_seconds",
}  # fmt: skip
SAMPLES: dict[str, object] = {
    "allow_host": ("a.example",),
    "allow_origin": ("https://a.example:443",),
    "host": "a.example",
    "jwt_algorithms": ("PS256",),
    "jwt_issuer": "https://login.example",
    "jwt_audience": "rooms",
    "jwt_rooms_claim": "access",
    "other_history": "fork",
}


def test_every_setting_has_a_place() -> None:
    """No setting is without effect: each is followed to its place by a test."""
    assert PLACES.keys() | SEEN_AT_WORK == FIELDS.keys()


@pytest.mark.parametrize("name", PLACES)
def test_settings_reach_their_place(name: str) -> None:
    """A setting that is not its default arrives where it takes effect."""
    default = FIELDS[name].default
    other = SAMPLES.get(name)
    if isinstance(default, bool):
        other = not default
    elif other is None:
        other = (
            default - 1
            if name in ("ping_reply_seconds", "document_types", "code_bytes")
            else default + 1
        )
    where, attribute = PLACES[name]
    assert getattr(where(Settings(**{name: other})), attribute) == other


def test_every_bound_of_a_room_is_settable() -> None:
    """Each bound of a room has a setting, but for those that no operator needs to know."""
    assert ROOM_BOUNDS.keys() - FIELDS.keys() == UNSETTABLE
