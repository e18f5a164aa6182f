"""The job manager's decisions, over the store in memory."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest

from copilot.errors import SealError, StoreUnavailable
from copilot.job import NEEDS_SEALED, Cause, EventKind, InputFile, JobSecret, JobSpec, Outcome, State
from copilot.jobmanager.logic import (
    LONGEST_RETURN,
    LOOKS_A_LEASE,
    REAP_EVERY,
    JobManager,
    JobManagerSettings,
)
from copilot.jobmanager.orders import SecretOpener
from copilot.jobmanager.telling import TOLD_AT_ONCE
from copilot.protocol.claim import SECRET_BYTES, Claims
from copilot.protocol.commands import (
    Command,
    Drain,
    Error,
    GetJob,
    HaveGetJob,
    HeldJob,
    Job,
    LeaseLost,
    Leaving,
    Ping,
    RenewLease,
    RunJob,
    Sleep,
    WantGetJob,
)
from copilot.protocol.envelope import bare
from copilot.protocol.events import Acked, Expired, Received, Refused
from copilot.runtime.component import (
    Action,
    Came,
    Event,
    Leave,
    Offline,
    Online,
    Refuse,
    Send,
    Stopping,
    Tick,
    Withhold,
)
from copilot.runtime.counts import JobCounts
from copilot.store.memory import MemoryStore

AGENT = "agent@x/a"
CLAIMS = Claims("jm@x", [b"s" * SECRET_BYTES])
WANT = WantGetJob(agent_host="h", jdl="[]")
GET = GetJob(agent_host="h", jdl="[]")
SPEC = JobSpec(id="j1", command="run.sh", inputs=(InputFile(name="run.sh", size=3, sha256="0" * 64),))
STORAGE = frozenset({"storage"})


class Urls:
    def input_url(self, job: str, name: str, expires_in: float) -> str:
        return f"https://files/{job}/{name}"


class World:
    """A manager, its store, and the time."""

    def __init__(
        self,
        settings: JobManagerSettings | None = None,
        *,
        urls: Urls | None = None,
        opener: SecretOpener | None = None,
    ) -> None:
        self.now = 100.0
        self.store = MemoryStore(clock=self)
        self.counts = JobCounts()
        self.manager = JobManager(
            self.store,
            CLAIMS,
            settings or JobManagerSettings(),
            urls=urls,
            opener=opener,
            random=lambda: 0.5,
            counts=self.counts,
        )

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    async def tell(self, event: Event) -> list[Action]:
        result = self.manager.handle(event, self.now)
        return list(await result if isinstance(result, Awaitable) else result)

    async def hear(
        self,
        command: Command,
        *,
        features: frozenset[str] | None = STORAGE,
        message: str = "m1",
        sealed: bool = False,
    ) -> list[Action]:
        received = Received(
            command=command,
            sender=AGENT,
            id=message,
            features=features,
            element=True,
            wants_ack=True,
            sealed=sealed,
        )
        return await self.tell(received)

    async def claimed(self) -> RunJob:
        """Submit job j1 and hand it out."""
        await self.store.submit([SPEC])
        (action,) = await self.hear(GET)
        assert isinstance(action, Send)
        assert isinstance(action.command, RunJob)
        return action.command

    async def record(self) -> Any:
        record = await self.store.get("j1")
        assert record is not None
        return record


async def test_it_offers_what_waits() -> None:
    world = World(JobManagerSettings(require_file="/opt/root"))
    await world.store.submit([SPEC])
    assert await world.hear(WANT) == [Send(to=AGENT, command=HaveGetJob(require_file="/opt/root"))]


async def test_with_nothing_to_give_it_says_when_to_ask_again() -> None:
    world = World(JobManagerSettings(request_cooldown=7.0))
    for command in (WANT, GET):
        assert await world.hear(command) == [Send(to=AGENT, command=Sleep(retry_after=7.0))]


@pytest.mark.parametrize(
    ("cooldown", "expected"), [(0.0, []), (60.0, [Send(to=AGENT, command=Sleep(retry_after=60.0))])]
)
async def test_a_peer_of_2011_is_sent_to_sleep_only_where_that_is_configured(
    cooldown: float, expected: list[Action]
) -> None:
    world = World(JobManagerSettings(request_cooldown=cooldown, chirp="chirp.example.org:9094"))
    assert await world.hear(WANT, features=None) == expected


async def test_the_job_comes_with_a_claim_made_out_to_the_agent() -> None:
    world = World(urls=Urls())
    run = await world.claimed()
    assert run.job.attempt == 1
    assert [(item.url, item.size) for item in run.job.inputs] == [("https://files/j1/run.sh", 3)]
    assert CLAIMS.check(run.jm_job_data, job="j1", agent="agent@x").attempt == 1


async def test_a_runjob_is_void_when_the_dispatch_limit_is_over() -> None:
    world = World(JobManagerSettings(dispatch_limit=30.0))
    await world.store.submit([SPEC])
    (action,) = await world.hear(GET)
    assert isinstance(action, Send)
    assert action.void_at == 130.0


async def test_the_same_request_at_another_instance_gets_the_same_job() -> None:
    world = World()
    first = await world.claimed()
    other = JobManager(world.store, CLAIMS, JobManagerSettings(), urls=None, random=lambda: 0.5)
    received = Received(command=GET, sender=AGENT, id="m1", features=STORAGE, element=True, wants_ack=True)
    result = other.handle(received, 0.0)
    assert isinstance(result, Awaitable)
    (action,) = await result
    assert isinstance(action, Send)
    assert action.command == first


async def test_without_chirp_a_peer_that_cannot_fetch_by_url_gets_nothing() -> None:
    world = World(urls=Urls())
    await world.store.submit([SPEC])
    assert await world.hear(WANT, features=None) == []
    (action,) = await world.hear(GET, features=frozenset({"lease"}))
    assert isinstance(action, Refuse)
    assert action.code == "storage-needed"
    assert await world.store.waiting() == 1


async def test_a_job_that_its_agent_has_confirmed_is_running_until_its_own_limit() -> None:
    world = World(JobManagerSettings(max_run_time=100.0))
    run = await world.claimed()
    assert run.job.max_run_time == 100.0
    await world.tell(Acked(id="r", to=AGENT, command=run))
    events = await world.store.events()
    assert [event.kind.value for event in events] == ["submitted", "claimed", "running"]


async def test_the_shorter_of_two_run_times_holds() -> None:
    world = World(JobManagerSettings(max_run_time=100.0))
    await world.store.submit([replace(SPEC, max_run_time=50.0)])
    (action,) = await world.hear(GET)
    assert isinstance(action, Send)
    assert isinstance(action.command, RunJob)
    assert action.command.job.max_run_time == 50.0


async def test_a_job_that_was_never_confirmed_goes_back_uncounted() -> None:
    world = World()
    run = await world.claimed()
    await world.tell(Expired(id="r", to=AGENT, command=run))
    record = await world.record()
    assert (record.state, record.attempts_used) == (State.WAITING, 0)


async def test_a_job_that_its_agent_refused_has_used_an_attempt() -> None:
    world = World()
    run = await world.claimed()
    error = Error(error_string="cannot", code="bad-value")
    await world.tell(Refused(id="r", to=AGENT, command=run, error=error))
    record = await world.record()
    assert (record.state, record.attempts_used) == (State.WAITING, 1)


@pytest.mark.parametrize("code", ["no-slot", "busy-with-job"])
async def test_a_job_for_which_its_agent_has_no_room_goes_back_uncounted(code: str) -> None:
    world = World()
    run = await world.claimed()
    await world.tell(Refused(id="r", to=AGENT, command=run, error=Error(error_string="no", code=code)))
    record = await world.record()
    assert (record.state, record.attempts_used) == (State.WAITING, 0)


async def test_a_late_confirmation_changes_nothing() -> None:
    world = World()
    run = await world.claimed()
    await world.store.hand_back("j1", 1, cause=Cause.INFRA_UNDELIVERED)
    assert await world.tell(Acked(id="r", to=AGENT, command=run)) == []
    assert (await world.record()).state is State.WAITING


async def test_it_looks_for_lost_attempts_again_and_again() -> None:
    world = World(JobManagerSettings(dispatch_limit=0.0))
    await world.claimed()
    assert world.manager.wakeup() is None
    await world.tell(Online(jid="jm@x/one"))
    assert world.manager.wakeup() == world.now
    await world.tell(Tick())
    assert (await world.record()).state is State.WAITING
    assert world.manager._next_reap == world.now + REAP_EVERY


async def test_what_is_not_its_business_has_no_effect() -> None:
    world = World()
    assert await world.tell(Tick()) == []
    assert await world.hear(Ping()) == []
    assert await world.tell(Acked(id="r", to=AGENT, command=HaveGetJob())) == []


async def test_it_leaves_when_asked_to() -> None:
    assert await World().tell(Stopping()) == [Leave()]


CHIRP = JobManagerSettings(chirp="chirp.example.org:9094")


async def order(world: World, spec: JobSpec, *, features: frozenset[str] | None, message: str = "m1") -> Job:
    """What an agent is told to run."""
    await world.store.submit([spec])
    (action,) = await world.hear(GET, features=features, message=message)
    assert isinstance(action, Send)
    assert isinstance(action.command, RunJob)
    return action.command.job


async def test_a_peer_of_2011_gets_the_job_in_the_reports_words_alone() -> None:
    assert await order(World(CHIRP), SPEC, features=None) == Job(
        id="j1",
        command="run.sh",
        chirp_url="chirp.example.org:9094",
        input_dir="/j1.a0",
        input_files=("run.sh",),
        output_dir="j1",
    )


async def test_the_chirp_server_of_the_job_goes_before_the_managers() -> None:
    job = await order(World(CHIRP), replace(SPEC, chirp_server="other.example.org:9094"), features=None)
    assert job.chirp_url == "other.example.org:9094"


async def test_a_job_of_2011_has_its_inputs_where_its_owner_put_them() -> None:
    old = replace(SPEC, chirp_server="other.example.org:9094", input_dir="/jobs/j 1")
    job = await order(World(CHIRP, urls=Urls()), old, features=STORAGE)
    assert job.input_dir == "/jobs/j 1"
    assert [item.url for item in job.inputs] == ["chirp://other.example.org:9094/jobs/j%201/run.sh"]


async def test_without_a_file_server_our_agents_fetch_by_chirp_and_check() -> None:
    job = await order(World(CHIRP), SPEC, features=STORAGE)
    (item,) = job.inputs
    assert (item.url, item.size) == ("chirp://chirp.example.org:9094/j1.a0/run.sh", 3)
    assert (job.id, job.attempt) == ("j1", 1)


async def second_attempt(world: World, *, features: frozenset[str] | None) -> Job:
    await order(world, SPEC, features=features)
    await world.store.hand_back("j1", 1, cause=Cause.INFRA_UNDELIVERED)
    return await order(world, SPEC, features=features, message="m2")


async def test_a_peer_of_2011_knows_a_second_attempt_by_an_alias() -> None:
    job = await second_attempt(World(CHIRP), features=None)
    assert (job.id, job.output_dir, job.input_dir, job.attempt) == ("j1.a2", "j1.a2", "/j1.a0", None)


async def test_our_agents_know_a_second_attempt_by_its_number() -> None:
    job = await second_attempt(World(CHIRP), features=STORAGE)
    assert (job.id, job.output_dir, job.attempt) == ("j1", "j1.a2", 2)


async def test_the_acknowledgement_of_a_peer_of_2011_confirms_the_attempt_that_it_was_given() -> None:
    world = World(replace(CHIRP, max_run_time=50.0))
    job = await second_attempt(world, features=None)
    await world.tell(Acked(id="r", to=AGENT, command=RunJob(job=job)))
    await world.store.reap()
    assert (await world.record()).state is State.RUNNING
    events = await world.store.events()
    assert [event.attempt for event in events if event.kind is EventKind.RUNNING] == [2]


async def test_a_peer_of_2011_that_asks_again_has_lost_what_it_was_given_a_minute_ago() -> None:
    world = World(CHIRP)
    job = await order(world, SPEC, features=None)
    await world.tell(Acked(id="r", to=AGENT, command=RunJob(job=job)))
    assert await world.hear(WANT, features=None) == []
    claimed = (await world.record()).claimed
    await world.store.suspect(AGENT, now=claimed + 60)
    await world.store.reap(now=claimed + 91)
    assert (await world.record()).state is State.WAITING
    assert await world.hear(WANT, features=None) == [Send(to=AGENT, command=HaveGetJob())]


async def test_a_peer_of_2011_never_sleeps_while_it_may_hold_a_job() -> None:
    world = World(replace(CHIRP, request_cooldown=60.0))
    await order(world, SPEC, features=None)
    assert await world.hear(WANT, features=None) == []
    assert await world.hear(GET, features=None, message="m2") == []


async def test_asking_again_costs_our_agents_nothing() -> None:
    world = World(CHIRP)
    await order(world, SPEC, features=STORAGE)
    before = world.store.round_trips
    await world.hear(WANT)
    assert world.store.round_trips == before + 1


# ---------------------------------------------------------------- leases

LEASED = frozenset({"storage", "lease"})


async def leased(world: World) -> None:
    """j1 is at the agent, confirmed, under a lease of 10 s."""
    job = await order(world, SPEC, features=LEASED)
    assert job.lease == 10.0
    await world.tell(Acked(id="r", to=AGENT, command=RunJob(job=job)))


def of_ten_seconds() -> World:
    return World(JobManagerSettings(lease=10.0))


async def test_an_agent_that_knows_of_leases_gets_one_and_others_do_not() -> None:
    await leased(of_ten_seconds())
    assert (await order(of_ten_seconds(), SPEC, features=STORAGE)).lease is None


async def test_a_class_of_agents_may_have_leases_of_its_own_length() -> None:
    def world() -> World:
        return World(JobManagerSettings(lease=10.0, leases={"laptop": 14400.0}))

    for agent_class, expected in (("laptop", 14400.0), ("volunteer", 10.0), ("", 10.0), (None, 10.0)):
        here = world()
        await here.store.submit([SPEC])
        (action,) = await here.hear(replace(GET, agent_class=agent_class), features=LEASED)
        assert isinstance(action, Send)
        assert isinstance(action.command, RunJob)
        assert action.command.job.lease == expected


async def test_the_shortest_lease_decides_how_often_it_looks_for_lost_attempts() -> None:
    world = World(JobManagerSettings(lease=3600.0, leases={"short": 8.0, "long": 14400.0}))
    await world.tell(Online(jid="jm@x/one"))
    await world.tell(Tick())
    assert world.manager._next_reap == world.now + 8.0 / LOOKS_A_LEASE


async def test_only_an_agent_with_leases_is_given_an_exclusive_job_and_told_so() -> None:
    world = World()
    exclusive = replace(SPEC, exclusive=True)
    await world.store.submit([exclusive])
    assert [type(one.command) for one in await world.hear(GET) if isinstance(one, Send)] == [Sleep]
    assert (await order(world, exclusive, features=LEASED, message="m2")).exclusive
    assert (await order(World(), SPEC, features=LEASED)).exclusive is None


async def test_a_renewal_is_answered_by_what_the_agent_does_not_hold() -> None:
    world = of_ten_seconds()
    await leased(world)
    mine, gone = HeldJob(id="j1", attempt=1, phase="run"), HeldJob(id="j2", attempt=4, phase="upload")
    assert await world.hear(RenewLease(held=(mine,)), features=LEASED) == []
    answer, unacknowledged = await world.hear(RenewLease(held=(mine, gone)), features=LEASED)
    assert unacknowledged == Withhold()
    assert answer == Send(to=AGENT, command=LeaseLost(held=(HeldJob(id="j2", attempt=4),)))


async def test_what_a_leaving_agent_gives_back_waits_at_once() -> None:
    world = of_ten_seconds()
    await leased(world)
    held = (HeldJob(id="j1", attempt=1), HeldJob(id="j2", attempt=4))
    assert await world.hear(Leaving(held=held), features=LEASED) == []
    record = await world.record()
    assert (record.state, record.attempts_used) == (State.WAITING, 0)


async def test_agents_are_told_to_leave_until_they_say_goodbye() -> None:
    world = World()
    await world.tell(Online(jid="jm@x/one"))
    agent = bare(AGENT)
    await world.store.drain([agent])
    assert await world.tell(Tick()) == [Send(to=agent, command=Drain())]
    world.now += 10.0
    assert await world.tell(Tick()) == [Send(to=agent, command=Drain())]
    await world.hear(Leaving())
    world.now += 10.0
    assert await world.tell(Tick()) == []


async def test_of_many_agents_the_next_ones_are_told_in_the_next_round() -> None:
    world = World()
    await world.tell(Online(jid="jm@x/one"))
    await world.store.drain([f"a{number:03}@x" for number in range(TOLD_AT_ONCE + 1)])
    told = []
    for _ in range(3):
        told.append([action.to for action in await world.tell(Tick()) if isinstance(action, Send)])
        world.now += 10.0
    assert [len(agents) for agents in told] == [TOLD_AT_ONCE, 1, TOLD_AT_ONCE]
    assert told[1] == [f"a{TOLD_AT_ONCE:03}@x"]


async def state_after(world: World, seconds: float) -> State:
    """The job's state when the manager has looked for lost attempts after so many seconds."""
    world.now += seconds
    await world.tell(Tick())
    state: State = (await world.record()).state
    return state


async def test_a_silent_agent_loses_its_job_when_the_lease_is_over() -> None:
    world = of_ten_seconds()
    await world.tell(Online(jid="jm@x/one"))
    await leased(world)
    assert await state_after(world, 9.0) is State.RUNNING
    assert await state_after(world, 6.0) is State.WAITING


async def test_after_an_outage_of_the_session_agents_have_a_whole_lease_to_renew() -> None:
    world = of_ten_seconds()
    await world.tell(Online(jid="jm@x/one"))
    await leased(world)
    await world.tell(Offline(reason="cut"))
    assert await state_after(world, 3600.0) is State.RUNNING
    await world.tell(Online(jid="jm@x/one"))
    assert await state_after(world, 9.0) is State.RUNNING
    assert await state_after(world, 9.0) is State.WAITING


async def back_online(world: World) -> None:
    await world.tell(Online(jid="jm@x/one"))
    await leased(world)
    await world.tell(Offline(reason="cut"))
    world.now += 60.0
    await world.tell(Online(jid="jm@x/one"))


async def test_while_agents_come_back_after_an_outage_the_others_have_not_had_time_to_renew() -> None:
    world = of_ten_seconds()
    await back_online(world)
    for _ in range(5):
        assert await state_after(world, 9.0) is State.RUNNING
        await world.tell(Came(jid="agent@x/a"))
    assert await state_after(world, 9.0) is State.RUNNING
    assert await state_after(world, 9.0) is State.WAITING


async def test_an_agent_that_comes_later_is_none_of_those() -> None:
    world = of_ten_seconds()
    await back_online(world)
    world.now += 10.0
    await world.tell(Came(jid="agent@x/a"))
    assert await state_after(world, 1.0) is State.WAITING


async def test_a_job_does_not_wait_for_ever_for_agents_that_come_back() -> None:
    world = of_ten_seconds()
    await back_online(world)
    for _ in range(round(LONGEST_RETURN / 5.0) - 1):
        world.now += 5.0
        await world.tell(Came(jid="agent@x/a"))
    assert await state_after(world, 5.0) is State.RUNNING
    await world.tell(Came(jid="agent@x/a"))
    assert await state_after(world, 5.0) is State.WAITING


@pytest.mark.parametrize("phase", ["sleep", "run\n", "x" * 10_000])
async def test_a_renewal_with_a_phase_that_we_do_not_know_counts(phase: str) -> None:
    world = of_ten_seconds()
    await leased(world)
    held = HeldJob(id="j1", attempt=1, phase=phase)
    assert await world.hear(RenewLease(held=(held,)), features=LEASED) == []


@pytest.mark.parametrize("kind", [RenewLease, Leaving])
async def test_an_agent_may_name_more_jobs_than_the_store_takes_at_once(kind: type[Any]) -> None:
    world = of_ten_seconds()
    await leased(world)
    many = tuple(HeldJob(id=f"none-{number}", attempt=1) for number in range(2500))
    actions = await world.hear(kind(held=many), features=LEASED)
    named = [
        len(one.command.held)
        for one in actions
        if isinstance(one, Send) and isinstance(one.command, LeaseLost)
    ]
    assert named == ([2500] if kind is RenewLease else [])


async def test_a_store_that_is_away_does_not_make_us_online() -> None:
    world = of_ten_seconds()
    await world.tell(Online(jid="jm@x/one"))
    await leased(world)
    reap = world.store.reap

    async def cut(**_: Any) -> Any:
        await world.tell(Offline(reason="cut"))
        raise StoreUnavailable("away")

    world.store.reap = cut  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await state_after(world, 5.0)
    world.store.reap = reap  # type: ignore[method-assign]
    assert await state_after(world, 3600.0) is State.RUNNING


async def test_after_an_outage_of_the_store_agents_have_a_whole_lease_to_renew() -> None:
    world = of_ten_seconds()
    await world.tell(Online(jid="jm@x/one"))
    await leased(world)
    reap = world.store.reap

    async def away(**_: Any) -> Any:
        raise StoreUnavailable("away")

    world.store.reap = away  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await state_after(world, 3600.0)
    world.store.reap = reap  # type: ignore[method-assign]
    assert await state_after(world, 9.0) is State.RUNNING
    assert await state_after(world, 9.0) is State.WAITING


async def test_an_agent_that_renews_after_its_job_went_back_has_it_again() -> None:
    world = of_ten_seconds()
    await world.tell(Online(jid="jm@x/one"))
    await leased(world)
    assert await state_after(world, 20.0) is State.WAITING
    assert await world.hear(RenewLease(held=(HeldJob(id="j1", attempt=1),)), features=LEASED) == []
    assert (await world.record()).state is State.RUNNING


async def quarantined(world: World) -> None:
    """Three jobs fail at AGENT, and one more waits."""
    failed = Outcome(cause=Cause.INFRA_DISK_FULL, exit_code=1)
    await world.store.submit([replace(SPEC, id=f"j{number}") for number in range(1, 5)])
    for one in await world.store.claim(agent=bare(AGENT), request="r", dispatch_limit=60, count=3):
        await world.store.finish(one.spec.id, one.attempt, failed)


async def test_an_agent_in_quarantine_is_told_when_to_ask_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    world = World(CHIRP)
    await quarantined(world)
    world.now += 10.5
    assert await world.hear(GET) == [Send(to=AGENT, command=Sleep(retry_after=50.0))]
    assert f"{AGENT} is in quarantine for 50 s more" in caplog.text
    world.now += 50.0
    (action,) = await world.hear(GET)
    assert isinstance(action, Send)
    assert isinstance(action.command, RunJob)


async def test_an_agent_of_2011_in_quarantine_is_told_nothing_for_it_would_reboot() -> None:
    world = World(JobManagerSettings(chirp="chirp.example.org:9094", request_cooldown=60.0))
    await quarantined(world)
    assert await world.hear(GET, features=None) == []


async def test_the_log_tells_of_agents_that_were_lost_too_often(caplog: pytest.LogCaptureFixture) -> None:
    world = of_ten_seconds()
    await world.store.submit([replace(SPEC, id=f"j{number}") for number in range(1, 4)])
    for one in await world.store.claim(agent="a@x", request="r", dispatch_limit=60, count=3, lease=10):
        await world.store.confirm(one.spec.id, one.attempt, max_run_time=60)
    await world.tell(Online(jid="jm@x/one"))
    world.now += 60.0
    await world.tell(Tick())
    assert "agent a@x: quarantined: jobs keep failing at this agent" in caplog.text
    assert (world.counts.quarantines, world.counts.leases_ran_out) == (1, 3)


# ---------------------------------------------------------------- what is counted


async def test_a_claim_is_counted_once_however_often_its_request_comes() -> None:
    world = of_ten_seconds()
    await leased(world)
    await world.hear(GET, features=LEASED)
    assert (world.counts.claims, world.counts.leases_granted) == (1, 1)
    await world.store.submit([replace(SPEC, id="j2")])
    await world.hear(GET, features=STORAGE, message="m2")  # this one does not know of leases
    assert (world.counts.claims, world.counts.leases_granted) == (2, 1)


async def test_leases_are_counted_as_they_are_renewed_run_out_and_come_back() -> None:
    world = of_ten_seconds()
    await world.tell(Online(jid="jm@x/one"))
    await leased(world)
    renewal = RenewLease(held=(HeldJob(id="j1", attempt=1), HeldJob(id="j2", attempt=1)))
    await world.hear(renewal, features=LEASED)
    assert (world.counts.leases_renewed, world.counts.leases_revived) == (1, 0)
    await state_after(world, 20.0)
    await world.hear(renewal, features=LEASED)
    assert (world.counts.leases_renewed, world.counts.leases_revived) == (2, 1)
    assert (world.counts.leases_ran_out, world.counts.reaps) == (1, 1)
    assert world.counts.requeues == {"infra-lost": 1}


async def test_what_an_agent_gives_back_is_counted_by_its_cause() -> None:
    world = of_ten_seconds()
    await leased(world)
    await world.hear(
        Leaving(held=(HeldJob(id="j1", attempt=1), HeldJob(id="j2", attempt=1))), features=LEASED
    )
    assert world.counts.requeues == {"infra-preempted": 1}


async def test_what_did_not_arrive_or_was_refused_is_counted_once() -> None:
    run = await World().claimed()
    for event in (
        Expired(id="r", to=AGENT, command=run),
        Refused(id="r", to=AGENT, command=run, error=Error(error_string="no", code="no-slot")),
        Refused(id="r", to=AGENT, command=run, error=Error(error_string="cannot", code="bad-value")),
    ):
        world = World()
        await world.claimed()
        await world.tell(event)
        await world.tell(event)
        assert world.counts.requeues == {"infra-undelivered": 1}
        assert world.counts.attempts_ended == {"infra-undelivered": 1}


async def test_a_lost_agents_attempt_of_2011_is_requeued_and_no_lease_has_run_out() -> None:
    world = World(CHIRP)
    await world.tell(Online(jid="jm@x/one"))
    job = await order(world, SPEC, features=None)
    await world.tell(Acked(id="r", to=AGENT, command=RunJob(job=job)))
    world.now += 100.0
    await world.hear(WANT, features=None)
    assert await state_after(world, 100.0) is State.WAITING
    assert world.counts.requeues == {"infra-lost": 1}
    assert world.counts.leases_ran_out == 0


SECRETIVE = replace(SPEC, requirements=NEEDS_SEALED, secrets=(JobSecret(name="token", sealed="v1:k:w:t"),))


def open_for(secret: JobSecret, job: str) -> bytes:
    assert (secret, job) == (SECRETIVE.secrets[0], "j1")
    return b"canary"


async def test_secrets_go_with_the_attempt_to_an_agent_in_a_sealed_session() -> None:
    world = World(urls=Urls(), opener=open_for)
    await world.store.submit([SECRETIVE])
    asked = await world.hear(GET, sealed=True)
    assert [one.command for one in asked if isinstance(one, Send) and isinstance(one.command, RunJob)]
    assert "canary" not in repr(asked)
    assert "Y2FuYXJ5" not in repr(asked)
    (secret,) = asked[0].command.job.secrets  # type: ignore[union-attr]
    assert (secret.name, secret.data) == ("token", "Y2FuYXJ5")
    again = await world.hear(GET, sealed=True)  # the same request: the same attempt
    assert [one.command.job.attempt for one in again] == [1]  # type: ignore[union-attr]
    assert await world.hear(GET, sealed=True, message="m2") == [
        Send(to=AGENT, command=Sleep(retry_after=0.0))
    ]


async def test_who_speaks_in_clear_gets_no_job_with_secrets_whatever_it_says_of_its_host() -> None:
    world = World(urls=Urls(), opener=open_for)
    await world.store.submit([SECRETIVE])
    for number, jdl in enumerate(
        ("[]", "[ Sealed = true ]", "#sealed\n[]", "#sealed\n#sealed\n[ Sealed = true ]")
    ):
        asked = await world.hear(GetJob(agent_host="h", jdl=jdl), message=f"m{number}")
        assert asked == [Send(to=AGENT, command=Sleep(retry_after=0.0))]
    assert (await world.record()).attempt == 0


async def test_one_that_was_claimed_for_an_agent_that_speaks_in_clear_by_now_goes_back() -> None:
    world = World(urls=Urls(), opener=open_for)
    await world.store.submit([SECRETIVE])
    await world.hear(GET, sealed=True)
    assert await world.hear(GET) == [
        Send(to=AGENT, command=Sleep(retry_after=0.0))
    ]  # the same request, in clear
    record = await world.record()
    assert (record.state, record.attempts_used) == (State.WAITING, 0)


async def test_without_the_key_the_job_fails_and_says_why() -> None:
    def missing(secret: JobSecret, job: str) -> bytes:
        raise SealError(f"secret {secret.name}: sealed for the key 0123, which this service does not have")

    for opener in (missing, None):
        world = World(urls=Urls(), opener=opener)
        await world.store.submit([SECRETIVE])
        assert not [one for one in await world.hear(GET, sealed=True) if isinstance(one.command, RunJob)]  # type: ignore[union-attr]
        record = await world.record()
        assert (record.state, record.outcome.cause) == (State.FAILED, Cause.POLICY_SECRETS)
        assert record.outcome.reason
