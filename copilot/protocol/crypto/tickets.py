"""Tickets of the key manager: who may talk to whom, and until when, signed (protocol page, section 5).

    ticket = base64(signature) ### base64(data)        data = component###validFrom###validTo###requester

The signature is RSA PKCS#1 v1.5 with SHA-1, over the base64 text of the data, newlines included: so it was in 2011, and so
the programs of 2011 check it. They do not look at the requester; we do.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1

from copilot.protocol.envelope import bare
from copilot.records import dataclass

ANY_COMPONENT = "*"
NO_TICKET = "No ticket"  # what stands in its place where there is no key manager
LONGEST = 4096  # characters
EARLY = 60.0  # s; so much earlier than it begins a ticket is taken

_JOINT = "###"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Times in whole seconds since the epoch, both included; `requester` is a JID, `component` a bare one or `*`."""

    component: str
    valid_from: int
    valid_to: int
    requester: str

    def refusal(self, sender: str, receiver: str, now: float) -> str | None:
        """Why it does not let `sender` talk to `receiver` at `now`, in words for the log; None if it does."""
        if bare(self.requester) != bare(sender):
            return "another account's ticket"
        if self.component != ANY_COMPONENT and bare(self.component) != bare(receiver):
            return "a ticket for another component"
        if now < self.valid_from - EARLY:
            return "a ticket that is not valid yet"
        if now > self.valid_to:
            return "a ticket that has expired"
        return None


def issue(ticket: Ticket, key: RSAPrivateKey) -> str:
    """Sign a ticket. Raises ValueError if a name in it cannot stand there."""
    names = (ticket.component, ticket.requester)
    if any(_JOINT in name or not name.isprintable() for name in names):
        raise ValueError(f"a ticket cannot name {names!r}")
    data = _JOINT.join((ticket.component, str(ticket.valid_from), str(ticket.valid_to), ticket.requester))
    signed = base64.encodebytes(data.encode())
    signature = key.sign(signed, PKCS1v15(), SHA1())  # noqa: S303  # as in 2011
    return f"{base64.encodebytes(signature).decode('ascii')}{_JOINT}{signed.decode('ascii')}"


def read(text: str, keys: Sequence[RSAPublicKey]) -> Ticket | None:
    """The ticket in `text`, if the holder of one of `keys` has signed it."""
    signature, joint, signed = text.partition(_JOINT)
    if not joint or len(text) > LONGEST or not text.isascii():
        return None
    try:
        proof = base64.b64decode("".join(signature.split()), validate=True)
        if not any(_signed(proof, signed.encode(), key) for key in keys):
            return None
        data = base64.b64decode("".join(signed.split()), validate=True).decode()
        component, valid_from, valid_to, requester = data.split(_JOINT)
        return Ticket(
            component=component, valid_from=int(valid_from), valid_to=int(valid_to), requester=requester
        )
    except ValueError:
        return None


def _signed(signature: bytes, text: bytes, key: RSAPublicKey) -> bool:
    try:
        key.verify(signature, text, PKCS1v15(), SHA1())  # noqa: S303  # as in 2011
    except InvalidSignature:
        return False
    return True
