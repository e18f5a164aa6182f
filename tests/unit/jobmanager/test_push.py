"""Agents that get work by themselves: asked once, remembered by the store, and told as soon as there is a job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from copilot.errors import StoreUnavailable
from copilot.job import Cause, Event, EventKind, JobSpec, State
from copilot.jobmanager.logic import (
    DISPATCH_EVERY,
    DISPATCHED_AT_ONCE,
    GONE_FOR,
    PUSH_WITHIN,
    SHOW_UP_WITHIN,
    JobManagerSettings,
)
from copilot.protocol.commands import (
    Error,
    GetJob,
    HaveGetJob,
    JobDone,
    Leaving,
    RunJob,
    Sleep,
)
from copilot.protocol.events import Acked, Expired, Refused, Undeliverable
from copilot.protocol.rules import FEATURES
from copilot.runtime.component import Action, Gone, Hinted, Offline, Online, Send, Tick
from copilot.store.base import Parking
from copilot.store.memory import MemoryStore
from tests.unit.jobmanager.test_logic import AGENT, GET, STORAGE, WANT, World

OURS = frozenset(FEATURES)


def get(slots: int) -> GetJob:
    return GetJob(agent_host="h", jdl="[]", slots=slots)


def done(run: RunJob | None = None, *, slots: int | None = None) -> JobDone:
    claim = None if run is None else run.jm_job_data
    job = "j0" if run is None else run.job.id
    return JobDone(job_id=job, exit_code=0, state="done", jm_job_data=claim, slots=slots)


def ordered(actions: list[Action]) -> list[RunJob]:
    return [one.command for one in actions if isinstance(one, Send) and isinstance(one.command, RunJob)]


def jobs(actions: list[Action]) -> list[str]:
    return [order.job.id for order in ordered(actions)]


class Pushing(World):
    """With an agent that can do all that ours can."""

    async def submit(self, *names: str) -> None:
        await self.store.submit([JobSpec(id=name, command="run.sh") for name in names])

    async def online(self) -> None:
        """And past the first look at the queue."""
        await self.tell(Online(jid="jm@x/one"))
        await self.tell(Tick())

    async def ask(self, slots: int = 1, message: str = "m1") -> list[Action]:
        return await self.hear(get(slots), features=OURS, message=message)

    async def pushed(self) -> RunJob:
        """The agent waits for two, and is given one."""
        await self.online()
        await self.ask(2)
        await self.submit("j1")
        (order,) = ordered(await self.tell(Hinted()))
        return order

    async def parked(self) -> bool:
        """Whether a job that comes now is given to the agent."""
        await self.submit("probe")
        return bool(await self.store.dispatch(dispatch_limit=60.0))


async def test_the_offer_does_not_wait_for_a_job() -> None:
    world = World(JobManagerSettings(require_file="/opt/root"))
    assert await world.hear(WANT, features=OURS) == [
        Send(to=AGENT, command=HaveGetJob(require_file="/opt/root"))
    ]


async def test_it_gives_as_many_jobs_as_the_agent_can_take() -> None:
    world = Pushing()
    await world.submit("j1", "j2", "j3")
    assert jobs(await world.ask(2)) == ["j1", "j2"]


async def test_without_a_number_it_gives_one() -> None:
    world = Pushing()
    await world.submit("j1", "j2")
    assert jobs(await world.hear(GET, features=OURS)) == ["j1"]


@pytest.mark.parametrize("cooldown", [0.0, 7.0, 3600.0])
async def test_an_agent_for_which_there_is_nothing_is_remembered_and_told_when_to_show_up(
    cooldown: float,
) -> None:
    world = Pushing(JobManagerSettings(request_cooldown=cooldown))
    assert await world.ask() == [Send(to=AGENT, command=Sleep(retry_after=SHOW_UP_WITHIN))]
    assert await world.parked()


async def test_who_cannot_be_given_work_later_is_not_remembered() -> None:
    world = Pushing()
    await world.hear(get(1), features=STORAGE)
    assert not await world.parked()


async def test_nothing_that_we_do_not_know_of_an_agent_gets_into_the_store() -> None:
    world = Pushing()
    await world.hear(get(1), features=OURS | {"x" * 10_000})
    await world.submit("j1")
    (given,) = await world.store.dispatch(dispatch_limit=60.0)
    assert given.to == Parking(jid=AGENT, features=tuple(sorted(FEATURES)))


async def test_a_report_brings_the_next_jobs() -> None:
    world = Pushing()
    await world.submit("j1", "j2", "j3")
    assert jobs(await world.hear(done(slots=2), features=OURS)) == ["j1", "j2"]


async def test_a_copy_of_a_report_brings_the_same_jobs() -> None:
    world = Pushing()
    await world.submit("j1", "j2")
    first = await world.hear(done(slots=1), features=OURS)
    assert await world.hear(done(slots=1), features=OURS) == first


@pytest.mark.parametrize(("slots", "features"), [(None, OURS), (0, OURS), (1, STORAGE), (1, None)])
async def test_a_report_that_asks_for_nothing_brings_nothing(
    slots: int | None, features: frozenset[str] | None
) -> None:
    world = Pushing(JobManagerSettings(chirp="chirp.example.org:9094"))
    await world.submit("j1")
    assert await world.hear(done(slots=slots), features=features) == []


async def test_after_a_report_for_which_there_is_nothing_the_agent_is_remembered() -> None:
    world = Pushing()
    assert await world.hear(done(slots=1), features=OURS) == []
    assert await world.parked()


async def test_a_hint_gives_the_job_that_has_come_with_all_that_the_agent_has_to_know() -> None:
    world = Pushing(JobManagerSettings(require_file="/opt/root", lease=40.0))
    await world.online()
    await world.ask()
    await world.submit("j1")
    (action,) = await world.tell(Hinted())
    assert isinstance(action, Send)
    assert isinstance(action.command, RunJob)
    assert (action.to, action.void_at) == (AGENT, world.now + PUSH_WITHIN)
    order = action.command
    assert (order.require_file, order.job.attempt, order.job.lease) == ("/opt/root", 1, 40.0)
    record = await world.record()
    assert (record.state, record.agent) == (State.RUNNING, "agent@x")


async def test_what_an_agent_asks_for_itself_needs_no_file_it_was_offered_with_that() -> None:
    world = Pushing(JobManagerSettings(require_file="/opt/root"))
    await world.submit("j1")
    (order,) = ordered(await world.hear(GET, features=STORAGE))
    assert order.require_file is None


async def test_without_a_hint_it_looks_by_itself() -> None:
    world = Pushing()
    await world.online()
    await world.ask()
    await world.submit("j1")
    assert jobs(await world.tell(Tick())) == []
    world.now += DISPATCH_EVERY
    assert jobs(await world.tell(Tick())) == ["j1"]


@pytest.mark.parametrize("before", [[], [Online(jid="jm@x/one"), Offline(reason="cut")]])
async def test_without_a_session_nothing_is_given(before: list[Any]) -> None:
    world = Pushing()
    for event in before:
        await world.tell(event)
    await world.ask()
    await world.submit("j1")
    assert await world.tell(Hinted()) == []
    world.now += DISPATCH_EVERY
    assert jobs(await world.tell(Tick())) == []


class Held(MemoryStore):
    """It answers a dispatch when it is let."""

    def __init__(self, world: World) -> None:
        super().__init__(clock=world)
        self.free = asyncio.Event()
        self.dispatches = 0

    async def dispatch(self, **arguments: Any) -> Any:
        self.dispatches += 1
        await self.free.wait()
        return await super().dispatch(**arguments)


async def test_a_hint_that_comes_while_it_gives_makes_it_look_again() -> None:
    world = Pushing()
    world.store = world.manager._store = store = Held(world)
    await world.tell(Online(jid="jm@x/one"))
    first = world.manager.handle(Hinted(), world.now)
    assert isinstance(first, Awaitable)
    under_way = asyncio.ensure_future(first)
    await asyncio.sleep(0)
    assert await world.tell(Hinted()) == []
    assert store.dispatches == 1
    store.free.set()
    await under_way
    assert world.manager.wakeup() == world.now


async def test_when_as_many_were_given_as_go_at_once_it_looks_again() -> None:
    world = Pushing()
    await world.online()
    await world.ask(DISPATCHED_AT_ONCE + 1)
    await world.submit(*(f"j{number}" for number in range(DISPATCHED_AT_ONCE + 1)))
    assert len(jobs(await world.tell(Hinted()))) == DISPATCHED_AT_ONCE
    assert world.manager.wakeup() == world.now
    assert len(jobs(await world.tell(Tick()))) == 1


class Away(MemoryStore):
    async def dispatch(self, **_: Any) -> Any:
        raise StoreUnavailable("away")


async def test_trouble_with_the_store_ends_no_dispatching() -> None:
    world = Pushing()
    store = world.store
    await world.online()
    await world.ask()
    await world.submit("j1")
    world.manager._store = Away()
    with pytest.raises(StoreUnavailable):
        await world.tell(Hinted())
    world.manager._store = store
    assert jobs(await world.tell(Hinted())) == ["j1"]


async def test_an_agent_that_is_gone_is_given_nothing() -> None:
    world = Pushing()
    await world.ask()
    world.now += GONE_FOR
    await world.tell(Gone(jid=AGENT))
    assert not await world.parked()


async def test_an_agent_that_has_come_back_meanwhile_is_not_forgotten() -> None:
    world = Pushing()
    await world.ask()
    world.now += GONE_FOR / 2
    await world.tell(Gone(jid=AGENT))
    assert await world.parked()


async def test_an_agent_that_says_goodbye_is_given_nothing() -> None:
    world = Pushing()
    await world.ask()
    await world.hear(Leaving(), features=OURS)
    assert not await world.parked()


async def test_where_nobody_is_nothing_more_is_sent() -> None:
    world = Pushing()
    order = await world.pushed()
    await world.tell(Undeliverable(id="r", to=AGENT, command=order))
    assert not await world.parked()


class Eager(MemoryStore):
    """What goes back is dispatched at that moment, as by another instance."""

    given: tuple[Any, ...] = ()

    async def hand_back(
        self, job: str, attempt: int, *, cause: Cause, now: float | None = None
    ) -> Event | None:
        event = await super().hand_back(job, attempt, cause=cause, now=now)
        self.given += await self.dispatch(dispatch_limit=60.0)
        return event


@pytest.mark.parametrize("code", ["no-slot", "busy-with-job", "no-file", "no-image"])
async def test_who_refuses_a_job_does_not_get_it_again(code: str) -> None:
    world = Pushing()
    world.store = world.manager._store = store = Eager(clock=world)
    order = await world.pushed()
    error = Error(error_string="not now", code=code, job_id="j1")
    assert await world.tell(Refused(id="r", to=AGENT, command=order, error=error)) == []
    record = await world.record()
    assert (record.state, record.attempts_used) == (State.WAITING, 0)
    assert store.given == ()
    assert not await world.parked()


async def test_who_does_not_acknowledge_a_job_does_not_get_it_again_unless_it_asks() -> None:
    """It may be there all the same and believe that it will be given work: so it is offered some."""
    world = Pushing(JobManagerSettings(require_file="/opt/root"))
    world.store = world.manager._store = store = Eager(clock=world)
    order = await world.pushed()
    world.now += PUSH_WITHIN
    actions = await world.tell(Expired(id="r", to=AGENT, command=order))
    assert actions == [Send(to=AGENT, command=HaveGetJob(require_file="/opt/root"))]
    assert (await world.record()).state is State.WAITING
    assert store.given == ()
    assert jobs(await world.ask(message="m2")) == ["j1"]


async def test_who_has_asked_meanwhile_is_not_forgotten() -> None:
    world = Pushing()
    order = await world.pushed()
    world.now += PUSH_WITHIN - 1.0
    await world.ask(message="m2")
    world.now += 1.0
    await world.tell(Expired(id="r", to=AGENT, command=order))
    (given,) = await world.store.dispatch(dispatch_limit=60.0)
    assert given.claimed.spec.id == "j1"


async def test_an_agent_of_2011_is_offered_nothing_because_it_did_not_answer() -> None:
    world = Pushing(JobManagerSettings(chirp="chirp.example.org:9094"))
    await world.submit("j1")
    (order,) = ordered(await world.hear(GET, features=None))
    assert await world.tell(Expired(id="r", to=AGENT, command=order)) == []


async def events(world: World) -> list[EventKind]:
    return [event.kind for event in await world.store.events()]


async def test_an_acknowledgement_confirms_the_job() -> None:
    world = Pushing()
    order = await world.pushed()
    await world.tell(Acked(id="r", to=AGENT, command=order))
    assert EventKind.RUNNING in await events(world)


async def test_jobs_that_stay_in_the_queue_do_not_keep_everybody_busy() -> None:
    """What is left to others wakes nobody up again and again."""
    world = Pushing()
    await world.hear(get(1), features=OURS - {"lease"})
    await world.store.submit([JobSpec(id="j1", command="run.sh", exclusive=True)])
    await anext(aiter(world.store.hints()))
    assert await world.store.dispatch(dispatch_limit=60.0) == ()
    assert not world.store._hint.is_set()


async def test_a_job_goes_to_an_agent_whose_host_meets_its_requirements() -> None:
    world = Pushing()
    await world.online()
    await world.store.submit([JobSpec(id="j1", command="run.sh", requirements="other.Cores > 2")])
    small, large = (GetJob(agent_host="h", jdl=f"[ Cores = {cores} ]", slots=1) for cores in (1, 4))
    assert jobs(await world.hear(small, features=OURS, message="m1")) == []
    assert jobs(await world.hear(large, features=OURS, message="m2")) == ["j1"]


async def test_an_agent_says_with_its_request_what_its_host_is_and_not_with_each_report() -> None:
    world = Pushing()
    await world.online()
    large = GetJob(agent_host="h", jdl="[ Cores = 4 ]", slots=1)
    await world.submit("j1")
    (order,) = ordered(await world.hear(large, features=OURS, message="m1"))
    await world.store.submit([JobSpec(id="j2", command="run.sh", requirements="other.Cores > 2")])
    assert jobs(await world.hear(done(order, slots=1), features=OURS, message="m2")) == ["j2"]
