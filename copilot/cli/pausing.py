"""`copilot pause` and `copilot resume`: an operator stops the queue, and lets it go on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from copilot.cli.looking import load_queue, opened
from copilot.cli.options import AsJson, ConfigOption, Reason, who
from copilot.cli.output import print_json
from copilot.job import one_line
from copilot.store.controls import Gate

Intake = Annotated[
    bool,
    typer.Option("--intake", help="The intake: whether new jobs are taken, not whether agents get jobs."),
]
_STOPPED = {
    Gate.DISPATCH: "no agent gets a job from now on; what runs goes on, and new jobs wait",
    Gate.INTAKE: "no new job is taken from now on; what waits and runs goes on",
}
_GOES_ON = {Gate.DISPATCH: "agents get jobs again", Gate.INTAKE: "new jobs are taken again"}


def pause(
    intake: Intake = False, reason: Reason = "", config: ConfigOption = None, as_json: AsJson = False
) -> None:
    """Stop the queue, until somebody resumes it: agents get no jobs. What runs goes on."""
    _change(intake, reason, config, stop=True, as_json=as_json)


def resume(
    intake: Intake = False, reason: Reason = "", config: ConfigOption = None, as_json: AsJson = False
) -> None:
    """Let the queue go on."""
    _change(intake, reason, config, stop=False, as_json=as_json)


def _change(intake: bool, reason: str, config: Path | None, *, stop: bool, as_json: bool) -> None:
    gate = Gate.INTAKE if intake else Gate.DISPATCH

    async def run() -> bool:
        async with opened(load_queue(config)) as store:
            change = store.pause if stop else store.resume
            return await change(gate, by=who(), reason=one_line(reason))

    changed = asyncio.run(run())
    if as_json:
        print_json({"gate": gate.value, "paused": stop, "changed": changed})
        return
    text = _STOPPED[gate] if stop else _GOES_ON[gate]
    print(text if changed else f"nothing changed: {'it is paused already' if stop else 'it was not paused'}")
