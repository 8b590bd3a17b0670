"""Which `Host` and `Origin` headers are ours."""

import pytest

from engineroom.errors import SettingsError
from engineroom.server.hosts import (
    HostName,
    HostRules,
    is_loopback,
    parse_allowed_host,
    parse_allowed_origin,
    parse_host,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", HostName("localhost", None)),
        ("LocalHost:8000", HostName("localhost", 8000)),
        ("rooms.example.org.", HostName("rooms.example.org", None)),
        ("127.0.0.1:1", HostName("127.0.0.1", 1)),
        ("[::1]:8000", HostName("::1", 8000)),
        ("[0:0:0:0:0:0:0:1]", HostName("::1", None)),
        ("localhost:", HostName("localhost", None)),
        ("", None),
        ("::1", None),
        ("[::1", None),
        ("[::1]x", None),
        ("a b", None),
        ("a/b", None),
        ("user@localhost", None),
        ("localhost:99999", None),
        ("localhost:-1", None),
        ("localhost:８０", None),  # noqa: RUF001
        ("-a", None),
        ("a..b", None),
        ("a" * 254, None),
    ],
)
def test_parse_host(text: str, expected: HostName | None) -> None:
    """A host is a name or an address, with or without a port; anything else is none."""
    assert parse_host(text) == expected


LOCAL = HostRules("127.0.0.1", 8000)
NETWORK = HostRules("0.0.0.0", 8000, ("rooms.example.org", "*.school.example"))


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000", "127.0.0.1:9"],
)
@pytest.mark.parametrize("rules", [LOCAL, NETWORK])
def test_loopback_names_are_ours(rules: HostRules, host: str) -> None:
    """Loopback's names are ours, with any port or none."""
    assert rules.allows_host([host], "127.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.1",
        "2130706433",
        "0.0.0.0:8000",
        "[::]:8000",
        "rooms.example.org.evil.example",
        "school.example",
        "xschool.example",
        "93.184.216.34",
    ],
)
@pytest.mark.parametrize("rules", [LOCAL, NETWORK])
def test_foreign_names_are_refused(rules: HostRules, host: str) -> None:
    """A name that is not ours is refused, however it is dressed."""
    assert not rules.allows_host([host], "192.0.2.7")


def test_exactly_one_host_header() -> None:
    """No `Host`, or two of them, is refused."""
    assert not LOCAL.allows_host([], "127.0.0.1")
    assert not LOCAL.allows_host(["localhost", "localhost"], "127.0.0.1")


def test_allowed_names() -> None:
    """Names from the settings are ours, a wildcard's below it at any depth."""
    for host in (
        "rooms.example.org",
        "rooms.example.org:443",
        "a.school.example",
        "b.a.school.example",
    ):
        assert NETWORK.allows_host([host], None)
        assert not LOCAL.allows_host([host], None)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("192.0.2.7:8000", "192.0.2.7"),
        ("192.0.2.7", "::ffff:192.0.2.7"),
        ("[fe80::1]", "fe80::1%eth0"),
        ("[2001:db8::7]:8000", "2001:db8:0::7"),
    ],
)
def test_own_addresses_off_loopback(host: str, local: str) -> None:
    """Off loopback, the address to which the client connected names this server."""
    assert NETWORK.allows_host([host], local)
    assert not LOCAL.allows_host([host], local)
    assert not NETWORK.allows_host([host], "192.0.2.8")


def test_the_bound_name_is_ours() -> None:
    """A server that was told to listen on a name answers to it."""
    assert HostRules("pump.lan", 80).allows_host(["pump.lan"], None)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8000", "localhost:8000"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://rooms.example.org", "rooms.example.org"),
        ("https://rooms.example.org:8443", "rooms.example.org"),
        ("http://localhost:8080", "localhost"),
    ],
)
def test_our_own_pages(origin: str, host: str) -> None:
    """A page from the host that is asked is ours; a proxy may have left out the port."""
    assert LOCAL.allows_origin([origin], host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "localhost:8000"),
        ("http://localhost:3000", "localhost:8000"),
        ("http://localhost", "localhost:8000"),
        ("http://localhost:8000", "127.0.0.1:8000"),
        ("http://localhost.evil.example:8000", "localhost:8000"),
        ("null", "localhost:8000"),
        ("", "localhost:8000"),
        ("file://", "localhost:8000"),
        ("http://a@localhost:8000", "localhost:8000"),
        ("http://localhost:8000/path", "localhost:8000"),
        ("http://localhost:x", "localhost"),
        ("http://[", "localhost"),
    ],
)
def test_foreign_pages(origin: str, host: str) -> None:
    """A page of another host, port or opaque origin is foreign."""
    assert not LOCAL.allows_origin([origin], host)


def test_no_proxy_before_port_80() -> None:
    """On a default port a `Host` without one comes from a browser, so another port is another site."""
    assert not HostRules("127.0.0.1", 80).allows_origin(["http://localhost:3000"], "localhost")


def test_origin_headers_are_at_most_one() -> None:
    """Without `Origin` it is no browser's cross-site request; two of them are refused."""
    assert LOCAL.allows_origin([], "localhost:8000")
    assert not LOCAL.allows_origin(["http://localhost:8000"] * 2, "localhost:8000")


def test_allowed_origins() -> None:
    """Origins from the settings are let in, exactly those."""
    rules = HostRules("127.0.0.1", 8000, (), (parse_allowed_origin("https://app.example/"),))
    assert rules.allows_origin(["https://app.example"], "localhost:8000")
    assert rules.allows_origin(["https://app.example:443"], "localhost:8000")
    assert not rules.allows_origin(["http://app.example"], "localhost:8000")
    assert not rules.allows_origin(["https://app.example:8443"], "localhost:8000")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rooms.Example.org", "rooms.example.org"),
        ("*.example.org", "*.example.org"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
    ],
)
def test_allowed_host_setting(text: str, expected: str) -> None:
    """A setting's host is brought into its canonical form."""
    assert parse_allowed_host(text) == expected


@pytest.mark.parametrize("text", ["", "*", "*.org", "a:80", "http://a", "a b", "a.*.b"])
def test_bad_allowed_host(text: str) -> None:
    """A setting that is no host says so, and what one looks like."""
    with pytest.raises(SettingsError, match="for example"):
        parse_allowed_host(text)


@pytest.mark.parametrize("text", ["", "example.org", "ftp://a", "https://a/b", "*"])
def test_bad_allowed_origin(text: str) -> None:
    """A setting that is no origin says so, and what one looks like."""
    with pytest.raises(SettingsError, match="for example"):
        parse_allowed_origin(text)


def test_is_loopback() -> None:
    """Loopback is a matter of addresses, and of one name."""
    assert all(map(is_loopback, ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.0.2.7", "example.org", ""]))
