"""`copilot jobs explain`: why jobs do not run, and why they failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from copilot.cli.codes import ExitCode
from copilot.cli.looking import job_of, load_queue, opened
from copilot.cli.options import AsJson, ConfigOption, Remote, Watch
from copilot.cli.output import Shown, show, watch
from copilot.client.explain import Code, Reason, explain
from copilot.client.selection import Selection, each_job, read_selection
from copilot.errors import ConfigError
from copilot.files.area import FileArea
from copilot.jobmanager.config import SubmitConfig
from copilot.store.base import Store

Jobs = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of jobs, arrays or elements.")]
MOST_ELEMENTS = 100  # of a slice, one by one; of a whole array they are summed up


def explain_jobs(
    jobs: Jobs,
    config: ConfigOption = None,
    as_json: AsJson = False,
    watch: Watch = None,
    remote: Remote = False,
) -> None:
    """Say why jobs do not run, where they run, or how they ended and why, and what to do next."""
    selected = [read_selection(job) for job in dict.fromkeys(jobs)]
    if remote:
        names = [job_of(config, one.text, remote=True) for one in selected]
        if watch is not None:
            raise ConfigError(
                "--watch: expected without --remote; copilot jobs wait --remote tells of changes"
            )
        from copilot.cli import from_afar

        with from_afar.settings(config) as afar:
            found = asyncio.run(from_afar.explain(afar, names))
        show(_shown(found), as_json=as_json)
        _end(found)
        return
    settings = load_queue(config)
    found = asyncio.run(_explain(settings, selected, as_json=as_json, every=watch))
    _end(found)


def _end(found: Sequence[Reason]) -> None:
    if any(reason.code is Code.UNKNOWN for reason in found):
        raise typer.Exit(ExitCode.NO)


def _shown(found: Sequence[Reason]) -> Shown:
    data: Any = [reason.data() for reason in found]
    lines = [line for reason in found for line in reason.lines()]
    return Shown(data=data[0] if len(data) == 1 else data, lines=lambda _: lines)


async def _explain(
    settings: SubmitConfig, selected: Sequence[Selection], *, as_json: bool, every: float | None
) -> list[Reason]:
    area = area_of(settings)
    found: list[Reason] = []

    async def find(store: Store) -> Shown:
        jobs = [job for one in selected for job in await each_job(store, one, most=MOST_ELEMENTS)]
        found[:] = [await explain(store, job, area=area) for job in jobs]
        return _shown(found)

    async with opened(settings) as store:
        if every is None:
            show(await find(store), as_json=as_json)
        else:
            await watch(lambda: find(store), every=every, as_json=as_json)
    return found


def area_of(settings: SubmitConfig) -> FileArea | None:
    """Where the inputs of jobs lie, if that is a directory of this machine that may be read."""
    place: Path | None = settings.files_dir or settings.chirp_work_dir
    return FileArea(place) if place is not None and place.is_dir() else None
