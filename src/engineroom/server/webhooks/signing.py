"""The signature of a delivery, by which its receiver knows that it is ours and fresh. Pure.

Source: Standard Webhooks 1.0.0 (id, timestamp and body, joined by dots; HMAC-SHA256; base64; version `v1`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"


def key_of(secret: str) -> bytes:
    """The key in `secret`: base64 after `whsec_`, or else its characters themselves."""
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            pass
    return secret.encode()


def signed_headers(secret: str, delivery: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a delivery; `timestamp` is in seconds since the epoch."""
    content = b"%b.%d.%b" % (delivery.encode(), timestamp, body)
    signature = hmac.digest(key_of(secret), content, hashlib.sha256)
    return {
        "webhook-id": delivery,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }
