"""`copilot queue` and `copilot top`: how the whole fares, once or live."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from copilot.cli.agenttable import agent_facts, agent_table
from copilot.cli.joblist import COLUMNS, row_cells, row_facts
from copilot.cli.lines import Line
from copilot.cli.looking import look
from copilot.cli.options import AsJson, ConfigOption, Watch
from copilot.cli.output import Shown
from copilot.cli.spelling import WATCH
from copilot.cli.tables import Column, Table, age
from copilot.client.agents import known_agents
from copilot.client.filters import Filter
from copilot.client.listing import first
from copilot.client.overview import Overview, overview
from copilot.job import State
from copilot.store.base import Store
from copilot.store.survey import Group

RUNNING_SHOWN = 15
AGENTS_SHOWN = 15
GROUPS = (
    Column(title="REQUIREMENTS", least=20),
    Column(title="OWNER", least=8, rank=2),
    Column(title="PROJECT", least=8, rank=3),
    Column(title="WAITING", right=True),
    Column(title="OLDEST", right=True, rank=1),
)
OWNERS = (
    Column(title="OWNER", least=10),
    Column(title="WAITING", right=True),
    Column(title="RUNNING", right=True),
)


def queue(config: ConfigOption = None, as_json: AsJson = False, watch: Watch = None) -> None:
    """Show how the queue fares: jobs by state, by requirements and by owner, the pace, what is paused."""

    async def find(store: Store) -> Shown:
        found = await overview(store)
        return Shown(data=found.facts(), lines=lambda width: _queue(found, width))

    look(config, find, as_json=as_json, watch=watch)


def top(config: ConfigOption = None, as_json: AsJson = False, watch: Watch = None) -> None:
    """Show queue, running jobs and agents, live: on a terminal until q or Ctrl-C, else once."""
    live = WATCH if watch is None and sys.stdout.isatty() and not as_json else watch

    async def find(store: Store) -> Shown:
        found = await overview(store)
        running = await first(store, Filter(states=(State.RUNNING,)), limit=RUNNING_SHOWN, whole=False)
        agents = sorted(await known_agents(store), key=lambda one: (one.state == "away", one.agent))
        rows = [row for row in running.rows if row.record is not None]
        shown = [row_cells(row, found.now) for row in rows]
        return Shown(
            data={
                **found.facts(),
                "running": [row_facts(row) for row in rows],
                "agents_known": [agent_facts(one) for one in agents[:AGENTS_SHOWN]],
            },
            lines=lambda width: [
                *head(found),
                Line.of(),
                *(Table(columns=COLUMNS, rows=shown).lines(width) if shown else ["no job runs"]),
                *_more((running.more or 0), "running"),
                Line.of(),
                *(agent_table(agents[:AGENTS_SHOWN]).lines(width) if agents else ["no agents"]),
                *_more(len(agents) - AGENTS_SHOWN, "agents"),
            ],
        )

    look(config, find, as_json=as_json, watch=live)


def _more(number: int, what: str) -> Iterator[Line]:
    if number > 0:
        yield Line.of(f"… {number:,} more {what}", "dim")


def head(found: Overview) -> Iterator[Line]:
    """The numbers in a few lines, what is paused first."""
    for one in found.paused:
        yield Line.of(f"{one.told()} (since {age(found.now - one.since)})", "bold yellow")
    numbers = [f"{number:,} {state}" for state, number in found.counts.items() if number]
    yield Line.of(f"jobs    {', '.join(numbers) or 'none'}")
    agents = f"{found.online:,} online, {found.idle:,} with room for jobs"
    yield Line.of(
        f"agents  {agents}" + (f", {found.quarantined:,} in quarantine" if found.quarantined else "")
    )
    rates = ", ".join(f"{rate:.3g} {name}" for name, rate in found.pace.items())
    yield Line.of(f"pace    {rates} a minute (last {age(found.seconds)})")
    if found.oldest is not None:
        yield Line.of(f"oldest  waits {age(found.now - found.oldest)}")


def _wanted(group: Group) -> str:
    """The hosts of a group's jobs."""
    rank = f", best by {group.rank}" if group.rank else ""
    return f"{group.requirements or '(any host)'}{rank}".replace("other.", "")


def _queue(found: Overview, width: int | None) -> Iterator[Line]:
    yield from head(found)
    if found.groups:
        yield Line.of()
        rows = [
            [
                _wanted(one),
                one.owner,
                one.project,
                f"{one.waiting:,}",
                age(found.now - one.oldest),
            ]
            for one in found.groups
        ]
        yield from Table(columns=GROUPS, rows=rows).lines(width)
        yield from _more(found.all_groups - len(found.groups), "groups")
    if found.owners:
        yield Line.of()
        rows = [[one.owner or "(nobody)", f"{one.waiting:,}", f"{one.running:,}"] for one in found.owners]
        yield from Table(columns=OWNERS, rows=rows).lines(width)
        yield from _more(found.all_owners - len(found.owners), "owners")
