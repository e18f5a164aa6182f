"""What attempts took, in memory: see `copilot.store.usage`. Nothing is ever too old here."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import replace

from copilot.job import Outcome
from copilot.store import rules
from copilot.store.memory_rows import Job
from copilot.store.usage import DAY, MOST_NAMES, OTHERS, By, Charge, Sums, UsageSums


class MemoryUsage(UsageSums, abc.ABC):
    """Part of `MemoryStore`, over its tables."""

    round_trips: int
    _usage: dict[tuple[By, int], dict[str, Sums]]

    async def usage(self, by: By, day: int) -> Mapping[str, Sums]:
        """What was taken on a day: see `UsageSums.usage`."""
        self.round_trips += 1
        return dict(self._usage.get((by, day), {}))

    def _charge(self, job: Job, outcome: Outcome, time: float) -> Job:
        """An attempt is over: see `scripts/usage.lua`."""
        record = job.record
        if record.claimed is None:
            return job
        lasted, cores = time - record.claimed, record.cores
        charge = Charge.of(record.attempt, outcome, lasted, cores, job.charged)
        self._add_usage(job, charge.beyond(job.charged, outcome.memory), time)
        return replace(job, charged=charge)

    def _charge_nothing(self, job: Job, time: float) -> None:
        self._add_usage(job, Sums(handed_back=1), time)

    def _add_usage(self, job: Job, sums: Sums, time: float) -> None:
        spec, day = job.record.spec, int(time // DAY)
        names = {By.OWNER: rules.owner_of(spec), By.PROJECT: spec.project, By.AGENT: job.record.agent or ""}
        for by, name in names.items():
            known = self._usage.setdefault((by, day), {})
            place = name if name in known or len(known) < MOST_NAMES else OTHERS
            known[place] = known.get(place, Sums()) + sums
