"""What a request says before its body, HTTP or WebSocket, whichever server has read it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True)
class Request:
    """What a request says before its body. Header names are lower-case; `local_address` is this end
    of its socket, `peer_address` the other one. `raw_path` begins below `prefix`, where the application is mounted.
    `is_secure`: the socket itself is TLS.
    """

    raw_path: bytes
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    local_address: str | None = None
    prefix: str = ""
    peer_address: str | None = None
    is_secure: bool = False

    def values(self, name: bytes) -> list[str]:
        """All values of a header, in order."""
        return [value.decode("latin-1") for key, value in self.headers if key == name]

    def with_token(self, token: str) -> Request:
        """The same request, as if it had brought this token in a header."""
        headers = [header for header in self.headers if header[0] != b"authorization"]
        bearer = b"Bearer " + token.encode("latin-1", "replace")
        return replace(self, headers=[*headers, (b"authorization", bearer)])

    @property
    def query_token(self) -> str | None:
        """The `token` of the query, if any."""
        if b"token=" not in self.query:
            return None
        try:
            fields = parse_qs(self.query.decode("latin-1"), max_num_fields=100)
        except ValueError:  # too many: no URL of ours
            return None
        return fields.get("token", [None])[0]

    @property
    def bearer_token(self) -> str | None:
        """The token of an `Authorization: Bearer` header, if any. Source: RFC 6750, section 2.1."""
        for value in self.values(b"authorization"):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer":
                return token.strip()
        return None

    def cookie(self, name: str) -> str | None:
        """The value of a cookie, if any."""
        for header in self.values(b"cookie"):
            for part in header.split(";"):
                key, equals, value = part.strip().partition("=")
                if equals and key == name:
                    return value
        return None
