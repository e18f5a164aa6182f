"""What becomes of a report."""

from __future__ import annotations

import math

import pytest

from copilot.monitor.counts import MonitorCounts
from copilot.monitor.logic import Forward, Monitor, Sample
from copilot.monitor.names import Names
from copilot.monitor.paths import KnownPaths
from copilot.protocol.commands import Command, ReportEvent, ReportEventDuration, ReportEventValue
from copilot.protocol.events import Received
from copilot.protocol.people import People
from copilot.runtime.component import Action, Event, Ignore, Leave, Online, Perform, Stopping, Tick

JM = "jm@x/one"
NAME = "jobmanager.generic.one"
PATH = f"copilot.{NAME}"


class Bench:
    """A monitor and its clocks: the wall clock shows 1,000,000 more."""

    def __init__(self, *, most: int = 1000, interval: int = 10) -> None:
        self.now = 0.0
        self.wall = 1_000_000.0
        self.counts = MonitorCounts()
        self.logic = Monitor(
            Names(allow=People.of("x"), managers=("jm@x",), own="mon@x"),
            KnownPaths(most),
            interval=interval,
            wall=lambda: self.wall,
            counts=self.counts,
        )

    def handle(self, event: Event) -> list[Action]:
        return list(self.logic.handle(event, self.now))

    def hear(self, command: Command, sender: str = JM) -> list[Action]:
        return self.handle(
            Received(command=command, sender=sender, id=None, features=None, element=True, wants_ack=False)
        )

    def later(self, seconds: float) -> list[Sample]:
        """All samples of so many seconds, the logic woken up whenever it wants to be."""
        end, samples = self.now + seconds, []
        while (due := self.logic.wakeup()) is not None and due <= end:
            self.wall += due - self.now
            self.now = due
            for action in self.handle(Tick()):
                assert isinstance(action, Perform)
                assert isinstance(action.effect, Sample)
                samples.append(action.effect)
        self.wall += end - self.now
        self.now = end
        return samples


def event(name: str = "job.succeeded", component: str = NAME, count: int | None = None) -> ReportEvent:
    return ReportEvent(component=component, event=name, count=count)


def value(number: float, name: str = "queued.Jobs") -> ReportEventValue:
    return ReportEventValue(component=NAME, event=name, value=number)


def reason(actions: list[Action]) -> str:
    (only,) = actions
    assert isinstance(only, Ignore)
    return only.reason


def test_a_value_goes_out_at_once_with_its_time() -> None:
    bench = Bench()
    bench.wall += 3.7
    assert bench.hear(value(120.0)) == [Perform(effect=Forward(lines=(f"{PATH}.queued.Jobs 120.0 1000003",)))]


def test_samples_end_when_the_wall_clock_shows_a_multiple_of_the_interval() -> None:
    bench = Bench()
    bench.wall += 3.0
    samples = bench.later(40)
    times = {text.split()[-1] for sample in samples for text in sample.lines}
    assert sorted(times) == ["1000020", "1000030", "1000040"]


def test_a_sample_has_what_happened_and_how_many_updates_that_makes() -> None:
    bench = Bench()
    for command in (event(), event(count=4), event("job.failed"), value(1.0), value(2.0)):
        bench.hear(command)
    first, second = bench.later(30)
    assert first.updates == 4  # two events, two values
    assert set(first.lines) == {
        f"{PATH}.job.succeeded 5 1000020",
        f"{PATH}.job.failed 1 1000020",
        "copilot.monitor.updates 4 1000020",
        "copilot.monitor.dropped 0 1000020",
        "copilot.monitor.refused 0 1000020",
    }
    assert second.updates == 0
    assert "copilot.monitor.updates 0 1000030" in second.lines


def test_durations_come_with_all_their_means() -> None:
    bench = Bench()
    bench.hear(ReportEventDuration(component=NAME, event="job.claim", duration=2.0))
    bench.hear(
        ReportEventDuration(
            component=NAME,
            event="job.claim",
            duration=6.0,
            count=3,
            geometric_mean=5.0,
            shortest=1.0,
            longest=9.0,
        )
    )
    (sample,) = bench.later(20)
    found = dict(text.rsplit(" ", 1)[0].split(" ") for text in sample.lines)
    claim = {name.removeprefix(f"{PATH}.job.claim."): float(number) for name, number in found.items()}
    assert {name: claim[name] for name in ("avg", "min", "max", "count", "start", "end")} == {
        "avg": 5.0,
        "min": 1.0,
        "max": 9.0,
        "count": 4,
        "start": 4,
        "end": 4,
    }
    assert claim["gmean"] == pytest.approx((2.0 * 5.0**3) ** 0.25)


def test_what_is_dropped_and_refused_is_told_with_the_next_sample() -> None:
    bench = Bench()
    bench.counts.dropped = 7
    bench.hear(value(math.nan))
    first, second = bench.later(30)
    assert {"copilot.monitor.dropped 7 1000020", "copilot.monitor.refused 1 1000020"} <= set(first.lines)
    assert {"copilot.monitor.dropped 7 1000030", "copilot.monitor.refused 0 1000030"} <= set(second.lines)


@pytest.mark.parametrize(
    ("command", "sender", "why"),
    [
        (event(), "jm@elsewhere/one", "not-allowed"),
        (event(), "agent-1@x/a", "foreign-name"),
        (event(component="jobmanager"), "agent-1@x/a", "foreign-name"),
        (event(component=".."), JM, "bad-name"),
        (event("x" * 400), JM, "bad-name"),
        (value(math.inf), JM, "bad-number"),
        (value(math.nan), JM, "bad-number"),
        (event(count=2**64), JM, "bad-number"),
        (ReportEventDuration(component=NAME, event="x", duration=-1.0), JM, "bad-number"),
        (ReportEventDuration(component=NAME, event="x", duration=math.nan), JM, "bad-number"),
    ],
)
def test_what_is_not_taken_is_counted_and_leaves_nothing(command: Command, sender: str, why: str) -> None:
    bench = Bench()
    assert reason(bench.hear(command, sender)) == why
    assert bench.counts.refused == {why: 1}
    assert bench.logic.components() == ()
    (sample,) = bench.later(20)
    assert sample.updates == 0
    assert len(sample.lines) == 3


def test_there_is_an_end_to_new_metrics_and_not_to_known_ones() -> None:
    bench = Bench(most=100)  # ten for each account
    assert all(bench.hear(value(1.0, f"v{number}")) for number in range(10))
    assert reason(bench.hear(value(1.0, "more"))) == "too-many-paths"
    assert (
        reason(bench.hear(ReportEventDuration(component=NAME, event="d", duration=1.0))) == "too-many-paths"
    )
    assert isinstance(bench.hear(value(2.0, "v3"))[0], Perform)
    assert bench.counts.paths == 10


def test_components_are_remembered_for_the_dashboard() -> None:
    bench = Bench()
    bench.hear(value(5.0))
    bench.hear(event())
    bench.hear(event(component="agent", name="job.start"), "agent-1@x/a")
    manager, agents = bench.logic.components()
    assert (manager.name, manager.values, manager.counts) == (
        NAME,
        {"queued.Jobs": 5.0},
        {"job.succeeded": 1},
    )
    assert (agents.name, agents.counts, agents.heard) == ("agent", {"job.start": 1}, 1_000_000.0)


def test_a_clock_that_goes_back_a_little_writes_no_slot_twice() -> None:
    bench = Bench()
    bench.later(20)
    bench.wall -= 15
    times = [sample.lines[0].split()[-1] for sample in bench.later(60)]
    assert times == sorted(set(times))
    assert times[0] == "1000030"


def test_no_slot_is_left_out_when_the_process_stood_still() -> None:
    bench = Bench()
    bench.later(20)
    bench.now += 35
    bench.wall += 35
    times = [sample.lines[0].split()[-1] for sample in bench.later(10)]
    assert times == ["1000030", "1000040", "1000050", "1000060"]


def test_a_clock_that_is_set_is_followed() -> None:
    bench = Bench()
    bench.later(20)
    bench.wall -= 3600
    (first, *_) = bench.later(30)
    assert int(first.lines[0].split()[-1]) == 996440
    bench.wall += 7200
    assert int(bench.later(30)[-1].lines[0].split()[-1]) > 1003600


def test_the_last_sample_goes_out_when_the_monitor_ends() -> None:
    bench = Bench()
    bench.hear(event())
    sample, leave = bench.handle(Stopping())
    assert isinstance(sample, Perform)
    assert f"{PATH}.job.succeeded 1 1000020" in sample.effect.lines
    assert leave == Leave()


def test_other_events_mean_nothing() -> None:
    assert Bench().handle(Online(jid="mon@x/m")) == []
