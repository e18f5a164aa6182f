"""Everything there is in one schedule, and what must hold at every step of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from random import Random

from copilot.job import Cause, Event, EventKind, JobRecord
from copilot.protocol.claim import SECRET_BYTES, Claims
from copilot.protocol.commands import RunJob
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import bare
from copilot.protocol.rules import FEATURES, Role
from copilot.protocol.security import Security
from copilot.protocol.session import V2
from copilot.store.memory import MemoryStore
from copilot.transport.memory import Faults, MemoryNetwork
from tests import sealing
from tests.integration.simulation.agenda import Time, at_once
from tests.integration.simulation.agent import AgentNode
from tests.integration.simulation.jobs import Job
from tests.integration.simulation.lines import Lines, Witness, machine_of
from tests.integration.simulation.manager import SERVICE, STORAGE, ManagerNode
from tests.integration.simulation.node import LONGEST_ABSENCE, Node
from tests.integration.simulation.outputs import Outputs
from tests.integration.simulation.trouble import plan
from tests.integration.simulation.weather import Weather

BEGUN_WITHIN = 10.0  # s
SUBMITTED_WITHIN = 60.0  # s
PRIORITIES = (0, 0, 0, 5)
# s that an agent needs to be heard: it renews ten times a lease while nobody answers, and an instance may notice an outage
# of the store as late as its next look for lost jobs, which is up to three eighths of a lease after it.
LEASE_SHARE, STEPS = 0.5, 2.5
LONGEST_TIDINGS = 2.0  # s until a manager hears that an agent's session has ended
MOST_TURNS = 400_000  # of one schedule; far more than any needs, so one that goes in circles ends


class World:
    """One schedule. `run` raises AssertionError for what one step alone shows to be wrong; the end is for a judge."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.random = Random(weather.seed)
        self.time = Time()
        self.store = MemoryStore(self.time)
        self.outputs = Outputs()
        self.claims = Claims(SERVICE, [b"s" * SECRET_BYTES])
        self.lines = Lines()
        self._accepted: set[tuple[str, int]] = set()  # (job, attempt) whose report has settled it
        self.journaled: set[tuple[str, int]] = set()  # (job, attempt) that stood in an agent's journal
        self.robbed: list[str] = []  # of an attempt, by the lease, an agent that was not to be blamed
        faults = Faults(
            random=self.random, loss=weather.loss, double=weather.double, delay=0.01, jitter=weather.jitter
        )
        self.network = MemoryNetwork(faults, call_later=self.time.later)
        self._witness = Witness()
        self._server_outages = 0
        self._numbers = itertools.count(1)
        self.jobs = [
            Job(id=f"job-{number}", priority=self.random.choice(PRIORITIES)) for number in range(weather.jobs)
        ]
        services = (SERVICE, STORAGE) if weather.apart else (SERVICE,)
        machines = [f"{service}/{number}" for service in services for number in range(weather.managers)]
        self.managers = [self._new_manager(machine) for machine in machines]
        self.agents = [AgentNode(self, f"agent-{number}@x/a", {}) for number in range(weather.agents)]

    # -- chance

    def happens(self, share: float) -> bool:
        return self.random.random() < share

    def soon(self, seconds: float, what: Callable[[], None]) -> None:
        """Within so many seconds."""
        self.time.later(self.random.random() * seconds, what)

    # -- who is there

    @property
    def nodes(self) -> list[Node]:
        return [*self.managers, *self.agents]

    def endpoint(
        self,
        role: Role,
        jid: str,
        trusts: Callable[[str], bool] = lambda _: True,
        *,
        features: Sequence[str] = FEATURES,
    ) -> Endpoint:
        return Endpoint(
            role,
            new_id=lambda: f"m{next(self._numbers)}",
            random=self.random.random,
            features=features,
            trusts=trusts,
            security=self._security(role, bare(jid)) if self.weather.sealed else None,
        )

    def _security(self, role: Role, jid: str) -> Security:
        """All agents have one key, and both services."""
        wall, known = self.time.wall, dict.fromkeys((SERVICE, STORAGE), sealing.service().public)
        if role & Role.AGENT:
            return sealing.strict(V2(jid, sealing.Ring(sealing.agent(), known), wall=wall))
        ring, signers = sealing.Ring(sealing.service()), (sealing.public(sealing.agent()),)
        return sealing.strict(V2(jid, ring, signers=lambda _: signers, wall=wall))

    def _new_manager(self, machine: str) -> ManagerNode:
        return ManagerNode(self, machine, f"{machine}.{next(self._numbers)}")

    def replace_manager(self, old: ManagerNode) -> None:
        """It dies, and another one begins in its place."""
        old.die()
        place = self.managers.index(old)
        self.managers[place] = self._new_manager(old.machine)
        self.soon(LONGEST_ABSENCE, self.managers[place].connect)

    def replace_agent(self, old: AgentNode) -> None:
        """It dies if it has not left, and comes back with its journal."""
        if old in self.agents:
            old.die()
            place = self.agents.index(old)
            self.agents[place] = AgentNode(self, old.jid, old.journal)
            self.soon(LONGEST_ABSENCE, self.agents[place].connect)

    # -- who can hear whom

    @property
    def server_is_up(self) -> bool:
        return not self._server_outages

    def server_goes(self) -> None:
        self._server_outages += 1
        for node in self.nodes:
            node.cut()

    def server_returns(self, within: float) -> None:
        """All come back within so many seconds."""
        self._server_outages -= 1
        for node in self.nodes:
            self.soon(within, node.connect)

    def carries(self, sender: str, machine: str) -> bool:
        """Whether what this JID has said reaches that machine."""
        return self.lines.carry(machine_of(sender), machine)

    def look_round(self) -> None:
        """Somebody came or went: note which agents could be heard now, if anybody can."""
        serving = [manager.machine for manager in self.managers if manager.serves]
        for agent in self.agents:
            heard = agent.online and any(self.lines.carry(agent.machine, machine) for machine in serving)
            self._witness.saw(bare(agent.jid), self.time.now, innocent=heard or not serving)

    def session_ended(self, jid: str) -> None:
        """The server tells the managers, those that are there."""
        for manager in self.managers:
            self.soon(LONGEST_TIDINGS, lambda manager=manager: manager.hear_of_end(jid))  # type: ignore[misc]

    # -- the run

    def run(self) -> None:
        """Until all jobs have come to their end and nobody holds one any more."""
        for node in self.nodes:
            self.soon(BEGUN_WITHIN, node.connect)
        for job in self.jobs:
            self.soon(SUBMITTED_WITHIN, lambda job=job: at_once(self.store.submit([job.spec])))  # type: ignore[misc]
        plan(self)
        try:
            self._turn_until_over()
        finally:
            for node in self.nodes:
                node.die()

    def _turn_until_over(self) -> None:
        for _ in range(MOST_TURNS):
            self.time.turn()
            if self.time.now > SUBMITTED_WITHIN and self._is_over():
                return
        held = {agent.jid: list(agent.journal) for agent in self.agents}
        raise AssertionError(f"no end after {self.time.now:.0f} s: {self.records()}, held: {held}")

    def _is_over(self) -> bool:
        return not any(agent.journal for agent in self.agents) and all(
            record.state.final and record.published for record in self.records().values()
        )

    def records(self) -> dict[str, JobRecord]:
        """What the queue says of each job."""
        return {job.id: at_once(self.store.get(job.id)) for job in self.jobs}

    # -- what must hold

    def check_journaled(self, order: RunJob) -> None:
        """An agent may acknowledge only what it will remember."""
        assert (order.job.id, order.job.attempt) in self.journaled, f"{order} was acknowledged too early"

    def note_accepted(self, job: str, attempt: int) -> None:
        """The store accepts one report of an attempt, and only while no later one was begun."""
        record: JobRecord = at_once(self.store.get(job))
        assert record.attempt == attempt, (
            f"{job}: the report of attempt {attempt} was accepted in {record.attempt}"
        )
        assert (job, attempt) not in self._accepted, f"{job}, attempt {attempt}: two reports were accepted"
        self._accepted.add((job, attempt))

    def check_forgettable(self, job: str, attempt: int) -> None:
        """An agent may forget only what is settled, given back, or somebody else's by now."""
        record: JobRecord = at_once(self.store.get(job))
        ends = at_once(self.store.attempts(job))
        returned = any(one.attempt == attempt and one.cause is Cause.INFRA_PREEMPTED for one in ends)
        settled = (
            (job, attempt) in self._accepted or record.attempt != attempt or record.state.final or returned
        )
        assert settled, f"{job}, attempt {attempt} is forgotten, but {record}"

    def check_taken(self, events: Iterable[Event]) -> None:
        """A lease may run out only on an agent that had itself to blame for nearly all of it: see `robbed`."""
        now, lease = self.time.now, self.weather.lease
        for event in events:
            innocent = self._witness.longest_innocence(event.agent, now - lease, now)
            if (
                event.kind in (EventKind.REQUEUED, EventKind.FAILED)
                and innocent > lease * LEASE_SHARE + STEPS
            ):
                self.robbed.append(
                    f"{event.job}, attempt {event.attempt}, of {event.agent} at {now:.1f} s, innocent for {innocent:.1f} s"
                )
