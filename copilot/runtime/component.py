"""What a component is to the loop: something that gets events and returns actions.

Events come from the protocol (`copilot.protocol.events`) and from here. An agent's `handle` is a plain function;
a manager's may be a coroutine, which awaits nothing but its ports. A message is acknowledged when `handle` has
returned and its actions have been carried out, and not at all if it raised: then the peer says it again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import field
from typing import Any, Protocol

from copilot.protocol.commands import Command
from copilot.protocol.envelope import Element
from copilot.protocol.events import ProtocolEvent, Received
from copilot.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Online:
    """The session is up under this full JID. The first one means: begin."""

    jid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """The session is gone; it will come back."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """The session of this full JID has begun, and announced itself to us."""

    jid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The server says that the session of this full JID, which had announced itself to us, has ended."""

    jid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InRoom:
    """We are in a chat room, under this nick."""

    room: str
    nick: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfRoom:
    """We are not in the chat room that we wanted to enter; `condition` as in `transport.base.RoomLeft`."""

    room: str
    condition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupied:
    """Somebody came to a chat room that we are in, or left it; `jid` is his real full JID, if the room tells it."""

    room: str
    nick: str
    jid: str | None
    available: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hinted:
    """The queue may have something to do for us; `what` as in `Store.hints`."""

    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The time that `wakeup` named has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """Somebody wants us to end: finish or hand over what can be, then `Leave`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An effect has ended; `result` is what its performer returned, or the exception that it raised."""

    effect: Any
    result: Any


Event = (
    ProtocolEvent
    | Online
    | Offline
    | Came
    | Gone
    | InRoom
    | OutOfRoom
    | Occupied
    | Hinted
    | Tick
    | Stopping
    | Finished
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Say `command` to a JID; `void_at`, `info` and `session` as in `Endpoint.send`."""

    to: str
    command: Command
    void_at: float | None = None
    info: Element | None = None
    session: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """Do not say `command` to `to` again, acknowledged or not."""

    to: str
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Tell the sender of `received` that it has had no effect (`error`, only to peers with features), and, if that is so, in
    how many seconds the same may have one."""

    received: Received
    code: str
    text: str
    job: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """Count and log `received` as a message that has no effect; `reason` is a short fixed word."""

    received: Received
    reason: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withhold:
    """Do not acknowledge what caused this: it is not done here. Comes last; the next copy is handled afresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Perform:
    """Carry out an effect; one that ends later comes back as `Finished`."""

    effect: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """End the loop with this exit code."""

    exit_code: int = 0


Action = Send | Withdraw | Refuse | Ignore | Withhold | Perform | Leave
Actions = Sequence[Action]


class Component(Protocol):
    """The logic of one program."""

    def handle(self, event: Event, now: float) -> Actions | Awaitable[Actions]:
        """Decide. `now` is in seconds of a clock that never jumps."""
        ...

    def wakeup(self) -> float | None:
        """When it wants a `Tick`; None: never."""
        ...


class Performer(Protocol):
    """Carries out a component's effects."""

    def perform(self, effect: Any) -> Awaitable[Any] | None:
        """Do it now and return None, or return an awaitable whose result comes back as `Finished`."""
        ...


class NoEffects:
    """For components whose actions are all messages."""

    def perform(self, effect: Any) -> None:
        raise TypeError(f"this component has no effects, got {effect!r}")
