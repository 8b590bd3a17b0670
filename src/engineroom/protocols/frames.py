"""Messages as they travel: unmasked binary WebSocket frames, joined so that one write carries a
whole loop turn.

Source: RFC 6455 section 5.2.
"""

from __future__ import annotations

from typing import Final

LARGE_BYTES: Final = 64 << 10
"""From here on a payload is written as it is, not copied beside its header for every bundle it is in."""

_BINARY: Final = b"\x82"  # FIN, and opcode 2: a whole binary message


def frame_header(length: int) -> bytes:
    """What stands before a payload of `length` bytes: opcode, and the length in 7, 16 or 64
    bits."""
    if length < 126:
        return _BINARY + bytes([length])
    if length < 65_536:
        return _BINARY + b"\x7e" + length.to_bytes(2, "big")
    return _BINARY + b"\x7f" + length.to_bytes(8, "big")


class Bundle:
    """Payloads to be sent in this order, to one member or to many; immutable.

    `payloads` serves transports that frame by themselves (ASGI). `wire` is the payloads as joined
    frames, built when it is first asked for and then kept, so that all receivers are written the
    same bytes.
    """

    __slots__ = ("_wire", "payloads", "size_bytes")

    def __init__(self, payloads: tuple[bytes, ...]) -> None:
        self.payloads = payloads
        self.size_bytes = sum(map(len, payloads))
        self._wire: bytes | None = None

    @property
    def wire(self) -> bytes:
        """The payloads as joined, unmasked binary frames."""
        if self._wire is None:
            parts: list[bytes] = []
            for payload in self.payloads:
                parts += (frame_header(len(payload)), payload)
            self._wire = b"".join(parts)
        return self._wire

    @property
    def parts(self) -> list[bytes]:
        """`wire` in pieces, to be written one after the other. A large payload is a piece of its own: the very bytes
        that other bundles hold, too.
        """
        parts: list[bytes] = []
        small: list[bytes] = []
        for payload in self.payloads:
            small.append(frame_header(len(payload)))
            if len(payload) < LARGE_BYTES:
                small.append(payload)
            else:
                parts += (b"".join(small), payload)
                small = []
        return [*parts, b"".join(small)] if small else parts

    def __repr__(self) -> str:
        return f"Bundle({len(self.payloads)} payloads, {self.size_bytes} bytes)"
