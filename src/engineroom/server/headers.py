"""The headers that say what a browser may do with what it gets. Data only."""

from __future__ import annotations

from collections.abc import Mapping

# Pages run no inline script. Pictures that an author fetches from elsewhere are shown; nothing else
# comes from there.
PAGE_POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob: https:",
        "frame-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "object-src 'none'",
    )
)

# The frame of an output: any member may have written what it shows. It has an origin of its own,
# and no network.
FRAME_POLICY = "; ".join(
    (
        "sandbox allow-scripts",
        "default-src 'none'",
        "script-src 'unsafe-inline'",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
        "font-src data:",
        "media-src data: blob:",
        "frame-ancestors 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)

# `same-origin` keeps the room's name, which may stand in a URL, from other sites.
SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

# For programs in pages of other origins that the settings allow.
CORS_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
CORS_MAX_AGE_SECONDS = 600
EXPOSED_HEADERS = "etag, engineroom-number, link, location, retry-after, x-request-id"
