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

from copilot.cli.arrays import facts as array_facts
from copilot.cli.arrays import wait_for_array
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
from copilot.client.listing import Listing, Row, elements, first
from copilot.client.selection import Selection, each_job, one_job, read_selection, resolve
from copilot.client.slices import counted
from copilot.client.story import when
from copilot.client.watch import Watch as Watching
from copilot.errors import ConfigError, UnknownJob
from copilot.job import Event, JobRecord, State, element_id
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
MOST_WAITED_FOR = 10_000  # elements one by one; a whole array is watched by its numbers


def list_(  # noqa: PLR0917  # one parameter per option
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID...", help="These alone; of an array its elements: sim, 'sim[10:20]'."),
    ] = None,
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
    each: Annotated[
        bool,
        typer.Option("--elements", help="Show elements of arrays one by one, not each array as one line."),
    ] = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
    watch: Watch = None,
) -> None:
    """List jobs: without options those that run, wait or are held, in the order of the queue."""
    wanted = chosen(owner, state, project, tag, agent, where)
    selected = [read_selection(text) for text in ids or ()]
    if selected and (wanted or all_):
        raise ConfigError("name jobs by their ids or say which by options, not both")
    if all_:
        asyncio.run(_stream(load_queue(config), wanted, as_json=as_json))
        return

    async def find(store: Store) -> Shown:
        if selected:
            listing = await elements(store, await _listed(store, selected, limit))
        else:
            listing = await first(store, wanted, limit=limit, whole=not each)
        return Shown(data=_data(listing), lines=lambda width: _lines(listing, wanted, width))

    look(config, find, as_json=as_json, watch=watch)


async def _listed(store: Store, selected: Sequence[Selection], limit: int) -> list[str]:
    """Ids, no more than `limit`; of arrays those of their elements. Raises as `resolve`."""
    ids: list[str] = []
    for found in await asyncio.gather(*(resolve(store, one) for one in selected)):
        room = limit - len(ids)
        ids += (
            [found]
            if isinstance(found, str)
            else (element_id(found.array.spec.id, at) for at in found.ids[:room])
        )
    return ids[:limit]


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
        "jobs": [_row_facts(row) for row in listing.rows if row.record is not None],
        "counts": {state.value: number for state, number in listing.counts.items()},
        "more": listing.more,
        "cut": listing.cut,
    }


def _row_facts(row: Row) -> dict[str, Any]:
    assert row.record is not None
    said = facts(row.record, row.line.since)
    if row.array is not None:
        said |= {"elements": row.array.spec.array, "counts": array_facts(row.array)["counts"]}
    return said


def _cells(row: Row, now: float) -> list[str]:
    assert row.record is not None
    shown = cells(row.record, row.line.since, now)
    if row.array is not None:
        shown[0] = f"{shown[0]}[{row.array.spec.array}]"
        shown[-1] = counted(row.array.counts)
    return shown


def _lines(listing: Listing, wanted: Filter, width: int | None) -> Iterator[Text]:
    now = time.time()
    rows = [_cells(row, now) for row in listing.rows if row.record is not None]
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
        with progress("over", len(jobs)) as done:

            def ended(record: JobRecord) -> None:
                over.append(record)
                done(1)
                if as_json:
                    print_json(facts(record))

            try:
                async with asyncio.timeout(limit):
                    await _all_over(store, jobs, ended)
                    await _arrays_over(store, arrays, codes, as_json=as_json)
            except TimeoutError:
                left = [f"{len(jobs) - len(over)} of {len(jobs)} jobs"] if len(over) < len(jobs) else []
                left += [f"array {array}" for array in arrays[len(codes) :]]
                print(f"copilot: not over yet: {', '.join(left)}; they go on", file=sys.stderr)
                return ExitCode.TIMEOUT
    if not as_json and (jobs or not arrays):
        now = time.time()
        bad = [cells(job, _since(job), now) for job in over if job.state is not State.DONE]
        if bad:
            print_lines(Table(columns=COLUMNS, rows=bad).lines)
        print(f"{len(over) - len(bad)} of {len(jobs)} done")
    good = all(job.state is State.DONE for job in over) and not any(codes)
    return ExitCode.OK if good else ExitCode.NO


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
    selection = read_selection(job)

    async def find(store: Store) -> Shown:
        events = await _history(store, await one_job(store, selection))
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
