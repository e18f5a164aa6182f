"""`copilot jobs`: what operators do with single jobs: cancel, hold, release, retry, and look."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from copilot.cli import from_afar
from copilot.cli.components import KNOWN_KEYS
from copilot.cli.queue import open_store
from copilot.client.operating import Answer, Verb, operate
from copilot.client.story import Story, facts, lines
from copilot.config import load
from copilot.errors import UnknownJob
from copilot.job import State, check_job_id
from copilot.jobmanager.config import SubmitConfig
from copilot.store.base import Store

app = typer.Typer(help="Cancel, hold, release, retry jobs, or look at one.", no_args_is_help=True)

Ids = Annotated[list[str], typer.Argument(metavar="ID", help="Ids of jobs.")]
Reason = Annotated[str, typer.Option(help="Why, for those who look at the job later.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration directory or file; else $COPILOT_CONFIG, else /etc/copilot."
    ),
]


Remote = Annotated[
    bool,
    typer.Option(
        "--remote", "-r", help="By XMPP, with an account of your own, as `copilot-job-submit --remote`."
    ),
]


@app.command()
def cancel(
    ids: Ids,
    reason: Reason = "",
    config: ConfigOption = None,
    as_json: AsJson = False,
    remote: Remote = False,
) -> None:
    """End jobs: those that run, when their agent has stopped them."""
    if remote:
        jobs = [check_job_id(job, submitted=True) for job in dict.fromkeys(ids)]
        with from_afar.settings(config) as settings:
            settled = asyncio.run(from_afar.stop(settings, jobs, reason))
        if as_json:
            print(json.dumps([asdict(answer) for answer in settled]))
        for answer in settled if not as_json else ():
            _say(answer)
        raise typer.Exit(0 if all(answer.ok for answer in settled) else 1)
    _command(Verb.CANCEL, ids, reason, config, as_json=as_json)


@app.command()
def hold(ids: Ids, reason: Reason = "", config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Keep waiting jobs out of the queue."""
    _command(Verb.HOLD, ids, reason, config, as_json=as_json)


@app.command()
def release(ids: Ids, reason: Reason = "", config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Let held jobs wait again, each at its old place."""
    _command(Verb.RELEASE, ids, reason, config, as_json=as_json)


@app.command()
def retry(ids: Ids, reason: Reason = "", config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Run jobs once more that failed or were cancelled, with all their attempts."""
    _command(Verb.RETRY, ids, reason, config, as_json=as_json)


@app.command()
def show(
    job: Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")],
    config: ConfigOption = None,
    as_json: AsJson = False,
    remote: Remote = False,
) -> None:
    """Show a job and what became of each of its attempts; with --remote, how it stands and how its last attempt ended."""
    if remote:
        with from_afar.settings(config) as settings:
            state = asyncio.run(from_afar.look(settings, check_job_id(job, submitted=True)))
        print(json.dumps(from_afar.facts(state)) if as_json else "\n".join(from_afar.lines(state)))
        return
    story = asyncio.run(_read(_load(config), check_job_id(job, submitted=True)))
    print(json.dumps(facts(story)) if as_json else "\n".join(lines(story)))


def _command(verb: Verb, ids: Sequence[str], reason: str, config: Path | None, *, as_json: bool) -> None:
    """Nothing is done if one of the ids cannot be one."""
    jobs = [check_job_id(job, submitted=True) for job in dict.fromkeys(ids)]
    if not asyncio.run(_operate(_load(config), verb, jobs, reason, as_json=as_json)):
        raise typer.Exit(1)


async def _operate(
    config: SubmitConfig, verb: Verb, jobs: Sequence[str], reason: str, *, as_json: bool
) -> bool:
    store = open_store(config)
    answers: list[Answer] = []
    try:
        for job in jobs:
            answers.append(await operate(store, verb, job, reason=reason))
            if not as_json:
                _say(answers[-1])
    finally:  # what was done before the queue went away is told all the same
        if as_json:
            print(json.dumps([asdict(answer) for answer in answers]))
        await store.close()
    return all(answer.ok for answer in answers)


def _say(answer: Answer) -> None:
    print(f"job {answer.job}: {answer.text}", file=sys.stdout if answer.ok else sys.stderr)


async def _read(config: SubmitConfig, job: str) -> Story:
    store = open_store(config)
    try:
        return await read_story(store, job)
    finally:
        await store.close()


async def read_story(store: Store, job: str) -> Story:
    """All that the queue knows of a job. Raises `UnknownJob`, `StoreUnavailable`."""
    record = await store.get(job)
    if record is None:
        raise UnknownJob(f"job {job} is not known: look for a typing error; records of old jobs are removed")
    running = await store.cancelling(limit=1000) if record.state is State.RUNNING else ()
    return Story(
        record=record,
        attempts=await store.attempts(job),
        cancelling=any(one.job == job and one.attempt == record.attempt for one in running),
    )


def _load(config: Path | None) -> SubmitConfig:
    settings, warnings = load(SubmitConfig, config, os.environ, known=lambda: KNOWN_KEYS)
    for warning in warnings:
        print(f"copilot: warning: {warning}", file=sys.stderr)
    return settings
