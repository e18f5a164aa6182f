"""When leases are renewed, and with whom."""

from __future__ import annotations

from dataclasses import replace

from copilot.agent.effects import Assignment
from copilot.agent.leases import RENEWALS_REMEMBERED, Leases
from copilot.protocol.commands import HeldJob, Job, RenewLease
from copilot.runtime.component import Actions, Send

JM, ONE, TWO = "jm@x", "jm@x/one", "jm@x/two"


def job(name: str = "j1", *, lease: float | None = 60.0, manager: str = JM) -> Assignment:
    return Assignment(job=Job(id=name, command="c", attempt=2, lease=lease), manager=manager, claim="c")


def begun(*jobs: Assignment) -> Leases:
    """Jobs that instance one has given us at 0 s."""
    leases = Leases(lambda: 1.0)
    for one in jobs:
        leases.assigned(one, ONE, 0.0)
    return leases


def tick(leases: Leases, now: float, *jobs: Assignment) -> Actions:
    return leases.tick(jobs, lambda _: "run", now)


def said(actions: Actions) -> list[tuple[str, list[str]]]:
    """To whom renewals go, and for which jobs."""
    sent = [action for action in actions if isinstance(action, Send)]
    commands = [(action.to, action.command) for action in sent]
    return [(to, [held.id for held in one.held]) for to, one in commands if isinstance(one, RenewLease)]


def renewal(actions: Actions) -> RenewLease:
    """The one that was said."""
    (command,) = [action.command for action in actions if isinstance(action, Send)]
    assert isinstance(command, RenewLease)
    return command


def renew(leases: Leases, now: float, *jobs: Assignment) -> RenewLease:
    return renewal(tick(leases, now, *jobs))


def test_a_lease_is_renewed_three_times_in_its_length_with_attempt_and_phase() -> None:
    leases = begun(job())
    assert leases.wakeup() == 20.0
    assert tick(leases, 19.0, job()) == []
    held = (HeldJob(id="j1", attempt=2, phase="run"),)
    actions = tick(leases, 20.0, job())
    assert actions == [Send(to=ONE, command=RenewLease(held=held))]
    assert leases.accepted(ONE, renewal(actions)) == 20.0
    assert leases.wakeup() == 40.0


def test_one_message_renews_all_jobs_of_a_manager_in_time_for_the_shortest_lease() -> None:
    jobs = (job("j1"), job("j2", lease=6.0), job("j3", lease=None))
    leases = begun(*jobs)
    assert leases.wakeup() == 2.0
    actions = tick(leases, 2.0, *jobs)
    assert said(actions) == [(ONE, ["j1", "j2"])]
    leases.accepted(ONE, renewal(actions))
    assert leases.wakeup() == 4.0


def test_an_instance_that_is_silent_is_not_asked_alone_again() -> None:
    leases = begun(job())
    assert said(tick(leases, 20.0, job())) == [(ONE, ["j1"])]
    assert leases.wakeup() == 26.0
    assert said(tick(leases, 26.0, job())) == [(JM, ["j1"])]
    actions = tick(leases, 32.0, job())
    assert said(actions) == [(JM, ["j1"])]
    leases.accepted(JM, renewal(actions))
    assert leases.wakeup() == 52.0
    assert said(tick(leases, 52.0, job())) == [(ONE, ["j1"])]


def test_the_instance_that_gave_the_last_job_renews_all() -> None:
    leases = begun(job())
    leases.assigned(job("j2"), TWO, 10.0)
    assert said(tick(leases, 20.0, job(), job("j2"))) == [(TWO, ["j1", "j2"])]


def test_each_manager_renews_its_own_jobs() -> None:
    other = job("j2", manager="jm@y")
    leases = begun(job())
    leases.assigned(other, "jm@y/a", 0.0)
    assert said(tick(leases, 20.0, job(), other)) == [(ONE, ["j1"]), ("jm@y/a", ["j2"])]


def test_without_jobs_nothing_is_said() -> None:
    leases = begun(job())
    assert tick(leases, 20.0) == []
    assert leases.wakeup() is None
    assert begun(job(lease=None)).wakeup() is None


def test_after_an_outage_all_is_renewed_at_once_with_whoever_is_there() -> None:
    leases = begun(job())
    leases.online(5.0)
    assert leases.wakeup() == 6.0
    actions = tick(leases, 6.0, job())
    assert said(actions) == [(JM, ["j1"])]
    leases.accepted(JM, renewal(actions))
    assert said(tick(leases, 26.0, job())) == [(ONE, ["j1"])]  # not all of them for ever


def test_a_lease_has_run_out_when_nothing_was_accepted_for_its_length() -> None:
    leases = begun(job())
    assert not leases.run_out(job(), 59.0)
    assert leases.run_out(job(), 60.0)
    leases.accepted(ONE, renew(leases, 20.0, job()))
    assert not leases.run_out(job(), 79.0)
    assert leases.run_out(job(), 80.0)


def test_an_acknowledgement_counts_from_when_its_own_renewal_was_said() -> None:
    leases = begun(job())
    first, second = renew(leases, 20.0, job()), renew(leases, 40.0, job())
    assert first == second
    leases.accepted(ONE, first)
    assert leases.run_out(job(), 80.0)
    assert leases.accepted(ONE, second) == 40.0
    assert not leases.run_out(job(), 99.0)


def test_a_late_acknowledgement_does_not_count_for_what_was_said_since() -> None:
    leases = begun(job())
    first, second = renew(leases, 20.0, job()), renew(leases, 26.0, job())
    leases.accepted(ONE, first)
    renew(leases, 40.0, job())
    assert leases.accepted(ONE, second) == 26.0
    assert leases.run_out(job(), 86.0)


def test_what_was_said_too_long_ago_does_not_count() -> None:
    leases = begun(job())
    first = renew(leases, 20.0, job())
    for number in range(RENEWALS_REMEMBERED):
        renew(leases, 26.0 + 6.0 * number, job())
    assert leases.accepted(ONE, first) is None
    assert leases.accepted(ONE, RenewLease()) is None


def test_an_exclusive_job_is_renewed_at_once() -> None:
    sole = job("j2")
    sole = replace(sole, job=replace(sole.job, exclusive=True))
    leases = begun(job())
    leases.assigned(sole, ONE, 5.0)
    assert said(tick(leases, 5.0, job(), sole)) == [(ONE, ["j1", "j2"])]


def test_nobody_elses_acknowledgement_counts() -> None:
    leases = begun(job())
    assert leases.accepted("stranger@x/one", renew(leases, 20.0, job())) is None
    assert leases.run_out(job(), 60.0)
