"""A fleet of agents with cores, GPUs, memory, disk and an end, users with quotas, and operators, against two versions of the queue.

After each step both have to answer the same, no agent has more than it said that it can take, and from time to time: no agent is idle
that could have a job, unless it is kept for one. By hand, for as many fleets as you like: `make fleets`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any
from unittest import mock

from copilot.job import Cause, JobSpec, Outcome, State
from copilot.matching import needs
from copilot.matching.resources import Fit, Free, Request, fits
from copilot.records import dataclass
from copilot.store.base import Claimed, Dispatched, Parking, Store
from copilot.store.explaining import Circumstances, Machine
from copilot.store.memory import MemoryStore
from copilot.store.redis import RedisStore
from copilot.store.shares import Share
from copilot.store.survey import Page
from tests.contract.store_fixtures import RedisServer, find_program, new_prefix

T = 1_800_000_000.0
STEPS = 160
FEWEST, MOST = 4, 10  # agents
MOST_JOBS = 400
GIB = 2**30
SIZES: Sequence[dict[str, Any]] = (
    *[{}] * 10,
    {"cores": 2},
    {"cores": 4},
    {"cores": 8},
    {"cores": 12},
    {"max_cores": 4},
    {"cores": 2, "max_cores": 6},
    {"gpus": 1},
    {"cores": 4, "gpus": 1},
    {"memory": GIB},
    {"memory": 5 * GIB, "cores": 2},
    {"disk": GIB},
    {"max_run_time": 200.0},
    {"cores": 4, "max_run_time": 50.0},
    {"exclusive": True},
)
ENDS = (*[Cause.OK] * 8, Cause.USER_EXIT, Cause.INFRA_LOST)


@dataclass(slots=True, kw_only=True)
class Agent:
    """What it has, in the words of `Free`, and what it does: cores and request of each job. One that is `silent` does not say what is free."""

    name: str
    most: int | None
    ahead: int
    leased: bool
    silent: bool
    till: float | None
    jobs: dict[str, tuple[int, Request]] = field(default_factory=dict)
    CORES, GPUS, MEMORY, DISK = 12, 2, 12 * 1024, 6 * 1024

    def _left(self, all_of_it: int, taken: Callable[[int, Request], int]) -> int:
        return all_of_it - sum(taken(*one) for one in self.jobs.values())

    def free(self, now: float) -> Free:
        cores = self._left(self.CORES, lambda cores, _: cores)
        return Free(
            cores=max(0, cores),
            ahead=max(0, self.ahead + min(0, cores)),
            most=self.most,
            gpus=self._left(self.GPUS, lambda _, one: one.gpus),
            memory=max(0, self._left(self.MEMORY, lambda _, one: one.memory)),
            disk=max(0, self._left(self.DISK, lambda _, one: one.disk)),
            time=None if self.till is None else max(0, int(self.till - now)),
        )

    def check(self) -> None:
        """It has no more than it can take. What waits for a core takes nothing else yet."""
        cores = self._left(self.CORES, lambda cores, _: cores)
        assert cores + self.ahead >= 0, self
        if cores >= 0 and not self.silent:
            assert self._left(self.GPUS, lambda _, one: one.gpus) >= 0, self
            assert self._left(self.MEMORY, lambda _, one: one.memory) >= 0, self
            assert self._left(self.DISK, lambda _, one: one.disk) >= 0, self


class Fleet:
    """Does one thing after the other, as a number says."""

    def __init__(self, stores: Sequence[Store], seed: int) -> None:
        self._stores = stores
        self._random = random.Random(seed)
        self._now = T
        self._number = 0
        self._agents: dict[str, Agent] = {}
        self._jobs: dict[str, JobSpec] = {}
        self._running: dict[str, tuple[str, int]] = {}  # agent and attempt
        self.done = 0

    async def run(self, steps: int = STEPS) -> None:
        doing: Sequence[tuple[int, Any]] = (
            (4, self._an_agent_comes),
            (26, self._somebody_asks),
            (12, self._submit),
            (28, self._a_job_ends),
            (6, self._dispatch),
            (3, self._a_job_comes_back),
            (3, self._an_agent_goes),
            (4, self._operate),
            (3, self._operate_agents),
            (2, self._set_share),
            (9, self._nobody_is_idle),
        )
        for _ in range(steps):
            self._now += self._random.choice(
                [0, 0, 0.1, 1, 1, 5, 20, self._random.choice([1] * 20 + [70, 700, 4000, -30])]
            )
            few = len(self._agents) < FEWEST
            (step,) = self._random.choices([one for _, one in doing], [often for often, _ in doing])
            await (self._an_agent_comes if few else step)()

    async def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        answers = [await getattr(store, method)(*arguments, **options) for store in self._stores]
        assert all(one == answers[0] for one in answers), (method, arguments, options, answers)
        return answers[0]

    async def _tell(self, method: str, *arguments: Any, **options: Any) -> None:
        """The same, where answers have places in the event stream."""
        for store in self._stores:
            await getattr(store, method)(*arguments, **options)

    # ------------------------------------------------------------ agents

    async def _an_agent_comes(self) -> None:
        if len(self._agents) >= MOST:
            return
        self._number += 1
        agent = Agent(
            name=f"a{self._number}@x",
            most=self._random.choice([None, None, None, 2]),
            ahead=self._random.choice([0, 0, 2]),
            leased=self._random.random() < 0.8,
            silent=self._random.random() < 0.15,
            till=self._now + self._random.choice([100, 5000]) if self._random.random() < 0.15 else None,
        )
        self._agents[agent.name] = agent
        await self._asks(agent)

    async def _somebody_asks(self) -> None:
        await self._asks(self._agents[self._random.choice(sorted(self._agents))])

    async def _asks(self, agent: Agent) -> None:
        free = agent.free(self._now)
        count = Agent.CORES - len(agent.jobs) if agent.silent else free.cores + free.ahead
        if count <= 0:
            return
        self._number += 1
        given: Sequence[Claimed] = await self._ask(
            "claim",
            agent=agent.name,
            request=f"r{self._number}",
            dispatch_limit=1e9,
            count=count,
            lease=1e9 if agent.leased else None,
            host=f"[ Cores = {Agent.CORES}; Memory = {Agent.MEMORY} ]",
            park=Parking(jid=f"{agent.name}/1", features=("push", "resources")),
            free=None if agent.silent else free,
            now=self._now,
        )
        for one in given:
            self._begins(agent.name, one)

    async def _dispatch(self, limit: int | None = None) -> int:
        given: Sequence[Dispatched] = await self._ask(
            "dispatch", dispatch_limit=1e9, limit=limit or self._random.choice([1, 3, 100]), now=self._now
        )
        for one in given:
            self._begins(one.to.jid.partition("/")[0], one.claimed)
        return len(given)

    def _begins(self, name: str, one: Claimed) -> None:
        assert one.spec.id not in self._running
        self._running[one.spec.id] = name, one.attempt
        if name in self._agents:  # one that died and was not missed may be given something still
            agent = self._agents[name]
            agent.jobs[one.spec.id] = one.cores, Request.of(one.spec)
            agent.check()

    async def _an_agent_goes(self) -> None:
        agent = self._agents.pop(self._random.choice(sorted(self._agents)))
        if self._random.random() < 0.7:
            await self._ask("unpark", f"{agent.name}/1", now=self._now)
        for job in agent.jobs:
            await self._end(job, Cause.INFRA_LOST)

    async def _operate_agents(self) -> None:
        name, what = self._random.choice(sorted(self._agents)), self._random.random()
        if what < 0.5:
            seconds = self._random.choice([None, 30.0])
            await self._ask("set_aside", name, by="x", reason="y", seconds=seconds, now=self._now)
        elif what < 0.9:
            await self._ask("pardon", name, now=self._now)
        else:
            await self._ask("drain", [name], now=self._now)

    # ------------------------------------------------------------ jobs

    async def _submit(self) -> None:
        if len(self._jobs) >= MOST_JOBS:
            return
        specs = []
        for _ in range(self._random.choice([1, 1, 3, 10])):
            self._number += 1
            specs.append(
                JobSpec(
                    id=f"j{self._number}",
                    command="c",
                    owner=self._random.choice(["ann", "bob", "cat"]),
                    project=self._random.choice(["", "", "p"]),
                    priority=self._random.choice([0, 0, 0, 1, -1]),
                    max_attempts=5,
                    **self._random.choice(SIZES),
                )
            )
        await self._ask("submit", specs, now=self._now)
        self._jobs |= {spec.id: spec for spec in specs}

    async def _a_job_ends(self) -> None:
        if self._running:
            job = self._random.choice(sorted(self._running))
            name, _ = self._running[job]
            await self._end(job, self._random.choice(ENDS))
            if name in self._agents and self._random.random() < 0.8:
                await self._asks(self._agents[name])

    async def _end(self, job: str, cause: Cause) -> None:
        attempt = self._taken_off(job)
        await self._tell(
            "finish", job, attempt, Outcome(cause=cause, exit_code=cause is not Cause.OK), now=self._now
        )
        self.done += cause is Cause.OK

    async def _a_job_comes_back(self) -> None:
        if self._running:
            job = self._random.choice(sorted(self._running))
            cause = Cause.INFRA_UNDELIVERED
            await self._tell("hand_back", job, self._taken_off(job), cause=cause, now=self._now)

    def _taken_off(self, job: str) -> int:
        name, attempt = self._running.pop(job)
        if name in self._agents:
            self._agents[name].jobs.pop(job)
        return attempt

    async def _operate(self) -> None:
        idle = sorted(self._jobs.keys() - self._running.keys())
        if idle:
            verb = self._random.choice(["cancel", "hold", "release", "release"])
            await self._ask(verb, self._random.choice(idle), now=self._now)

    async def _set_share(self) -> None:
        share = Share(
            whose=self._random.choice(["owner:ann", "owner:bob", "project:p"]),
            shares=self._random.choice([1, 2, 5]),
            jobs=self._random.choice([None, None, 3, 0]),
            cores=self._random.choice([None, None, 6]),
        )
        await self._ask("set_share", share)

    # ------------------------------------------------------------ what must hold

    async def _nobody_is_idle(self) -> None:
        """When managers have looked twice, as they do each second."""
        quiet = 0
        while quiet < 2:
            quiet = 0 if await self._dispatch(100) else quiet + 1
        page: Page = await self._stores[0].page(State.WAITING, limit=1000)
        waiting = [(self._jobs[line.job], await self._standing(line.job)) for line in page.rows]
        machines = await self._stores[0].machines(now=self._now)
        kept = {how.reserved for _, how in waiting}
        shares = {share.whose: share for share in await self._stores[0].shares()}
        for one in machines.rows:
            out = one.parked is None or one.probation or one.jid in kept
            if out or await self._stores[0].quarantine(one.agent, now=self._now):
                continue
            for spec, how in waiting:
                room = [
                    shares[name].room
                    for name in (f"owner:{spec.owner}", f"project:{spec.project}")
                    if name in shares
                ]
                if all(cores is None or cores >= spec.cores for cores in room):
                    assert not self._could_have(one, spec, how), (one, spec, how)

    async def _standing(self, job: str) -> Circumstances:
        found = [await store.circumstances(job, now=self._now) for store in self._stores]
        assert all(found)
        told = {(one.passed_over, one.reserved, one.place) for one in found if one is not None}
        assert len(told) == 1, (job, told)
        assert found[0] is not None
        return found[0]

    def _could_have(self, one: Machine, spec: JobSpec, how: Circumstances) -> bool:
        delayed = how.delayed is not None and how.delayed > self._now
        elsewhere = one.agent in how.failed_at or (spec.exclusive and not one.leased)
        return (
            not delayed
            and not elsewhere
            and one.free is not None
            and fits(one.free, Request.of(spec)) is Fit.NOW
        )


@contextlib.contextmanager
def any_host_will_do() -> Iterator[None]:
    """All of these hosts are large enough, and nothing is asked about them. Where something is, who is known is given jobs first: then the
    versions give them to different agents."""
    with mock.patch.object(needs, "_request", return_value=()):
        yield


async def run(seed: int, url: str, steps: int = STEPS) -> int:
    """Play one fleet. Returns how many jobs have ended well."""
    stores: list[MemoryStore | RedisStore] = [MemoryStore(), RedisStore.from_url(url, prefix=new_prefix())]
    try:
        with any_host_will_do():
            fleet = Fleet(stores, seed)
            await fleet.run(steps)
        return fleet.done
    finally:
        for store in stores:
            await store.close()


def main() -> None:
    """Play so many of them."""
    parser = argparse.ArgumentParser(description="Fleets against the queue in memory and in Redis.")
    parser.add_argument("fleets", type=int)
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="copilot-fleet-") as directory:
        server = RedisServer(find_program("redis-server"), Path(directory))
        server.start(appendfsync="no")
        try:
            for seed in range(wanted.first, wanted.first + wanted.fleets):
                ended = asyncio.run(run(seed, server.url, 4 * STEPS))
                sys.stdout.write(f"fleet {seed}: {ended} jobs\n")
                sys.stdout.flush()
        finally:
            server.kill()


if __name__ == "__main__":
    main()
