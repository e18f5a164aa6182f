"""What a component tells the monitor: differences of its counts, durations as few numbers, values now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping

import pytest

from copilot.errors import StoreUnavailable
from copilot.protocol.commands import Command, ReportEvent, ReportEventDuration, ReportEventValue
from copilot.runtime.component import Actions, Came, Event, Offline, Online, Send, Stopping, Tick
from copilot.runtime.durations import Durations
from copilot.runtime.reports import EVENTS_EVERY, Happened, Reporter, Values

MONITOR, JID = "monitor@x", "jm@x/alpha"
WHO = "jobmanager.generic.alpha"


class Place:
    """A reporter with counts that a test sets."""

    def __init__(self, *, group: bool = False, values: tuple[Values, ...] = ()) -> None:
        self.counts: dict[str, int] = {}
        self.durations: dict[str, Durations] = {}
        self.reporter = Reporter(
            MONITOR,
            "jobmanager.generic",
            Happened(events=lambda: self.counts, durations=self._took),
            values,
            group=group,
            random=lambda: 0.0,
        )

    def _took(self) -> Mapping[str, Durations]:
        taken, self.durations = self.durations, {}
        return taken

    def told(self, event: Event, now: float) -> list[Command]:
        return commands(self.reporter.handle(event, now))


def commands(actions: Actions | Awaitable[Actions]) -> list[Command]:
    if isinstance(actions, Awaitable):

        async def wait() -> Actions:
            return await actions

        actions = asyncio.run(wait())
    assert all(isinstance(action, Send) and action.to == MONITOR for action in actions)
    return [action.command for action in actions if isinstance(action, Send)]


def numbers(**found: float) -> Values:
    async def read() -> Mapping[str, float]:
        return found

    return Values(every=60.0, read=read)


@pytest.fixture
def place() -> Place:
    place = Place()
    place.told(Online(jid=JID), 0.0)
    return place


def test_however_often_something_happens_it_is_one_message(place: Place) -> None:
    place.counts = {"job.succeeded": 3}
    assert place.told(Tick(), 0.0) == [ReportEvent(component=WHO, event="job.succeeded", count=3)]


def test_what_was_told_is_not_told_again(place: Place) -> None:
    place.counts = {"job.succeeded": 3, "job.failed": 0}
    place.told(Tick(), 0.0)
    assert place.told(Tick(), EVENTS_EVERY) == []
    place.counts["job.failed"] = 1
    assert place.told(Tick(), 2 * EVENTS_EVERY) == [ReportEvent(component=WHO, event="job.failed", count=1)]


def test_between_two_times_nothing_is_told(place: Place) -> None:
    place.told(Tick(), 0.0)
    place.counts = {"job.succeeded": 1}
    assert place.told(Tick(), EVENTS_EVERY - 0.1) == []
    assert place.reporter.wakeup() == EVENTS_EVERY


def test_durations_are_means_and_extremes_in_milliseconds(place: Place) -> None:
    place.durations = {"job": Durations.of(1.0) + Durations.of(100.0)}
    (told,) = place.told(Tick(), 0.0)
    assert isinstance(told, ReportEventDuration)
    assert told.count == 2
    assert told.duration == pytest.approx(50.5)
    assert told.geometric_mean == pytest.approx(10.0)
    assert (told.shortest, told.longest) == (pytest.approx(1.0), pytest.approx(100.0))
    assert place.told(Tick(), EVENTS_EVERY) == []


def test_values_are_told_each_time(place: Place) -> None:
    place = Place(values=(numbers(load=0.5),))
    place.told(Online(jid=JID), 0.0)
    expected = [ReportEventValue(component=WHO, event="load", value=0.5)]
    assert place.told(Tick(), 0.0) == expected
    assert place.told(Tick(), 30.0) == []
    assert place.told(Tick(), 60.0) == expected


def test_a_value_that_cannot_be_read_keeps_back_none_of_the_others() -> None:
    async def fail() -> Mapping[str, float]:
        raise StoreUnavailable("away")

    place = Place(values=(Values(every=10.0, read=fail), numbers(load=0.5)))
    place.told(Online(jid=JID), 0.0)
    place.counts = {"job.start": 1}
    told = place.told(Tick(), 0.0)
    assert [type(command) for command in told] == [ReportEvent, ReportEventValue]


def test_what_happens_while_we_are_away_is_told_when_we_are_back(place: Place) -> None:
    place.told(Tick(), 0.0)
    place.told(Offline(reason="cut"), 1.0)
    place.counts = {"job.start": 2}
    assert place.reporter.wakeup() is None
    assert place.told(Tick(), 9.0) == []
    place.told(Online(jid=JID), 10.0)
    assert place.told(Tick(), 10.0) == [ReportEvent(component=WHO, event="job.start", count=2)]


def test_a_monitor_that_comes_is_told_all_values_at_once(place: Place) -> None:
    place = Place(values=(numbers(load=0.5),))
    place.told(Came(jid=f"{MONITOR}/m"), 0.0)
    assert place.reporter.wakeup() is None
    place.told(Online(jid=JID), 0.0)
    place.told(Tick(), 0.0)
    assert place.told(Came(jid="agent@x/a"), 1.0) == []
    assert place.told(Tick(), 1.0) == []
    place.told(Came(jid=f"{MONITOR}/m"), 2.0)
    assert place.told(Tick(), 2.0) == [ReportEventValue(component=WHO, event="load", value=0.5)]


def test_the_last_events_are_told_at_the_end(place: Place) -> None:
    place.told(Tick(), 0.0)
    place.counts = {"job.start": 2}
    assert place.told(Stopping(), 1.0) == [ReportEvent(component=WHO, event="job.start", count=2)]


def test_events_of_many_are_those_of_their_group_and_values_their_own() -> None:
    place = Place(group=True, values=(numbers(load=0.5),))
    place.counts = {"job.start": 1}
    place.told(Online(jid="agent-1@x/copilot-agent-0123456789abcdef"), 0.0)
    event, value = place.told(Tick(), 0.0)
    assert isinstance(event, ReportEvent)
    assert event.component == "jobmanager.generic"
    assert isinstance(value, ReportEventValue)
    assert value.component.startswith("jobmanager.generic.")
    assert len(value.component.rpartition(".")[2]) == 19
