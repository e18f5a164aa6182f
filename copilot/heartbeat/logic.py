"""How a component answers the heartbeat: it sits in its chat room, and tells those who may know how it fares.

Who asks is judged by the JID that a server vouches for: the sender of a direct message, or the real JID that a
non-anonymous room told of the occupant who speaks through it. A room's own JID, and a nick, say nothing.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator

from copilot.heartbeat.effects import Announce, Gather, Join, Prepare
from copilot.heartbeat.status import STATUSES
from copilot.log import rate_limited
from copilot.protocol.commands import GetStatus, HaveStatus, Ping, Pong
from copilot.protocol.envelope import bare
from copilot.protocol.events import Received
from copilot.protocol.nick import nick, unique_nick
from copilot.protocol.people import Includes
from copilot.records import dataclass
from copilot.retry import full_jitter
from copilot.runtime.component import (
    Actions,
    Event,
    Finished,
    Ignore,
    InRoom,
    Occupied,
    Offline,
    Online,
    OutOfRoom,
    Perform,
    Send,
    Tick,
)

ENTER_LIMIT = 60.0  # s until a room that does not answer is tried again
ADMISSION = 2.0  # s, at least, that who keeps the room has to let us in after we have shown ourselves
NO_COMPLAINT = 3  # refusals
LONGEST_WAIT = 600.0  # s between two tries to enter
MOST_MODERATORS = 1000  # occupants that are remembered; members are not shown to each other
MOST_ASKERS = 1000
STATUSES_AT_ONCE = 8  # to one asker; then one a second

log = logging.getLogger("copilot.heartbeat")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatSettings:
    """Where a component sits, and whom it answers. `owner` (a bare JID) keeps the room and lets us in.

    `room` tells the room of this component by its full JID; None: it sits in none, and answers direct messages.
    """

    room: Callable[[str], str] | None
    owner: str
    allow: Includes
    keeps: bool = False  # this component keeps the rooms itself: it enters when its own is ready


class Heartbeat:
    """A part of every daemon. `random` gives numbers in [0, 1) for the waits."""

    def __init__(self, settings: HeartbeatSettings, *, random: Callable[[], float]) -> None:
        self._settings = settings
        self._random = random
        self._jid = ""
        self._room: str | None = None
        self._nick = ""
        self._nicks: Iterator[str] = iter(())
        self._try_at: float | None = None  # when to enter the room, again
        self._failures = 0
        self._moderators: OrderedDict[str, str] = OrderedDict()  # full room JID → real bare JID
        self._asked: OrderedDict[str, float] = OrderedDict()  # bare JID → when its allowance is full again
        self._waiting: dict[str, dict[str, None]] = {}  # status that is being read → who waits for it

    def handle(self, event: Event, now: float) -> Actions:
        """As `Component.handle`."""
        match event:
            case Received(command=Ping() | GetStatus()):
                return self._asked_by(event, now)
            case Finished(effect=Prepare(room=room), result=dict()) if room == self._room:
                return self._enter(now)
            case Finished(effect=Gather(status=status), result=result):
                return self._tell(status, result)
            case Online(jid=jid):
                return self._online(jid, now)
            case Offline():
                self._moderators.clear()
                self._try_at = None
            case InRoom(room=room, nick=name) if room == self._room:
                log.info("In the chat room %s as %s.", room, name)
                self._try_at, self._failures = None, 0
            case OutOfRoom(room=room, condition=condition) if room == self._room:
                return self._refused(room, condition, now)
            case Occupied() if event.room == self._room:
                self._seen(event)
            case Tick() if self._try_at is not None and self._try_at <= now:
                return self._enter(now)
        return []

    def wakeup(self) -> float | None:
        """As `Component.wakeup`."""
        return self._try_at

    # -- the room

    def _online(self, jid: str, now: float) -> Actions:
        if self._settings.room is None:
            return []
        self._moderators.clear()
        if jid == self._jid:  # the transport enters the room by itself; if that fails, we hear of it
            self._try_at = self._patience_ends(now)
            return []
        self._jid = jid
        self._room = self._settings.room(jid)
        self._nicks = iter(dict.fromkeys((nick(jid), unique_nick(jid))))
        self._nick = next(self._nicks)
        # Who enters a room under one nick while he makes it under another is in it under neither, on ejabberd.
        return [] if self._settings.keeps else self._enter(now)

    def _enter(self, now: float) -> Actions:
        assert self._room is not None
        self._try_at = self._patience_ends(now)
        return [Perform(effect=Join(room=self._room, nick=self._nick))]

    def _patience_ends(self, now: float) -> float:
        """When a room that has not answered is entered again."""
        return now + ENTER_LIMIT + full_jitter(self._failures, LONGEST_WAIT, self._random)

    def _refused(self, room: str, condition: str, now: float) -> Actions:
        self._moderators.clear()
        if condition == "conflict" and (other := next(self._nicks, None)) is not None:
            self._nick = other
            return self._enter(now)
        wait = full_jitter(self._failures, LONGEST_WAIT, self._random)
        self._failures += 1
        self._try_at = now + ADMISSION + wait
        self._complain(room, condition)
        if condition == "registration-required":
            return [Perform(effect=Announce(to=self._settings.owner))]
        return []

    def _complain(self, room: str, condition: str) -> None:
        """The first times are nothing: rooms are made, and members admitted, while components start."""
        level = logging.WARNING if self._failures > NO_COMPLAINT else logging.DEBUG
        text = "the chat room %s cannot be entered (%s); trying again. %s keeps it and has to let us in"
        rate_limited(log, ("room", room), level, text, room, condition, self._settings.owner)

    def _seen(self, event: Occupied) -> None:
        occupant = f"{event.room}/{event.nick}"
        self._moderators.pop(occupant, None)
        if event.available and event.jid is not None:
            self._moderators[occupant] = bare(event.jid)
            if len(self._moderators) > MOST_MODERATORS:
                self._moderators.popitem(last=False)

    # -- answers

    def _asked_by(self, received: Received, now: float) -> Actions:
        asker = self._real(received.sender)
        if asker is None or not self._settings.allow.include(asker):
            who = "an occupant whose real JID is not known" if asker is None else "not one of HB_ALLOW"
            text = f"{received.command.NAME} is not answered: {who}"
            return [Ignore(received=received, reason="not-allowed", text=text)]
        if isinstance(received.command, GetStatus):
            return self._status(received, received.command.component, asker, now)
        return [Send(to=received.sender, command=Pong())]

    def _real(self, sender: str) -> str | None:
        """The bare JID that a server vouches for."""
        return self._moderators.get(sender) if bare(sender) == self._room else bare(sender)

    def _status(self, received: Received, status: str, asker: str, now: float) -> Actions:
        if status not in STATUSES:
            text = f"there is no status {status[:40]!r}; expected one of {', '.join(STATUSES)}"
            return [Ignore(received=received, reason="no-such-status", text=text)]
        if not self._may_ask(asker, now):
            text = f"{asker} asks more often than {STATUSES_AT_ONCE} times at once and once a second"
            return [Ignore(received=received, reason="too-often", text=text)]
        waiting = self._waiting.setdefault(status, {})
        first = not waiting
        waiting[received.sender] = None
        return [Perform(effect=Gather(status=status))] if first else []

    def _may_ask(self, asker: str, now: float) -> bool:
        full = max(self._asked.pop(asker, now), now)
        allowed = full - now <= STATUSES_AT_ONCE - 1
        self._asked[asker] = full + 1 if allowed else full
        if len(self._asked) > MOST_ASKERS:
            self._asked.popitem(last=False)
        return allowed

    def _tell(self, status: str, result: object) -> Actions:
        waiting = self._waiting.pop(status, {})
        if not isinstance(result, str):
            rate_limited(log, ("status", status), logging.ERROR, "%s cannot be read: %s", status, result)
            return []
        return [Send(to=who, command=HaveStatus(component=status, status=result)) for who in waiting]
