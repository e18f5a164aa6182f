"""Secrets of jobs: sealed by who submits the job, for the service alone, and opened when an attempt is given out.

    sealed = "v1" kid wrapped text, with ":" between, base64 without white space
    wrapped = RSA-OAEP-SHA-256(K) for the service's newest key that opens; K: 32 random bytes, of this secret alone
    text    = nonce (12 random bytes) + AES-256-GCM under K, bound to the job's id, the secret's name and the kid

So what is in the queue's records tells nobody anything, and a sealed text moved to another job, or to another name, cannot be
opened there.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from copilot.errors import SealError
from copilot.job import JobSecret
from copilot.protocol.crypto.keys import kid

FORMAT = "v1"
KEY_BYTES = 32
NONCE_BYTES = 12
_OAEP = OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=b"copilot job secret v1")


def seal(value: bytes, *, job: str, name: str, key: RSAPublicKey) -> JobSecret:
    """`value` for the holder of `key`, as a secret of this job under this name. Raises `BadName`."""
    own, which, nonce = os.urandom(KEY_BYTES), kid(key), os.urandom(NONCE_BYTES)
    text = nonce + AESGCM(own).encrypt(nonce, value, _bound(job, name, which))
    words = (FORMAT, which, b64encode(key.encrypt(own, _OAEP)).decode(), b64encode(text).decode())
    return JobSecret(name=name, sealed=":".join(words))


def opened(secret: JobSecret, *, job: str, keys: Sequence[RSAPrivateKey]) -> bytes:
    """What was sealed. Raises `SealError`, which says for which key it was sealed if that is not among `keys`."""
    try:
        form, which, wrapped, text = secret.sealed.split(":")
        key, sealed = b64decode(wrapped, validate=True), b64decode(text, validate=True)
    except ValueError:
        raise SealError(f"secret {secret.name}: what is stored of it cannot be read") from None
    if form != FORMAT:
        raise SealError(f"secret {secret.name}: sealed in a form of another version")
    for own in keys:
        if kid(own.public_key()) == which:
            try:
                one = AESGCM(own.decrypt(key, _OAEP))
                return one.decrypt(
                    sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(job, secret.name, which)
                )
            except (InvalidTag, ValueError):
                raise SealError(
                    f"secret {secret.name}: what is stored of it is of another job or name, or changed"
                ) from None
    known = which if which.isalnum() and len(which) <= 16 else "?"
    raise SealError(f"secret {secret.name}: sealed for the key {known}, which this service does not have")


def _bound(job: str, name: str, which: str) -> bytes:
    """None of the three can hold a line break."""
    return "\n".join((FORMAT, job, name, which)).encode()
