"""`copilot jobs list`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any

import typer

from copilot.cli.arrays import facts as array_facts
from copilot.cli.codes import ExitCode
from copilot.cli.lines import Line
from copilot.cli.looking import load_queue, look, opened, unknown
from copilot.cli.options import (
    Agents,
    AsJson,
    ConfigOption,
    Owners,
    Projects,
    Remote,
    States,
    Tags,
    Watch,
    WhereOption,
    chosen,
)
from copilot.cli.output import Shown, print_json, print_lines
from copilot.cli.tables import Column, Table, age
from copilot.client.filters import Filter, every
from copilot.client.listing import Listing, Row, elements, first
from copilot.client.selection import Selection, read_selection, resolve
from copilot.client.slices import counted
from copilot.errors import ConfigError
from copilot.job import JobRecord, State, element_id
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
    Column(title="WHY", least=24, rank=2),
)
PAGE = 1000


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
    remote: Remote = False,
) -> None:
    """List jobs: without options those that run, wait or are held, in the order of the queue."""
    wanted = chosen(owner, state, project, tag, agent, where)
    if remote:
        if ids or all_ or each or wanted != Filter(states=wanted.states):
            raise ConfigError("--remote: of the choices, --state and --limit alone; it lists your own jobs")
        from copilot.cli import joblist_afar

        joblist_afar.jobs(config, wanted.states, limit, as_json=as_json, every=watch)
        return
    selected = [read_selection(text) for text in ids or ()]
    if selected and (wanted or all_):
        raise ConfigError("name jobs by their ids or say which by options, not both")
    if all_:
        asyncio.run(_stream(load_queue(config), wanted, as_json=as_json))
        return

    missing: list[str] = []

    async def find(store: Store) -> Shown:
        if selected:
            ids, more = await _listed(store, selected, limit)
            listing = replace(await elements(store, ids), more=more)
            there = {row.line.job for row in listing.rows}
            missing[:] = [job for job in ids if job not in there]
            return Shown(data=_data(listing), lines=lambda width: _named(listing, width))
        listing, paused = await asyncio.gather(
            first(store, wanted, limit=limit, whole=not each), store.paused()
        )
        told = [one.told() for one in paused]
        return Shown(
            data=_data(listing) | {"paused": [one.facts() for one in paused]},
            lines=lambda width: _lines(listing, wanted, told, width),
        )

    look(config, find, as_json=as_json, watch=watch)
    for job in missing:
        print(f"copilot: {unknown(job)}", file=sys.stderr)
    if missing:
        raise typer.Exit(ExitCode.NO)


async def _listed(store: Store, selected: Sequence[Selection], limit: int) -> tuple[list[str], int]:
    """Ids, no more than `limit`, and how many there are beside; of arrays those of their elements. Raises as `resolve`."""
    ids: list[str] = []
    total = 0
    for found in await asyncio.gather(*(resolve(store, one) for one in selected)):
        room = max(0, limit - len(ids))
        total += 1 if isinstance(found, str) else len(found.ids)
        ids += (
            [found]
            if isinstance(found, str)
            else (element_id(found.array.spec.id, at) for at in found.ids[:room])
        )
    ids = ids[:limit]
    return ids, total - len(ids)


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
        "since": since if since is not None else since_of(job),
        "attempt": job.attempt,
        "agent": job.agent,
        "cause": None if over is None else over.cause.value,
        "exit_code": None if over is None else over.exit_code,
        "reason": "" if over is None else over.reason,
    }


def since_of(job: JobRecord) -> float:
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
        "jobs": [row_facts(row) for row in listing.rows if row.record is not None],
        "counts": {state.value: number for state, number in listing.counts.items()},
        "more": listing.more,
        "cut": listing.cut,
    }


def row_facts(row: Row) -> dict[str, Any]:
    """The same, ready for JSON."""
    assert row.record is not None
    said = facts(row.record, row.line.since)
    if row.array is not None:
        said |= {"elements": row.array.spec.array, "counts": array_facts(row.array)["counts"]}
    return said


def row_cells(row: Row, now: float) -> list[str]:
    """A row of the table: a job, or an array with how many elements are in each state."""
    assert row.record is not None
    shown = cells(row.record, row.line.since, now)
    if row.array is not None:
        shown[0] = f"{shown[0]}[{row.array.spec.array}]"
        shown[-1] = counted(row.array.counts)
    return shown


def _table(listing: Listing, width: int | None) -> Iterator[Line]:
    now = time.time()
    rows = [row_cells(row, now) for row in listing.rows if row.record is not None]
    if rows:
        yield from Table(columns=COLUMNS, rows=rows).lines(width)


def _named(listing: Listing, width: int | None) -> Iterator[Line]:
    yield from _table(listing, width)
    if width is not None and listing.more:
        yield Line.of(f"… {listing.more:,} more: --limit N, or a slice", "dim")


def _lines(listing: Listing, wanted: Filter, paused: Sequence[str], width: int | None) -> Iterator[Line]:
    if width is not None:
        yield from (Line.of(one, "bold yellow") for one in paused)
    yield from _table(listing, width)
    if width is not None and all(row.record is None for row in listing.rows):
        yield Line.of(_none(listing, wanted))
    if width is not None:
        yield from (Line.of(line, "dim") for line in _foot(listing, wanted))


def _none(listing: Listing, wanted: Filter) -> str:
    if not wanted:
        return "no jobs wait, run or are held"
    if wanted.states:
        return f"no jobs: {wanted.described()}"
    over = sum(number for state, number in listing.counts.items() if state.final)
    others = "; of those that are over: --state done, failed, cancelled, or --all" if over else ""
    return f"no jobs wait, run or are held: {wanted.described()}{others}"


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
            page.append(cells(job, since_of(job), now))
            if len(page) == PAGE:
                flush()
    if page:
        flush()
