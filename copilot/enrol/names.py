"""What follows from an agent's key: the name of its account. Both ends know it by themselves, so an answer may get lost."""

from __future__ import annotations

import base64
import hashlib

KEY_BYTES = 32  # Ed25519 (RFC 8032)
NAME_DIGITS = 20  # of the hash of the key: 80 bits


def checked_key(text: str) -> str:
    """A public key in base64. Raises ValueError."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError("the key is no base64") from error
    if len(data) != KEY_BYTES or base64.b64encode(data).decode() != text:
        raise ValueError(f"the key has not {KEY_BYTES} bytes")
    return text


def agent_jid(key: str, domain: str) -> str:
    """The bare JID of the agent with this public key."""
    digest = hashlib.sha256(base64.b64decode(key)).hexdigest()
    return f"agent-{digest[:NAME_DIGITS]}@{domain.lower()}"


def secret_hash(secret: str) -> str:
    """What is kept of a bundle's secret, which is random and long: SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()
