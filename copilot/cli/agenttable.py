"""How agents are shown in tables and as JSON, wherever they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from copilot.cli.tables import Column, Table, age
from copilot.client.agents import KnownAgent
from copilot.client.story import when
from copilot.job import one_line

COLUMNS = (
    Column(title="AGENT", least=16),
    Column(title="STATE"),
    Column(title="JOBS", right=True),
    Column(title="FREE", right=True, rank=2),
    Column(title="CORES", right=True, rank=3),
    Column(title="MEMORY", right=True, rank=5),
    Column(title="SEEN", right=True, rank=4),
    Column(title="PROJECTS", least=8, rank=6),
    Column(title="WHY", least=24, rank=1),
)


def agent_facts(one: KnownAgent) -> dict[str, Any]:
    """Ready for JSON."""
    return one.facts()


def agent_table(agents: Sequence[KnownAgent]) -> Table:
    """FREE: jobs that it could take now; CORES: used and in all, as far as it says."""
    return Table(columns=COLUMNS, rows=[_cells(one) for one in agents])


def _cells(one: KnownAgent) -> list[str]:
    seen = "" if one.seen is None else age(one.now - one.seen)
    total = "" if one.cores is None else str(one.cores)
    return [
        one.agent,
        one.state,
        str(len(one.jobs)) if one.jobs else "",
        str(one.free) if one.free else "",
        total and f"{one.used}/{total}",
        "" if one.memory is None else f"{one.memory / 1024:.3g}G",
        seen,
        " ".join(sorted(one.account.projects)) if one.account is not None else "",
        one.why,
    ]


def agent_lines(one: KnownAgent) -> Iterator[str]:
    """All that is known of it, for people."""
    yield f"agent {one.agent}: {one.state}"
    account = one.account
    rows = (
        ("why", one.why),
        ("runs", ", ".join(one.jobs)),
        ("free", f"{one.free} jobs" if one.free else ""),
        ("cores", "" if one.cores is None else f"{one.used} of {one.cores} used"),
        ("memory", "" if one.memory is None else f"{one.memory} MiB"),
        ("heard", "" if one.seen is None else f"{age(one.now - one.seen)} ago"),
        ("idle", "" if one.idle is None else f"since {when(one.idle)}"),
        ("came", "" if account is None else f"{when(account.created)} by {account.bundle or 'hand'}"),
        ("projects", "" if account is None else " ".join(sorted(account.projects))),
        ("ends", "" if account is None else when(account.expires)),
    )
    for name, value in rows:
        if value:
            yield f"  {name:<11}{one_line(value)}"
