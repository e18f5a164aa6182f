"""`copilot jobs list`, `wait` and `history`: they look at jobs, and change nothing."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.text import Text

from copilot.cli.codes import ExitCode
from copilot.cli.jobs import check_named, matching
from copilot.cli.looking import load_queue, look, opened
from copilot.cli.options import (
    Agents,
    AsJson,
    ConfigOption,
    Owners,
    Projects,
    States,
    Tags,
    Watch,
    WhereOption,
    chosen,
    read_duration,
)
from copilot.cli.output import Shown, print_json, print_lines, progress
from copilot.cli.tables import Column, Table, age
from copilot.client.filters import Filter, every
from copilot.client.listing import Listing, first
from copilot.client.story import when
from copilot.client.watch import Watch as Watching
from copilot.errors import UnknownJob
from copilot.job import Event, JobRecord, State, check_job_id
from copilot.jobmanager.config import SubmitConfig
from copilot.store.base import Store

COLUMNS = (
    Column(title="ID"),
    Column(title="STATE"),
    Column(title="OWNER", least=8, rank=3),
    Column(title="PRIO", right=True, rank=5),
    Column(title="CORES", right=True, rank=6),
    Column(title="SINCE", right=True, rank=1),
    Column(title="TRY", right=True, rank=7),
    Column(title="AGENT", least=12, rank=4),
    Column(title="WHY", least=12, rank=2),
)
PAGE = 1000


def list_(  # noqa: PLR0917  # one parameter per option
    owner: Owners = None,
    state: States = None,
    project: Projects = None,
    tag: Tags = None,
    agent: Agents = None,
    where: WhereOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Show so many at most.")] = 50,
    all_: Annotated[
        bool,
        typer.Option(
            "--all", "-a", help="Show all, in no order, as they are found; with --json a line each."
        ),
    ] = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
    watch: Watch = None,
) -> None:
    """List jobs: without options those that run, wait or are held, in the order of the queue."""
    wanted = chosen(owner, state, project, tag, agent, where)
    if all_:
        asyncio.run(_stream(load_queue(config), wanted, as_json=as_json))
        return

    async def find(store: Store) -> Shown:
        listing = await first(store, wanted, limit=limit)
        return Shown(data=_data(listing), lines=lambda width: _lines(listing, wanted, width))

    look(config, find, as_json=as_json, watch=watch)


def facts(job: JobRecord, since: float | None = None) -> dict[str, Any]:
    """A job of a list, ready for JSON; `since` in seconds since the epoch."""
    over = job.outcome if job.state.final else None
    return {
        "id": job.spec.id,
        "state": job.state.value,
        "owner": job.spec.owner,
        "project": job.spec.project,
        "priority": job.spec.priority,
        "cores": job.spec.cores,
        "gpus": job.spec.gpus,
        "tags": list(job.spec.tags),
        "command": job.spec.command,
        "submitted": job.submitted,
        "since": since if since is not None else _since(job),
        "attempt": job.attempt,
        "agent": job.agent,
        "cause": None if over is None else over.cause.value,
        "exit_code": None if over is None else over.exit_code,
        "reason": "" if over is None else over.reason,
    }


def _since(job: JobRecord) -> float:
    if job.state is State.RUNNING:
        return job.claimed or job.submitted
    return job.finished if job.state.final and job.finished else job.submitted


def cells(job: JobRecord, since: float, now: float) -> list[str]:
    """A row of the table."""
    spec, over = job.spec, job.outcome if job.state.final else None
    most = spec.max_cores or spec.cores
    shown = job.state is State.RUNNING or job.state.final
    why = "" if over is None or job.state is State.DONE else f"{over.cause}: {over.reason}".removesuffix(": ")
    return [
        spec.id,
        job.state.value,
        spec.owner,
        str(spec.priority),
        str(spec.cores) if most == spec.cores else f"{spec.cores}-{most}",
        age(now - since),
        str(job.attempt) if job.attempt else "",
        (job.agent or "") if shown else "",
        why,
    ]


def _data(listing: Listing) -> dict[str, Any]:
    return {
        "jobs": [facts(row.record, row.line.since) for row in listing.rows if row.record is not None],
        "counts": {state.value: number for state, number in listing.counts.items()},
        "more": listing.more,
        "cut": listing.cut,
    }


def _lines(listing: Listing, wanted: Filter, width: int | None) -> Iterator[Text]:
    now = time.time()
    rows = [cells(row.record, row.line.since, now) for row in listing.rows if row.record is not None]
    if rows:
        yield from Table(columns=COLUMNS, rows=rows).lines(width)
    elif width is not None:
        yield Text("no jobs" if not wanted else f"no jobs: {wanted.described()}")
    if width is not None:
        yield from (Text(line, style="dim") for line in _foot(listing, wanted))


def _foot(listing: Listing, wanted: Filter) -> Iterator[str]:
    if listing.more:
        yield f"… {listing.more:,} more: --limit N, --all"
    elif listing.more is None and listing.cut:
        yield "… there may be more: --all looks at all jobs"
    others = [f"{number:,} {state}" for state, number in listing.counts.items() if number]
    if others and not wanted:
        yield f"in all: {', '.join(others)}"


async def _stream(config: SubmitConfig, wanted: Filter, *, as_json: bool) -> None:
    """All of them: one line each, a page at a time."""
    columns, page, now = COLUMNS, list[list[str]](), time.time()
    begun = False

    def flush() -> None:
        nonlocal begun
        table = Table(columns=columns, rows=page)
        print_lines(lambda width: list(table.lines(width))[1 if begun else 0 :])
        begun = True
        page.clear()

    async with opened(config) as store, aclosing(every(store, wanted)) as jobs:
        async for job in jobs:
            if as_json:
                print_json(facts(job))
                continue
            page.append(cells(job, _since(job), now))
            if len(page) == PAGE:
                flush()
    if page:
        flush()


def wait(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of jobs.")] = None,
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
    config: SubmitConfig, jobs: Sequence[str], wanted: Filter, limit: float | None, *, as_json: bool
) -> ExitCode:
    over: list[JobRecord] = []
    async with opened(config) as store:
        if not jobs:
            jobs = await matching(store, wanted)
        with progress("over", len(jobs)) as done:

            def ended(record: JobRecord) -> None:
                over.append(record)
                done(1)
                if as_json:
                    print_json(facts(record))

            try:
                async with asyncio.timeout(limit):
                    await _all_over(store, jobs, ended)
            except TimeoutError:
                print(
                    f"copilot: {len(jobs) - len(over)} of {len(jobs)} jobs are not over yet; they go on",
                    file=sys.stderr,
                )
                return ExitCode.TIMEOUT
    if not as_json:
        now = time.time()
        bad = [cells(job, _since(job), now) for job in over if job.state is not State.DONE]
        if bad:
            print_lines(Table(columns=COLUMNS, rows=bad).lines)
        print(f"{len(over) - len(bad)} of {len(jobs)} done")
    return ExitCode.OK if all(job.state is State.DONE for job in over) else ExitCode.NO


async def _all_over(store: Store, jobs: Sequence[str], ended: Callable[[JobRecord], None]) -> None:
    """`ended` hears of each job when it is over. Raises `UnknownJob`."""
    watching = Watching(store)

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


def unknown(job: str) -> UnknownJob:
    """The error for a job that nobody knows."""
    return UnknownJob(f"job {job} is not known: look for a typing error; records of old jobs are removed")


def history(
    job: Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")],
    config: ConfigOption = None,
    as_json: AsJson = False,
    watch: Watch = None,
) -> None:
    """Show what happened to a job, event by event, all its attempts."""
    check_job_id(job, submitted=True)

    async def find(store: Store) -> Shown:
        events = await _history(store, job)
        return Shown(
            data=[event_facts(event) for event in events],
            lines=lambda width: event_table(events).lines(width),
        )

    look(config, find, as_json=as_json, watch=watch)


async def _history(store: Store, job: str) -> list[Event]:
    """Raises `UnknownJob`. Of an old job the first events may be gone: `copilot jobs show` has its attempts."""
    record = await store.get(job)
    if record is None:
        raise unknown(job)
    found = list[Event]()
    milliseconds, _, _number = record.first_event.partition("-")
    place = f"{max(0, int(milliseconds) - 1)}-0"
    while True:
        told = await store.told(job, after=place, count=PAGE)
        found += told.events
        if told.looked_at < PAGE:
            return found
        place = told.last


def event_facts(event: Event) -> dict[str, Any]:
    """An event ready for JSON."""
    return {name: value for name, value in asdict(event).items() if value is not None}


EVENT_COLUMNS = (
    Column(title="TIME"),
    Column(title="JOB", least=12, rank=1),
    Column(title="EVENT"),
    Column(title="TRY", right=True, rank=5),
    Column(title="AGENT", least=12, rank=3),
    Column(title="CAUSE", rank=4),
    Column(title="TEXT", least=10, rank=2),
)


def event_cells(event: Event) -> list[str]:
    """A row of a table of events."""
    text = event.text if event.wait is None else f"waited {age(event.wait)}"
    return [
        when(event.time)[:19],
        event.job,
        event.kind.value,
        str(event.attempt) if event.attempt else "",
        event.agent,
        event.cause,
        text,
    ]


def event_table(events: Sequence[Event]) -> Table:
    """Of one job, or of all."""
    return Table(columns=EVENT_COLUMNS, rows=[event_cells(event) for event in events])
