"""The listening socket, and the URL by which others find it. Errors here are for people to read."""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import socket
import struct
from pathlib import Path
from typing import TypeAlias

from engineroom.errors import SettingsError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

BACKLOG = 2048
SIOCGIFADDR = 0x8915  # linux/sockios.h


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host` (a name or an address; `::` means IPv4 too) and `port` (0: a
    free one).

    Raises:
        SettingsError: it cannot; says why, and what to do.
    """
    host = host.strip("[]")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        dual = host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server(
            (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=dual
        )
        # Accepted sockets inherit it; asyncio sets it only where a socket states its protocol. Without it the second
        # write of an answer waits 40 ms for the first one's acknowledgement (Nagle, delayed ACK).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except socket.gaierror as error:
        raise SettingsError(f"--host {host}: there is no such host ({error.strerror})") from error
    except OSError as error:
        raise SettingsError(_listen_error(host, port, error)) from error


def _listen_error(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"port {port} on {host} is in use: choose another with --port (0 picks a free one)"
            )
        case errno.EACCES:
            return f"this user may not listen on port {port}: choose one from 1024 up with --port"
        case errno.EADDRNOTAVAIL:
            return f"--host {host}: this machine does not have that address"
        case _:
            return f"cannot listen on {host}, port {port}: {error.strerror}"


def base_url(host: str, port: int) -> str:
    """The URL, without a path, by which a server on `host` is reached; on all addresses, by others
    too.
    """
    name = host.strip("[]")
    if name in ("0.0.0.0", "::", ""):  # noqa: S104
        name = own_address() or socket.gethostname()
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def own_address() -> str | None:
    """An address of this machine that others can reach, IPv4 first; None when it has none but
    loopback.
    """
    found: list[Address] = [*_ipv4_addresses(), *_ipv6_addresses()]
    usable = [a for a in found if not (a.is_loopback or a.is_link_local or a.is_unspecified)]
    return str(usable[0]) if usable else None


def _ipv4_addresses() -> list[ipaddress.IPv4Address]:
    """The first IPv4 address of each interface. Source: netdevice(7)."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
            except OSError:
                continue  # an interface without an IPv4 address
            found.append(ipaddress.IPv4Address(answer[20:24]))
    return found


def _ipv6_addresses() -> list[ipaddress.IPv6Address]:
    """All IPv6 addresses. Source: proc(5), if_inet6."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return []
    return [ipaddress.IPv6Address(int(line.split()[0], 16)) for line in lines]
