"""The monitor's decisions: what becomes of a report (report, sections 2.2.5, 2.3 and 4.4).

Values go out at once, with the time at which they came. Events and durations are gathered in samples, which end whenever the
wall clock shows a multiple of the interval, so that one sample falls into one slot of Whisper. Each sample tells of the
monitor itself, too:

    copilot.monitor.updates    points about others since the last sample
    copilot.monitor.refused    reports that were not taken since then
    copilot.monitor.dropped    points that were lost since the monitor was started, because too many waited for Carbon: not
                               since the last sample, for what that said may itself be among those that were lost
"""

from __future__ import annotations

import math
from collections.abc import Callable

from copilot.monitor.board import ComponentRow
from copilot.monitor.components import Components
from copilot.monitor.counts import MonitorCounts
from copilot.monitor.names import Names, is_managers
from copilot.monitor.paths import KnownPaths, metric_path, safe_name
from copilot.monitor.samples import DERIVED, Samples, line
from copilot.protocol.commands import ReportEvent, ReportEventDuration, ReportEventValue
from copilot.protocol.envelope import bare
from copilot.protocol.events import Received
from copilot.records import dataclass
from copilot.runtime.component import Actions, Event, Ignore, Leave, Perform, Stopping, Tick
from copilot.runtime.durations import MOST, Durations

UPDATES = "copilot.monitor.updates"
DROPPED = "copilot.monitor.dropped"
REFUSED = "copilot.monitor.refused"
# s: a wall clock that goes back by less is waited for, so that no slot is written twice; when it is ahead by less, because
# the process stood still, no slot is left out.
STEPPED = 60.0

Report = ReportEvent | ReportEventDuration | ReportEventValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Hand these lines to Carbon, now."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The same at the end of an interval, in which there were so many updates."""

    lines: tuple[str, ...]
    updates: int


class _Refusal(Exception):
    def __init__(self, reason: str, text: str) -> None:
        """`reason`: a short fixed word, for the counters."""
        super().__init__(text)
        self.reason = reason
        self.text = text


class Monitor:
    """Takes reports. `wall()` is in seconds since the epoch: Carbon's time."""

    def __init__(
        self,
        names: Names,
        paths: KnownPaths,
        *,
        interval: int,
        wall: Callable[[], float],
        counts: MonitorCounts | None = None,
    ) -> None:
        """`interval`: seconds from sample to sample."""
        self._names = names
        self._paths = paths
        self._interval = interval
        self._wall = wall
        self._counts = counts or MonitorCounts()
        self._components = Components()
        self._samples = Samples()
        self._updates = 0  # values since the last sample
        # The first sample is longer: its slot may hold what an earlier process said before it went.
        self._ends = (math.floor(wall() / interval) + 2) * interval
        self._due: float | None = 0.0
        self._told_refused = 0

    def components(self) -> tuple[ComponentRow, ...]:
        """Who reports, and what each said last."""
        return self._components.rows(self._wall())

    def handle(self, event: Event, now: float) -> Actions:
        """As `Component.handle`."""
        match event:
            case Received(command=ReportEvent() | ReportEventDuration() | ReportEventValue() as report):
                return self._report(event, report)
            case Tick():
                return self._tick(now)
            case Stopping():
                return [*self._sample(), Leave()]
            case _:
                return []

    def wakeup(self) -> float | None:
        """As `Component.wakeup`."""
        return self._due

    def _report(self, received: Received, report: Report) -> Actions:
        try:
            lines = self._take(received.sender, report)
        except _Refusal as refusal:
            self._counts.refused[refusal.reason] += 1
            return [Ignore(received=received, reason=refusal.reason, text=refusal.text)]
        self._counts.reports += 1
        self._counts.paths = len(self._paths)
        return [Perform(effect=Forward(lines=lines))] if lines else []

    def _take(self, sender: str, report: Report) -> tuple[str, ...]:
        """What goes to Carbon at once; the rest stays for the sample."""
        if not self._names.may_report(sender):
            raise _Refusal("not-allowed", f"{report.NAME} from somebody whom MON_ALLOW does not name")
        try:
            name, event = safe_name(report.component), safe_name(report.event)
            path = metric_path(name, event)
        except ValueError as error:
            raise _Refusal("bad-name", str(error)) from error
        if not self._names.may_write(path, sender):
            text = f"{path} is not for this account to report; managers are named in MON_MANAGERS"
            raise _Refusal("foreign-name", text)
        now, manager = self._wall(), is_managers(path)
        match report:
            case ReportEventValue(value=value):
                if not math.isfinite(value):
                    raise _Refusal("bad-number", f"{path}: a value that is no finite number")
                self._admit((path,), sender)
                self._components.value(name, event, value, now, manager=manager)
                self._updates += 1
                return (line(path, value, int(now)),)
            case ReportEvent(count=told):
                count = 1 if told is None else told
                if count > MOST:
                    raise _Refusal("bad-number", f"{path}: an event that happened more than {MOST} times")
                self._admit((path,), sender)
                self._samples.event(path, count)
            case ReportEventDuration():
                durations = _durations(path, report)
                count = durations.count
                self._admit(tuple(f"{path}.{part}" for part in DERIVED), sender)
                self._samples.durations(path, durations)
        self._components.count(name, event, count, now, manager=manager)
        return ()

    def _admit(self, paths: tuple[str, ...], sender: str) -> None:
        if not self._paths.admit(paths, bare(sender)):
            raise _Refusal(
                "too-many-paths", f"{paths[0]} is new, and there are as many metrics as MON_MAX_PATHS allows"
            )

    def _tick(self, now: float) -> Actions:
        wall = self._wall()
        actions = self._sample() if wall >= self._ends else []
        if self._ends - wall > STEPPED + 2 * self._interval:  # the clock has been set back
            self._ends = self._next(wall)
        self._due = now + self._ends - wall
        return actions

    def _sample(self) -> Actions:
        """End the interval."""
        time = self._ends
        told = self._samples.take(time)
        updates, self._updates = self._updates + len(told), 0
        refused = self._counts.refused.total()
        own = (
            line(UPDATES, updates, time),
            line(REFUSED, refused - self._told_refused, time),
            line(DROPPED, self._counts.dropped, time),
        )
        self._told_refused = refused
        self._ends += self._interval
        if self._wall() - self._ends > STEPPED:
            self._ends = self._next(self._wall())
        return [Perform(effect=Sample(lines=(*told, *own), updates=updates))]

    def _next(self, wall: float) -> int:
        return (math.floor(wall / self._interval) + 1) * self._interval


def _durations(path: str, report: ReportEventDuration) -> Durations:
    try:
        return Durations.of(
            report.duration,
            count=report.count,
            geometric_mean=report.geometric_mean,
            shortest=report.shortest,
            longest=report.longest,
        )
    except ValueError as error:
        raise _Refusal("bad-number", f"{path}: {error}") from error
