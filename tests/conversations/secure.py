"""The secure mode of 2011 as the programs of 2011 had it, written apart from ours: the Consumer (an agent) and the Provider
(a manager). Neither forgives what theirs did not forgive.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from xml.etree.ElementTree import Element, fromstring

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

TICKET = "componentAuthenticationTicket"
NO_TICKET = "No ticket"
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # as in 2011


class Secured(Protocol):
    """One end of the secure mode of 2011."""

    def sealed(self, to: str, command: str, info: str) -> dict[str, str]:
        """The attributes of `<body>` that say this `<info>` (as XML) to `to`."""
        ...

    def opened(self, sender: str, attributes: Mapping[str, str]) -> Element:
        """The `<info>` that the attributes of a `<body>` hold."""
        ...


@dataclass(slots=True)
class Consumer:
    """An agent: one K for its whole life, public keys by the JID to which it speaks, letter by letter."""

    public_keys: Mapping[str, rsa.RSAPublicKey]
    ticket: str = NO_TICKET
    secret: bytes = field(default_factory=lambda: os.urandom(32))

    def sealed(self, to: str, command: str, info: str) -> dict[str, str]:
        assert to in self.public_keys, f"the agent of 2011 ends: public key for {to!r} was not found"
        if command != "getTicket":
            coded = base64.encodebytes(self.ticket.encode()).decode()
            info = info.replace("<info ", f"<info {TICKET}='_BASE64:{coded}' ", 1)
        wrapped = self.public_keys[to].encrypt(base64.encodebytes(self.secret), _OAEP)
        return {"session_key": base64.encodebytes(wrapped).decode(), "info": encrypted(info, self.secret)}

    def opened(self, sender: str, attributes: Mapping[str, str]) -> Element:
        return fromstring(decrypted(attributes["info"], self.secret))


@dataclass(slots=True)
class Provider:
    """A manager: it answers under the K that came with the last message, and wants one with every message."""

    private_key: rsa.RSAPrivateKey
    secrets: dict[str, bytes] = field(default_factory=dict)
    tickets: list[str] = field(default_factory=list)  # that it was shown

    def sealed(self, to: str, command: str, info: str) -> dict[str, str]:
        return {"info": encrypted(info, self.secrets[to])}

    def opened(self, sender: str, attributes: Mapping[str, str]) -> Element:
        wrapped = base64.b64decode(attributes["session_key"])
        self.secrets[sender] = base64.b64decode(self.private_key.decrypt(wrapped, _OAEP))
        info = fromstring(decrypted(attributes["info"], self.secrets[sender]))
        if TICKET in info.attrib:
            self.tickets.append(base64.b64decode(info.attrib.pop(TICKET).removeprefix("_BASE64:")).decode())
        return info


def encrypted(info: str, secret: bytes) -> str:
    """As Crypt::CBC with a pass phrase, inside and outside in base64."""
    salt = os.urandom(8)
    cipher = _cipher(secret, salt).encryptor()
    padder = PKCS7(128).padder()
    plain = padder.update(base64.encodebytes(info.encode())) + padder.finalize()
    return base64.encodebytes(b"Salted__" + salt + cipher.update(plain) + cipher.finalize()).decode()


def decrypted(text: str, secret: bytes) -> bytes:
    """The way back. Raises ValueError as Crypt::CBC would end."""
    data = base64.b64decode(text)
    assert data[:8] == b"Salted__"
    cipher = _cipher(secret, data[8:16]).decryptor()
    unpadder = PKCS7(128).unpadder()
    plain = unpadder.update(cipher.update(data[16:]) + cipher.finalize()) + unpadder.finalize()
    return base64.b64decode(plain)


def read_public_keys(text: str) -> dict[str, rsa.RSAPublicKey]:
    """The file of public keys, as 2011 read it: a line with an `@`, then lines until the end of an RSA key."""
    found: dict[str, rsa.RSAPublicKey] = {}
    lines = iter(text.splitlines(keepends=True))
    for line in lines:
        if "@" in line:
            pem = ""
            while "-----END RSA PUBLIC KEY----" not in pem:
                pem += next(lines)
            key = serialization.load_pem_public_key(pem[pem.index("-----BEGIN RSA PUBLIC KEY") :].encode())
            assert isinstance(key, rsa.RSAPublicKey)
            found[line.rstrip("\n")] = key
    return found


def _cipher(secret: bytes, salt: bytes) -> Cipher[modes.CBC]:
    made = block = b""
    while len(made) < 48:
        block = hashlib.md5(block + secret + salt, usedforsecurity=False).digest()
        made += block
    return Cipher(algorithms.AES(made[:32]), modes.CBC(made[32:48]))
