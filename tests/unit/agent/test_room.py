"""An agent whose manager gives work by itself: whatever goes wrong, the manager learns in time that there is room."""

from __future__ import annotations

from dataclasses import replace

import pytest

from copilot.agent.effects import Remember
from copilot.agent.logic import LONGEST_WAIT_FOR_DISK
from copilot.agent.search import SHOW_UP_EVERY, TOLD_WITHIN
from copilot.protocol.commands import Error, GetJob, JobDone, RunJob
from copilot.protocol.events import Expired, Refused, Undeliverable
from copilot.runtime.component import Action, Perform, Refuse, Send
from tests.unit.agent.test_direct import Direct, run
from tests.unit.agent.test_logic import ONE, said


def asked(actions: list[Action]) -> list[int | None]:
    """For how many jobs the instance is asked."""
    return [one.command.slots for one in actions if isinstance(one, Send) and isinstance(one.command, GetJob)]


def long_job(world: Direct, number: int) -> list[Action]:
    return world.end(number, after=60.0)


def again(number: int) -> RunJob:
    """A newer attempt of the same job."""
    order = run(number)
    return replace(order, job=replace(order.job, attempt=2), jm_job_data="another claim")


def test_a_refused_report_is_in_nobodys_way() -> None:
    world = Direct()
    world.hear(run(1))
    report = world.report(world.end(1))
    world.tell(
        Refused(id="m", to=ONE, command=report, error=Error(error_string="no", code="output-mismatch"))
    )
    for number in (2, 3):
        world.hear(run(number))
    assert world.report(world.end(2)).slots is not None


@pytest.mark.parametrize("event", [Expired, Undeliverable])
def test_what_a_report_that_nobody_has_heard_asked_for_is_asked_for_again(
    event: type[Expired | Undeliverable],
) -> None:
    world = Direct()
    world.hear(run(1))
    report = world.report(long_job(world, 1))
    assert report.slots == 1
    assert asked(world.tell(event(id="m", to=ONE, command=report))) == [1]


def test_after_an_attempt_that_had_to_wait_for_the_end_of_another_the_manager_is_told_anew() -> None:
    """It thinks no more that there is room: the refusal has told it so."""
    world = Direct()
    world.hear(run(1))
    reported = long_job(world, 1)
    assert isinstance(world.hear(again(1))[0], Refuse)
    assert asked(world.acked(reported)) == [1]


def test_a_job_that_comes_by_itself_does_not_postpone_the_next_sign_of_life() -> None:
    """The manager remembers an agent from when that has asked, not from when it got something."""
    world = Direct(slots=3)
    world.hear(run(1))
    assert asked(world.wait(0.7 * SHOW_UP_EVERY)) == []
    world.hear(run(2))
    assert asked(world.wait(0.5 * SHOW_UP_EVERY)) == [1]


def test_room_beside_a_job_that_takes_long_is_told_of_soon() -> None:
    world = Direct(slots=2)
    for number in (1, 2):
        world.hear(run(number))
    first, second = long_job(world, 1), world.end(2, after=0.0)
    assert world.report(second).slots is None
    world.hear(run(3))
    assert asked([*world.acked(first), *world.acked(second)]) == []
    assert asked(world.wait(TOLD_WITHIN)) == [1]


def test_room_that_came_while_a_request_was_out_is_told_of_when_that_is_answered() -> None:
    world = Direct(slots=2)
    world.hear(run(1))
    world.wait(1.2 * SHOW_UP_EVERY)  # it asks for one
    reported = world.end(1, after=5.0)
    assert world.report(reported).slots is None
    world.acked(reported)
    world.hear(run(2))
    assert asked(world.wait(TOLD_WITHIN)) == [1]


def test_short_jobs_cost_no_request_of_their_own() -> None:
    world = Direct()
    world.hear(run(1))
    reported = world.end(1)
    for number in range(2, 6):
        world.hear(run(number))
        actions = [*world.acked(reported), *world.wait(0.1 * TOLD_WITHIN)]
        assert said(actions) == []
        reported = world.end(number)
        assert said(reported) == [(ONE, JobDone)]


def test_after_trouble_with_the_journal_it_asks_again_when_the_disk_had_some_time() -> None:
    world = Direct()
    actions = world.hear(run(1))
    (note,) = [one.effect for one in actions if isinstance(one, Perform) and isinstance(one.effect, Remember)]
    assert asked(world.finish(note, OSError("disk full"))) == []
    assert asked(world.wait(LONGEST_WAIT_FOR_DISK)) == [1]
