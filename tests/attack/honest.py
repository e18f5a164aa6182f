"""Honest users and agents, the whole time: a job of no length every moment, and how long each took."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

from copilot.client.submission import Submission, submit
from copilot.errors import StoreUnavailable
from copilot.files.area import FileArea
from copilot.files.staging import DiskStaging
from copilot.job import JobRecord, State
from tests.attack.ground import AGENTS, Ground
from tests.attack.plan import Phase

EVERY = 0.15  # s between two jobs: a part of what two agents of two slots can do here
DRAIN_LIMIT_S = 120.0
POLL_S = 0.05
MINE = "honest"
# No attacker says that of his host, so he is given none of these jobs.
REQUIREMENTS = "other.Cores >= 1"


class Honest:
    """Submits jobs while inside `at_work`; each belongs to the phase in which it was submitted."""

    def __init__(self, ground: Ground) -> None:
        self.phase: Phase | None = None
        self._ground = ground
        self._jobs: list[tuple[str, Phase]] = []
        self._numbers = itertools.count()
        self._script = ground.root.parent / "true.sh"
        self._script.write_text("#!/bin/sh\n")

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Jobs come while inside."""
        task = asyncio.create_task(self._submit_for_ever())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def settle(self) -> list[str]:
        """Wait for all jobs, tell the phases how long they took; returns what is wrong with them."""
        wrong = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_LIMIT_S):
                while not all([await self._over(job) for job, _ in reversed(self._jobs)]):
                    await asyncio.sleep(POLL_S)
        allowed = {f"agent-{number}@copilot.internal" for number in range(1, AGENTS + 1)}
        for job, phase in self._jobs:
            record = await self._ground.store.get(job)
            if record is None or record.state is not State.DONE or record.agent not in allowed:
                wrong.append(f"honest job {job}: {_said(record)}")
            elif record.claimed is not None and record.finished is not None:
                phase.starts.append(record.claimed - record.submitted)
                phase.cycles.append(record.finished - record.submitted)
        return wrong

    async def _over(self, job: str) -> bool:
        record = await self._ground.store.get(job)
        return record is not None and record.state.final

    async def _submit_for_ever(self) -> None:
        staging = DiskStaging(FileArea(self._ground.system.places.area), ())
        one = Submission(id="", command=self._script, owner=MINE, requirements=REQUIREMENTS)
        while True:
            job, phase = f"{MINE}-{next(self._numbers):06}", self.phase
            assert phase is not None
            with contextlib.suppress(StoreUnavailable):
                await submit(replace(one, id=job), self._ground.store, staging)
                self._jobs.append((job, phase))
                self._ground.jobs.append(job)
            await asyncio.sleep(EVERY)


def _said(record: JobRecord | None) -> str:
    return "unknown" if record is None else f"{record.state}, {record.agent}, {record.outcome}"
