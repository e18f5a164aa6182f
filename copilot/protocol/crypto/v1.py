"""Suite v1, the secure mode of 2011, as pure functions (protocol page, section 5): only for peers that know no better.

    session_key = base64(RSA-OAEP-SHA1(base64(K) + newline))
    info        = base64("Salted__" + salt + AES-256-CBC(base64(XML of <info>)))

K, 32 random bytes, is a pass phrase: key and iv come of it and the salt by OpenSSL's EVP_BytesToKey with MD5, one round. It
proves nothing about the sender and does not guard against changes and copies: see the table of its weaknesses in
`docs/security.md`.

The hard thing: there is no authenticator, so a receiver that tells broken padding from broken text decrypts for whoever asks
often enough. Nothing here ends early: a session key that cannot be opened becomes a random one, wrong padding is taken off
all the same, and what comes of it is no base64. There is one error, and it says nothing. Base64 is read strictly: a block that
somebody changed or moved decrypts to 16 random bytes, and all of them are base64 once in two thousand million times.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA1

from copilot.errors import ProtocolError, SealError
from copilot.protocol import codec, markup
from copilot.protocol.envelope import Element

SUITE = "v1"
SECRET_BYTES = 32
SALT_BYTES = 8
UNREADABLE = "the message cannot be opened, or its sender does not belong here"  # whatever is wrong

_MAGIC = b"Salted__"  # OpenSSL's header of what a pass phrase has sealed
_BLOCK = 16
_DROP_SPACE = {ord(space): None for space in " \t\r\n"}
_OAEP = OAEP(mgf=MGF1(SHA1()), algorithm=SHA1(), label=None)  # noqa: S303  # as in 2011


def new_secret() -> bytes:
    """A K for a session. In 2011 one lasts as long as the program runs."""
    return os.urandom(SECRET_BYTES)


def wrap(secret: bytes, key: RSAPublicKey) -> str:
    """The text of `session_key`: K, for the holder of this key alone."""
    return _lines(key.encrypt(_lines(secret).encode(), _OAEP))


def unwrap(text: str, keys: Sequence[RSAPrivateKey]) -> bytes:
    """K from the text of `session_key`, by whichever of our keys it was sealed for. Never raises: what none of them opens
    becomes random bytes, which open nothing."""
    found = os.urandom(SECRET_BYTES)
    sealed = _strict(text.translate(_DROP_SPACE))
    for key in keys:  # all of them, found or not
        secret = _opened(sealed, key)
        found = secret if len(secret) == SECRET_BYTES else found
    return found


def seal(info: bytes, secret: bytes, salt: bytes | None = None) -> str:
    """The text of the attribute `info`, of the XML of an `<info>`. A salt of one's own is for tests."""
    return _lines(encrypt(base64.encodebytes(info), secret, salt))


def opened(text: str, secret: bytes) -> Element:
    """The `<info>` in the text of the attribute `info`. Raises `SealError`, always with the same words."""
    data = _strict(text.translate(_DROP_SPACE))
    plain, wrong = decrypt(data, secret)
    document = _strict(plain.decode("latin-1").translate(_DROP_SPACE))
    try:
        info = codec.parse(document)
    except ProtocolError:
        info, wrong = Element("info"), True
    if wrong:
        raise SealError(UNREADABLE)
    return info


def written(info: Element) -> bytes:
    """The XML of an `<info>`, as it is sealed."""
    parts: list[str] = []
    markup.write(info, parts)
    return "".join(parts).encode()


def encrypt(plain: bytes, secret: bytes, salt: bytes | None = None) -> bytes:
    """As `openssl enc -aes-256-cbc -md md5` does with a pass phrase."""
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    missing = _BLOCK - len(plain) % _BLOCK  # PKCS#7, RFC 5652, 6.3
    cipher = _cipher(secret, salt).encryptor()
    return _MAGIC + salt + cipher.update(plain + bytes([missing]) * missing) + cipher.finalize()


def decrypt(data: bytes, secret: bytes) -> tuple[bytes, bool]:
    """What `encrypt` has sealed, and whether something was wrong with it: then the bytes mean nothing, but there are some."""
    salt, blocks = data[len(_MAGIC) : len(_MAGIC) + SALT_BYTES], data[len(_MAGIC) + SALT_BYTES :]
    wrong = data[: len(_MAGIC)] != _MAGIC or not blocks or len(blocks) % _BLOCK != 0
    if wrong:  # anybody can see that, so it may be seen in the time, too
        salt, blocks = bytes(SALT_BYTES), bytes(_BLOCK)
    cipher = _cipher(secret, salt).decryptor()
    plain, padded = _unpadded(cipher.update(blocks) + cipher.finalize())
    return plain, wrong or not padded


def derived(secret: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Key (32 bytes) and iv (16) of a pass phrase: EVP_BytesToKey with MD5 and one round."""
    block, made = b"", b""
    while len(made) < 48:
        block = hashlib.md5(block + secret + salt, usedforsecurity=False).digest()
        made += block
    return made[:32], made[32:48]


def _cipher(secret: bytes, salt: bytes) -> Cipher[CBC]:
    key, iv = derived(secret, salt)
    return Cipher(AES(key), CBC(iv))


def _unpadded(plain: bytes) -> tuple[bytes, bool]:
    """Without PKCS#7 padding, and whether that was right. The same steps whatever the bytes are."""
    count, wrong = plain[-1], 0
    for place, byte in enumerate(reversed(plain[-_BLOCK:]), 1):
        wrong |= (byte ^ count) * (place <= count)
    wrong |= (count - 1) & ~(_BLOCK - 1)  # not 1 to 16
    return plain[: len(plain) - 1 - (count - 1) % _BLOCK], wrong == 0


def _opened(sealed: bytes, key: RSAPrivateKey) -> bytes:
    """K, or anything."""
    try:
        return _strict(key.decrypt(sealed, _OAEP).decode("latin-1").translate(_DROP_SPACE))
    except ValueError:
        return b""


def _lines(data: bytes) -> str:
    """Base64 as in 2011: lines of 76 characters, each with its newline."""
    return base64.encodebytes(data).decode("ascii")


def _strict(text: str) -> bytes:
    """The bytes of base64; none if there is anything else in it."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return b""
