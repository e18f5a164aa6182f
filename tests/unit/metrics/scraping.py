"""Metrics of a program that has every part, over a store in memory; and how a scrape reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from copilot.agent.counts import AgentCounts
from copilot.errors import StoreUnavailable
from copilot.files.counts import ServerCounts, TransferCounts
from copilot.job import State
from copilot.keymanager.counts import KeyManagerCounts
from copilot.metrics.disk import Disk
from copilot.metrics.exposition import Exposition
from copilot.metrics.lag import Lag
from copilot.metrics.queue import Queue
from copilot.metrics.table import About
from copilot.monitor.counts import MonitorCounts
from copilot.protocol.endpoint import Counts
from copilot.protocol.security import Openings
from copilot.runtime.counts import JobCounts
from copilot.runtime.loop_counts import LoopCounts
from copilot.store.counts import StoreCounts
from copilot.store.memory import MemoryStore
from copilot.transport.counts import SessionCounts


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
    """All numbers that there are, and the time."""

    now: float = 100.0
    store: ShakyStore = field(default_factory=ShakyStore)
    jobs: JobCounts = field(default_factory=JobCounts)
    messages: Counts = field(default_factory=Counts)
    openings: Openings = field(default_factory=Openings)
    loop: LoopCounts = field(default_factory=LoopCounts)
    session: SessionCounts = field(default_factory=SessionCounts)
    asked: StoreCounts = field(default_factory=StoreCounts)
    agent: AgentCounts = field(default_factory=AgentCounts)
    transfers: TransferCounts = field(default_factory=TransferCounts)
    server: ServerCounts = field(default_factory=ServerCounts)
    monitor: MonitorCounts = field(default_factory=MonitorCounts)
    tickets: KeyManagerCounts = field(default_factory=KeyManagerCounts)

    def __post_init__(self) -> None:
        self.lag = Lag(lambda: self.now)
        disk = Disk({"work": Path("/")}, lambda: self.now)
        given = (About(component="agent"), Queue(self.store, lambda: self.now), self.lag, disk)
        counted = (self.jobs, self.messages, self.openings, self.loop, self.session, self.asked)
        others = (self.agent, self.transfers, self.server, self.monitor, self.tickets)
        self.exposition = Exposition((*given, *counted, *others))

    async def scrape(self) -> dict[str, float]:
        return read(await self.exposition.text())


def read(text: bytes) -> dict[str, float]:
    """The samples by what stands before their value, like `name{label="value"}`."""
    return {
        sample.name
        + "".join(f'{{{label}="{value}"}}' for label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }
