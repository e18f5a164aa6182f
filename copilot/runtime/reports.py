"""Tells the monitor what happens in a component and how its machine fares (report, sections 2.2.5 and 2.3.2).

A part of the component, beside its logic (`compose.Parts`), which knows nothing of it: what happened is read from the
plain numbers that are counted anyway, and told as the difference since it was told last. So a job costs no message, and
however much happens, one event is one message in `EVENTS_EVERY`. All messages are `noack`: what gets lost is missing in a
graph and nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from copilot.errors import CopilotError
from copilot.log import rate_limited
from copilot.protocol.commands import ReportEvent, ReportEventDuration, ReportEventValue
from copilot.protocol.envelope import bare
from copilot.protocol.nick import nick
from copilot.records import dataclass
from copilot.runtime.component import Action, Actions, Came, Event, Offline, Online, Send, Stopping, Tick
from copilot.runtime.durations import Durations

log = logging.getLogger("copilot.reports")

EVENTS_EVERY = 5.0  # s; half of the monitor's own interval, so that each of its samples has some


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Numbers that are read and told every so many seconds, by the name of the event. `read` may take its time."""

    every: float
    read: Callable[[], Awaitable[Mapping[str, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What a component counts: how often each event has happened since the start, and how long those took that have ended
    since this was asked last."""

    events: Callable[[], Mapping[str, int]]
    durations: Callable[[], Mapping[str, Durations]] = dict


class Reporter:
    """Reports to one monitor (bare JID) as `kind.nick`, events of a `group` under its name alone; for the first time soon
    after each log-in, and when the monitor shows itself."""

    def __init__(
        self,
        monitor: str,
        kind: str,
        happened: Happened,
        values: Sequence[Values],
        *,
        group: bool = False,
        random: Callable[[], float],
    ) -> None:
        """`kind`: such as `jobmanager.generic`; `random()` yields 0 … 1: not all instances report at the same moment."""
        self._monitor = bare(monitor)
        self._kind = kind
        self._happened = happened
        self._values = values
        self._group = group
        self._random = random
        self._name = ""
        self._told: dict[str, int] = {}
        self._next_events: float | None = None
        self._next_values: dict[int, float] = {}  # by the place in `values`

    def wakeup(self) -> float | None:
        """As `Component.wakeup`."""
        times = (self._next_events, *self._next_values.values())
        return min((when for when in times if when is not None), default=None)

    def handle(self, event: Event, now: float) -> Actions | Awaitable[Actions]:
        """As `Component.handle`."""
        match event:
            case Online(jid=jid):
                self._name = f"{self._kind}.{nick(jid)}"
                self._soon(now)
            case Came(jid=jid) if bare(jid) == self._monitor and self._name:  # it knows nothing yet
                self._soon(now)
            case Offline():  # what happens now is told when we are back
                self._name, self._next_events, self._next_values = "", None, {}
            case Tick():
                return self._tick(now)
            case Stopping() if self._next_events is not None:
                return self._tell_events()
        return []

    def _soon(self, now: float) -> None:
        self._next_events = now + EVENTS_EVERY * self._random()
        self._next_values = dict.fromkeys(range(len(self._values)), self._next_events)

    def _tick(self, now: float) -> Actions | Awaitable[Actions]:
        actions: Actions = []
        if self._next_events is not None and self._next_events <= now:
            self._next_events = now + EVENTS_EVERY
            actions = self._tell_events()
        due = [place for place, when in self._next_values.items() if when <= now]
        for place in due:
            self._next_values[place] = now + self._values[place].every
        return self._tell_values(actions, due) if due else actions

    def _tell_events(self) -> list[Action]:
        who = self._kind if self._group else self._name
        actions: list[Action] = []
        for event, count in self._happened.events().items():
            new, self._told[event] = count - self._told.get(event, 0), count
            if new:
                actions.append(self._say(ReportEvent(component=who, event=event, count=new)))
        for event, durations in self._happened.durations().items():
            actions.append(self._say(_told(who, event, durations)))
        return actions

    async def _tell_values(self, actions: Actions, due: Sequence[int]) -> Actions:
        told: list[Action] = list(actions)
        for place in due:
            try:
                values = await self._values[place].read()
            except (CopilotError, OSError) as error:  # the next time, then
                rate_limited(
                    log, place, logging.WARNING, "some values cannot be told to the monitor: %s", error
                )
                continue
            told.extend(
                self._say(ReportEventValue(component=self._name, event=event, value=value))
                for event, value in values.items()
            )
        return told

    def _say(self, command: ReportEvent | ReportEventDuration | ReportEventValue) -> Send:
        return Send(to=self._monitor, command=command)


def _told(who: str, event: str, durations: Durations) -> ReportEventDuration:
    return ReportEventDuration(
        component=who,
        event=event,
        duration=durations.mean,
        count=durations.count,
        geometric_mean=durations.geometric_mean,
        shortest=durations.shortest,
        longest=durations.longest,
    )
