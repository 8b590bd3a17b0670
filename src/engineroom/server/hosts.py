"""Which `Host` and which `Origin` are ours.

Pure functions over header values. They keep out DNS rebinding (a foreign name that resolves to this
machine) and cross-site requests (a foreign page that speaks to this server with the visitor's
cookie). Who the visitor is, is not known here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from engineroom.errors import SettingsError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")


@dataclass(frozen=True, slots=True)
class HostName:
    """A name or an IP address (without brackets) in its canonical form, and the port that was
    stated, if any.
    """

    name: str
    port: int | None


def parse_host(text: str) -> HostName | None:
    """The host in a `Host` header or a URL's authority; None when it is none. Source: RFC 9110,
    section 7.2.
    """
    name, port = _split_port(text.strip().lower())
    if port is not None and not (port.isascii() and port.isdecimal() and int(port) <= 65535):
        return None
    canonical = _canonical(name)
    if canonical is None:
        return None
    return HostName(canonical, int(port) if port else None)


def _split_port(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return "", None
        return name + bracket, rest[1:] or None
    name, colon, port = text.partition(":")
    return name, port or None if colon else None


def _canonical(name: str) -> str | None:
    try:
        if name.startswith("["):
            return str(ipaddress.IPv6Address(name[1:-1]))
        return str(ipaddress.IPv4Address(name))
    except ValueError:
        pass
    if len(name) > 253 or not _NAME.fullmatch(name):
        return None
    return name.rstrip(".")


def is_loopback(host: str) -> bool:
    """Whether a server that listens on `host` can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse_allowed_host(text: str) -> str:
    """A setting's host: a name or address without a port, or `*.example.org` for all names below
    `example.org`.

    Raises:
        SettingsError: it is none of these.
    """
    wildcard, stem = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    if ":" in stem and not stem.startswith("["):
        stem = f"[{stem}]"
    host = parse_host(stem)
    if host is None or host.port is not None or (wildcard and "." not in host.name):
        raise SettingsError(
            f"allow_host: {text!r} is no host. Give a name or an address without a port, "
            "for example rooms.example.org or *.example.org"
        )
    return wildcard + host.name


def parse_allowed_origin(text: str) -> str:
    """A setting's origin, canonical: `https://example.org`, `http://localhost:3000`.

    Raises:
        SettingsError: it is none.
    """
    origin = parse_origin(text.rstrip("/"))
    if origin is None:
        raise SettingsError(
            f"allow_origin: {text!r} is no origin. Give a scheme, a host and where needed a port, "
            "for example https://example.org"
        )
    return origin.text


@dataclass(frozen=True, slots=True)
class Origin:
    """A browser's `Origin`, its port always stated."""

    scheme: str
    name: str
    port: int

    @property
    def text(self) -> str:
        return f"{self.scheme}://{self.name}:{self.port}"

    @property
    def written(self) -> str:
        """As browsers write it, without the scheme's own port. Source: HTML, "serialization of an origin"."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{name}{port}"


def parse_origin(text: str) -> Origin | None:
    """The origin in the header's value; None when it is opaque (`null`) or no web origin. Source:
    RFC 6454, section 7.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or parts.path or parts.query or "@" in parts.netloc:
        return None
    host = parse_host(parts.netloc)
    if host is None:
        return None
    return Origin(parts.scheme, host.name, host.port or DEFAULT_PORTS[parts.scheme])


@dataclass(frozen=True, slots=True)
class HostRules:
    """What this server answers to.

    `bound` is the host it listens on, `port` its port; `allow_hosts` and `allow_origins` are
    settings in the form of `parse_allowed_host` and `parse_allowed_origin`.
    """

    bound: str
    port: int
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()

    @property
    def bound_name(self) -> str | None:
        """The name by which visitors were told to call this server; None when it listens on every
        address.
        """
        name = self.bound.strip("[]").lower()
        return None if name in ("0.0.0.0", "::", "") else name  # noqa: S104

    def allows_host(self, values: Sequence[str], local_address: str | None) -> bool:
        """Whether a request with these `Host` headers is meant for this server.

        `local_address` is the address of this machine to which the client connected: off loopback,
        visitors may name the server by it. A port, or none, makes no difference: rebinding is a
        matter of names, and a proxy may leave the port out.
        """
        if len(values) != 1:
            return False
        host = parse_host(values[0])
        if host is None:
            return False
        return (
            host.name in LOOPBACK_NAMES
            or host.name == self.bound_name
            or any(_matches(host.name, allowed) for allowed in self.allow_hosts)
            or (not is_loopback(self.bound) and host.name == _unmapped(local_address))
        )

    def allows_origin(self, values: Sequence[str], host: str) -> bool:
        """Whether a request with these `Origin` headers comes from a page of ours. `host` is its
        `Host` header.

        No `Origin` at all is no browser's cross-site request, and passes.
        """
        if not values:
            return True
        origin = parse_origin(values[0]) if len(values) == 1 else None
        if origin is None:
            return False
        return origin.text in self.allow_origins or self._same_origin(origin, parse_host(host))

    def listed_origin(self, values: Sequence[str]) -> str | None:
        """The allowed origin that these `Origin` headers name, as browsers write it; None when they name none."""
        origin = parse_origin(values[0]) if len(values) == 1 else None
        listed = origin is not None and origin.text in self.allow_origins
        return origin.written if origin is not None and listed else None

    def _same_origin(self, origin: Origin, host: HostName | None) -> bool:
        if host is None or origin.name != host.name:
            return False
        if host.port is not None:
            return origin.port == host.port
        # A browser that speaks to us directly states our port, unless it is the scheme's own. So a
        # Host without one came through a proxy which left it out, and the proxy's own port is not
        # known here.
        return (
            origin.port == DEFAULT_PORTS[origin.scheme] or self.port not in DEFAULT_PORTS.values()
        )


def _matches(name: str, allowed: str) -> bool:
    if allowed.startswith("*."):
        return name.endswith(allowed[1:])
    return name == allowed


def _unmapped(address: str | None) -> str | None:
    """An IPv4 address as such, also where an IPv6 socket reports it as `::ffff:…`; without a zone."""
    if address is None:
        return None
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
