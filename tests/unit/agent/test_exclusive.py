"""When exclusive jobs begin, and when they are stopped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from copilot.agent.effects import Assignment, Begin, Kill, Stop
from copilot.agent.exclusive import LOOK_EVERY, REASON, Exclusives
from copilot.job import Cause, Outcome
from copilot.protocol.commands import HeldJob, Job
from copilot.runtime.component import Actions, Perform

NAMED = (HeldJob(id="j1", attempt=2),)
STOPPED = Outcome(cause=Cause.CANCELLED, exit_code=143)


def sole(lease: float = 60.0, **fields: object) -> Assignment:
    job = Job(id="j1", command="c", attempt=2, lease=lease, exclusive=True)
    return Assignment(job=replace(job, **fields), manager="jm@x", claim="c")  # type: ignore[arg-type]


def done(actions: Actions) -> list[object]:
    return [action.effect for action in actions if isinstance(action, Perform)]


def begun(job: Assignment) -> Exclusives:
    """One that has begun under a lease that counts from 0 s."""
    exclusives = Exclusives()
    assert done(exclusives.renewed(NAMED, 0.0, [job], 0.0)) == [Begin(assignment=job)]
    return exclusives


@pytest.mark.parametrize(
    ("held", "said", "job"),
    [
        ((HeldJob(id="j1", attempt=1),), 0.0, sole()),
        ((HeldJob(id="j2", attempt=2),), 0.0, sole()),
        ((), 0.0, sole()),
        (NAMED, 0.0, sole(exclusive=None)),
        (NAMED, -45.0, sole()),
    ],
    ids=["attempt", "job", "nothing", "not exclusive", "too late"],
)
def test_it_begins_only_when_it_is_named_and_time_is_left(
    held: tuple[HeldJob, ...], said: float, job: Assignment
) -> None:
    exclusives = Exclusives()
    assert exclusives.renewed(held, said, [job], 0.0) == []
    assert exclusives.wakeup() is None


@pytest.mark.parametrize(
    ("lease", "stop", "kill"), [(60.0, 44.94, 56.94), (5.0, 10 / 3, 14 / 3), (14400.0, 14370.6, 14382.6)]
)
def test_it_is_stopped_and_then_killed_before_its_lease_ends(lease: float, stop: float, kill: float) -> None:
    job = sole(lease)
    exclusives = begun(job)
    assert exclusives.tick([job], stop - 0.01) == []
    assert exclusives.wakeup() == pytest.approx(stop)
    assert done(exclusives.tick([job], stop + 0.01)) == [Stop(assignment=job)]
    assert done(exclusives.tick([job], kill - 0.01)) == []
    assert exclusives.wakeup() == pytest.approx(kill)
    assert done(exclusives.tick([job], kill + 0.01)) == [Kill(assignment=job)]
    assert kill < lease
    assert exclusives.wakeup() is None


def test_each_renewal_that_is_accepted_gives_it_a_whole_lease_from_when_it_was_said() -> None:
    exclusives = begun(sole())
    exclusives.renewed(NAMED, 40.0, [sole()], 41.0)
    exclusives.renewed(NAMED, 20.0, [sole()], 42.0)  # that one was on its way for long
    assert exclusives.tick([sole()], 84.9) == []
    assert done(exclusives.tick([sole()], 85.0)) == [Stop(assignment=sole())]


def test_a_machine_that_slept_stops_and_kills_at_once() -> None:
    exclusives = begun(sole())
    exclusives.tick([sole()], 10.0)
    assert exclusives.wakeup() == 10.0 + LOOK_EVERY
    assert done(exclusives.tick([sole()], 3600.0)) == [Stop(assignment=sole()), Kill(assignment=sole())]


def test_what_does_not_run_any_more_is_not_looked_after() -> None:
    exclusives = begun(sole())
    assert exclusives.tick([], 100.0) == []
    assert exclusives.wakeup() is None


@pytest.mark.parametrize("cause", [Cause.CANCELLED, Cause.USER_EXIT, Cause.USER_VALIDATION])
def test_what_was_stopped_for_its_lease_is_not_to_blame(cause: Cause) -> None:
    exclusives = begun(sole())
    exclusives.tick([sole()], 50.0)
    expected = replace(STOPPED, cause=Cause.INFRA_CUT_OFF, reason=REASON)
    assert exclusives.ended("j1", replace(STOPPED, cause=cause)) == expected
    assert exclusives.ended("j1", STOPPED) == STOPPED


def test_other_ends_are_told_as_they_are() -> None:
    good, broken = Outcome(cause=Cause.OK, exit_code=0), RuntimeError("broken")
    assert begun(sole()).ended("j1", STOPPED) == STOPPED
    for result in (good, broken):
        exclusives = begun(sole())
        exclusives.tick([sole()], 50.0)
        assert exclusives.ended("j1", result) is result
