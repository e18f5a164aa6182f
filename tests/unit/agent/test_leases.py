"""When leases are renewed, and with whom."""

from __future__ import annotations

from copilot.agent.effects import Assignment
from copilot.agent.leases import Leases
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


def test_a_lease_is_renewed_three_times_in_its_length_with_attempt_and_phase() -> None:
    leases = begun(job())
    assert leases.wakeup() == 20.0
    assert tick(leases, 19.0, job()) == []
    held = (HeldJob(id="j1", attempt=2, phase="run"),)
    assert tick(leases, 20.0, job()) == [Send(to=ONE, command=RenewLease(held=held))]
    leases.accepted(ONE)
    assert leases.wakeup() == 40.0


def test_one_message_renews_all_jobs_of_a_manager_in_time_for_the_shortest_lease() -> None:
    jobs = (job("j1"), job("j2", lease=6.0), job("j3", lease=None))
    leases = begun(*jobs)
    assert leases.wakeup() == 2.0
    assert said(tick(leases, 2.0, *jobs)) == [(ONE, ["j1", "j2"])]
    leases.accepted(ONE)
    assert leases.wakeup() == 4.0


def test_an_instance_that_is_silent_is_not_asked_alone_again() -> None:
    leases = begun(job())
    assert said(tick(leases, 20.0, job())) == [(ONE, ["j1"])]
    assert leases.wakeup() == 26.0
    assert said(tick(leases, 26.0, job())) == [(JM, ["j1"])]
    assert said(tick(leases, 32.0, job())) == [(JM, ["j1"])]
    leases.accepted(JM)
    assert leases.wakeup() == 40.0
    assert said(tick(leases, 40.0, job())) == [(ONE, ["j1"])]


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
    assert said(tick(leases, 6.0, job())) == [(JM, ["j1"])]
    leases.accepted(JM)
    assert said(tick(leases, 26.0, job())) == [(ONE, ["j1"])]  # not all of them for ever


def test_a_lease_has_run_out_when_nothing_was_accepted_for_its_length() -> None:
    leases = begun(job())
    assert not leases.run_out(job(), 59.0)
    assert leases.run_out(job(), 60.0)
    tick(leases, 20.0, job())
    leases.accepted(ONE)
    assert not leases.run_out(job(), 79.0)
    assert leases.run_out(job(), 80.0)


def test_an_acknowledgement_counts_from_when_the_first_of_the_renewals_was_said() -> None:
    leases = begun(job())
    tick(leases, 20.0, job())
    tick(leases, 40.0, job())
    leases.accepted(ONE)
    assert not leases.run_out(job(), 79.0)
    assert leases.run_out(job(), 80.0)


def test_nobody_elses_acknowledgement_counts() -> None:
    leases = begun(job())
    tick(leases, 20.0, job())
    leases.accepted("stranger@x/one")
    assert leases.run_out(job(), 60.0)
