"""Where a request comes from, also behind proxies.

A proxy that is trusted says for whom it speaks (`X-Forwarded-For`) and whether that one used TLS
(`X-Forwarded-Proto`). Anybody can send these headers: they are read from trusted proxies alone, and of a list the
last address that is no trusted proxy's, which the nearest one of ours has seen itself. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

from engineroom.errors import SettingsError

from .request import Request

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_HOPS = 20
IPV6_SITE_BITS = 64
"""What one subscriber has at least: within it, addresses are free to choose. Source: RFC 6177."""


class Proxies:
    """Those whose word counts."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        """`trusted`: addresses and networks (`10.0.0.0/8`). Raises `SettingsError` for what is neither."""
        self._trusted = tuple(parse_network(text) for text in trusted)

    def trusts(self, address: str | None) -> bool:
        """Whether this is the address of a trusted proxy."""
        parsed = parse_address(address or "")
        return parsed is not None and self._is_ours(parsed)

    def source(self, request: Request) -> str:
        """The address that the request comes from, in its canonical form; empty where it is not known."""
        address = parse_address(request.peer_address or "")
        if address is None:
            return ""
        if self._is_ours(address):
            for text in reversed(_hops(request)):
                before = parse_address(_without_port(text))
                if before is None:  # what is further left, somebody unknown has written
                    break
                address = before
                if not self._is_ours(before):
                    break
        return str(address)

    def is_secure(self, request: Request) -> bool:
        """Whether the visitor's browser speaks TLS, to us or to a trusted proxy."""
        if not self.trusts(request.peer_address):
            return request.is_secure
        stated = request.values(b"x-forwarded-proto")
        if not stated:
            return request.is_secure
        return stated[0].partition(",")[0].strip().lower() in ("https", "wss")

    def _is_ours(self, address: IPAddress) -> bool:
        return any(address.version == each.version and address in each for each in self._trusted)


def parse_network(text: str) -> Network:
    """The network, or the single address, that `text` names.

    Raises:
        SettingsError: it names none.
    """
    try:
        return ipaddress.ip_network(text.strip().strip("[]"))
    except ValueError as error:
        raise SettingsError(
            f"trusted_proxies: {text!r} is no address and no network like 10.0.0.0/8: {error}"
        ) from error


def parse_address(text: str) -> IPAddress | None:
    """The IP address, an IPv4 one as such; None when it is none."""
    try:
        address = ipaddress.ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def site_of(source: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network of an IPv6 one; empty where it is not known."""
    address = parse_address(source)
    if address is None:
        return ""
    if address.version == 4:
        return str(address)
    return str(ipaddress.IPv6Network((int(address), IPV6_SITE_BITS), strict=False))


def _hops(request: Request) -> list[str]:
    values = request.values(b"x-forwarded-for")
    return [text.strip() for value in values for text in value.split(",")][-MAX_HOPS:]


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
