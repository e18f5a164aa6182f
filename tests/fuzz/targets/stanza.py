"""A `<message>` as expat has parsed it: an envelope, whatever it is; one that an endpoint takes apart without a bug."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

from copilot.protocol.endpoint import Endpoint
from copilot.protocol.limits import Rate, Throttle, Tier
from copilot.protocol.rules import Role
from copilot.transport.stanza import decode, encode, nests_deeper

MOST = 8192
OWN = "jm@x/one"


def run(data: bytes) -> None:
    """`data` is XML."""
    try:
        message = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError):
        return
    nests_deeper(message, 32)
    envelope = decode(message, own=OWN, now=1e9)
    numbers = itertools.count()
    end = Endpoint(
        Role.JOB_MANAGER | Role.STORAGE_MANAGER,
        new_id=lambda: str(next(numbers)),
        random=lambda: 0.5,
        features=("storage",),
        throttle=Throttle(lambda _: Tier.STRANGER, Rate(per_second=1, burst=1)),
    )
    end.online(OWN)
    end.lets(envelope.sender, 0.0)
    end.receive(envelope, 0.0)
    for answer in end.outgoing(0.0):
        encode(answer)
