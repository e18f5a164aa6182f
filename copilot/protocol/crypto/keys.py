"""Keys of components as values and as text (PEM, RFC 7468): what is in a key file, and in a file of public keys.

A service has an RSA key that opens sessions and an Ed25519 key that signs; an agent an Ed25519 key alone; a service of 2011 an RSA
key alone. A key file holds them one after the other, the newest first. A file of public keys has a line with a JID, full or
bare, and after it the public keys of that JID: in 2011 one RSA key in PKCS#1 form, which still stands first, so that programs of
2011 find it; they pass over what follows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from copilot.records import dataclass

RSA_BITS = 3072
LEAST_RSA_BITS = 2048  # of a key of 2011
KID_LETTERS = 16  # of the hexadecimal digits of a key's SHA-256

_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----\n.*?-----END \1-----[ \t]*\n?", re.DOTALL)

PublicKey = RSAPublicKey | Ed25519PublicKey
PrivateKey = RSAPrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class PrivateKeys:
    """What is in a key file, the newest first of each kind."""

    opening: tuple[RSAPrivateKey, ...] = ()
    signing: tuple[Ed25519PrivateKey, ...] = ()

    @property
    def all(self) -> tuple[PrivateKey, ...]:
        """In the order in which they stand in a file."""
        return (*self.opening, *self.signing)

    @property
    def public(self) -> PublicKeys:
        """What others may know."""
        return PublicKeys(
            opening=tuple(key.public_key() for key in self.opening),
            signing=tuple(key.public_key() for key in self.signing),
        )

    def with_new(self, new: PrivateKeys) -> PrivateKeys:
        """Those of `new` first."""
        return PrivateKeys((*new.opening, *self.opening), (*new.signing, *self.signing))

    def without(self, kids: Iterable[str]) -> PrivateKeys:
        """But for these."""
        gone = set(kids)
        return PrivateKeys(
            tuple(key for key in self.opening if kid(key.public_key()) not in gone),
            tuple(key for key in self.signing if kid(key.public_key()) not in gone),
        )


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The public keys of one JID, the newest first of each kind."""

    opening: tuple[RSAPublicKey, ...] = ()
    signing: tuple[Ed25519PublicKey, ...] = ()

    @property
    def all(self) -> tuple[PublicKey, ...]:
        """In the order in which they stand in a file: 2011 reads the first, which has to be for RSA."""
        return (*self.opening, *self.signing)


def new_opening_key() -> RSAPrivateKey:
    """An RSA key; takes some tenths of a second."""
    return generate_private_key(public_exponent=65537, key_size=RSA_BITS)


def service_keys() -> PrivateKeys:
    """New keys of a service."""
    return PrivateKeys((new_opening_key(),), (Ed25519PrivateKey.generate(),))


def agent_keys() -> PrivateKeys:
    """A new key of an agent."""
    return PrivateKeys(signing=(Ed25519PrivateKey.generate(),))


def keys_of_2011() -> PrivateKeys:
    """A new key of a service that speaks suite `v1` alone."""
    return PrivateKeys((new_opening_key(),))


def fingerprint(key: PublicKey) -> str:
    """SHA-256 of the key (SubjectPublicKeyInfo, DER), in hexadecimal digits."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def kid(key: PublicKey) -> str:
    """The name of a key: the beginning of its fingerprint."""
    return fingerprint(key)[:KID_LETTERS]


def kind(key: PublicKey) -> str:
    """What it is, in a word: `RSA-3072`, `Ed25519`."""
    return f"RSA-{key.key_size}" if isinstance(key, RSAPublicKey) else "Ed25519"


def use(key: PublicKey) -> str:
    """What its owner does with it: `opens` or `signs`."""
    return "opens" if isinstance(key, RSAPublicKey) else "signs"


def private_text(keys: PrivateKeys) -> str:
    """A key file. RSA keys in the form of 2011 (PKCS#1), the others in PKCS#8."""
    opening = (
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        for key in keys.opening
    )
    signing = (key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in keys.signing)
    return b"".join((*opening, *signing)).decode("ascii")


def read_private(text: str) -> PrivateKeys:
    """The keys in a key file. Raises ValueError, with no part of a key in its text."""
    opening, signing = [], []
    for number, block in enumerate(_blocks(text), 1):
        try:
            key = load_pem_private_key(block.encode("ascii"), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError(f"key {number} cannot be read; expected PEM without a password") from None
        if isinstance(key, RSAPrivateKey):
            opening.append(_long_enough(key, number))
        elif isinstance(key, Ed25519PrivateKey):
            signing.append(key)
        else:
            raise ValueError(f"key {number} is neither an RSA nor an Ed25519 key")
    if not opening and not signing:
        raise ValueError("there is no key in it; expected PEM")
    return PrivateKeys(tuple(opening), tuple(signing))


def public_text(known: Mapping[str, PublicKeys]) -> str:
    """A file of public keys."""
    return "\n".join(
        "".join((f"{jid}\n", *(_public_pem(key) for key in keys.all))) for jid, keys in known.items()
    )


def read_public(text: str) -> dict[str, PublicKeys]:
    """The keys in a file of public keys, by JID in lower case; keys before the first JID are none. Raises ValueError."""
    found: dict[str, PublicKeys] = {}
    lines = re.split(r"^([^\s#-][^\n]*@[^\n]*)$", text, flags=re.MULTILINE)
    for jid, after in zip(lines[1::2], lines[2::2], strict=True):
        keys = [_public(block, jid) for block in _blocks(after)]
        if not keys:
            raise ValueError(f"no key follows the line of {jid.strip()}")
        before = found.get(jid.strip().lower(), PublicKeys())
        found[jid.strip().lower()] = PublicKeys(
            (*before.opening, *(key for key in keys if isinstance(key, RSAPublicKey))),
            (*before.signing, *(key for key in keys if isinstance(key, Ed25519PublicKey))),
        )
    return found


def _public(block: str, jid: str) -> PublicKey:
    try:
        key = load_pem_public_key(block.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"a key of {jid.strip()} cannot be read; expected PEM") from None
    if not isinstance(key, RSAPublicKey | Ed25519PublicKey):
        raise ValueError(f"a key of {jid.strip()} is neither an RSA nor an Ed25519 key")
    return key


def _public_pem(key: PublicKey) -> str:
    form = PublicFormat.PKCS1 if isinstance(key, RSAPublicKey) else PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(Encoding.PEM, form).decode("ascii")


def _blocks(text: str) -> list[str]:
    return [found[0] for found in _PEM.finditer(text)]


def _long_enough(key: RSAPrivateKey, number: int) -> RSAPrivateKey:
    if key.key_size < LEAST_RSA_BITS:
        raise ValueError(f"key {number} has {key.key_size} bits; expected {LEAST_RSA_BITS} or more")
    return key
