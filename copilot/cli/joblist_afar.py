"""`copilot jobs list --remote`: the jobs of an account, as its job manager tells them; of an operator's, all jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from copilot.cli import from_afar
from copilot.cli.joblist import COLUMNS
from copilot.cli.lines import Line
from copilot.cli.output import Shown, show, watch
from copilot.cli.tables import Table, age
from copilot.client.config import SubmitterConfig
from copilot.client.remote import element_counts
from copilot.client.slices import counted
from copilot.job import State, one_line
from copilot.protocol.commands import HaveJobs, ListedJob
from copilot.protocol.rules import MOST_LISTED


def jobs(
    config: Path | None, states: Sequence[State], limit: int, *, as_json: bool, every: float | None
) -> None:
    """Once, or again `every` so many seconds. Raises `CopilotError`."""
    with from_afar.settings(config) as settings:
        asyncio.run(_show(settings, states, limit, as_json=as_json, every=every))


async def _show(
    settings: SubmitterConfig, states: Sequence[State], limit: int, *, as_json: bool, every: float | None
) -> None:
    async with from_afar.session(settings) as remote:

        async def find() -> Shown:
            return _shown(await remote.jobs(states, limit))

        if every is None:
            show(await find(), as_json=as_json)
        else:
            await watch(find, every=every, as_json=as_json)


def _shown(found: HaveJobs) -> Shown:
    now = time.time()

    def lines(width: int | None) -> Iterator[Line]:
        if found.jobs:
            yield from Table(columns=COLUMNS, rows=[_cells(job, now) for job in found.jobs]).lines(width)
        elif width is not None:
            yield Line.of("no jobs")
        if width is not None and found.cut:
            yield Line.of(
                f"… there may be more: --limit N, {MOST_LISTED} at most from afar; --state S", "dim"
            )

    return Shown(data={"jobs": [_facts(job) for job in found.jobs], "cut": bool(found.cut)}, lines=lines)


def _facts(job: ListedJob) -> dict[str, object]:
    counts = element_counts(job)
    said = {name: value for name, value in asdict(job).items() if name != "elements"}
    return said | ({"elements": sum(counts.values()), "counts": counts} if counts else {})


def _cells(job: ListedJob, now: float) -> list[str]:
    counts = element_counts(job)
    why = "" if job.cause is None or job.state == State.DONE else f"{job.cause}: {job.reason or ''}"
    return [
        f"{job.id}[{sum(counts.values())}]" if counts else job.id,
        job.state,
        job.owner,
        str(job.priority),
        str(job.cores),
        age(now - job.since),
        str(job.attempt) if job.attempt else "",
        one_line(job.agent or ""),
        counted(counts) if counts else why.removesuffix(": "),
    ]
