"""Suite v2 as pure functions (protocol page, section 5): what is wrapped, signed and sealed, and under which keys.

    key    = RSA-OAEP-SHA-256(K)                        for the service that a session is opened with; K: 32 random bytes
    sig    = Ed25519 over suite, kid, session, key, time and both bare JIDs, by who opens it
    sealed = nonce (12 random bytes) + AES-256-GCM      under one of two keys, one for each direction: HKDF-SHA-256 of K

Nonces are random, and not counted, because all instances of a service seal under one K and know nothing of each other.
"""

from __future__ import annotations

import base64
import os
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from copilot.errors import SealError
from copilot.records import dataclass

OpeningKey: TypeAlias = RSAPrivateKey
OpeningPublicKey: TypeAlias = RSAPublicKey
SigningKey: TypeAlias = Ed25519PrivateKey

SUITE = "v2"
SECRET_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16

_OAEP = OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None)
_FOR_SESSIONS = b"copilot v2 session"  # what a signature is for; the other kind is over new keys
_FOR_KEYS = b"copilot v2 new keys"


@dataclass(frozen=True, slots=True)
class Pair:
    """The two keys of a session."""

    opener: AESGCM  # what its opener says
    answerer: AESGCM


def new_secret() -> bytes:
    """A K for a session."""
    return os.urandom(SECRET_BYTES)


def pair(secret: bytes, session: str) -> Pair:
    """The keys of a session, by K and the session's id."""
    kdf = HKDF(algorithm=SHA256(), length=64, salt=session.encode(), info=b"copilot v2 opener answerer")
    both = kdf.derive(secret)
    return Pair(AESGCM(both[:32]), AESGCM(both[32:]))


def wrap(secret: bytes, key: RSAPublicKey) -> bytes:
    """K for the holder of this key alone."""
    return key.encrypt(secret, _OAEP)


def unwrap(wrapped: bytes, key: RSAPrivateKey) -> bytes:
    """K. Raises `SealError`. Takes 1 to 2 ms, whatever comes in."""
    try:
        secret = key.decrypt(wrapped, _OAEP)
    except ValueError:
        raise SealError("the key of the session cannot be unwrapped") from None
    if len(secret) != SECRET_BYTES:
        raise SealError("the key of the session has the wrong length")
    return secret


def seal(plain: bytes, key: AESGCM, data: bytes) -> bytes:
    """With a nonce in front; `data` is what must be the same when it is opened."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + key.encrypt(nonce, plain, data)


def unseal(sealed: bytes, key: AESGCM, data: bytes) -> bytes:
    """What `seal` has sealed. Raises `SealError`."""
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise SealError("the sealed text is too short")
    try:
        return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], data)
    except InvalidTag:
        raise SealError("the sealed text was changed, or is not of this session") from None


def sign_session(key: Ed25519PrivateKey, *parts: str) -> bytes:
    """Of who opens a session."""
    return key.sign(joined(_FOR_SESSIONS, *parts))


def signed_session(signature: bytes, key: str, *parts: str) -> bool:
    """Whether the holder of this public key (base64) has opened the session."""
    return _signed(signature, key, joined(_FOR_SESSIONS, *parts))


def sign_keys(key: Ed25519PrivateKey, *parts: str) -> bytes:
    """Of a service that has new keys, under an old one."""
    return key.sign(joined(_FOR_KEYS, *parts))


def signed_keys(signature: bytes, key: str, *parts: str) -> bool:
    """Whether the holder of this public key (base64) says that these keys are its own."""
    return _signed(signature, key, joined(_FOR_KEYS, *parts))


def public_form(key: Ed25519PrivateKey | Ed25519PublicKey) -> str:
    """A signing key's public half as in `copilot.roles.Account.key`: its 32 bytes (RFC 8032) in base64."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode("ascii")


def check_public_form(text: str) -> str:
    """`text`, if it is a signing key's public half. Raises `ValueError`."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32 or base64.b64encode(key).decode("ascii") != text:
        raise ValueError("expected an Ed25519 key: 32 bytes in base64")
    Ed25519PublicKey.from_public_bytes(key)
    return text


def joined(*parts: str | bytes) -> bytes:
    """Parts as one text that no other parts give: each after its length."""
    out = bytearray()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        out += len(data).to_bytes(4, "big") + data
    return bytes(out)


def _signed(signature: bytes, key: str, text: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True)).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True
