"""`copilot shares`, also called `copilot quotas`: what owners and projects may have of what there is (docs/shares.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer

from copilot.cli.lines import Line
from copilot.cli.looking import load_queue, look, opened
from copilot.cli.options import AsJson, ConfigOption, Watch
from copilot.cli.output import Shown, print_json
from copilot.cli.tables import Column, Table
from copilot.errors import BadName
from copilot.store.base import Store
from copilot.store.shares import OWNER, PROJECT, Share, check_share

app = typer.Typer(
    help="What owners and projects may have: shares, and limits on what runs.", no_args_is_help=True
)

Whose = Annotated[str, typer.Argument(metavar="OWNER|project:NAME", help="An owner, or a project.")]
NO_LIMIT = "none"
_LIMIT = "a number, or none"
_COLUMNS = (
    Column(title="WHOSE", least=16),
    Column(title="SHARES", right=True),
    Column(title="RUNNING", right=True),
    Column(title="MOST JOBS", right=True),
    Column(title="CORES", right=True),
    Column(title="MOST CORES", right=True),
    Column(title="", rank=1),
)


@app.command("list")
def list_(config: ConfigOption = None, as_json: AsJson = False, watch: Watch = None) -> None:
    """All that was set, and what these owners and projects run now. Whoever is not there has one share and no limit."""

    async def find(store: Store) -> Shown:
        found = await store.shares()
        return Shown(data=[_facts(one) for one in found], lines=lambda width: _lines(found, width))

    look(config, find, as_json=as_json, watch=watch)


@app.command("set")
def set_(
    whose: Whose,
    shares: Annotated[
        int | None, typer.Option(help="Against those of others, 1 unless set; at most 100.")
    ] = None,
    jobs: Annotated[
        str | None, typer.Option(metavar="N|none", help="How many jobs run at a time at most.")
    ] = None,
    cores: Annotated[
        str | None, typer.Option(metavar="N|none", help="How many cores they use at most.")
    ] = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Set what an owner or a project may have; what is not named stays. Jobs that wait keep their turns, and what runs goes on."""
    if shares is None and jobs is None and cores is None:
        raise BadName("nothing to set: say --shares, --jobs or --cores")

    async def run() -> Share:
        async with opened(load_queue(config)) as store:
            (known,) = await store.shares((full_name(whose),))
            wanted = replace(
                known,
                shares=known.shares if shares is None else shares,
                jobs=known.jobs if jobs is None else _limit("--jobs", jobs),
                cores=known.cores if cores is None else _limit("--cores", cores),
            )
            await store.set_share(_checked(wanted))
            return wanted

    share = asyncio.run(run())
    if as_json:
        print_json(_facts(share))
    else:
        print("\n".join(str(line) for line in _lines([share], None)))


def full_name(whose: str) -> str:
    """Of an owner or a project, as the queue calls it: an owner may be named with and without `owner:`."""
    return whose if whose.startswith((OWNER, PROJECT)) else f"{OWNER}{whose}"


def _checked(share: Share) -> Share:
    try:
        return check_share(share)
    except ValueError as error:
        raise BadName(str(error)) from error


def _limit(option: str, text: str) -> int | None:
    if text == NO_LIMIT:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadName(f"{option} {text[:40]!r}: expected {_LIMIT}")
    return int(text)


def _facts(share: Share) -> dict[str, object]:
    kind, _, name = share.whose.partition(":")
    return {
        "kind": kind,
        "name": name,
        "shares": share.shares,
        "most_jobs": share.jobs,
        "most_cores": share.cores,
        "running_jobs": share.running,
        "used_cores": share.used,
        "full": share.full,
    }


def _lines(found: list[Share] | tuple[Share, ...], width: int | None) -> Iterator[Line | str]:
    if not found:
        yield "nothing was set: everybody has one share and no limit"
        return
    rows = [
        [
            share.whose.removeprefix(OWNER),
            str(share.shares),
            str(share.running),
            NO_LIMIT if share.jobs is None else str(share.jobs),
            str(share.used),
            NO_LIMIT if share.cores is None else str(share.cores),
            "full" if share.full else "",
        ]
        for share in found
    ]
    yield from Table(columns=_COLUMNS, rows=rows).lines(width)
