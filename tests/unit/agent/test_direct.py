"""An agent with a manager that takes reports directly and gives work by itself: two messages a job, no polling."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from copilot.agent.delivery import DIRECT_WITHIN
from copilot.agent.effects import Execute, Forget, Remember, Stop, Upload
from copilot.agent.logic import MOST_UNREPORTED
from copilot.agent.search import SHOW_UP_EVERY
from copilot.agent.slots import OVERLAP
from copilot.job import Cause, Outcome, Output
from copilot.protocol.commands import (
    CancelJob,
    Drain,
    Error,
    GetJob,
    GetJobOutputDir,
    HaveGetJob,
    HeldJob,
    Job,
    JobDone,
    LeaseLost,
    RenewLease,
    RunJob,
    Sleep,
    StoreJobOutputDir,
    WantGetJob,
    WantGetJobOutputDir,
)
from copilot.protocol.events import Acked, Expired, Refused, Undeliverable
from copilot.protocol.rules import FEATURES
from copilot.runtime.component import Action, Offline, Online, Perform, Refuse, Send, Withdraw
from tests.unit.agent.test_logic import MANAGER, ONE, TWO, World, said

OUTPUT = Output(size=6, sha256="0" * 64)
OK = Outcome(cause=Cause.OK, exit_code=0, output=OUTPUT)


def run(number: int, **fields: object) -> RunJob:
    job = Job(id=f"j{number}", command="run.sh", attempt=1, **fields)  # type: ignore[arg-type]
    return RunJob(job=job, jm_job_data=f"claim-{number}")


class Direct(World):
    """Its manager can do all that ours can."""

    def __init__(self, slots: int = 1) -> None:
        super().__init__(slots=slots, features=frozenset(FEATURES))
        self.tell(Online(jid="agent@x/a"))
        self.hear(HaveGetJob())

    def executing(self, actions: list[Action]) -> list[str]:
        return [
            one.effect.assignment.id
            for one in actions
            if isinstance(one, Perform) and isinstance(one.effect, Execute)
        ]

    def end(self, number: int, outcome: Outcome = OK, after: float = 0.1) -> list[Action]:
        self.now += after
        held = self.agent._held[f"j{number}"]
        return self.finish(Execute(assignment=held), outcome)

    def report(self, actions: list[Action]) -> JobDone:
        (report,) = [one.command for one in actions if isinstance(one, Send)]
        assert isinstance(report, JobDone)
        return report

    def acked(self, actions: list[Action]) -> list[Action]:
        (send,) = [one for one in actions if isinstance(one, Send)]
        return self.tell(Acked(id="m", to=send.to, command=send.command))


def test_the_instance_that_answered_first_is_asked_for_as_many_jobs_as_there_are_slots() -> None:
    world = World(slots=3, features=frozenset(FEATURES))
    world.tell(Online(jid="agent@x/a"))
    (send,) = world.hear(HaveGetJob())
    assert isinstance(send, Send)
    assert isinstance(send.command, GetJob)
    assert (send.to, send.command.slots) == (ONE, 3)


def test_a_small_output_goes_with_the_report_which_asks_for_the_next_job() -> None:
    world = Direct()
    world.hear(run(1))
    report = world.report(world.end(1))
    assert report.package == base64.b64encode(b"packed").decode()
    assert (report.output_size, report.output_sha256) == (OUTPUT.size, OUTPUT.sha256)
    assert report.slots == 2  # one that runs, one that waits: the last one was short


def test_the_report_goes_to_the_instance_that_gave_the_job() -> None:
    world = Direct()
    world.hear(run(1), TWO)
    assert said(world.end(1)) == [(TWO, JobDone)]


def test_nothing_is_asked_for_as_long_as_the_manager_knows_that_there_is_room() -> None:
    world = Direct(slots=2)
    world.hear(run(1))
    assert said(world.wait(SHOW_UP_EVERY / 2)) == []
    world.acked(world.end(1))
    assert said(world.wait(SHOW_UP_EVERY / 2)) == []


def test_after_a_while_it_shows_that_it_is_still_there() -> None:
    world = Direct()
    world.hear(run(1))
    world.acked(world.end(1))
    assert said(world.wait(SHOW_UP_EVERY * 1.2)) == [(ONE, GetJob)]


def test_a_host_that_describes_itself_anew_says_so_at_once_and_once() -> None:
    world = Direct()
    world.hear(Sleep(retry_after=600.0))
    world.agent.describes_anew()
    assert said(world.wait(0.0)) == [(ONE, GetJob)]
    world.hear(Sleep(retry_after=600.0))
    assert said(world.wait(1.0)) == []


def test_what_is_new_of_a_host_is_told_when_its_request_is_answered() -> None:
    world = Direct()
    world.agent.describes_anew()  # a request is out
    assert said(world.wait(0.0)) == []
    assert said(world.hear(Sleep(retry_after=600.0))) == [(ONE, GetJob)]


def test_a_report_does_not_ask_for_a_host_that_is_another_by_now() -> None:
    world = Direct()
    world.hear(run(1))
    world.agent.describes_anew()
    actions = world.end(1)
    assert world.report([one for one in actions if said([one]) != [(ONE, GetJob)]]).slots is None
    assert (ONE, GetJob) in said([*actions, *world.wait(0.0)])


def test_the_slot_is_free_before_the_report_is_acknowledged() -> None:
    world = Direct()
    world.hear(run(1))
    world.end(1)
    assert world.executing(world.hear(run(2))) == ["j2"]


def test_jobs_are_begun_while_reports_are_out_but_only_so_many_are_asked_for() -> None:
    world = Direct(slots=2)
    for number in range(2 * MOST_UNREPORTED):
        assert world.executing(world.hear(run(number))) == [f"j{number}"]
        world.end(number)
    assert world.agent._room(world.now).jobs > 0
    world.hear(run(99))
    world.end(99)
    assert world.agent._room(world.now).jobs == 0


def test_one_request_is_out_at_a_time() -> None:
    """Its manager would answer both, and the agent would have more jobs than it can take."""
    world = Direct()
    world.hear(run(1))
    first = world.end(1)
    assert world.report(first).slots == 2
    world.hear(run(2))
    world.hear(run(3))
    assert world.report(world.end(2)).slots is None
    world.acked(first)
    assert world.report(world.end(3)).slots == 3  # a slot stood empty: one more ahead


def test_room_that_the_manager_does_not_know_of_is_told_when_no_report_will() -> None:
    world = Direct()
    world.hear(run(1))
    first = world.end(1)
    world.hear(run(2))
    world.hear(run(3))
    world.end(2)
    world.end(3)
    actions = world.acked(first)
    (request,) = [one.command for one in actions if isinstance(one, Send)]
    assert isinstance(request, GetJob)
    assert request.slots == 3  # a slot stood empty: one more ahead


def test_what_was_asked_for_while_jobs_were_short_is_taken_when_they_are_not_any_more() -> None:
    world = Direct()
    world.hear(run(1))
    world.acked(world.end(1))
    world.hear(run(2))
    world.hear(run(3))
    world.end(2, after=5.0)
    for number in range(4, 4 + OVERLAP):
        assert isinstance(world.hear(run(number))[0], Perform)
    (refusal,) = world.hear(run(99))
    assert type(refusal).__name__ == "Refuse"


def test_a_job_that_came_ahead_begins_when_the_one_before_it_ends() -> None:
    world = Direct()
    world.hear(run(1))
    world.end(1)
    world.hear(run(2))
    assert world.executing(world.hear(run(3))) == []
    assert world.executing(world.end(2)) == ["j3"]


def test_none_comes_ahead_while_jobs_take_long() -> None:
    world = Direct()
    world.hear(run(1))
    assert world.report(world.end(1, after=60.0)).slots == 1


def test_a_large_output_is_uploaded_to_where_that_instance_says() -> None:
    world = Direct()
    world.hear(run(1))
    world.agent._package = lambda _: None
    assert said(world.end(1)) == [(ONE, GetJobOutputDir)]
    actions = world.hear(StoreJobOutputDir(job_id="j1", output_url="https://files/j1.a1/j1.tgz"))
    (upload,) = [one.effect for one in actions if isinstance(one, Perform)]
    assert isinstance(upload, Upload)
    assert world.report(world.finish(upload)).package is None


def test_without_output_there_is_nothing_but_the_report() -> None:
    world = Direct()
    world.hear(run(1))
    report = world.report(world.end(1, replace(OK, output=None)))
    assert (report.package, report.output_size) == (None, None)


def test_the_journal_is_written_although_the_report_is_on_its_way() -> None:
    world = Direct()
    world.hear(run(1))
    (note,) = [
        one.effect.note
        for one in world.end(1)
        if isinstance(one, Perform) and isinstance(one.effect, Remember)
    ]
    assert note.outcome is not None
    assert note.assignment.instance == ONE


def test_what_is_acknowledged_is_forgotten() -> None:
    world = Direct()
    world.hear(run(1))
    actions = world.acked(world.end(1))
    assert [type(one.effect) for one in actions if isinstance(one, Perform)] == [Forget]


@pytest.mark.parametrize("code", ["output-mismatch", "upload"])
def test_a_refused_report_goes_the_long_way(code: str) -> None:
    world = Direct()
    world.hear(run(1))
    report = world.report(world.end(1))
    world.tell(Refused(id="m", to=ONE, command=report, error=Error(error_string="no", code=code)))
    assert (MANAGER, WantGetJobOutputDir) in said(world.wait(60.0))


def test_an_instance_that_is_gone_is_told_nothing_more() -> None:
    world = Direct()
    world.hear(run(1))
    report = world.report(world.end(1))
    assert Withdraw(to=ONE, command=report) in world.tell(Undeliverable(id="m", to=ONE, command=report))
    assert (MANAGER, WantGetJobOutputDir) in said(world.wait(60.0))


def test_a_request_that_nobody_answers_goes_to_all_instances() -> None:
    world = Direct()
    world.hear(Sleep(retry_after=1.0))
    (send,) = [one for one in world.wait(60.0) if isinstance(one, Send)]
    world.tell(Undeliverable(id="m", to=ONE, command=send.command))
    assert said(world.wait(60.0)) == [(MANAGER, WantGetJob)]


def test_after_an_outage_all_instances_are_asked() -> None:
    world = Direct()
    world.hear(Sleep(retry_after=600.0))
    world.tell(Offline(reason="cut"))
    assert said(world.tell(Online(jid="agent@x/a"))) == [(MANAGER, WantGetJob)]


def test_an_instance_of_somebody_else_is_not_asked_again() -> None:
    world = Direct()
    world.agent._referrals.add("other@x")
    world.hear(run(1), "other@x/1")
    world.acked(world.end(1))
    assert {to for to, _ in said(world.wait(SHOW_UP_EVERY * 1.2))} <= {ONE, MANAGER}


class TestAJobThatHasNotBegun:
    @pytest.fixture
    def world(self) -> Direct:
        """Job 2 runs, job 3 waits."""
        world = Direct()
        world.hear(run(1, lease=60.0))
        world.acked(world.end(1))
        for number in (2, 3):
            world.hear(run(number, lease=60.0))
        return world

    def test_is_renewed_like_the_others(self, world: Direct) -> None:
        (renewal,) = [
            one.command
            for one in world.wait(20.0)
            if isinstance(one, Send) and isinstance(one.command, RenewLease)
        ]
        assert {one.id: one.phase for one in renewal.held} == {"j2": "run", "j3": "fetch"}

    def test_is_given_back_at_once_when_the_agent_is_to_leave(self, world: Direct) -> None:
        actions = world.hear(Drain(), ONE)
        (leaving,) = [one.command for one in actions if isinstance(one, Send)]
        assert leaving.held == (HeldJob(id="j3", attempt=1),)  # type: ignore[attr-defined]
        assert world.executing(world.end(2)) == []

    def test_is_reported_when_it_is_cancelled(self, world: Direct) -> None:
        actions = world.hear(CancelJob(job_id="j3", attempt=1))
        report = world.report(actions)
        assert (report.job_id, report.state, report.output_size) == ("j3", "cancelled", None)
        assert world.executing(world.end(2)) == []

    def test_is_dropped_when_it_is_not_ours_any_more(self, world: Direct) -> None:
        actions = world.hear(LeaseLost(held=(HeldJob(id="j3", attempt=1),)))
        effects = [one.effect for one in actions if isinstance(one, Perform)]
        assert [type(one) for one in effects] == [Forget]
        assert world.executing(world.end(2)) == []

    def test_one_that_runs_is_stopped(self, world: Direct) -> None:
        actions = world.hear(LeaseLost(held=(HeldJob(id="j2", attempt=1),)))
        assert [type(one.effect) for one in actions if isinstance(one, Perform)] == [Stop]

    def test_does_not_begin_when_its_lease_has_run_out(self, world: Direct) -> None:
        assert world.executing(world.end(2, after=70.0)) == []

    def test_begins_when_the_renewal_was_accepted_after_all(self, world: Direct) -> None:
        assert (ONE, RenewLease) in said(world.wait(20.0))
        actions = world.end(2, after=50.0)
        assert world.executing(actions) == []
        assert (MANAGER, RenewLease) in said(actions)
        (renewal,) = [one for one in actions if isinstance(one, Send) and one.to == MANAGER]
        actions = world.tell(Acked(id="m", to=MANAGER, command=renewal.command))
        assert world.executing(actions) == ["j3"]


def test_a_report_that_became_void_begins_anew() -> None:
    world = Direct()
    world.hear(run(1))
    report = world.report(world.end(1))
    world.tell(Expired(id="m", to=ONE, command=report))
    assert (MANAGER, WantGetJobOutputDir) in said(world.wait(60.0))


def test_a_job_for_which_this_host_lacks_a_file_is_refused_and_its_manager_asked_as_if_it_were_new() -> None:
    world = Direct()
    (refusal,) = world.hear(replace(run(1), require_file="/no/such/file"))
    assert isinstance(refusal, Refuse)
    assert refusal.code == "no-file"
    assert said(world.wait(60.0)) == [(MANAGER, WantGetJob)]


def test_after_a_refusal_the_manager_is_told_anew_that_there_is_room() -> None:
    world = Direct()
    for number in (1, 2):
        world.hear(run(number))
    first = world.end(1, after=60.0)
    assert world.report(first).slots == 1
    world.hear(run(2))
    assert isinstance(world.hear(run(3))[0], Refuse)
    world.acked(first)
    assert world.report(world.end(2, after=60.0)).slots == 1


def test_a_report_that_its_instance_does_not_answer_goes_to_all_of_them() -> None:
    world = Direct()
    world.hear(run(1))
    report = world.report(world.end(1))
    actions = world.wait(DIRECT_WITHIN)
    assert Withdraw(to=ONE, command=report) in actions
    assert (MANAGER, WantGetJobOutputDir) in said(actions)
