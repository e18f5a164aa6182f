"""Chirp tickets: an RSA key whose bearer has the rights that were given to it on a server.

The server knows a ticket by the MD5 of its public key in PEM form, and asks for a signature over random bytes. The key
is used for nothing else, and MD5 is only a name here: what counts is the signature.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from copilot.errors import TransferRefused
from copilot.files.disk import disk_errors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

KEY_BITS = 2048
_MAX_FILE = 64 * 1024
_PEM_BEGIN = b"-----BEGIN"  # cctools writes comments before it


class Ticket:
    """The private key of a ticket. cryptography is imported when the first one is made or read (6 MB)."""

    def __init__(self, key: RSAPrivateKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._key = key
        self.public_pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.name = hashlib.md5(self.public_pem, usedforsecurity=False).hexdigest()

    @classmethod
    def create(cls) -> Self:
        """A new one; the server learns of it by `ChirpServer.register_ticket`."""
        from cryptography.hazmat.primitives.asymmetric import rsa

        return cls(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` or the `chirp ticket_create` of cctools wrote. Raises TransferRefused."""
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        with disk_errors(f"reading the Chirp ticket {path}"), path.open("rb") as file:
            data = file.read(_MAX_FILE)
        try:
            key = load_pem_private_key(data[data.index(_PEM_BEGIN) :], password=None)
        except (ValueError, TypeError) as error:
            raise _no_ticket(path) from error
        if not isinstance(key, RSAPrivateKey):
            raise _no_ticket(path)
        return cls(key)

    def save(self, path: Path) -> None:
        """Write the private key to the new file `path`, readable by its owner alone. cctools can use it."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with disk_errors(f"writing the Chirp ticket {path}"):
            try:
                descriptor = os.open(path, flags, 0o600)
            except FileExistsError as error:
                raise TransferRefused(
                    f"{path}: is there already, and may be a ticket in use; choose another name or remove it"
                ) from error
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)

    @property
    def subject(self) -> str:
        """As whom its bearer is known to the server."""
        return f"ticket:{self.name}"

    def sign(self, challenge: bytes) -> bytes:
        """Prove that we have the key (PKCS #1 v1.5 without a hash, as `openssl rsautl -sign` does)."""
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo

        return self._key.sign(challenge, PKCS1v15(), NoDigestInfo())


def _no_ticket(path: Path) -> TransferRefused:
    return TransferRefused(
        f"{path}: not a Chirp ticket; expected an RSA private key in PEM form without password; have it made anew"
    )
