"""The storage manager's decisions, over the store in memory and outputs in a dictionary."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace

import pytest

from copilot.errors import TransferUnavailable
from copilot.job import Cause, JobRecord, JobSpec, Output, State
from copilot.protocol.claim import SECRET_BYTES, Claim, Claims
from copilot.protocol.commands import (
    Command,
    GetJobOutputDir,
    HaveGetJobOutputDir,
    JobDone,
    StoreJobOutputDir,
    WantGetJobOutputDir,
)
from copilot.protocol.events import Received
from copilot.runtime.component import Action, Event, Leave, Online, Refuse, Send, Stopping, Tick
from copilot.runtime.counts import JobCounts
from copilot.storagemanager.logic import REPAIR_EVERY, Place, StorageManager
from copilot.store.memory import MemoryStore

AGENT = "agent@x/a"
CLAIMS = Claims("jm@x", [b"s" * SECRET_BYTES])
OURS = frozenset({"storage"})
OF_2011 = None  # features
OUTPUT = Output(size=10, sha256="0" * 64)
DONE = JobDone(
    job_id="j1",
    exit_code=0,
    state="done",
    agent_host="host",
    cause="ok",
    output_size=OUTPUT.size,
    output_sha256=OUTPUT.sha256,
)


class Outputs:
    """Implements the port: what lies where."""

    def __init__(self) -> None:
        self.prepared: list[tuple[str, int]] = []
        self.staged: dict[tuple[str, int], Output] = {}
        self.published: list[tuple[str, int]] = []
        self.discarded: list[tuple[str, int]] = []
        self.packages: dict[tuple[str, int], bytes] = {}
        self.broken = False
        self.tried = 0

    async def prepare(self, job: str, attempt: int) -> Place:
        self.prepared.append((job, attempt))
        return Place(url=f"https://files/{job}.a{attempt}", chirp="chirp.example.org:9094")

    async def seal(self, job: str, attempt: int) -> Output | None:
        return self.staged.get((job, attempt))

    async def publish(self, record: JobRecord, package: bytes | None = None) -> None:
        self.tried += 1
        if self.broken:
            raise TransferUnavailable("the disk is away")
        if package is not None:
            self.packages[record.spec.id, record.attempt] = package
        self.staged.pop((record.spec.id, record.attempt), None)
        self.published.append((record.spec.id, record.attempt))

    async def discard(self, job: str, attempt: int) -> None:
        if self.broken:
            raise OSError("the disk is away")
        self.discarded.append((job, attempt))


class World:
    """A storage manager with one job of agent@x, attempt 1, under way."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.outputs = Outputs()
        self.counts = JobCounts()
        self.manager = StorageManager(
            self.store, CLAIMS, self.outputs, random=lambda: 0.5, counts=self.counts
        )

    async def begin(self, *, attempts: int = 3) -> None:
        await self.store.submit([JobSpec(id="j1", command="run.sh", max_attempts=attempts)])
        await self.claim("agent@x")

    async def claim(self, agent: str) -> None:
        await self.store.claim(agent=agent, request=f"of {agent}", dispatch_limit=60.0)

    def upload(self, attempt: int = 1, output: Output = OUTPUT) -> None:
        self.outputs.staged["j1", attempt] = output

    async def tell(self, event: Event) -> list[Action]:
        """What it does at once; what it then has to publish follows."""
        result = self.manager.handle(event, 100.0)
        actions = list(await result if isinstance(result, Awaitable) else result)
        await self.go_on()
        return actions

    async def go_on(self) -> None:
        """As long as it has something to do now."""
        while self.manager.wakeup() == 0.0:
            await self.manager.handle(Tick(), 100.0)  # type: ignore[misc]

    async def repair(self) -> None:
        """It looks for results in the store, and publishes them."""
        await self.manager.repair()
        await self.go_on()

    async def hear(
        self, command: Command, sender: str = AGENT, *, features: frozenset[str] | None = OURS
    ) -> list[Action]:
        received = Received(
            command=command, sender=sender, id="m", features=features, element=True, wants_ack=True
        )
        return await self.tell(received)

    async def record(self) -> JobRecord:
        record = await self.store.get("j1")
        assert record is not None
        return record


def claim(attempt: int = 1, agent: str = "agent@x", job: str = "j1") -> str:
    return CLAIMS.sign(Claim(job=job, attempt=attempt, agent=agent, started=1.0))


def report(attempt: int = 1, done: JobDone = DONE) -> JobDone:
    return replace(done, jm_job_data=claim(attempt))


def refusal(actions: list[Action]) -> str:
    (action,) = actions
    assert isinstance(action, Refuse)
    return action.code


async def test_it_takes_the_output_of_a_job_whose_claim_is_good() -> None:
    world = World()
    (action,) = await world.hear(WantGetJobOutputDir(job_id="j1", jm_job_data=claim()))
    assert action == Send(to=AGENT, command=HaveGetJobOutputDir(job_id="j1"))


async def test_the_directory_is_one_of_the_attempts_own() -> None:
    world = World()
    await world.begin()
    (action,) = await world.hear(GetJobOutputDir(job_id="j1", jm_job_data=claim()))
    assert isinstance(action, Send)
    assert action.command == StoreJobOutputDir(
        job_id="j1",
        output_dir="j1",
        output_chirp_url="chirp.example.org:9094",
        output_url="https://files/j1.a1",
    )


@pytest.mark.parametrize(
    "data",
    [None, "startedAt=1795206693", claim(agent="other@x"), claim(job="j2")],
    ids=["none", "old", "agent", "job"],
)
async def test_without_the_claim_on_the_job_nothing_is_done(data: str | None) -> None:
    world = World()
    await world.begin()
    world.upload()
    for command in (GetJobOutputDir(job_id="j1", jm_job_data=data), replace(DONE, jm_job_data=data)):
        assert refusal(await world.hear(command)) == "claim-refused"
    assert (await world.record()).state is State.RUNNING
    assert world.counts.reports_fenced == {"foreign": 2}


async def test_a_good_report_settles_and_publishes_the_job() -> None:
    world = World()
    await world.begin()
    world.upload()
    assert await world.hear(report()) == []
    record = await world.record()
    assert (record.state, record.published) == (State.DONE, True)
    assert record.outcome is not None
    assert (record.outcome.output, record.outcome.host) == (OUTPUT, "host")
    assert world.outputs.published == [("j1", 1)]


async def test_the_same_report_again_has_no_effect() -> None:
    world = World()
    await world.begin()
    world.upload()
    await world.hear(report())
    assert await world.hear(report()) == []
    assert world.outputs.published == [("j1", 1)]
    assert world.outputs.discarded == []
    assert world.counts.attempts_ended == {"ok": 1}
    assert world.counts.reports_fenced == {"repeated": 1}


@pytest.mark.parametrize("stored", [None, Output(size=9, sha256="0" * 64), Output(size=10, sha256="1" * 64)])
async def test_an_output_that_is_not_what_was_announced_is_asked_for_again(stored: Output | None) -> None:
    world = World()
    await world.begin()
    if stored is not None:
        world.upload(output=stored)
    assert refusal(await world.hear(report())) == "output-mismatch"
    assert (await world.record()).state is State.RUNNING


async def test_a_report_without_output_needs_none() -> None:
    world = World()
    await world.begin()
    done = replace(DONE, exit_code=1, cause="user-exit", output_size=None, output_sha256=None)
    await world.hear(report(done=done))
    record = await world.record()
    assert (record.state, record.published) == (State.FAILED, True)
    assert world.outputs.published == [("j1", 1)]  # for its finisher wants to know


@pytest.mark.parametrize(
    ("done", "cause"),
    [
        (replace(DONE, exit_code=3, cause="user-exit"), Cause.USER_EXIT),
        (replace(DONE, exit_code=3, cause=None), Cause.USER_EXIT),
        (replace(DONE, exit_code=3, cause="ok"), Cause.USER_EXIT),
        (replace(DONE, exit_code=3, cause="because"), Cause.USER_EXIT),
        (replace(DONE, exit_code=0, cause=None), Cause.OK),
        (replace(DONE, exit_code=0, cause=None, validate_exit_code=1), Cause.USER_VALIDATION),
        (replace(DONE, exit_code=0, cause="ok", validate_exit_code=1), Cause.USER_VALIDATION),
        (replace(DONE, exit_code=139, cause="user-signal"), Cause.USER_SIGNAL),
    ],
)
async def test_the_cause_fits_the_exit_codes(done: JobDone, cause: Cause) -> None:
    world = World()
    await world.begin()
    world.upload()
    await world.hear(report(done=done))
    record = await world.record()
    assert record.outcome is not None
    assert record.outcome.cause is cause
    assert record.state is (State.DONE if cause is Cause.OK else State.FAILED)


async def test_after_a_failure_of_the_infrastructure_the_job_waits_again_and_the_output_is_dropped() -> None:
    world = World()
    await world.begin()
    world.upload()
    await world.hear(report(done=replace(DONE, exit_code=137, cause="infra-killed")))
    assert (await world.record()).state is State.WAITING
    assert world.outputs.discarded == [("j1", 1)]
    assert world.counts.requeues == world.counts.attempts_ended == {"infra-killed": 1}


async def test_a_report_of_an_older_attempt_is_dropped_with_its_output() -> None:
    world = World()
    await world.begin()
    await world.store.hand_back("j1", 1, cause=Cause.INFRA_UNDELIVERED)
    await world.claim("other@x")
    world.upload()
    assert await world.hear(report()) == []
    record = await world.record()
    assert (record.state, record.attempt, record.agent) == (State.RUNNING, 2, "other@x")
    assert world.outputs.discarded == [("j1", 1)]
    assert world.counts.reports_fenced == {"stale": 1}
    assert world.counts.attempts_ended == {}


async def test_an_older_attempt_gets_no_directory() -> None:
    world = World()
    await world.begin()
    await world.store.hand_back("j1", 1, cause=Cause.INFRA_UNDELIVERED)
    await world.claim("other@x")
    assert refusal(await world.hear(GetJobOutputDir(job_id="j1", jm_job_data=claim()))) == "stale-attempt"
    assert world.counts.reports_fenced == {"stale": 1}


async def test_an_attempt_whose_end_is_known_gets_no_directory() -> None:
    world = World()
    await world.begin()
    world.upload()
    await world.hear(report())
    assert refusal(await world.hear(GetJobOutputDir(job_id="j1", jm_job_data=claim()))) == "stale-attempt"
    assert world.counts.reports_fenced == {"repeated": 1}


async def test_a_job_that_is_not_known_gets_no_directory() -> None:
    world = World()
    assert refusal(await world.hear(GetJobOutputDir(job_id="j1", jm_job_data=claim()))) == "stale-attempt"
    assert world.counts.reports_fenced == {"unknown": 1}


async def test_a_job_is_settled_although_its_output_cannot_be_moved_and_repair_moves_it_later() -> None:
    world = World()
    await world.begin()
    world.upload()
    world.outputs.broken = True
    assert await world.hear(report()) == []
    record = await world.record()
    assert (record.state, record.published) == (State.DONE, False)
    await world.tell(Online(jid="jm@x/one"))
    assert world.manager.wakeup() == 100.0
    await world.tell(Tick())
    assert not (await world.record()).published
    world.outputs.broken = False
    assert world.manager.wakeup() == 100.0 + REPAIR_EVERY
    await world.repair()
    assert (await world.record()).published


async def test_a_copy_of_a_report_is_believed_when_its_output_has_moved_on() -> None:
    world = World()
    await world.begin()
    world.upload()
    await world.hear(report())
    assert world.outputs.staged == {}
    assert await world.hear(report()) == []


async def test_an_output_that_cannot_be_dropped_does_not_hold_up_the_answer() -> None:
    world = World()
    await world.begin()
    world.upload()
    world.outputs.broken = True
    assert await world.hear(report(done=replace(DONE, exit_code=137, cause="infra-killed"))) == []


async def test_it_leaves_when_asked_to_and_ignores_the_rest() -> None:
    world = World()
    assert await world.tell(Stopping()) == [Leave()]
    assert await world.tell(Tick()) == []


# ---------------------------------------------------------------- agents of 2011

OLD_DONE = JobDone(job_id="j1", exit_code=0, state="done", agent_host="host")


async def told_2011(world: World, command: Command) -> list[Action]:
    return await world.hear(command, features=OF_2011)


async def second_attempt() -> World:
    """The second attempt of j1 is under way, again at agent@x."""
    world = World()
    await world.begin()
    await world.store.hand_back("j1", 1, cause=Cause.INFRA_UNDELIVERED)
    await world.store.claim(agent="agent@x", request="second", dispatch_limit=60.0)
    return world


async def test_a_peer_of_2011_hears_nothing_but_the_reports_words() -> None:
    world = World()
    await world.begin()
    data = claim()
    (have,) = await told_2011(world, WantGetJobOutputDir(job_id="j1", jm_job_data=data))
    assert have == Send(to=AGENT, command=HaveGetJobOutputDir())
    (place,) = await told_2011(world, GetJobOutputDir(job_id="j1", jm_job_data=data))
    answer = StoreJobOutputDir(job_id="j1", output_dir="j1", output_chirp_url="chirp.example.org:9094")
    assert place == Send(to=AGENT, command=answer)


async def test_a_peer_of_2011_reports_without_saying_what_it_stored() -> None:
    world = World()
    await world.begin()
    world.upload()
    assert await told_2011(world, report(done=OLD_DONE)) == []
    record = await world.record()
    assert record.state is State.DONE
    assert record.outcome is not None
    assert record.outcome.output == OUTPUT
    assert world.outputs.published == [("j1", 1)]


async def test_an_alias_stands_for_its_attempt() -> None:
    world = await second_attempt()
    world.upload(attempt=2)
    data = claim(attempt=2)
    (place,) = await told_2011(world, GetJobOutputDir(job_id="j1.a2", jm_job_data=data))
    assert isinstance(place, Send)
    assert isinstance(place.command, StoreJobOutputDir)
    assert (place.command.job_id, place.command.output_dir) == ("j1.a2", "j1.a2")
    assert await told_2011(world, replace(report(2, OLD_DONE), job_id="j1.a2")) == []
    assert (await world.record()).state is State.DONE


@pytest.mark.parametrize("named", ["j1.a3", "j1.a1", "j1.a02", "j2"])
async def test_an_alias_of_another_attempt_is_refused(named: str) -> None:
    world = await second_attempt()
    world.upload(attempt=2)
    assert refusal(await told_2011(world, replace(report(2, OLD_DONE), job_id=named))) == "claim-refused"
    assert (await world.record()).state is State.RUNNING


async def test_a_peer_of_2011_may_bring_what_nobody_wants_for_it_would_wait_for_ever() -> None:
    world = await second_attempt()
    (place,) = await told_2011(world, GetJobOutputDir(job_id="j1", jm_job_data=claim()))
    assert isinstance(place, Send)
    world.upload()
    assert await told_2011(world, report(done=OLD_DONE)) == []
    assert world.outputs.discarded == [("j1", 1)]
    assert (await world.record()).state is State.RUNNING


async def test_a_report_of_2011_without_an_output_runs_the_job_once_more() -> None:
    world = World()
    await world.begin()
    assert await told_2011(world, report(done=OLD_DONE)) == []
    record = await world.record()
    assert record.state is State.WAITING
    assert record.outcome is not None
    assert record.outcome.cause is Cause.INFRA_STORE
