"""What happened: `copilot events` on the queue, as it happens; `copilot jobs history` to one job."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from copilot.cli.lines import Line, width_of
from copilot.cli.looking import load_queue, look, opened, unknown
from copilot.cli.options import AsJson, ConfigOption, Watch, read_duration
from copilot.cli.output import Shown, print_json, print_lines
from copilot.cli.tables import Column, Table, age
from copilot.client.selection import one_job, read_selection
from copilot.client.story import when
from copilot.errors import BadName, StoreUnavailable
from copilot.job import Event, EventKind
from copilot.jobmanager.config import SubmitConfig
from copilot.runtime.signals import on_stop
from copilot.store.base import Store

PAGE = 1000
BLOCK = 5.0  # s that one look waits for news
RETRY = 2.0  # s until a queue that is away is asked again
COLUMNS = (
    Column(title="TIME"),
    Column(title="JOB", least=12, rank=1),
    Column(title="EVENT"),
    Column(title="TRY", right=True, rank=5),
    Column(title="AGENT", least=12, rank=3),
    Column(title="CAUSE", rank=4),
    Column(title="TEXT", least=10, rank=2),
)


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, until Ctrl-C.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Begin so long ago, like 90s or 2h. (default: 10m; with --follow: now)"
        ),
    ] = None,
    job: Annotated[
        list[str] | None, typer.Option("--job", metavar="ID", help="Of this job. Repeatable.")
    ] = None,
    agent: Annotated[
        list[str] | None, typer.Option("--agent", metavar="JID", help="At this agent. Repeatable.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="EVENT", help="Like failed or quarantined. Repeatable."),
    ] = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Show what happens on the queue, one line an event; --json: one object a line."""
    kinds = [_kind(text) for text in kind or ()]

    def meant(event: Event) -> bool:
        return (
            (not job or event.job in job)
            and (not agent or event.agent in agent)
            and (not kinds or event.kind in kinds)
        )

    begin = "$" if follow else "10m"
    after = "$" if since is None and follow else _place(read_duration(since or begin, "--since"))
    asyncio.run(_show(load_queue(config), after, meant, follow=follow, as_json=as_json))


def _kind(text: str) -> EventKind:
    try:
        return EventKind(text)
    except ValueError:
        raise BadName(f"--kind {text[:40]!r}: expected one of {', '.join(EventKind)}") from None


def _place(seconds: float) -> str:
    return f"{max(0, int((time.time() - seconds) * 1000))}-0"


async def _show(
    config: SubmitConfig, after: str, meant: Callable[[Event], bool], *, follow: bool, as_json: bool
) -> None:
    this = asyncio.current_task()
    assert this is not None
    widths = [0 for _ in COLUMNS]
    with contextlib.suppress(asyncio.CancelledError), on_stop(this.cancel):
        async with opened(config) as store:
            begun = False
            while True:
                found = await _read(store, after, BLOCK if follow else 0.0, patient=follow)
                if found:
                    after = found[-1].id
                shown = [event for event in found if meant(event)]
                if shown:
                    _print(shown, widths, head=not begun, as_json=as_json)
                    begun = True
                if not follow and len(found) < PAGE:
                    return


async def _read(store: Store, after: str, block: float, *, patient: bool) -> Sequence[Event]:
    while True:
        try:
            return await store.events(after=after, block=block, count=PAGE)
        except StoreUnavailable as error:
            if not patient:
                raise
            print(f"copilot: {error}", file=sys.stderr)
            await asyncio.sleep(RETRY)


def _print(shown: Sequence[Event], widths: list[int], *, head: bool, as_json: bool) -> None:
    if as_json:
        for event in shown:
            print_json(_facts(event))
        return
    rows = [_cells(event) for event in shown]
    for row in rows:  # what comes later stands below what came before
        widths[:] = [max(width, width_of(cell)) for width, cell in zip(widths, row, strict=True)]
    table = Table(columns=COLUMNS, rows=rows, wide=tuple(widths))
    print_lines(lambda width: list(table.lines(width))[0 if head else 1 :])


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
            data=[_facts(event) for event in events],
            lines=lambda width: _of_one(events, width),
        )

    look(config, find, as_json=as_json, watch=watch)


def _of_one(events: Sequence[Event], width: int | None) -> Iterable[Line]:
    """On a terminal without a column that has the same job in all rows, so that there is room for what is told."""
    table = _table(events)
    if width is not None and len({event.job for event in events}) == 1:
        at = [column.title for column in COLUMNS].index("JOB")
        table = Table(columns=COLUMNS, rows=[[*row[:at], "", *row[at + 1 :]] for row in table.rows])
    return table.lines(width)


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


def _facts(event: Event) -> dict[str, Any]:
    """An event ready for JSON."""
    return {name: value for name, value in asdict(event).items() if value is not None}


def _cells(event: Event) -> list[str]:
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


def _table(events: Sequence[Event]) -> Table:
    """Of one job, or of all."""
    return Table(columns=COLUMNS, rows=[_cells(event) for event in events])
