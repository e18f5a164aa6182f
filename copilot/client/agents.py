"""All agents that the store knows: by their records, by what they run or wait for, and by what has failed there."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import asdict, dataclass

from copilot.client.story import when
from copilot.roles import Account, Standing
from copilot.store.base import Store
from copilot.store.trial import Trial

BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAgent:
    """One of them (bare JID). `jobs` run there; `idle` says when it asked for work last, and waits since. Times in seconds since
    the epoch; `now` is when we looked."""

    agent: str
    account: Account | None
    trial: Trial | None
    quarantine: float  # s that are left of it
    jobs: tuple[str, ...]
    idle: float | None
    now: float

    @property
    def state(self) -> str:
        """In a word: `revoked`, `expired`, `quarantined`, `busy`, `idle` or `away`: nothing is heard of it."""
        if self.account is not None and not self.account.counts(self.now):
            return "revoked" if self.account.revoked else "expired"
        if self.quarantine:
            return "quarantined"
        if self.jobs:
            return "busy"
        return "away" if self.idle is None else "idle"

    def facts(self) -> dict[str, object]:
        """For programs. What is held against it stands as in former versions."""
        account, trial = self.account, self.trial or Trial(agent=self.agent)
        return {
            **asdict(trial),
            "in_quarantine": self.quarantine > 0,
            "state": self.state,
            "enrolled": account is not None,
            "bundle": "" if account is None else account.bundle,
            "projects": [] if account is None else sorted(account.projects),
            "created": None if account is None else account.created,
            "expires": None if account is None else account.expires,
            "revoked": account is not None and account.revoked,
            "runs": list(self.jobs),
            "idle_since": self.idle,
        }

    def told(self) -> str:
        """For people: one line. Who has had failures is told by them first, as in former versions."""
        words = []
        if self.state in ("revoked", "expired"):
            words.append(self.state)
        elif self.trial is not None:
            words.append(self._on_trial(self.trial))
        if self.state in ("busy", "idle", "away"):
            words.append(f"runs {', '.join(self.jobs)}" if self.jobs else self.state)
        if self.account is not None:
            by = f"bundle {self.account.bundle}" if self.account.bundle else "hand"
            words.append(f"came {when(self.account.created)} by {by}")
            if self.account.projects:
                words.append(f"projects {' '.join(sorted(self.account.projects))}")
            if self.account.expires is not None and self.state != "expired":
                words.append(f"ends {when(self.account.expires)}")
        if self.trial is not None:
            words.append(f"failed there: {', '.join(self.trial.jobs)}")
        return "; ".join(words)

    def _on_trial(self, trial: Trial) -> str:
        if self.quarantine:
            return f"in quarantine until {when(trial.ends)}"
        return "gets one job at a time on probation" if trial.level else "gets jobs"


async def known_agents(store: Store) -> list[KnownAgent]:
    """All of them, by their names."""
    records = await _records(store)
    trials = {trial.agent: trial for trial in await store.trials()}
    quarantine = {agent: await store.quarantine(agent) for agent in trials}
    jobs: defaultdict[str, set[str]] = defaultdict(set)
    place = ""
    while True:
        part = await store.holders(place, BATCH)
        for work in part.rows:
            jobs[work.agent].add(work.job)
        if not (place := part.next):
            break
    idle: dict[str, float] = {}
    while True:
        waiting = await store.idle(place, BATCH)
        for one in waiting.rows:
            idle[one.agent] = max(one.since, idle.get(one.agent, 0.0))
        if not (place := waiting.next):
            break
    now = time.time()
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
        )
        for agent in sorted({*agents, *trials, *jobs, *idle})
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
