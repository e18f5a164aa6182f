"""A campaign: jobs go in while faults happen, and everything must come out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from random import Random

from copilot.client.submission import submit
from copilot.errors import StoreUnavailable, TransferError
from copilot.store.base import Store
from tests.faults.ground import Ground
from tests.faults.kinds import KINDS
from tests.faults.plan import Plan
from tests.faults.result import Happened, Result
from tests.faults.schedule import Fault, schedule
from tests.faults.work import Work, works

DRAIN_LIMIT_S = 180.0  # after the last fault
POLL_S = 0.5


class Campaign:
    """One campaign on its ground; `say` shows how it goes on."""

    def __init__(self, plan: Plan, ground: Ground, say: Callable[[str], None]) -> None:
        self.result = Result(plan=plan)
        self.works = list(works(plan.jobs, Random(plan.seed)))
        self._plan, self._ground, self._say = plan, ground, say
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self) -> None:
        """From the first job to the end of the last one, or until the time for that is over."""
        began = time.monotonic()
        async with self._ground.store() as store, asyncio.TaskGroup() as group:
            group.create_task(self._submit_all(store))
            group.create_task(self._harm())
        last = time.monotonic()
        self._say(f"{last - began:7.1f} s  the last fault has passed")
        async with self._ground.store() as store:
            await self._drain(store)
        self.result.drained = time.monotonic() - last
        self.result.seconds = time.monotonic() - began

    async def _submit_all(self, store: Store) -> None:
        """Evenly over the time of the faults."""
        pause = self._plan.faults * self._plan.spacing / len(self.works)
        sources = self._ground.directory / "sources"
        sources.mkdir()
        for work in self.works:
            await self._submit(work, store)
            await asyncio.sleep(pause)

    async def _submit(self, work: Work, store: Store) -> None:
        """As a person would: again, until it is taken."""
        while True:
            try:
                submission = work.submission(self._ground.directory / "sources")
                await submit(submission, store, self._ground.staging())
            except (StoreUnavailable, TransferError):
                await asyncio.sleep(POLL_S)
            else:
                return

    async def _harm(self) -> None:
        """Inject faults until as many as planned have happened."""
        targets = self._ground.targets()
        kinds = [kind for kind in KINDS if any(name.startswith(kind.targets) for name in targets)]
        self.result.skipped = [kind.name for kind in KINDS if kind not in kinds]
        began, running = time.monotonic(), set[asyncio.Task[None]]()
        async with asyncio.TaskGroup() as group:
            for fault in schedule(Random(self._plan.seed), kinds, targets, self._plan.spacing):
                await asyncio.sleep(began + fault.at - time.monotonic())
                if running and len(self.result.happened) + len(running) >= self._plan.faults:
                    await asyncio.wait(running)
                if len(self.result.happened) >= self._plan.faults:
                    return
                running.add(task := group.create_task(self._inject(fault)))
                task.add_done_callback(running.discard)

    async def _inject(self, fault: Fault) -> None:
        """One at a time on each target."""
        async with self._locks[fault.target]:
            began = time.time()
            happened = await fault.kind.act(self._ground, fault.target, fault.seconds)
            self._say(f"{fault}{'' if happened else '  (there was nothing to harm)'}")
            if happened:
                self.result.happened.append(Happened(fault=fault, began=began, passed=time.time()))

    async def _drain(self, store: Store) -> None:
        """Return when all jobs are over and all results in their place, or when it takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_LIMIT_S):
                while not await self._drained(store):
                    await asyncio.sleep(POLL_S)

    async def _drained(self, store: Store) -> bool:
        try:
            counts = await store.counts()
            over = sum(number for state, number in counts.items() if state.final)
            return over == len(self.works) and not await store.unpublished()
        except StoreUnavailable:
            return False
