"""The `Repr-Digest` field of RFC 9530: both ends of an HTTP transfer tell each other the SHA-256."""

from __future__ import annotations

import base64

FIELD = "Repr-Digest"
_ALGORITHM = "sha-256"


def format_digest(sha256: str) -> str:
    """The field's value for a SHA-256 in hex."""
    return f"{_ALGORITHM}=:{base64.b64encode(bytes.fromhex(sha256)).decode('ascii')}:"


def parse_digest(value: str) -> str | None:
    """The SHA-256 in hex that the field's value names; None if it names only other algorithms.

    Raises ValueError for what is no SHA-256 in the form of the RFC (a dictionary of byte sequences, RFC 8941).
    """
    for member in value.split(","):
        key, _, item = member.strip().partition("=")
        if key != _ALGORITHM:
            continue
        try:
            raw = base64.b64decode(item[1:-1], validate=True)
        except ValueError:  # not ASCII, or not base64
            raw = b""
        if len(raw) != 32 or not (item.startswith(":") and item.endswith(":")):
            raise ValueError(f"expected {_ALGORITHM}=:<32 bytes in base64>:")
        return raw.hex()
    return None
