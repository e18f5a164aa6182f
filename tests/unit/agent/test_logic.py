"""The agent's decisions: what it says, holds and does, event by event."""

from __future__ import annotations

from dataclasses import replace

import pytest

from copilot.agent.capacity import Capacity
from copilot.agent.counts import AgentCounts
from copilot.agent.delivery import (
    ANSWER_WITHIN,
    DAY,
    KEPT_AFTER_RECEIPT,
    LONGEST_RETRY,
    MOST_MISMATCHES,
    PLACE_WITHIN,
    RESULT_KEPT,
)
from copilot.agent.drain import NO_LIMITS, Limits
from copilot.agent.effects import (
    Assignment,
    Begin,
    Execute,
    Forget,
    Kill,
    Note,
    Pack,
    Remember,
    Stop,
    Taken,
    Upload,
)
from copilot.agent.exclusive import REASON
from copilot.agent.logic import LEAST_AFTER_RESTART, LONGEST_WAIT_FOR_DISK, Agent, AgentSettings
from copilot.agent.search import RUN_JOB_WITHIN
from copilot.errors import TransferRefused, TransferUnavailable
from copilot.job import Cause, Outcome, Output
from copilot.protocol import codec
from copilot.protocol.commands import (
    CancelJob,
    Command,
    Error,
    GetJob,
    GetJobOutputDir,
    HaveGetJob,
    HaveGetJobOutputDir,
    HeldJob,
    Job,
    JobDone,
    LeaseLost,
    NewKeys,
    Redirect,
    RenewLease,
    RunJob,
    Secret,
    Sleep,
    StoreJobOutputDir,
    WantGetJob,
    WantGetJobOutputDir,
)
from copilot.protocol.events import Acked, Expired, Received, Refused, Undeliverable
from copilot.runtime.component import (
    Action,
    Event,
    Finished,
    Ignore,
    Leave,
    Offline,
    Online,
    Perform,
    Refuse,
    Send,
    Stopping,
    Tick,
    Withdraw,
)

EPOCH = 1_800_000_000.0  # s
MANAGER, ONE, TWO = "jm@x", "jm@x/one", "jm@x/two"
JOB = Job(id="j1", command="run.sh", attempt=1)
RUN = RunJob(job=JOB, jm_job_data="claim-1")
ASSIGNMENT = Assignment(job=JOB, manager=MANAGER, claim="claim-1")
OUTPUT = Output(size=10, sha256="0" * 64)
OK = Outcome(cause=Cause.OK, exit_code=0, host="host", output=OUTPUT)
STORE = StoreJobOutputDir(job_id="j1", output_url="https://files/j1.a1/j1.tgz")


class World:
    """An agent and the time; what it wants done is looked at, not done."""

    def __init__(
        self,
        *,
        slots: int = 1,
        capacity: Capacity | None = None,
        files: tuple[str, ...] = (),
        journal: tuple[Note, ...] = (),
        limits: Limits = NO_LIMITS,
        features: frozenset[str] = frozenset(),
        images: tuple[str, ...] = (),
    ) -> None:
        self.now = 1000.0
        self.phase = "run"
        self.counts = AgentCounts()
        self.features = features  # of managers
        settings = AgentSettings(
            manager=MANAGER,
            host="host",
            capacity=capacity or Capacity.plain(slots),
            referral_domains=("x",),
            limits=limits,
        )
        self.agent = Agent(
            settings,
            jdl=lambda: "[jdl]",
            has_file=files.__contains__,
            random=lambda: 0.5,
            wall=lambda: EPOCH + self.now,
            phase=lambda _: self.phase,
            package=lambda _: b"packed",
            image_fault=lambda image: None if image in images else f"no {image}",
            journal=journal,
            counts=self.counts,
        )

    def tell(self, event: Event) -> list[Action]:
        """Let the agent handle one event, and the tick that it then wants."""
        actions = list(self.agent.handle(event, self.now))
        wakeup = self.agent.wakeup()
        if wakeup is not None and wakeup <= self.now:
            actions.extend(self.agent.handle(Tick(), self.now))
        return actions

    def hear(self, command: Command, sender: str = ONE) -> list[Action]:
        return self.tell(
            Received(
                command=command, sender=sender, id="m", features=self.features, element=True, wants_ack=True
            )
        )

    def finish(self, effect: object, result: object = None) -> list[Action]:
        return self.tell(Finished(effect=effect, result=result))

    def wait(self, seconds: float) -> list[Action]:
        self.now += seconds
        return self.tell(Tick())

    def hold(self) -> None:
        """Go as far as holding job j1."""
        self.tell(Online(jid="agent@x/a"))
        self.hear(HaveGetJob())
        self.hear(RUN)


def said(actions: list[Action]) -> list[tuple[str, type[Command]]]:
    return [(action.to, type(action.command)) for action in actions if isinstance(action, Send)]


def effects(actions: list[Action]) -> list[object]:
    return [action.effect for action in actions if isinstance(action, Perform)]


def test_it_asks_all_managers_as_soon_as_it_is_online() -> None:
    assert said(World().tell(Online(jid="agent@x/a"))) == [(MANAGER, WantGetJob)]


def test_it_asks_the_first_that_answers_and_ignores_the_others() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    assert said(world.hear(HaveGetJob(), ONE)) == [(ONE, GetJob)]
    assert world.hear(HaveGetJob(), TWO) == []


def test_without_an_answer_it_asks_again_later_and_later_but_not_later_than_configured() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    waits = []
    for _ in range(8):
        before, wakeup = world.now, world.agent.wakeup()
        assert wakeup is not None
        world.now = wakeup
        assert said(world.tell(Tick())) == [(MANAGER, WantGetJob)]
        waits.append(world.now - before)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.75, 7.5)


def test_an_answer_that_comes_late_is_taken() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.now += 600
    assert (ONE, GetJob) in said(world.hear(HaveGetJob()))


@pytest.mark.parametrize(("files", "expected"), [((), []), (("/opt/root",), [(ONE, GetJob)])])
def test_a_required_file_must_be_there(files: tuple[str, ...], expected: list[object]) -> None:
    world = World(files=files)
    world.tell(Online(jid="agent@x/a"))
    assert said(world.hear(HaveGetJob(require_file="/opt/root"))) == expected


def test_a_job_whose_image_this_host_cannot_run_is_refused_and_one_that_it_can_is_taken() -> None:
    world = World(images=("docker://a",))
    world.tell(Online(jid="agent@x/a"))
    actions = world.hear(replace(RUN, job=replace(JOB, image="docker://b")))
    assert [(one.code, one.text, one.job) for one in actions if isinstance(one, Refuse)] == [
        ("no-image", "no docker://b", "j1")
    ]
    actions = world.hear(replace(RUN, job=replace(JOB, image="docker://a")))
    assert any(isinstance(one, Perform) and isinstance(one.effect, Remember) for one in actions)


def test_a_manager_whose_file_is_missing_is_asked_again_in_the_next_round() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob(require_file="/opt/root"), ONE)
    assert said(world.hear(HaveGetJob(), TWO)) == [(TWO, GetJob)]


def test_a_job_is_remembered_before_it_is_begun() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob())
    assert effects(world.hear(RUN)) == [
        Remember(note=Note(assignment=ASSIGNMENT)),
        Execute(assignment=ASSIGNMENT),
    ]


def test_the_same_job_again_changes_nothing() -> None:
    world = World()
    world.hold()
    assert world.hear(RUN, TWO) == []


def test_another_attempt_of_a_job_that_it_holds_is_refused() -> None:
    world = World()
    world.hold()
    (action,) = world.hear(replace(RUN, jm_job_data="claim-2"))
    assert isinstance(action, Refuse)
    assert action.code == "busy-with-job"


def test_a_job_without_a_free_slot_is_refused() -> None:
    world = World()
    world.hold()
    (action,) = world.hear(replace(RUN, job=replace(JOB, id="j2")))
    assert isinstance(action, Refuse)
    assert action.code == "no-slot"


def test_with_a_free_slot_it_asks_for_more_at_once() -> None:
    world = World(slots=2)
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob())
    assert (MANAGER, WantGetJob) in said(world.hear(RUN))


def test_a_full_agent_does_not_ask() -> None:
    world = World()
    world.hold()
    assert world.agent.wakeup() is None
    assert world.hear(HaveGetJob()) == []


def test_a_job_that_cannot_be_written_down_is_not_held() -> None:
    world = World()
    world.hold()
    world.finish(Remember(note=Note(assignment=ASSIGNMENT)), OSError(28, "no space left"))
    assert said(world.wait(LONGEST_WAIT_FOR_DISK)) == [(MANAGER, WantGetJob)]


def test_an_outcome_that_cannot_be_written_down_is_reported_all_the_same() -> None:
    world = World()
    world.hold()
    world.finish(Execute(assignment=ASSIGNMENT), OK)
    world.finish(Remember(note=Note(assignment=ASSIGNMENT, outcome=OK)), OSError(28, "no space left"))
    assert said(world.hear(HaveGetJobOutputDir())) == [(ONE, GetJobOutputDir)]


def test_the_result_goes_home_by_the_four_steps_of_the_report() -> None:
    world = World()
    world.hold()
    actions = world.finish(Execute(assignment=ASSIGNMENT), OK)
    assert effects(actions) == [
        Remember(note=Note(assignment=ASSIGNMENT, outcome=OK, ended=EPOCH + world.now))
    ]
    assert said(actions) == [(MANAGER, WantGetJobOutputDir)]
    assert said(world.hear(HaveGetJobOutputDir(), TWO)) == [(TWO, GetJobOutputDir)]
    upload = Upload(assignment=ASSIGNMENT, url="https://files/j1.a1/j1.tgz", output=OUTPUT)
    assert effects(world.hear(STORE, TWO)) == [upload]
    (report,) = world.finish(upload)
    assert isinstance(report, Send)
    assert report.to == TWO
    assert report.command == JobDone(
        job_id="j1",
        exit_code=0,
        state="done",
        agent_host="host",
        jm_job_data="claim-1",
        cause="ok",
        output_size=10,
        output_sha256="0" * 64,
    )
    actions = world.tell(Acked(id="m", to=TWO, command=report.command))
    assert effects(actions) == [Forget(assignment=ASSIGNMENT)]
    assert said(actions) == [(MANAGER, WantGetJob)]


def test_a_result_without_output_is_reported_without_upload() -> None:
    world = World()
    world.hold()
    world.finish(Execute(assignment=ASSIGNMENT), Outcome(cause=Cause.INFRA_FETCH, exit_code=1, reason="away"))
    world.hear(HaveGetJobOutputDir())
    (report,) = world.hear(STORE)
    assert isinstance(report, Send)
    assert isinstance(report.command, JobDone)
    assert (report.command.state, report.command.cause, report.command.output_size) == (
        "failed",
        "infra-fetch",
        None,
    )


def test_new_job_data_from_the_storage_manager_replaces_the_old() -> None:
    world = World()
    world.hold()
    world.finish(Execute(assignment=ASSIGNMENT), replace(OK, output=None))
    world.hear(HaveGetJobOutputDir())
    (report,) = world.hear(replace(STORE, jm_job_data="claim-9"))
    assert isinstance(report, Send)
    assert isinstance(report.command, JobDone)
    assert report.command.jm_job_data == "claim-9"


def test_an_effect_that_broke_ends_in_a_truthful_report() -> None:
    world = World()
    world.hold()
    (remember,) = effects(world.finish(Execute(assignment=ASSIGNMENT), RuntimeError("bug")))
    assert isinstance(remember, Remember)
    assert remember.note.outcome is not None
    assert remember.note.outcome.cause is Cause.INFRA_LOST
    assert "bug" in remember.note.outcome.reason


def uploading(world: World) -> Upload:
    world.hold()
    world.finish(Execute(assignment=ASSIGNMENT), OK)
    world.hear(HaveGetJobOutputDir())
    (upload,) = effects(world.hear(STORE))
    assert isinstance(upload, Upload)
    return upload


def again(world: World) -> list[Action]:
    """The next try, up to what comes after `storeJobOutputDir`."""
    assert said(world.wait(LONGEST_RETRY)) == [(MANAGER, WantGetJobOutputDir)]
    world.hear(HaveGetJobOutputDir())
    return world.hear(STORE)


def test_an_upload_that_fails_is_tried_again_for_ever_while_the_other_side_is_away() -> None:
    world = World()
    upload = uploading(world)
    for _ in range(50):
        assert world.finish(upload, TransferUnavailable("away")) == []
        assert effects(again(world)) == [upload]


def test_a_package_that_is_refused_too_often_is_left_out_of_the_report() -> None:
    world = World()
    upload = uploading(world)
    for _ in range(MOST_MISMATCHES - 1):
        world.finish(upload, TransferRefused("too large"))
        assert effects(again(world)) == [upload]
    world.finish(upload, TransferRefused("too large"))
    (report,) = again(world)
    assert isinstance(report, Send)
    assert isinstance(report.command, JobDone)
    assert (report.command.cause, report.command.output_size) == ("infra-store", None)
    assert "too large" in (report.command.reason or "")


def reported(world: World) -> JobDone:
    (report,) = world.finish(uploading(world))
    assert isinstance(report, Send)
    assert isinstance(report.command, JobDone)
    return report.command


def test_an_output_that_arrived_damaged_is_uploaded_again() -> None:
    world = World()
    done = reported(world)
    error = Error(error_string="not what was announced", code="output-mismatch")
    assert world.tell(Refused(id="m", to=ONE, command=done, error=error)) == []
    assert len(effects(again(world))) == 1


@pytest.mark.parametrize("code", ["stale-attempt", "claim-refused"])
def test_a_result_that_nobody_wants_is_dropped_and_the_slot_is_free(code: str) -> None:
    world = World()
    done = reported(world)
    actions = world.tell(Refused(id="m", to=ONE, command=done, error=Error(error_string="no", code=code)))
    assert effects(actions) == [Forget(assignment=ASSIGNMENT)]
    assert said(actions) == [(MANAGER, WantGetJob)]


def test_a_report_that_became_void_is_begun_anew() -> None:
    world = World()
    done = reported(world)
    assert world.tell(Expired(id="m", to=ONE, command=done)) == []
    assert len(effects(again(world))) == 1


def test_a_report_that_bounced_is_left_to_the_resend() -> None:
    world = World()
    done = reported(world)
    assert world.tell(Undeliverable(id="m", to=ONE, command=done)) == []


def test_without_a_storage_manager_it_asks_for_one_again() -> None:
    world = World()
    world.hold()
    world.finish(Execute(assignment=ASSIGNMENT), OK)
    assert said(world.wait(1.5 * ANSWER_WITHIN)) == [(MANAGER, WantGetJobOutputDir)]


def test_what_does_not_fit_the_state_is_ignored() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    done = JobDone(job_id="j1", exit_code=0, state="done")
    for command in (HaveGetJobOutputDir(), STORE, Error(error_string="?")):
        assert world.hear(command) == []
    assert world.tell(Acked(id="m", to=ONE, command=done)) == []
    assert world.tell(Refused(id="m", to=ONE, command=done, error=Error(error_string="?"))) == []
    assert world.finish(Upload(assignment=ASSIGNMENT, url="u", output=OUTPUT)) == []
    assert world.finish("something else") == []
    world.hold()
    world.finish(Execute(assignment=ASSIGNMENT), OK)
    assert world.hear(STORE) == []


REFUSAL = Error(error_string="no", code="stale-attempt", in_reply_to="m", job_id="j1")
OLD_REQUEST = GetJobOutputDir(job_id="j1", jm_job_data="claim-0")
OLD_REPORT = JobDone(job_id="j1", exit_code=0, state="done", jm_job_data="claim-0")


@pytest.mark.parametrize(
    "event",
    [
        Refused(id="m", to=ONE, command=OLD_REQUEST, error=REFUSAL),
        Refused(id="m", to=ONE, command=OLD_REPORT, error=REFUSAL),
        Acked(id="m", to=ONE, command=OLD_REPORT),
        Expired(id="m", to=ONE, command=OLD_REPORT),
        Received(command=REFUSAL, sender=ONE, id="e", features=None, element=True, wants_ack=False),
    ],
    ids=["request-refused", "report-refused", "report-acked", "report-void", "copy-of-a-refusal"],
)
@pytest.mark.parametrize("answers", [(), (HaveGetJobOutputDir(),), (HaveGetJobOutputDir(), STORE)])
def test_what_is_said_about_an_earlier_attempt_does_not_touch_the_result_of_this_one(
    event: Event, answers: tuple[Command, ...]
) -> None:
    world = World()
    world.hold()
    world.finish(Execute(assignment=ASSIGNMENT), replace(OK, output=None))
    for answer in answers:
        world.hear(answer)
    before = world.agent.wakeup()
    assert world.tell(event) == []
    assert world.agent.wakeup() == before


def test_without_a_directory_it_begins_anew_for_its_storage_manager_may_have_died() -> None:
    world = World()
    world.hold()
    world.finish(Execute(assignment=ASSIGNMENT), OK)
    (request,) = world.hear(HaveGetJobOutputDir())
    assert isinstance(request, Send)
    assert request.void_at == world.now + PLACE_WITHIN
    world.tell(Acked(id="m", to=ONE, command=request.command))
    assert said(world.wait(PLACE_WITHIN)) == [(MANAGER, WantGetJobOutputDir)]
    assert said(world.hear(HaveGetJobOutputDir(), TWO)) == [(TWO, GetJobOutputDir)]


def test_what_cannot_be_removed_is_told_and_does_not_hold_the_slot(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    done = reported(world)
    world.tell(Acked(id="m", to=ONE, command=done))
    assert world.finish(Forget(assignment=ASSIGNMENT), OSError(16, "a mount point")) == []
    assert "a mount point" in caplog.text
    assert (ONE, GetJob) in said(world.hear(HaveGetJob()))


def test_with_two_results_each_answer_goes_to_its_job() -> None:
    world = World(slots=2)
    second = replace(ASSIGNMENT, job=replace(JOB, id="j2"), claim="claim-2")
    world.hold()
    world.hear(RunJob(job=second.job, jm_job_data="claim-2"))
    world.finish(Execute(assignment=ASSIGNMENT), OK)
    world.finish(Execute(assignment=second), OK)
    (action,) = world.hear(HaveGetJobOutputDir(job_id="j2"))
    assert isinstance(action, Send)
    assert action.command == GetJobOutputDir(job_id="j2", agent_host="host", jm_job_data="claim-2")


def test_sleep_means_ask_again_later() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob())
    world.hear(Sleep(retry_after=4.0))
    wakeup = world.agent.wakeup()
    assert wakeup is not None
    assert wakeup == world.now + 1.25 * 4.0


def test_an_idle_agent_asks_again_when_its_manager_has_new_keys() -> None:
    """Where it waits it is known by the session for the old ones, which may be dropped."""
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob())
    world.hear(Sleep(retry_after=480.0))
    assert said(world.hear(NewKeys(keys="k", signatures=("s",)))) == [(MANAGER, WantGetJob)]


def test_sleep_out_of_turn_changes_nothing() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.hear(Sleep(retry_after=4.0))
    before = world.agent.wakeup()
    world.hear(Sleep(retry_after=4000.0))
    assert world.agent.wakeup() == before


def test_a_manager_that_never_sends_the_job_is_left_alone_after_a_while() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob())
    assert said(world.wait(RUN_JOB_WITHIN)) == [(MANAGER, WantGetJob)]


@pytest.mark.parametrize("kind", [Expired, Undeliverable])
def test_a_request_that_nobody_got_is_made_anew(kind: type[Expired] | type[Undeliverable]) -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob())
    world.tell(kind(id="m", to=ONE, command=GetJob(agent_host="host", jdl="[jdl]")))
    assert said(world.wait(10.0)) == [(MANAGER, WantGetJob)]


def test_a_refused_request_is_made_anew_later() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob())
    error = Error(error_string="no", code="storage-needed")
    world.tell(Refused(id="m", to=ONE, command=GetJob(agent_host="host", jdl="[jdl]"), error=error))
    assert said(world.wait(10.0)) == [(MANAGER, WantGetJob)]


def test_after_an_interruption_it_asks_again_but_waits_for_a_job_that_was_promised() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.tell(Offline(reason="cut"))
    assert said(world.tell(Online(jid="agent@x/a"))) == [(MANAGER, WantGetJob)]
    world.hear(HaveGetJob())
    world.tell(Offline(reason="cut"))
    assert world.tell(Online(jid="agent@x/a")) == []


def test_after_a_restart_it_reports_what_had_ended() -> None:
    world = World(journal=(Note(assignment=ASSIGNMENT, outcome=OK),))
    actions = world.tell(Online(jid="agent@x/a"))
    assert (MANAGER, WantGetJobOutputDir) in said(actions)
    # The note is there: writing it again could fail, and keep others from being resumed.
    assert effects(actions) == []
    world.hear(HaveGetJobOutputDir())
    (upload,) = effects(world.hear(STORE))
    assert isinstance(upload, Upload)


@pytest.mark.parametrize("packed", [OUTPUT, None, OSError("gone")])
def test_after_a_restart_it_says_of_an_unfinished_job_that_it_was_lost(packed: object) -> None:
    world = World(journal=(Note(assignment=ASSIGNMENT),))
    assert effects(world.tell(Online(jid="agent@x/a"))) == [Pack(assignment=ASSIGNMENT)]
    (remember,) = effects(world.finish(Pack(assignment=ASSIGNMENT), packed))
    assert isinstance(remember, Remember)
    assert remember.note.outcome is not None
    assert remember.note.outcome.cause is Cause.INFRA_LOST
    assert remember.note.outcome.output == (packed if isinstance(packed, Output) else None)


def test_it_leaves_when_asked_to() -> None:
    assert World().tell(Stopping()) == [Leave()]


# -- managers of 2011


def test_what_a_manager_says_to_sleep_for_does_not_count_once_another_is_asked_for_its_job() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob(), ONE)
    world.hear(Sleep(), TWO)
    assert world.agent.wakeup() == world.now + RUN_JOB_WITHIN
    world.hear(Sleep(), ONE)
    assert said(world.wait(10.0)) == [(MANAGER, WantGetJob)]


def test_an_offer_that_comes_after_a_job_was_awaited_in_vain_is_taken_and_so_is_that_job() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob())
    world.wait(RUN_JOB_WITHIN)
    assert said(world.hear(HaveGetJob(), TWO)) == [(TWO, GetJob)]
    assert Execute(assignment=ASSIGNMENT) in effects(world.hear(RUN))


def test_an_offer_of_a_directory_that_names_no_job_is_for_the_first_that_asked_this_manager() -> None:
    world = World(slots=2)
    there = Assignment(job=replace(JOB, id="j2"), manager="other@x", claim="startedAt=2")
    world.agent = restarted(world, Note(assignment=there, outcome=OK))
    world.hold()
    world.finish(Execute(assignment=ASSIGNMENT), OK)
    for sender, job in ((ONE, "j1"), ("other@x/r", "j2")):
        (action,) = world.hear(HaveGetJobOutputDir(), sender)
        assert isinstance(action, Send)
        assert isinstance(action.command, GetJobOutputDir)
        assert (action.to, action.command.job_id) == (sender, job)
    assert world.hear(HaveGetJobOutputDir(), ONE) == []


def test_a_directory_of_somebody_who_was_not_asked_is_none() -> None:
    world = World()
    world.hold()
    world.finish(Execute(assignment=ASSIGNMENT), OK)
    world.hear(HaveGetJobOutputDir(), ONE)
    assert world.hear(STORE, "other@x/r") == []
    assert len(effects(world.hear(STORE, TWO))) == 1


def test_the_claim_goes_back_byte_for_byte() -> None:
    world, claim = World(), "startedAt=1795206693\n"
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob())
    world.hear(replace(RUN, jm_job_data=claim))
    assignment = replace(ASSIGNMENT, claim=claim)
    commands = [world.finish(Execute(assignment=assignment), replace(OK, output=None))[-1]]
    commands += world.hear(HaveGetJobOutputDir())
    commands += world.hear(STORE)
    assert [send.command.jm_job_data for send in commands if isinstance(send, Send)] == [claim] * 3  # type: ignore[attr-defined]


def restarted(world: World, *journal: Note) -> Agent:
    """An agent in the same world that has found these notes."""
    other = World(journal=journal, slots=2)
    other.now = world.now
    return other.agent


def kept(world: World) -> JobDone:
    """Go as far as that a manager of 2011 has acknowledged the report on job j1."""
    done = reported(world)
    (note,) = effects(world.tell(Acked(id="m", to=ONE, command=done, on_receipt=True)))
    taken = Taken(at=EPOCH + world.now, by=MANAGER, claim="claim-1")
    assert note == Remember(
        note=Note(assignment=ASSIGNMENT, outcome=OK, ended=EPOCH + world.now, taken=taken)
    )
    return done


def test_after_an_acknowledgement_on_receipt_the_slot_is_free_and_the_result_is_kept_for_a_day() -> None:
    world = World()
    kept(world)
    assert said(world.hear(HaveGetJob())) == [(ONE, GetJob)]
    assert effects(world.wait(KEPT_AFTER_RECEIPT - 1.0)) == []
    assert effects(world.wait(1.0)) == [Forget(assignment=ASSIGNMENT)]


def test_a_second_acknowledgement_changes_nothing() -> None:
    world = World()
    done = kept(world)
    assert world.tell(Acked(id="m", to=ONE, command=done, on_receipt=True)) == []


def test_a_copy_of_the_order_for_a_kept_result_is_not_run_again() -> None:
    world = World()
    kept(world)
    assert world.hear(RUN) == []


@pytest.mark.parametrize(
    ("attempt", "forgotten"), [(1, []), (2, [Forget(assignment=ASSIGNMENT)])], ids=["same", "next"]
)
def test_a_job_that_is_given_again_is_run_again_in_place_of_its_kept_result(
    attempt: int, forgotten: list[object]
) -> None:
    world = World()
    kept(world)
    again = replace(ASSIGNMENT, job=replace(JOB, attempt=attempt), claim="claim-2")
    done = effects(world.hear(RunJob(job=again.job, jm_job_data="claim-2")))
    assert done == [*forgotten, Remember(note=Note(assignment=again)), Execute(assignment=again)]
    assert effects(world.wait(KEPT_AFTER_RECEIPT)) == []


def test_kept_results_make_room_when_the_disk_is_full() -> None:
    world = World()
    kept(world)
    second = replace(ASSIGNMENT, job=replace(JOB, id="j2"))
    world.hear(RunJob(job=second.job, jm_job_data="claim-1"))
    full = Outcome(cause=Cause.INFRA_DISK_FULL, exit_code=1, reason="full", host="host")
    first, remember = effects(world.finish(Execute(assignment=second), full))
    assert first == Forget(assignment=ASSIGNMENT)
    assert isinstance(remember, Remember)
    world = World()
    kept(world)
    remember = Remember(note=Note(assignment=second))
    assert effects(world.finish(remember, OSError(28, "no space"))) == [Forget(assignment=ASSIGNMENT)]


def test_kept_results_stay_kept_after_a_restart_and_are_not_reported_again() -> None:
    world = World()
    taken = Taken(at=EPOCH + world.now - 1000.0, by="sm@x", claim="claim-9")
    world.agent = restarted(world, Note(assignment=ASSIGNMENT, outcome=OK, ended=0.0, taken=taken))
    assert said(world.tell(Online(jid="agent@x/a"))) == [(MANAGER, WantGetJob)]
    assert world.agent.trusts("sm@x")
    assert effects(world.wait(KEPT_AFTER_RECEIPT - 1001.0)) == []
    assert effects(world.wait(1.0)) == [Forget(assignment=ASSIGNMENT)]


def test_after_a_restart_a_newer_attempt_of_a_kept_result_takes_its_place() -> None:
    world = World()
    taken = Note(assignment=ASSIGNMENT, outcome=OK, taken=Taken(at=EPOCH, by=MANAGER, claim=None))
    newer = Note(assignment=replace(ASSIGNMENT, job=replace(JOB, attempt=2)), outcome=OK)
    for journal in ((taken, newer), (newer, taken)):
        world.agent = restarted(world, *journal)
        actions = world.tell(Online(jid="agent@x/a"))
        assert effects(actions) == [Forget(assignment=ASSIGNMENT)]
        assert (MANAGER, WantGetJobOutputDir) in said(actions)


def test_a_result_that_nobody_takes_is_dropped_after_a_week_with_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.hold()
    world.finish(Execute(assignment=ASSIGNMENT), OK)
    assert effects(world.wait(RESULT_KEPT - 1.0)) == []
    assert "dropped" not in caplog.text
    actions = world.wait(1.0)
    assert effects(actions) == [Forget(assignment=ASSIGNMENT)]
    assert said(actions) == [(MANAGER, WantGetJob)]
    assert (
        "job j1, attempt 1: nobody has taken its result in time, so it is dropped. It came from jm@x"
        in caplog.text
    )


def test_a_report_is_void_when_its_result_is_dropped() -> None:
    world = World()
    upload = uploading(world)
    ended = world.now
    world.now += 3600.0
    (report,) = world.finish(upload)
    assert isinstance(report, Send)
    assert report.void_at == ended + RESULT_KEPT


@pytest.mark.parametrize(
    ("age", "left"),
    [
        (2 * DAY, 5 * DAY),
        (8 * DAY, LEAST_AFTER_RESTART),
        (-9e9, RESULT_KEPT),
        (None, RESULT_KEPT),
    ],
    ids=["two-days-old", "too-old", "of-the-future", "of-an-older-version"],
)
def test_the_week_goes_on_over_a_restart_but_never_ends_at_once(age: float | None, left: float) -> None:
    world = World()
    ended = None if age is None else EPOCH + world.now - age
    world.agent = restarted(world, Note(assignment=ASSIGNMENT, outcome=OK, ended=ended))
    world.tell(Online(jid="agent@x/a"))
    assert effects(world.wait(left - 1.0)) == []
    assert effects(world.wait(1.0)) == [Forget(assignment=ASSIGNMENT)]


# -- redirects


STORAGE = "sm@x/one"


def redirect(world: World, command: Command, sender: str = ONE, to: str = "sm@x") -> list[Action]:
    return world.hear(Redirect(referral=to, info=codec.encode(command)), sender)


def followed(actions: list[Action]) -> tuple[Withdraw, Send]:
    """What is said in place of what."""
    (withdraw,) = [action for action in actions if isinstance(action, Withdraw)]
    send = actions[actions.index(withdraw) + 1]
    assert isinstance(send, Send)
    assert send.info == codec.encode(send.command)
    return withdraw, send


def out(actions: list[Action]) -> Command:
    (send,) = [action for action in actions if isinstance(action, Send)]
    return send.command


def test_a_search_for_work_goes_where_it_is_redirected_and_the_job_comes_from_there() -> None:
    world = World()
    want = out(world.tell(Online(jid="agent@x/a")))
    withdraw, send = followed(redirect(world, want, to="q2@x"))
    assert (withdraw, send.to) == (Withdraw(to=MANAGER, command=want), "q2@x")
    assert said(world.hear(HaveGetJob(), "q2@x/r")) == [("q2@x/r", GetJob)]
    assert world.agent.trusts("q2@x")
    world.hear(RUN, "q2@x/r")
    there = replace(ASSIGNMENT, manager="q2@x")
    assert said(world.finish(Execute(assignment=there), OK)) == [("q2@x", WantGetJobOutputDir)]


def test_a_request_for_the_job_itself_goes_where_it_is_redirected() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    get = out(world.hear(HaveGetJob()))
    world.now += 5.0
    withdraw, send = followed(redirect(world, get, to="q2@x"))
    assert (withdraw.to, send.to, send.void_at) == (ONE, "q2@x", world.now + RUN_JOB_WITHIN)
    world.hear(Sleep(), ONE)
    assert world.agent.wakeup() == world.now + RUN_JOB_WITHIN
    world.hear(Sleep(), "q2@x/r")
    assert said(world.wait(10.0)) == [(MANAGER, WantGetJob)]


def test_a_redirect_for_work_means_nothing_to_an_agent_that_has_got_some() -> None:
    world = World()
    want = out(world.tell(Online(jid="agent@x/a")))
    world.hear(HaveGetJob())
    world.hear(RUN)
    (ignored,) = redirect(world, want)
    assert isinstance(ignored, Ignore)
    assert not world.agent.trusts("sm@x")


def test_each_step_with_the_output_goes_where_it_is_redirected() -> None:
    world = World()
    world.hold()
    want = out(world.finish(Execute(assignment=ASSIGNMENT), OK))
    withdraw, send = followed(redirect(world, want))
    assert (withdraw.to, send.to) == (MANAGER, "sm@x")
    get = out(world.hear(HaveGetJobOutputDir(), STORAGE))
    withdraw, send = followed(redirect(world, get, STORAGE, to="sm2@x"))
    assert (withdraw.to, send.to, send.void_at) == (STORAGE, "sm2@x", world.now + PLACE_WITHIN)
    (upload,) = effects(world.hear(STORE, "sm2@x/r"))
    done = out(world.finish(upload))
    withdraw, send = followed(redirect(world, done, "sm2@x/r", to="sm3@x/r"))
    assert (withdraw.to, send.to, send.void_at) == ("sm2@x/r", "sm3@x/r", world.now + RESULT_KEPT)
    actions = world.tell(Acked(id="m", to="sm3@x/r", command=done))
    assert effects(actions) == [Forget(assignment=ASSIGNMENT)]


def test_another_instance_that_redirects_the_same_is_not_followed_but_no_fault() -> None:
    world = World()
    world.hold()
    want = out(world.finish(Execute(assignment=ASSIGNMENT), OK))
    followed(redirect(world, want, ONE))
    assert redirect(world, want, TWO) == []


def test_a_referral_that_redirects_again_is_not_followed_and_its_offer_is_taken_all_the_same() -> None:
    world = World()
    world.hold()
    want = out(world.finish(Execute(assignment=ASSIGNMENT), OK))
    followed(redirect(world, want))
    (ignored,) = redirect(world, want, STORAGE, to="third@x")
    assert isinstance(ignored, Ignore)
    assert not world.agent.trusts("third@x")
    assert said(world.hear(HaveGetJobOutputDir(), STORAGE)) == [(STORAGE, GetJobOutputDir)]


def test_without_an_answer_of_the_referral_the_manager_is_asked_anew_for_the_storage_may_have_moved() -> None:
    world = World()
    world.hold()
    want = out(world.finish(Execute(assignment=ASSIGNMENT), OK))
    followed(redirect(world, want))
    again = world.wait(1.5 * ANSWER_WITHIN)
    assert said(again) == [(MANAGER, WantGetJobOutputDir)]
    _, send = followed(redirect(world, out(again), to="moved@x"))
    assert send.to == "moved@x"


@pytest.mark.parametrize("step", ["uploading", "waiting"])
def test_an_old_redirect_means_nothing_when_nothing_is_out(step: str) -> None:
    world = World()
    upload = uploading(world)
    if step == "waiting":
        world.finish(upload, TransferUnavailable("away"))
    for command in (
        WantGetJobOutputDir(job_id="j1", jm_job_data="claim-1"),
        GetJobOutputDir(job_id="j1", jm_job_data="claim-1"),
        JobDone(job_id="j1", exit_code=0, state="done", jm_job_data="claim-1"),
    ):
        (ignored,) = redirect(world, command)
        assert isinstance(ignored, Ignore)


def test_a_redirect_that_comes_after_the_acknowledgement_of_2011_is_followed() -> None:
    world = World()
    done = kept(world)
    ended = EPOCH + world.now
    world.now += 3600.0
    actions = redirect(world, done)
    assert effects(actions) == [Remember(note=Note(assignment=ASSIGNMENT, outcome=OK, ended=ended))]
    withdraw, send = followed(actions)
    assert (withdraw.to, send.to) == (ONE, "sm@x")
    error = Error(error_string="damaged", code="output-mismatch")
    world.tell(Refused(id="m", to="sm@x", command=done, error=error))
    assert (MANAGER, WantGetJobOutputDir) in said(world.wait(LONGEST_RETRY))
    world.hear(HaveGetJobOutputDir())
    assert len(effects(world.hear(STORE))) == 1


@pytest.mark.parametrize("on_receipt", [True, False])
def test_a_kept_result_that_was_redirected_comes_to_its_end(*, on_receipt: bool) -> None:
    world = World()
    done = kept(world)
    redirect(world, done)
    (effect,) = effects(world.tell(Acked(id="m", to="sm@x", command=done, on_receipt=on_receipt)))
    assert isinstance(effect, Remember if on_receipt else Forget)


def test_a_redirect_is_followed_after_a_restart_too() -> None:
    world = World()
    taken = Taken(at=EPOCH + world.now, by=MANAGER, claim="claim-9")
    world.agent = restarted(world, Note(assignment=ASSIGNMENT, outcome=OK, ended=EPOCH, taken=taken))
    world.tell(Online(jid="agent@x/a"))
    report = JobDone(job_id="j1", exit_code=0, state="done", agent_host="host", jm_job_data="claim-9")
    _, send = followed(redirect(world, report))
    assert (send.to, send.command) == ("sm@x", report)


def test_whom_to_trust() -> None:
    world = World(journal=(Note(assignment=replace(ASSIGNMENT, manager="before@x")),))
    assert world.agent.trusts(MANAGER)
    assert not world.agent.trusts("before@x")
    world.tell(Online(jid="agent@x/a"))
    assert world.agent.trusts("before@x")
    assert not world.agent.trusts("stranger@x")


# ---------------------------------------------------------------- leases and cancelling

LEASED = replace(JOB, lease=60.0)
HELD = Assignment(job=LEASED, manager=MANAGER, claim="claim-1")
LOST_HOLD = LeaseLost(held=(HeldJob(id="j1", attempt=1),))


def holding(*, slots: int = 1) -> World:
    """An agent with a job under a lease of 60 s, which began at 1000 s."""
    world = World(slots=slots)
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob())
    world.hear(replace(RUN, job=LEASED))
    return world


def renewals(actions: list[Action]) -> list[tuple[str, str]]:
    """To whom, and at what the job is."""
    sent = [(action.to, action.command) for action in actions if isinstance(action, Send)]
    return [(to, one.held[0].phase) for to, one in sent if isinstance(one, RenewLease)]


def renewed(world: World, actions: list[Action]) -> list[Action]:
    """The renewals among these are accepted now."""
    said = [one for one in actions if isinstance(one, Send) and isinstance(one.command, RenewLease)]
    assert said
    return [action for one in said for action in world.tell(Acked(id="r", to=one.to, command=one.command))]


def test_it_renews_its_lease_until_its_report_is_safe() -> None:
    world = holding()
    actions = world.wait(20.0)
    assert renewals(actions) == [(ONE, "run")]
    world.finish(Execute(assignment=HELD), OK)
    renewed(world, actions)
    assert (ONE, "upload") in renewals(world.wait(20.0))


def test_back_online_it_renews_at_once() -> None:
    world = holding()
    world.tell(Offline(reason="cut"))
    world.now += 5.0
    world.tell(Online(jid="agent@x/a"))
    assert renewals(world.wait(1.0)) == [(MANAGER, "run")]


def test_a_job_of_a_former_life_is_renewed_too() -> None:
    world = World(journal=(Note(assignment=HELD, outcome=OK, ended=EPOCH),))
    world.tell(Online(jid="agent@x/a"))
    assert renewals(world.wait(1.0)) == [(MANAGER, "upload")]


def test_while_nobody_renews_it_begins_nothing_new() -> None:
    world = holding(slots=2)
    assert (MANAGER, WantGetJob) in said(world.wait(20.0))
    actions = world.wait(40.0)
    assert (MANAGER, WantGetJob) not in said(actions)
    renewed(world, actions)
    assert (MANAGER, WantGetJob) in said(world.wait(10.0))


def test_what_it_has_lost_is_stopped_and_dropped_without_a_report() -> None:
    world = holding()
    assert effects(world.hear(LOST_HOLD)) == [Stop(assignment=HELD)]
    assert effects(world.hear(LOST_HOLD)) == []
    actions = world.finish(Execute(assignment=HELD), replace(OK, cause=Cause.CANCELLED))
    assert effects(actions) == [Forget(assignment=HELD)]
    assert said(actions) == [(MANAGER, WantGetJob)]


def test_what_it_has_lost_is_not_renewed_while_it_ends() -> None:
    world = holding()
    world.hear(LOST_HOLD)
    assert renewals(world.wait(20.0)) == []


def test_a_finished_job_that_it_has_lost_is_dropped() -> None:
    world = holding()
    world.finish(Execute(assignment=HELD), OK)
    assert effects(world.hear(LOST_HOLD)) == [Forget(assignment=HELD)]


@pytest.mark.parametrize(
    ("held", "sender"),
    [
        (HeldJob(id="j1", attempt=2), ONE),
        (HeldJob(id="j2", attempt=1), ONE),
        (HeldJob(id="j1", attempt=1), "x@x/a"),
    ],
)
def test_it_lets_go_only_of_that_attempt_and_only_for_who_gave_it(held: HeldJob, sender: str) -> None:
    world = holding()
    assert effects(world.hear(LeaseLost(held=(held,)), sender)) == []
    assert effects(world.hear(CancelJob(job_id=held.id, attempt=held.attempt), sender)) == []


def test_a_cancelled_job_is_stopped_and_reported() -> None:
    world = holding()
    assert effects(world.hear(CancelJob(job_id="j1", attempt=1), TWO)) == [Stop(assignment=HELD)]
    stopped = Outcome(cause=Cause.CANCELLED, exit_code=143, host="host")
    world.finish(Execute(assignment=HELD), stopped)
    world.hear(HaveGetJobOutputDir())
    (report,) = [one.command for one in world.hear(STORE) if isinstance(one, Send)]
    assert isinstance(report, JobDone)
    assert (report.state, report.cause) == ("cancelled", "cancelled")


def test_what_has_ended_is_not_cancelled_any_more() -> None:
    world = holding()
    world.finish(Execute(assignment=HELD), OK)
    assert effects(world.hear(CancelJob(job_id="j1", attempt=1))) == []


# ---------------------------------------------------------------- exclusive jobs

SOLE = Assignment(job=replace(LEASED, exclusive=True), manager=MANAGER, claim="claim-1")
STOPPED = Outcome(cause=Cause.CANCELLED, exit_code=143, host="host", output=OUTPUT)


def exclusive() -> World:
    """An agent at which an exclusive job runs, under a lease that counts from 1000 s."""
    world = World()
    world.tell(Online(jid="agent@x/a"))
    world.hear(HaveGetJob())
    actions = world.hear(replace(RUN, job=SOLE.job))
    assert Begin(assignment=SOLE) not in effects(actions)
    assert effects(renewed(world, actions)) == [Begin(assignment=SOLE)]
    return world


def test_an_exclusive_job_begins_when_its_first_renewal_was_accepted() -> None:
    world = exclusive()
    assert Begin(assignment=SOLE) not in effects(renewed(world, world.wait(20.0)))


def test_an_exclusive_job_without_a_lease_is_refused() -> None:
    world = World()
    world.tell(Online(jid="agent@x/a"))
    (refusal,) = [
        one for one in world.hear(replace(RUN, job=replace(JOB, exclusive=True))) if isinstance(one, Refuse)
    ]
    assert refusal.code == "no-lease"


def test_an_exclusive_job_is_stopped_before_its_lease_ends_and_reported_as_cut_off() -> None:
    world = exclusive()
    assert Stop(assignment=SOLE) not in effects(world.wait(44.0))
    assert Stop(assignment=SOLE) in effects(world.wait(1.0))
    actions = world.finish(Execute(assignment=SOLE), STOPPED)
    (note,) = [one.note for one in effects(actions) if isinstance(one, Remember)]
    assert note.outcome == replace(STOPPED, cause=Cause.INFRA_CUT_OFF, reason=REASON)
    assert Kill(assignment=SOLE) not in effects(world.wait(60.0))


def test_an_exclusive_job_that_somebody_else_has_is_killed_at_once() -> None:
    world = exclusive()
    assert effects(world.hear(LOST_HOLD)) == [Kill(assignment=SOLE)]
    assert effects(world.finish(Execute(assignment=SOLE), STOPPED)) == [Forget(assignment=SOLE)]


def test_secrets_of_a_job_are_taken_in_a_sealed_session_alone_and_never_noted() -> None:
    run = replace(RUN, job=replace(JOB, secrets=(Secret(name="token", data="Y2FuYXJ5"),)))
    received = Received(
        command=run, sender=ONE, id="m", features=frozenset(), element=True, wants_ack=True, sealed=False
    )
    (refusal,) = World().tell(received)
    assert isinstance(refusal, Refuse)
    assert refusal.code == "not-sealed"
    actions = World().tell(replace(received, sealed=True))
    (note,) = [
        one.effect.note for one in actions if isinstance(one, Perform) and isinstance(one.effect, Remember)
    ]
    assert "Y2FuYXJ5" not in repr(actions)
    assert "Y2FuYXJ5" not in str(note.to_data())
    assert any(isinstance(one, Perform) and isinstance(one.effect, Execute) for one in actions)
