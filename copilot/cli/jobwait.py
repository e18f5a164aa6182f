"""`copilot jobs wait`: until jobs and arrays are over."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from copilot.cli.arrays import wait_for_array
from copilot.cli.codes import ExitCode
from copilot.cli.joblist import COLUMNS, cells, facts, since_of
from copilot.cli.jobs import check_named, matching
from copilot.cli.looking import load_queue, opened, unknown
from copilot.cli.options import (
    AsJson,
    ConfigOption,
    Owners,
    Projects,
    Tags,
    WhereOption,
    chosen,
    read_duration,
)
from copilot.cli.output import print_json, print_lines, progress
from copilot.cli.tables import Table
from copilot.client.filters import Filter
from copilot.client.selection import Selection, each_job
from copilot.client.watch import Watch
from copilot.errors import UnknownJob
from copilot.job import JobRecord, State
from copilot.jobmanager.config import SubmitConfig
from copilot.store.base import Store

MOST_WAITED_FOR = 10_000  # elements one by one; a whole array is watched by its numbers


def wait(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Ids of jobs, arrays or elements.")
    ] = None,
    owner: Owners = None,
    project: Projects = None,
    tag: Tags = None,
    where: WhereOption = None,
    timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Give up after so long, like 90s or 1h30m; exit code 124."),
    ] = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Wait until jobs are over. Exit code 0 if all are done, 1 if some failed or were cancelled."""
    wanted = chosen(owner, None, project, tag, None, where)
    jobs = check_named(ids, wanted)
    limit = None if timeout is None else read_duration(timeout, "--timeout")
    code = asyncio.run(_wait(load_queue(config), jobs, wanted, limit, as_json=as_json))
    raise typer.Exit(code)


async def _wait(
    config: SubmitConfig, selected: Sequence[Selection], wanted: Filter, limit: float | None, *, as_json: bool
) -> ExitCode:
    over: list[JobRecord] = []
    arrays: list[str] = []
    codes: list[int] = []
    async with opened(config) as store:
        jobs, arrays = await _waited_for(store, selected, wanted)
        try:
            async with asyncio.timeout(limit):
                await _jobs_over(store, jobs, over, as_json=as_json)
                await _arrays_over(store, arrays, codes, as_json=as_json)
        except TimeoutError:
            left = [f"{len(jobs) - len(over)} of {len(jobs)} jobs"] if len(over) < len(jobs) else []
            left += [f"array {array}" for array in arrays[len(codes) :]]
            print(f"copilot: not over yet: {', '.join(left)}; they go on", file=sys.stderr)
            return ExitCode.TIMEOUT
    if not as_json and (jobs or not arrays):
        now = time.time()
        bad = [cells(job, since_of(job), now) for job in over if job.state is not State.DONE]
        if bad:
            print_lines(Table(columns=COLUMNS, rows=bad).lines)
        print(f"{len(over) - len(bad)} of {len(jobs)} done")
    good = all(job.state is State.DONE for job in over) and not any(codes)
    return ExitCode.OK if good else ExitCode.NO


async def _jobs_over(store: Store, jobs: Sequence[str], over: list[JobRecord], *, as_json: bool) -> None:
    """`over` gets each when it is over; arrays have bars of their own."""
    if not jobs:
        return
    with progress("over", len(jobs)) as done:

        def ended(record: JobRecord) -> None:
            over.append(record)
            done(1)
            if as_json:
                print_json(facts(record))

        await _all_over(store, jobs, ended)


async def _arrays_over(store: Store, arrays: Sequence[str], codes: list[int], *, as_json: bool) -> None:
    """One after the other; `codes` gets an exit code for each."""
    for array in arrays:
        codes.append(await wait_for_array(store, array, as_json=as_json))  # noqa: PERF401  # some may be all


async def _waited_for(
    store: Store, selected: Sequence[Selection], wanted: Filter
) -> tuple[list[str], list[str]]:
    """Jobs, and arrays as wholes. Raises as `each_job`."""
    if not selected:
        records = await matching(store, wanted)
        arrays = [job.spec.id for job in records if job.spec.is_array]
        return [job.spec.id for job in records if not job.spec.is_array], arrays
    jobs: list[str] = []
    arrays = []
    for one in selected:
        if one.part is None and await store.array(one.id) is not None:
            arrays.append(one.id)
        else:
            jobs += await each_job(store, one, most=MOST_WAITED_FOR)
    return jobs, arrays


async def _all_over(store: Store, jobs: Sequence[str], ended: Callable[[JobRecord], None]) -> None:
    """`ended` hears of each job when it is over. Raises `UnknownJob`."""
    watching = Watch(store)

    async def one(job: str) -> None:
        record = await watching.ended(job)
        if record is None:
            raise unknown(job)
        ended(record)

    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(one(job))
    except* UnknownJob as errors:
        raise errors.exceptions[0] from None
    finally:
        await watching.close()
