"""How an agent leaves: what it still takes, finishes, gives back, and when it is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from copilot.agent.drain import LAST_STEPS, Limits
from copilot.agent.effects import Assignment, Execute, Forget, Note, Pack, Stop
from copilot.agent.goodbye import GOODBYE_WITHIN, STOP_WITHIN
from copilot.job import Cause, Outcome
from copilot.protocol.commands import (
    CancelJob,
    Drain,
    GetJob,
    HaveGetJob,
    HeldJob,
    JobDone,
    LeaseLost,
    Leaving,
    Redirect,
    RenewLease,
    RunJob,
    Sleep,
    WantGetJob,
)
from copilot.protocol.envelope import Element
from copilot.protocol.events import Acked
from copilot.protocol.rules import FEATURE_DRAIN
from copilot.runtime.component import Action, Ignore, Leave, Online, Refuse, Send, Stopping
from tests.unit.agent.test_logic import ASSIGNMENT, JOB, MANAGER, OK, ONE, RUN, World, effects, said

GRACE = 40.0
STOPPED = Outcome(cause=Cause.CANCELLED, exit_code=143)
SECOND = RunJob(job=replace(JOB, id="j2", attempt=3), jm_job_data="claim-2")
OTHER = Assignment(job=SECOND.job, manager=MANAGER, claim="claim-2")
GONE = Leaving(held=(HeldJob(id="j1", attempt=1),))


def world(*, slots: int = 1, knows: bool = True, **limits: float | None) -> World:
    """An agent that was born at 1000 s, whose managers announce the feature or do not."""
    features = frozenset({FEATURE_DRAIN} if knows else ())
    one = Limits(**{"grace": GRACE, "born": 1000.0, **limits})  # type: ignore[arg-type]
    return World(slots=slots, limits=one, features=features)


def holding(**options: float | bool | None) -> World:
    """One that holds and runs job j1."""
    agent = world(**options)  # type: ignore[arg-type]
    agent.hold()
    return agent


def gone(actions: list[Action]) -> bool:
    return Leave() in actions


def goodbyes(actions: list[Action]) -> list[Leaving]:
    sent = [action for action in actions if isinstance(action, Send)]
    assert all(action.to == MANAGER for action in sent if isinstance(action.command, Leaving))
    return [action.command for action in sent if isinstance(action.command, Leaving)]


def acked(agent: World, goodbye: Leaving) -> list[Action]:
    return agent.tell(Acked(id="m", to=ONE, command=goodbye))


def deliver(agent: World) -> list[Action]:
    """The result of j1 gets home."""
    agent.finish(Execute(assignment=ASSIGNMENT), replace(OK, output=None))
    agent.hear(RUN)  # a copy changes nothing
    delivery = agent.agent._deliveries["j1"]
    delivery.offered(ONE, agent.now)
    delivery._storage = ONE
    delivery._report()
    assert delivery.request is not None
    return agent.tell(Acked(id="m", to=ONE, command=delivery.request.command))


# -- a signal


def test_an_idle_agent_says_goodbye_and_is_gone() -> None:
    agent = world()
    agent.tell(Online(jid="agent@x/a"))
    agent.hear(Sleep())
    actions = agent.tell(Stopping())
    assert goodbyes(actions) == [Leaving()]
    assert actions[-1] == Leave()


def test_an_agent_that_nobody_has_answered_is_gone_without_a_word() -> None:
    assert world().tell(Stopping()) == [Leave()]


def test_what_runs_gets_home_within_the_grace() -> None:
    agent = holding()
    assert agent.tell(Stopping()) == []
    agent.now += GRACE - 1
    actions = deliver(agent)
    assert effects(actions) == [Forget(assignment=ASSIGNMENT)]
    assert not gone(actions)
    actions = agent.finish(Forget(assignment=ASSIGNMENT))
    assert goodbyes(actions) == [Leaving()]
    assert gone(actions)


def test_other_limits_count_from_when_they_are_set_but_for_the_life_time() -> None:
    agent = world(lifetime=1000.0)
    agent.tell(Online(jid="agent@x/a"))
    assert not gone(agent.wait(100.0))
    agent.agent.change(request_interval=10.0, limits=Limits(grace=GRACE, max_idle=200.0))
    assert not gone(agent.wait(50.0))
    assert (ONE, Leaving) not in said(agent.wait(0.0))
    agent.wait(60.0)
    assert agent.agent._drain.closed == agent.now


def test_it_takes_nothing_new() -> None:
    agent = holding(slots=2)
    agent.tell(Stopping())
    assert agent.hear(HaveGetJob()) == []
    (refusal,) = agent.hear(SECOND)
    assert isinstance(refusal, Refuse)
    assert (refusal.code, refusal.job) == ("no-slot", "j2")
    assert agent.wait(30.0) == []


def test_what_still_runs_after_the_grace_is_stopped_given_back_and_then_removed() -> None:
    agent = holding()
    agent.tell(Stopping())
    assert agent.wait(GRACE - 1) == []
    assert effects(agent.wait(1.0)) == [Stop(assignment=ASSIGNMENT)]
    actions = agent.finish(Execute(assignment=ASSIGNMENT), STOPPED)
    assert goodbyes(actions) == [GONE]
    assert not gone(actions)
    actions = acked(agent, GONE)
    assert effects(actions) == [Forget(assignment=ASSIGNMENT)]
    assert not gone(actions)
    assert agent.finish(Forget(assignment=ASSIGNMENT)) == [Leave()]


def test_without_grace_it_is_given_back_at_once() -> None:
    agent = holding(grace=0.0)
    assert effects(agent.tell(Stopping())) == [Stop(assignment=ASSIGNMENT)]


def test_a_payload_that_does_not_end_is_given_back_all_the_same() -> None:
    agent = holding(grace=0.0)
    agent.tell(Stopping())
    assert agent.agent.wakeup() == agent.now + STOP_WITHIN
    assert goodbyes(agent.wait(STOP_WITHIN)) == [GONE]
    assert agent.finish(Execute(assignment=ASSIGNMENT), STOPPED) == []
    assert effects(acked(agent, GONE)) == [Forget(assignment=ASSIGNMENT)]


def test_what_is_taken_back_before_its_payload_has_ended_is_removed_when_it_has() -> None:
    agent = holding(slots=2)
    agent.hear(HaveGetJob())
    agent.hear(SECOND)
    agent.phase = "fetch"
    agent.finish(Execute(assignment=OTHER), OK)  # on its way home, so that the agent stays
    agent.tell(Stopping())
    agent.wait(STOP_WITHIN)
    assert effects(acked(agent, GONE)) == []
    assert effects(agent.finish(Execute(assignment=ASSIGNMENT), OK)) == [Forget(assignment=ASSIGNMENT)]


def test_without_an_acknowledgement_it_goes_and_the_journal_keeps_the_job() -> None:
    agent = holding(grace=0.0)
    agent.tell(Stopping())
    agent.finish(Execute(assignment=ASSIGNMENT), STOPPED)
    assert agent.agent.wakeup() == agent.now + GOODBYE_WITHIN
    assert agent.wait(GOODBYE_WITHIN) == [Leave()]
    after = World(journal=(Note(assignment=ASSIGNMENT),))
    assert effects(after.tell(Online(jid="agent@x/a"))) == [Pack(assignment=ASSIGNMENT)]


def test_jobs_of_a_manager_without_the_feature_stay_in_the_journal() -> None:
    agent = holding(knows=False)
    agent.tell(Stopping())
    assert agent.wait(GRACE) == [Leave()]


def test_a_result_that_is_not_home_within_the_grace_stays_in_the_journal() -> None:
    agent = holding()
    agent.tell(Stopping())
    agent.finish(Execute(assignment=ASSIGNMENT), OK)
    actions = agent.wait(GRACE)
    assert goodbyes(actions) == [Leaving()]
    assert gone(actions)


def test_a_job_that_it_has_not_begun_goes_back_at_once_and_the_other_goes_on() -> None:
    agent = holding(slots=2)
    agent.hear(HaveGetJob())
    agent.hear(SECOND)
    agent.phase = "fetch"
    agent.finish(Execute(assignment=ASSIGNMENT), OK)  # on its way home
    assert effects(agent.tell(Stopping())) == [Stop(assignment=OTHER)]
    goodbye = Leaving(held=(HeldJob(id="j2", attempt=3),))
    assert goodbyes(agent.finish(Execute(assignment=OTHER), STOPPED)) == [goodbye]
    assert effects(acked(agent, goodbye)) == [Forget(assignment=OTHER)]
    actions = agent.finish(Forget(assignment=OTHER))
    assert not gone(actions)


def test_a_job_that_is_asked_for_is_waited_for_and_refused() -> None:
    agent = world()
    agent.tell(Online(jid="agent@x/a"))
    agent.hear(HaveGetJob())
    assert not gone(agent.tell(Stopping()))
    refusal, *rest = agent.hear(RUN)
    assert isinstance(refusal, Refuse)
    assert gone(rest)


def test_nobody_waits_for_ever_for_a_job_that_was_asked_for() -> None:
    agent = world()
    agent.tell(Online(jid="agent@x/a"))
    agent.hear(HaveGetJob())
    agent.tell(Stopping())
    assert agent.agent.wakeup() == agent.now + GOODBYE_WITHIN
    assert gone(agent.wait(GOODBYE_WITHIN))


def test_what_it_gives_back_is_not_renewed_nor_stopped_twice() -> None:
    agent = world(grace=0.0)
    agent.tell(Online(jid="agent@x/a"))
    agent.hear(HaveGetJob())
    agent.hear(replace(RUN, job=replace(JOB, lease=6.0)))
    agent.tell(Stopping())
    assert agent.hear(LeaseLost(held=(HeldJob(id="j1", attempt=1),))) == []
    actions = agent.wait(6.0)
    assert not [action for action in actions if isinstance(action, Send | Stop)]
    assert RenewLease not in [kind for _, kind in said(actions)]


def test_a_cancelled_job_that_is_being_stopped_is_still_given_back() -> None:
    agent = holding(grace=0.0)
    agent.tell(Stopping())
    agent.hear(CancelJob(job_id="j1", attempt=1))
    assert goodbyes(agent.finish(Execute(assignment=ASSIGNMENT), STOPPED)) == [GONE]


def test_no_redirect_of_a_request_is_followed() -> None:
    agent = world()
    agent.tell(Online(jid="agent@x/a"))
    agent.hear(HaveGetJob())
    agent.tell(Stopping())
    (ignored,) = agent.hear(
        Redirect(referral="jm2@x", info=Element(tag="info", attributes={"command": "getJob"}))
    )
    assert isinstance(ignored, Ignore)


# -- an order


def test_an_order_to_drain_lets_everything_end() -> None:
    agent = holding()
    assert agent.hear(Drain()) == []
    assert agent.wait(7 * GRACE) == []
    deliver(agent)
    actions = agent.finish(Forget(assignment=ASSIGNMENT))
    assert goodbyes(actions) == [Leaving()]
    assert gone(actions)


def test_an_order_that_is_said_again_changes_nothing() -> None:
    agent = holding()
    agent.hear(Drain())
    assert agent.hear(Drain()) == []


def test_a_signal_after_an_order_sets_a_limit() -> None:
    agent = holding()
    agent.hear(Drain())
    agent.tell(Stopping())
    assert effects(agent.wait(GRACE)) == [Stop(assignment=ASSIGNMENT)]


def test_only_the_manager_of_the_configuration_may_order_it() -> None:
    agent = holding()
    (ignored,) = agent.hear(Drain(), sender="sm@x/one")
    assert isinstance(ignored, Ignore)
    deliver(agent)
    assert said(agent.wait(60.0)) == [(MANAGER, WantGetJob)]


# -- limits


def test_it_leaves_when_it_has_been_idle_for_too_long() -> None:
    agent = world(max_idle=60.0)
    agent.tell(Online(jid="agent@x/a"))
    assert not gone(agent.wait(59.0))
    assert gone(agent.wait(1.0))


def test_it_is_not_idle_while_it_holds_a_job() -> None:
    agent = holding(max_idle=60.0)
    assert not gone(agent.wait(600.0))
    deliver(agent)
    agent.finish(Forget(assignment=ASSIGNMENT))
    assert not gone(agent.wait(59.0))
    assert gone(agent.wait(1.0))


def test_it_leaves_after_its_last_job_and_asks_for_no_other() -> None:
    agent = holding(max_jobs=1, slots=2)
    agent.phase = "fetch"  # the last one is not given back
    assert agent.wait(600.0) == []
    deliver(agent)
    assert gone(agent.finish(Forget(assignment=ASSIGNMENT)))


def test_before_the_end_of_its_life_it_takes_nothing_and_gives_back_what_runs() -> None:
    agent = holding(lifetime=600.0, slots=2)
    agent.hear(HaveGetJob())
    agent.hear(Sleep())
    agent.now = 1600.0 - LAST_STEPS - GRACE
    assert WantGetJob not in [kind for _, kind in said(agent.wait(0.0))]
    assert agent.hear(HaveGetJob()) == []
    assert effects(agent.wait(GRACE)) == [Stop(assignment=ASSIGNMENT)]


@pytest.mark.parametrize(
    ("run_time", "taken"),
    [
        (None, True),
        (99.0, True),  # it ends in time
        (101.0, False),  # another agent has the time
        (86400.0, True),  # no agent like this has, so the limit says nothing
    ],
)
def test_a_job_that_cannot_end_in_its_life_but_in_that_of_another_is_refused(
    run_time: float | None, taken: bool
) -> None:
    agent = world(lifetime=1000.0)
    agent.tell(Online(jid="agent@x/a"))
    agent.now = 2000.0 - LAST_STEPS - 100.0
    agent.hear(HaveGetJob())
    actions = agent.hear(replace(RUN, job=replace(JOB, max_run_time=run_time)))
    assert any(isinstance(action, Refuse) for action in actions) is not taken
    assert gone(actions) is not taken


def test_without_limits_it_stays() -> None:
    agent = world()
    agent.tell(Online(jid="agent@x/a"))
    assert not gone(agent.wait(1e7))
    assert GetJob in [kind for _, kind in said(agent.hear(HaveGetJob()))]
    assert JobDone not in [kind for _, kind in said(agent.hear(RUN))]
