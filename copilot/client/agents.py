"""All agents that the store knows: by their records, by what they run or wait for, and by what has failed there."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import asdict
from typing import Any

from copilot.client.story import when
from copilot.matching.host import attributes_of
from copilot.records import dataclass
from copilot.roles import Account, Standing
from copilot.store.base import Store
from copilot.store.controls import SetAside
from copilot.store.explaining import ONLINE_FOR, Machines
from copilot.store.trial import Trial

BATCH = 1000
STATES = ("busy", "idle", "away", "draining", "quarantined", "expired", "revoked")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAgent:
    """One of them (bare JID). `jobs` run there; `idle` says when it asked for work last, and waits since. Times in seconds since
    the epoch; `now` is when we looked. It was heard last at `seen`, could take `free` jobs, and has so many `cores`, of which its
    jobs have `used`, and `memory` in MiB (None: not known). `aside`: somebody has put it in quarantine. `leaves`: somebody
    wants it to."""

    agent: str
    account: Account | None
    trial: Trial | None
    quarantine: float  # s that are left of it
    jobs: tuple[str, ...]
    idle: float | None
    now: float
    aside: SetAside | None = None
    leaves: bool = False
    seen: float | None = None
    free: int = 0
    cores: int | None = None
    used: int = 0
    memory: int | None = None

    @property
    def state(self) -> str:
        """In a word: `revoked`, `expired`, `quarantined`, `draining`, `busy`, `idle` or `away`: nothing is heard of it."""
        if self.account is not None and not self.account.counts(self.now):
            return "revoked" if self.account.revoked else "expired"
        if self.quarantine or self.aside is not None:
            return "quarantined"
        if self.leaves and self.heard:
            return "draining"
        if self.jobs:
            return "busy"
        return "away" if self.idle is None else "idle"

    @property
    def heard(self) -> bool:
        """Whether it was heard of lately."""
        return self.idle is not None or bool(self.jobs) or (self.seen or 0.0) > self.now - ONLINE_FOR

    @property
    def why(self) -> str:
        """What is to be known beside its state: why and until when it gets no jobs, what has failed there."""
        if self.aside is not None:
            last = "until it is released" if self.aside.ends is None else f"until {when(self.aside.ends)}"
            return ": ".join(filter(None, (f"by {self.aside.by or 'hand'} {last}", self.aside.reason)))
        if self.quarantine:
            return f"until {when(self.trial.ends if self.trial else None)}; failed there: {self._failed()}"
        if self.trial is not None:
            state = "on probation, " if self.trial.level else ""
            return f"{state}failed there: {self._failed()}"
        if self.account is not None and self.account.expires is not None and self.state != "expired":
            return f"ends {when(self.account.expires)}"
        return ""

    def _failed(self) -> str:
        return ", ".join(self.trial.jobs) if self.trial is not None else ""

    def facts(self) -> dict[str, object]:
        """For programs. What is held against it stands as in former versions."""
        account, trial = self.account, self.trial or Trial(agent=self.agent)
        return {
            **asdict(trial),
            "in_quarantine": self.quarantine > 0 or self.aside is not None,
            "set_aside": None if self.aside is None else asdict(self.aside),
            "state": self.state,
            "enrolled": account is not None,
            "bundle": "" if account is None else account.bundle,
            "projects": [] if account is None else sorted(account.projects),
            "created": None if account is None else account.created,
            "expires": None if account is None else account.expires,
            "revoked": account is not None and account.revoked,
            "runs": list(self.jobs),
            "idle_since": self.idle,
            "leaves": self.leaves,
            "seen": self.seen,
            "free_jobs": self.free,
            "cores": self.cores,
            "cores_used": self.used,
            "memory_mib": self.memory,
        }


async def known_agents(store: Store) -> list[KnownAgent]:
    """All of them, by their names."""
    records = await _records(store)
    trials = {trial.agent: trial for trial in await store.trials()}
    quarantine = {agent: await store.quarantine(agent) for agent in trials}
    asides = {one.agent: one for one in await store.asides()}
    machines = await store.machines()
    leaving = {one.agent for one in machines.rows if one.leaves}
    jobs: defaultdict[str, set[str]] = defaultdict(set)
    used: defaultdict[str, int] = defaultdict(int)
    place = ""
    while True:
        part = await store.holders(place, BATCH)
        for work in part.rows:
            jobs[work.agent].add(work.job)
            used[work.agent] += work.cores
        if not (place := part.next):
            break
    idle: dict[str, float] = {}
    free: defaultdict[str, int] = defaultdict(int)
    while True:
        waiting = await store.idle(place, BATCH)
        for one in waiting.rows:
            idle[one.agent] = max(one.since, idle.get(one.agent, 0.0))
            free[one.agent] += one.slots
        if not (place := waiting.next):
            break
    now = time.time()
    hosts = _hosts(machines)
    agents = {jid for jid, account in records.items() if account.standing is Standing.AGENT}
    return [
        KnownAgent(
            agent=agent,
            account=records.get(agent),
            trial=trials.get(agent),
            quarantine=quarantine.get(agent, 0.0),
            jobs=tuple(sorted(jobs.get(agent, ()))),
            idle=idle.get(agent),
            now=now,
            aside=asides.get(agent),
            leaves=agent in leaving,
            free=free.get(agent, 0),
            used=used.get(agent, 0),
            **hosts.get(agent, {}),
        )
        for agent in sorted({*agents, *trials, *asides, *jobs, *idle, *hosts})
    ]


async def _records(store: Store) -> dict[str, Account]:
    found: dict[str, Account] = {}
    number = 0
    while True:
        part = await store.accounts(after=number, limit=BATCH)
        found |= {account.jid: account for account in part.accounts}
        if len(part.accounts) < BATCH:
            return found
        number = part.number


def _hosts(machines: Machines) -> dict[str, dict[str, Any]]:
    """When agents were heard last, and what they say of their hosts; of several that are online under one account the sums, and if none is,
    what the last one said."""
    online = {one.agent for one in machines.rows if one.online(machines.now)}
    found: dict[str, dict[str, Any]] = {}
    for one in machines.rows:  # the last one comes first
        gone = not one.online(machines.now)
        if gone and (one.agent in online or one.agent in found):
            continue
        said = attributes_of(one.host, ("cores", "maxcores", "memory")) if one.host else {}
        known = found.setdefault(one.agent, {"seen": 0.0, "cores": None, "memory": None})
        known["seen"] = max(known["seen"], one.asked, one.renewed or 0.0)
        for name, number in (
            ("cores", said.get("maxcores", said.get("cores"))),
            ("memory", said.get("memory")),
        ):
            if isinstance(number, int | float):
                known[name] = (known[name] or 0) + int(number)
    return found
