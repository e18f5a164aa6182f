"""A whole system without loop, sockets or real time: agents, managers and their endpoints, stepped by hand.

The network loses, doubles, delays and reorders; sessions break, the queue goes away, managers and agents die at any
await and come back. Everything is drawn from one seed, so a schedule that fails can be run again.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass, replace
from random import Random
from types import coroutine
from typing import Any

from copilot.agent.drain import Limits
from copilot.agent.effects import Assignment, Execute, Forget, Note, Pack, Remember, Stop, Upload
from copilot.agent.logic import Agent, AgentSettings
from copilot.errors import StoreUnavailable, TransferRefused, TransferUnavailable
from copilot.job import Cause, JobRecord, JobSpec, Outcome, Output
from copilot.jobmanager.logic import JobManager, JobManagerSettings
from copilot.jobmanager.referral import StorageReferral
from copilot.protocol.claim import SECRET_BYTES, Claims
from copilot.protocol.commands import RunJob
from copilot.protocol.endpoint import Counts, Endpoint
from copilot.protocol.envelope import bare
from copilot.protocol.events import Acked, Received
from copilot.protocol.rules import FEATURES, Role
from copilot.runtime.component import (
    Action,
    Actions,
    Component,
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
    Withhold,
)
from copilot.storagemanager.logic import Place, StorageManager
from copilot.store.base import Settled, Verdict
from copilot.store.memory import MemoryStore
from copilot.transport.base import Arrived, TransportEvent
from copilot.transport.memory import Faults, MemoryNetwork

SERVICE = "jm@x"
STORAGE = "sm@x"  # where managers are apart
SUBMITTED_WITHIN = 60.0  # s
LONGEST_JOB = 30.0  # s
LONGEST_STEP = 0.5  # s that a manager's coroutine waits for its store
LONGEST_UPLOAD = 3.0  # s
LONGEST_OUTAGE = 60.0  # s
TROUBLE_LASTS = 900.0  # s; later nobody dies any more, but messages still get lost
ENOUGH_ATTEMPTS = 100  # the network may be so bad that leases run out again and again
JUMP = 3600.0  # s that the store's clock is put forward
MOST_TURNS = 200_000  # of one schedule; far more than any needs, so one that goes in circles ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """One schedule. Shares are 0 … 1, `jitter` in s, deaths a schedule.

    `apart`: as many storage managers again, on an account of their own, to which the job managers redirect.
    """

    seed: int
    loss: float = 0.0
    double: float = 0.0
    jitter: float = 0.0
    store_away: float = 0.0
    upload_fails: float = 0.0
    journal_fails: float = 0.0
    cuts: int = 0
    manager_deaths: int = 0
    agent_deaths: int = 0
    departures: int = 0
    grace: float = 40.0
    jumps: int = 0
    agents: int = 1
    slots: int = 1
    managers: int = 1
    jobs: int = 1
    lease: float = 900.0
    apart: bool = False


class Time:
    """What happens when; also the store's clock."""

    def __init__(self) -> None:
        self.now = self._ahead = 0.0
        self._numbers = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self._ahead

    def jump(self) -> None:
        """Somebody puts the store's clock forward."""
        self._ahead += JUMP

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, next(self._numbers), what))

    def turn(self) -> None:
        """The next thing happens."""
        self.now, _, what = heapq.heappop(self._agenda)
        what()


@coroutine
def pause() -> Generator[None, None, None]:
    """Where a coroutine waits, and where its instance may die."""
    yield


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class Outputs:
    """The file area: what was uploaded, what was published."""

    def __init__(self) -> None:
        self.prepared: set[tuple[str, int]] = set()
        self.staged: dict[tuple[str, int], Output] = {}
        self.published: dict[str, Output] = {}

    async def prepare(self, job: str, attempt: int) -> Place:
        await pause()
        self.prepared.add((job, attempt))
        return Place(url=f"file:///{job}.a{attempt}")

    def put(self, assignment: Assignment, output: Output) -> None:
        key = (assignment.id, assignment.job.attempt or 0)
        if key not in self.prepared:
            raise TransferRefused(f"no directory for {key}")
        self.staged[key] = output

    async def seal(self, job: str, attempt: int) -> Output | None:
        await pause()
        self.prepared.discard((job, attempt))
        return self.staged.get((job, attempt))

    async def publish(self, record: JobRecord) -> None:
        await pause()
        job, attempt = record.spec.id, record.attempt
        if (job, attempt) in self.staged:
            output = self.staged.pop((job, attempt))
            assert self.published.setdefault(job, output) == output, f"{job} is published twice"
        elif job not in self.published and record.outcome is not None and record.outcome.output is not None:
            raise TransferRefused(f"no output of {job}, attempt {attempt}")
        await self.discard(job, attempt)

    async def discard(self, job: str, attempt: int) -> None:
        await pause()
        self.staged.pop((job, attempt), None)
        self.prepared.discard((job, attempt))


class Queue:
    """The store as a manager sees it: each call waits before and after, and may fail before or after its effect."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def call(*args: Any, **options: Any) -> Any:
            await pause()
            self._fail()
            result = await getattr(self._world.store, name)(*args, **options)
            if isinstance(result, Settled) and result.verdict is Verdict.ACCEPTED:
                self._world.accepted[args[0], args[1]] += 1
            self._fail()
            await pause()
            return result

        return call

    def _fail(self) -> None:
        if self._world.happens(self._world.weather.store_away):
            raise StoreUnavailable("the queue is away")


class Node:
    """What `copilot.runtime.loop` does for one component, but when the world says so."""

    def __init__(self, world: World, jid: str, component: Component, endpoint: Endpoint) -> None:
        self.jid = jid
        self.announced: dict[str, None] = {}
        self._world = world
        self._component = component
        self._endpoint = endpoint
        self._alive, self._online = True, False
        self._alarm = float("inf")
        self._work: set[Coroutine[Any, Any, Actions]] = set()
        self._failed: list[Finished] = []  # effects, on the spot

    @property
    def counts(self) -> Counts:
        """Its messages."""
        return self._endpoint.counts

    # -- its life

    def start(self) -> None:
        self._connect()

    def die(self) -> None:
        """At once, without a word; whatever it was at stops where it is."""
        if self._online:
            self._world.network.leave(self)  # type: ignore[arg-type]
        self._alive = self._online = False
        for work in self._work:
            work.close()

    def stop(self) -> None:
        """As by a signal."""
        self._handle(Stopping())

    def cut(self) -> None:
        """The session breaks, and comes back after a while."""
        if self._online:
            self._online = False
            self._world.network.leave(self)  # type: ignore[arg-type]
            self._endpoint.offline()
            self._handle(Offline(reason="cut"))
            self._world.soon(LONGEST_OUTAGE, self._connect)

    def _connect(self) -> None:
        if self._alive and not self._online:
            self._online = True
            self._world.network.enter(self)  # type: ignore[arg-type]
            self._endpoint.online(self.jid)
            self._handle(Online(jid=self.jid))

    # -- what comes in

    def take(self, event: TransportEvent) -> None:
        """The network delivers."""
        if isinstance(event, Arrived):
            self._world.time.later(0.0, lambda: self._hear(event))

    def _hear(self, event: Arrived) -> None:
        if self._alive:
            for heard in self._endpoint.receive(event.envelope, self._world.time.now):
                self._handle(heard)
            self._flush()

    def _handle(self, event: Event) -> None:
        result = self._component.handle(event, self._world.time.now)
        if isinstance(result, Coroutine):
            self._work.add(result)
            self._step(event, result)
        else:
            assert not isinstance(result, Awaitable)
            self._carry_out(event, result)
        self._flush()

    def _step(self, event: Event, work: Coroutine[Any, Any, Actions]) -> None:
        if not self._alive:
            return
        try:
            work.send(None)
        except StopIteration as end:
            self._work.discard(work)
            self._carry_out(event, end.value)
        except StoreUnavailable:
            self._work.discard(work)
            if isinstance(event, Received):
                self._endpoint.failed(event)
        else:
            self._world.soon(LONGEST_STEP, lambda: self._step(event, work))
        self._flush()

    def _carry_out(self, event: Event, actions: Actions) -> None:
        kept = all(self._act(action) for action in actions)
        if isinstance(event, Received):
            (self._endpoint.done(event, self._world.time.now) if kept else self._endpoint.failed(event))
        while self._failed:
            self._handle(self._failed.pop())

    def _act(self, action: Action) -> bool:
        now = self._world.time.now
        match action:
            case Send(to=to, command=command, void_at=void_at, info=info):
                self._endpoint.send(to, command, now, void_at=void_at, info=info)
            case Withdraw(to=to, command=command):
                self._endpoint.withdraw(to, command)
            case Ignore(received=received, reason=reason, text=text):
                self._endpoint.ignore(received, reason=reason, text=text)
            case Withhold():
                return False
            case Refuse(received=received, code=code, text=text, job=job):
                return self._endpoint.refuse(received, now, code=code, text=text, job=job)
            case Perform(effect=effect):
                return self._perform(effect)
            case _:
                raise AssertionError(f"unexpected {action}")
        return True

    def _perform(self, effect: object) -> bool:
        raise AssertionError(f"unexpected {effect}")

    def _later(self, seconds: float, effect: object, result: Callable[[], object]) -> None:
        """An effect that takes up to so many seconds."""

        def end() -> None:
            if self._alive:
                try:
                    self._handle(Finished(effect=effect, result=result()))
                except (TransferUnavailable, TransferRefused) as error:
                    self._handle(Finished(effect=effect, result=error))

        self._world.soon(seconds, end)

    # -- what goes out

    def _flush(self) -> None:
        now = self._world.time.now
        for envelope in self._endpoint.outgoing(now):
            self._world.network.submit(replace(envelope, sender=self.jid))
        for event in self._endpoint.events():
            self._handle(event)
        times = (self._component.wakeup(), self._endpoint.next_wakeup())
        alarm = min((when for when in times if when is not None), default=float("inf"))
        if alarm < self._alarm:
            self._alarm = alarm
            self._world.time.later(max(0.0, alarm - now), lambda: self._ring(alarm))

    def _ring(self, alarm: float) -> None:
        if self._alarm == alarm:
            self._alarm = float("inf")
            if self._alive:
                wakeup = self._component.wakeup()
                if wakeup is not None and wakeup <= self._world.time.now:
                    self._handle(Tick())
                self._flush()


class ManagerNode(Node):
    """A job manager and a storage manager on one session, or the one of them to which the account belongs."""

    def __init__(self, world: World, jid: str) -> None:
        queue: Any = Queue(world)
        random = world.random.random
        settings = JobManagerSettings(max_run_time=3600.0, lease=world.weather.lease)
        jobs = JobManager(queue, world.claims, settings, urls=None, random=random)
        storage = StorageManager(queue, world.claims, world.outputs, random=random)
        self._parts: tuple[Component, ...] = (jobs, storage)
        role = Role.JOB_MANAGER | Role.STORAGE_MANAGER
        if world.weather.apart and bare(jid) == SERVICE:
            self._parts = (jobs, StorageReferral(STORAGE))
        elif world.weather.apart:
            self._parts, role = (storage,), Role.STORAGE_MANAGER
        super().__init__(world, jid, self, world.endpoint(role))

    def handle(self, event: Event, now: float) -> Coroutine[Any, Any, Actions]:
        """As `copilot.runtime.compose.Parts`, one after the other."""
        if isinstance(event, Acked) and isinstance(event.command, RunJob):
            self._world.check_journaled(event.command)
        return _one_after_the_other([part.handle(event, now) for part in self._parts])

    def wakeup(self) -> float | None:
        return min((when for part in self._parts if (when := part.wakeup()) is not None), default=None)


async def _one_after_the_other(results: list[Actions | Awaitable[Actions]]) -> Actions:
    done: list[Action] = []
    try:
        for result in results:
            done.extend(await result if isinstance(result, Awaitable) else result)
    finally:
        for result in results:
            if isinstance(result, Coroutine):
                result.close()  # one that its instance did not live to begin
    return done


class AgentNode(Node):
    """An agent; its journal outlives it, and its jobs always succeed."""

    def __init__(self, world: World, jid: str, journal: dict[tuple[str, int], Note]) -> None:
        self.journal = journal
        settings = AgentSettings(
            manager=SERVICE,
            host=jid,
            slots=world.weather.slots,
            referral_domains=("x",),
            limits=Limits(grace=world.weather.grace),
        )
        agent = Agent(
            settings,
            jdl=lambda: "[]",
            has_file=lambda _: True,
            random=world.random.random,
            wall=world.time.wall,
            phase=lambda _: "run",
            journal=tuple(journal.values()),
        )
        super().__init__(world, jid, agent, world.endpoint(Role.AGENT, trusts=agent.trusts))

    def _act(self, action: Action) -> bool:
        if isinstance(action, Leave):
            self._world.time.later(0.0, lambda: self._world.has_left(self))  # when it has said all
            return True
        return super()._act(action)

    def _perform(self, effect: object) -> bool:
        match effect:
            case Remember(note=note):
                if self._world.happens(self._world.weather.journal_fails):
                    self._failed.append(Finished(effect=effect, result=OSError("disk full")))
                    return False
                self.journal[_attempt(note.assignment)] = note
                self._world.journaled.add(_attempt(note.assignment))
            case Execute(assignment=assignment):
                outcome = Outcome(cause=Cause.OK, exit_code=0, output=output_of(*_attempt(assignment)))
                self._later(LONGEST_JOB, effect, lambda: outcome)
            case Pack(assignment=assignment):
                self._later(LONGEST_UPLOAD, effect, lambda: output_of(*_attempt(assignment)))
            case Upload(assignment=assignment, output=output):
                self._later(LONGEST_UPLOAD, effect, lambda: self._upload(assignment, output))
            case Stop():
                pass  # it comes to its end all the same, which the agent must not mind
            case Forget(assignment=assignment):
                self._world.check_forgettable(*_attempt(assignment))
                del self.journal[_attempt(assignment)]
                self._later(LONGEST_STEP, effect, lambda: None)
            case _:
                raise AssertionError(f"unexpected {effect}")
        return True

    def _upload(self, assignment: Assignment, output: Output) -> None:
        if self._world.happens(self._world.weather.upload_fails):
            raise TransferUnavailable("the file server is away")
        self._world.outputs.put(assignment, output)


class World:
    """Everything there is in one schedule."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.random = Random(weather.seed)
        self.time = Time()
        self.store = MemoryStore(self.time)
        self.outputs = Outputs()
        self.claims = Claims(SERVICE, [b"s" * SECRET_BYTES])
        self.accepted: Counter[tuple[str, int]] = Counter()  # (job, attempt): reports that settled it
        self.journaled: set[tuple[str, int]] = set()  # (job, attempt) that stood in an agent's journal
        faults = Faults(
            random=self.random, loss=weather.loss, double=weather.double, delay=0.01, jitter=weather.jitter
        )
        self.network = MemoryNetwork(faults, call_later=self.time.later)
        self.jobs = [
            JobSpec(id=f"job-{number}", command="run.sh", max_attempts=ENOUGH_ATTEMPTS)
            for number in range(weather.jobs)
        ]
        self._numbers = itertools.count(1)
        services = (SERVICE, STORAGE) if weather.apart else (SERVICE,)
        self.managers = [self._new_manager(service) for service in services for _ in range(weather.managers)]
        self.agents = [AgentNode(self, f"agent-{number}@x/a", {}) for number in range(weather.agents)]

    # -- chance

    def happens(self, share: float) -> bool:
        return self.random.random() < share

    def soon(self, seconds: float, what: Callable[[], None]) -> None:
        """Within so many seconds."""
        self.time.later(self.random.random() * seconds, what)

    # -- the making

    def endpoint(self, role: Role, trusts: Callable[[str], bool] = lambda _: True) -> Endpoint:
        return Endpoint(
            role,
            new_id=lambda: f"m{next(self._numbers)}",
            random=self.random.random,
            features=FEATURES,
            trusts=trusts,
        )

    def _new_manager(self, service: str) -> ManagerNode:
        return ManagerNode(self, f"{service}/{next(self._numbers)}")

    def _plan(self) -> None:
        for node in (*self.managers, *self.agents):
            self.soon(10.0, node.start)
        for spec in self.jobs:
            self.soon(SUBMITTED_WITHIN, lambda spec=spec: at_once(self.store.submit([spec])))  # type: ignore[misc]
        for what, times in (
            (self._cut_somebody, self.weather.cuts),
            (self._replace_a_manager, self.weather.manager_deaths),
            (self._restart_an_agent, self.weather.agent_deaths),
            (self._stop_an_agent, self.weather.departures),
            (self.time.jump, self.weather.jumps),
        ):
            for _ in range(times):
                self.soon(TROUBLE_LASTS * self.random.random(), what)  # early more than late

    def _cut_somebody(self) -> None:
        self.random.choice((*self.managers, *self.agents)).cut()

    def _replace_a_manager(self) -> None:
        place = self.random.randrange(len(self.managers))
        self.managers[place].die()
        self.managers[place] = self._new_manager(bare(self.managers[place].jid))
        self.soon(LONGEST_OUTAGE, self.managers[place].start)

    def _restart_an_agent(self) -> None:
        self.has_left(self.random.choice(self.agents))

    def _stop_an_agent(self) -> None:
        self.random.choice(self.agents).stop()

    def has_left(self, old: AgentNode) -> None:
        """It comes back later."""
        if old in self.agents:
            old.die()
            place = self.agents.index(old)
            self.agents[place] = AgentNode(self, old.jid, old.journal)
            self.soon(LONGEST_OUTAGE, self.agents[place].start)

    # -- the run

    def run(self) -> None:
        """Until all jobs have come to their end and nobody holds one any more."""
        self._plan()
        try:
            self._turn_until_over()
        finally:
            for node in (*self.managers, *self.agents):
                node.die()

    def _turn_until_over(self) -> None:
        for _ in range(MOST_TURNS):
            self.time.turn()
            if self.time.now > SUBMITTED_WITHIN and self._is_over():
                return
        states = {spec.id: self.record(spec.id).state.value for spec in self.jobs}
        held = {agent.jid: list(agent.journal) for agent in self.agents}
        raise AssertionError(f"no end after {self.time.now:.0f} s: {states}, held: {held}")

    def _is_over(self) -> bool:
        return not any(agent.journal for agent in self.agents) and all(
            record.state.final and record.published for record in self.records()
        )

    def record(self, job: str) -> JobRecord:
        record: JobRecord = at_once(self.store.get(job))
        return record

    def records(self) -> Iterator[JobRecord]:
        return (self.record(spec.id) for spec in self.jobs)

    def check_journaled(self, order: RunJob) -> None:
        """An agent may acknowledge only what it will remember."""
        assert (order.job.id, order.job.attempt) in self.journaled, f"{order} was acknowledged too early"

    def check_forgettable(self, job: str, attempt: int) -> None:
        """An agent may forget only what is settled, given back, or somebody else's by now."""
        record = self.record(job)
        ends = at_once(self.store.attempts(job))
        returned = any(one.attempt == attempt and one.cause is Cause.INFRA_PREEMPTED for one in ends)
        settled = self.accepted[job, attempt] or record.attempt != attempt or record.state.final or returned
        assert settled, f"{job}, attempt {attempt} is forgotten, but {record}"


def output_of(job: str, attempt: int) -> Output:
    """Each attempt leaves something else."""
    return Output(size=attempt, sha256=f"{job}/{attempt}")


def _attempt(assignment: Assignment) -> tuple[str, int]:
    assert assignment.job.attempt is not None
    return assignment.id, assignment.job.attempt
