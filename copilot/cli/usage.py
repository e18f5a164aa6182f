"""`copilot usage`: what owners, projects and agents have used, by day sums of the queue (docs/usage.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from copilot.cli.lines import Line
from copilot.cli.looking import look
from copilot.cli.options import AsJson, ConfigOption, Watch
from copilot.cli.output import Shown
from copilot.cli.tables import Column, Table
from copilot.client.usage import DEFAULT_SPAN, Period, Usage, hours, read_usage, today
from copilot.job import sized
from copilot.store.base import Store
from copilot.store.usage import By, Sums

COLUMNS = (
    Column(title="ATTEMPTS", right=True),
    Column(title="OK", right=True, rank=4),
    Column(title="FAILED", right=True, rank=3),
    Column(title="CANCELLED", right=True, rank=7),
    Column(title="NOT BEGUN", right=True, rank=9),
    Column(title="CORE-H", right=True),
    Column(title="WALL-H", right=True, rank=5),
    Column(title="CPU-H", right=True, rank=1),
    Column(title="MAX-MEM", right=True, rank=6),
    Column(title="IN", right=True, rank=8),
    Column(title="OUT", right=True, rank=8),
)
NOBODY, TOTAL = "(none)", "total"


def usage(
    by: Annotated[By, typer.Option("--by", help="Whose: owners, projects or agents.")] = By.OWNER,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DAY",
            help=f"The first day, or how many there are: 2026-01-31, 7d, 4w; else {DEFAULT_SPAN}d.",
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="The last day; else today.")] = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
    watch: Watch = None,
) -> None:
    """Sum up what attempts took: core hours, CPU, memory, bytes. Days are those of UTC."""
    period = Period.read(since, until, today())

    async def find(store: Store) -> Shown:
        used = await read_usage(store, by, period)
        return Shown(data=used.facts(), lines=lambda width: lines(used, width))

    look(config, find, as_json=as_json, watch=watch)


def lines(used: Usage, width: int | None) -> Iterator[Line | str]:
    """A table with a line below it for all together."""
    period = used.period
    if not used.rows:
        yield f"no attempt has ended between {period.first} and {period.last} (UTC)"
        return
    rows = [_row(name or NOBODY, sums) for name, sums in used.rows.items()]
    columns = (Column(title=used.by.value.upper(), least=12), *COLUMNS)
    yield from Table(columns=columns, rows=[*rows, _row(TOTAL, used.total)]).lines(width)
    if width is not None:
        yield f"{period.first} to {period.last} (UTC)"


def _row(name: str, sums: Sums) -> list[str]:
    return [
        name,
        str(sums.attempts),
        str(sums.ok),
        str(sums.failed),
        str(sums.cancelled),
        str(sums.handed_back),
        hours(sums.cores),
        hours(sums.wall),
        hours(sums.cpu),
        sized(sums.memory) if sums.memory else "",
        sized(sums.bytes_in),
        sized(sums.bytes_out),
    ]
