"""The file area of a simulation: what was uploaded, what was published."""

from __future__ import annotations

from copilot.agent.effects import Assignment
from copilot.errors import TransferRefused
from copilot.job import JobRecord, Output
from copilot.storagemanager.logic import Place
from copilot.storagemanager.report import facts_of
from tests.integration.simulation.agenda import pause


class Outputs:
    """As `copilot.storagemanager.logic.Outputs`."""

    def __init__(self) -> None:
        self.published: dict[str, Output] = {}
        self._prepared: set[tuple[str, int]] = set()
        self._staged: dict[tuple[str, int], Output] = {}

    async def prepare(self, job: str, attempt: int) -> Place:
        await pause()
        self._prepared.add((job, attempt))
        return Place(url=f"file:///{job}.a{attempt}")

    def put(self, assignment: Assignment, output: Output) -> None:
        """An agent uploads."""
        key = (assignment.id, assignment.job.attempt or 0)
        if key not in self._prepared:
            raise TransferRefused(f"no directory for {key}")
        self._staged[key] = output

    async def seal(self, job: str, attempt: int) -> Output | None:
        await pause()
        self._prepared.discard((job, attempt))
        return self._staged.get((job, attempt))

    async def publish(self, record: JobRecord, package: bytes | None = None) -> None:
        await pause()
        job, attempt = record.spec.id, record.attempt
        if package is not None:
            output = facts_of(package)
            assert self.published.setdefault(job, output) == output, f"{job} is published twice"
            return
        if (job, attempt) in self._staged:
            output = self._staged.pop((job, attempt))
            assert self.published.setdefault(job, output) == output, f"{job} is published twice"
        elif job not in self.published and record.outcome is not None and record.outcome.output is not None:
            raise TransferRefused(f"no output of {job}, attempt {attempt}")
        await self.discard(job, attempt)

    async def discard(self, job: str, attempt: int) -> None:
        await pause()
        self._staged.pop((job, attempt), None)
        self._prepared.discard((job, attempt))
