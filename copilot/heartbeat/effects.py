"""What the heartbeat has its performer do. Those with a result come back as `Finished`."""

from __future__ import annotations

from copilot.records import dataclass
from copilot.transport.rooms import Affiliation


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Enter a chat room, now and after each log-in."""

    room: str
    nick: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """Show ourselves to a bare JID, by directed presence."""

    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """Read one status of this machine; the result is its text."""

    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Make a room, and make it what it should be; the result is who has which affiliation, by bare JID."""

    room: str
    nick: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Affiliate:
    """Give a bare JID an affiliation in a room."""

    room: str
    jid: str
    affiliation: Affiliation
