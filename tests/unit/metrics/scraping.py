"""Metrics over a store in memory, and how a scrape reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from copilot.errors import StoreUnavailable
from copilot.job import State
from copilot.metrics.exposition import Exposition
from copilot.metrics.queue import Queue
from copilot.metrics.table import Sources
from copilot.protocol.endpoint import Counts
from copilot.runtime.counts import JobCounts
from copilot.store.memory import MemoryStore


class ShakyStore(MemoryStore):
    """A queue that may be away, and counts how often it was asked for its numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.asked = 0

    async def counts(self) -> Mapping[State, int]:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("away")
        return await super().counts()


@dataclass
class World:
    """One manager's numbers, and the time."""

    now: float = 100.0
    store: ShakyStore = field(default_factory=ShakyStore)
    jobs: JobCounts = field(default_factory=JobCounts)
    messages: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        queue = Queue(self.store, lambda: self.now)
        self.exposition = Exposition(Sources(jobs=self.jobs, messages=self.messages, queue=queue))

    async def scrape(self) -> dict[str, float]:
        return read(await self.exposition.text())


def read(text: bytes) -> dict[str, float]:
    """The samples by what stands before their value, like `name{label="value"}`."""
    return {
        sample.name
        + "".join(f'{{{label}="{value}"}}' for label, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }
