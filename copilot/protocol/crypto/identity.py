"""What follows from an agent's key: the password of its account.

It is made of the private key, so an agent that was interrupted while it came in has nothing else to remember. It
goes to the XMPP server, and nobody can go back from it to the key.
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PASSWORD_BYTES = 24
_PURPOSE = b"copilot: password of the XMPP account at "


def account_password(key: Ed25519PrivateKey, domain: str) -> str:
    """The password of the account that belongs to this key on a server (HKDF, RFC 5869)."""
    secret = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    derived = HKDF(algorithm=SHA256(), length=PASSWORD_BYTES, salt=None, info=_PURPOSE + domain.encode())
    return base64.urlsafe_b64encode(derived.derive(secret)).decode("ascii")
