"""Where a request comes from, also behind proxies."""

import pytest

from engineroom.errors import SettingsError
from engineroom.server.proxies import Proxies, site_of
from engineroom.server.request import Request


def request(peer: str | None, *headers: tuple[str, str], is_secure: bool = False) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return Request(b"/", b"", raw, peer_address=peer, is_secure=is_secure)


FORWARDED = "x-forwarded-for"
OURS = Proxies(("127.0.0.1", "::1", "10.0.0.0/8"))


@pytest.mark.parametrize(
    ("peer", "headers", "source"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", [(FORWARDED, "198.51.100.1")], "203.0.113.5"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [(FORWARDED, "198.51.100.1")], "198.51.100.1"),
        ("::ffff:127.0.0.1", [(FORWARDED, "198.51.100.1")], "198.51.100.1"),
        ("127.0.0.1", [(FORWARDED, "6.6.6.6, 198.51.100.1")], "198.51.100.1"),
        ("127.0.0.1", [(FORWARDED, "198.51.100.1, 10.1.2.3")], "198.51.100.1"),
        ("127.0.0.1", [(FORWARDED, "198.51.100.1"), (FORWARDED, "10.1.2.3")], "198.51.100.1"),
        ("127.0.0.1", [(FORWARDED, "10.1.2.3, 10.1.2.4")], "10.1.2.3"),
        ("127.0.0.1", [(FORWARDED, "198.51.100.1:4711")], "198.51.100.1"),
        ("127.0.0.1", [(FORWARDED, "[2001:db8::1]:4711")], "2001:db8::1"),
        ("127.0.0.1", [(FORWARDED, "2001:DB8:0::1")], "2001:db8::1"),
        ("127.0.0.1", [(FORWARDED, "unknown")], "127.0.0.1"),
        ("127.0.0.1", [(FORWARDED, "198.51.100.1, unknown, 10.1.2.3")], "10.1.2.3"),
        ("127.0.0.1", [(FORWARDED, "")], "127.0.0.1"),
        ("fe80::1%eth0", [], "fe80::1"),
        (None, [(FORWARDED, "198.51.100.1")], ""),
        ("unix", [], ""),
    ],
)
def test_source(peer: str | None, headers: list[tuple[str, str]], source: str) -> None:
    """A trusted proxy says for whom it speaks; of what it hands on, only what a trusted one has seen counts."""
    assert OURS.source(request(peer, *headers)) == source


def test_many_hops() -> None:
    """A list of any length is read from its end, to a bound."""
    many = ", ".join(["10.0.0.1"] * 5000)
    assert OURS.source(request("127.0.0.1", (FORWARDED, many))) == "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "stated", "is_secure", "expected"),
    [
        ("203.0.113.5", None, False, False),
        ("203.0.113.5", None, True, True),
        ("203.0.113.5", "https", False, False),
        ("127.0.0.1", "https", False, True),
        ("127.0.0.1", "HTTPS", False, True),
        ("127.0.0.1", "wss", False, True),
        ("127.0.0.1", "https, http", False, True),
        ("127.0.0.1", "http", True, False),
        ("127.0.0.1", None, True, True),
    ],
)
def test_tls(peer: str, stated: str | None, is_secure: bool, expected: bool) -> None:
    """Whether the browser speaks TLS is what a trusted proxy says, or what the socket is."""
    headers = [] if stated is None else [("x-forwarded-proto", stated)]
    assert OURS.is_secure(request(peer, *headers, is_secure=is_secure)) is expected


@pytest.mark.parametrize(
    ("source", "site"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_what_counts_as_one_address(source: str, site: str) -> None:
    """An IPv4 address counts by itself, IPv6 by the network that one subscriber has."""
    assert site_of(source) == site


@pytest.mark.parametrize("text", ["", "*", "localhost", "10.0.0.1/8", "10.0.0.0/33", "::1/x"])
def test_no_proxies(text: str) -> None:
    """What is neither an address nor a network is an error that names the setting."""
    with pytest.raises(SettingsError, match="trusted_proxies"):
        Proxies((text,))
