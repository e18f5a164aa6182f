"""A fake wire for endpoints: what one says the other hears, and trouble is made by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import Envelope
from copilot.protocol.events import ProtocolEvent, Received
from copilot.protocol.rules import Role
from copilot.protocol.security import Security


def endpoint(
    role: Role,
    jid: str,
    *,
    features: tuple[str, ...] = ("storage",),
    trusts: Callable[[str], bool] = lambda _: True,
    security: Security | None = None,
) -> Endpoint:
    """An endpoint that is online as `jid` and has sent its self-test, with ids that can be read, no randomness."""
    numbers = itertools.count(1)
    made = Endpoint(
        role,
        new_id=lambda: f"{jid.partition('@')[0]}-{next(numbers)}",
        random=lambda: 0.0,
        features=features,
        trusts=trusts,
        security=security,
    )
    made.online(jid)
    made.outgoing(0.0)
    return made


def carry(source: Endpoint, target: Endpoint, now: float = 0.0, *, done: bool = True) -> list[ProtocolEvent]:
    """Move everything that is due; with `done` the target finishes its work at once."""
    events: list[ProtocolEvent] = []
    for envelope in source.outgoing(now):
        events.extend(target.receive(stamped(envelope, source.jid), now))
    if done:
        for event in events:
            if isinstance(event, Received):
                target.done(event, now)
    return events


def stamped(envelope: Envelope, sender: str) -> Envelope:
    """As the server delivers it."""
    return replace(envelope, sender=sender)
