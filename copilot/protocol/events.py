"""What an endpoint tells its component: something came in, arrived, was refused, or became void."""

from __future__ import annotations

from dataclasses import field

from copilot.protocol.commands import Command, Error
from copilot.protocol.envelope import Element
from copilot.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A command for us. `features` is None for a peer of 2011. Answer with `done` or `failed`.

    `info` is the command as it stood on the wire, for those that pass it on. `at` is when it came, in seconds of the clock
    that the endpoint's `now` is of. `sealed`: nobody but the two of us has read or changed it (protocol page, section 5).
    `in_v1`: it came sealed in suite v1, which proves no sender.
    `session` and `key` as in `copilot.protocol.security.Opened`: who wants to speak to the sender from another instance needs
    the former, who lets it in the latter.
    """

    command: Command
    sender: str  # full JID
    id: str | None
    features: frozenset[str] | None
    element: bool  # it came (also) in the element carriage: so may the answer
    wants_ack: bool
    info: Element = field(default_factory=lambda: Element("info"))
    at: float = field(default=0.0, compare=False)
    sealed: bool = False
    in_v1: bool = False
    session: str = field(default="", compare=False)
    key: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acked:
    """The peer has kept its side: what `command` asked for is safe there.

    Not so `on_receipt`: a peer of 2011 acknowledges what it has not yet looked at.
    """

    id: str
    to: str
    command: Command
    on_receipt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The peer answered `error`: `command` has had no effect and will not be sent again."""

    id: str
    to: str
    command: Command
    error: Error


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeliverable:
    """The server brought `command` back: nobody is there now. It will be sent again if its rule says so."""

    id: str
    to: str
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """`command` became void before it was acknowledged. The peer may have worked on it all the same."""

    id: str
    to: str
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A message was not worked on; for the counters and the log. `reason` is a short fixed word.

    `command` is None where it could not be read."""

    sender: str
    id: str | None
    reason: str
    text: str
    command: Command | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyStripped:
    """The self-test found that our server empties the body carriage; for the log. From now on it is not used."""

    jid: str  # ours, full


ProtocolEvent = Received | Acked | Refused | Undeliverable | Expired | Dropped | BodyStripped
