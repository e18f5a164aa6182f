"""What becomes of jobs that were described, for the commands that submit: to the queue, followed to their ends, reported."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from copilot.cli.arrays import wait_for_array
from copilot.cli.known import known_keys
from copilot.cli.queue import open_briefly
from copilot.cli.storage import open_staging
from copilot.client.follow import follow
from copilot.client.places import area_here, chirp_for_agents, chirp_named
from copilot.client.secrets import with_secrets
from copilot.client.submission import Submission, submit_all
from copilot.config import load
from copilot.config.kinds import SIZE, Address
from copilot.errors import BadName, ConfigError, StoreUnavailable, UnknownJob
from copilot.files.area import FileArea
from copilot.job import Event, EventKind, JobRecord, JobSpec, State, check_job_id
from copilot.jobmanager.config import SubmitConfig
from copilot.records import dataclass
from copilot.runtime.signals import on_stop
from copilot.store.base import Store
from copilot.store.controls import Gate

INTERRUPTED = 130
STORE_RETRY = 5.0  # s


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What the user wants to see."""

    program: str
    as_json: bool
    wait: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where files go; at least one of the two is there."""

    area: FileArea | None
    chirp: Address | None


def submit_here(
    submissions: Sequence[Submission],
    place: Path | None,
    screen: Screen,
    chirp_server: str | None = None,
    chirp_dir: Path | None = None,
    secrets: Mapping[str, Path] | None = None,
) -> int:
    """Straight to the queue and the file area; the exit code. Raises `CopilotError`."""
    settings, warnings = load(SubmitConfig, place, os.environ, known=known_keys)
    for warning in warnings:
        print(f"{screen.program}: warning: {warning}", file=sys.stderr)
    chirp = chirp_named(chirp_server, settings)
    server = chirp_for_agents(chirp, settings)
    target = _Target(area=area_here(chirp_dir, settings), chirp=chirp)
    submissions = [replace(one, chirp_server=server) for one in submissions]
    submissions = with_secrets(
        submissions, secrets or {}, settings.public_keys_file, settings.jm_jabber_address
    )
    return asyncio.run(_run(submissions, settings, target, screen))


def not_with_remote(chirp_server: str | None, chirp_dir: Path | None) -> None:
    """Raises `ConfigError` for options that make no sense from afar."""
    if chirp_server is not None or chirp_dir is not None:
        raise ConfigError(
            "--chirp-server and --chirp-dir: not with --remote, where files go to the file server"
        )


def only_with_remote(output_dir: Path | None, *, unpack: bool) -> None:
    """Raises `ConfigError` for options that make sense from afar alone."""
    if output_dir is not None or unpack:
        raise ConfigError(
            "--output-dir and --unpack: only with --remote; else JM_DONE_JOB_DIR has the output"
        )


async def _run(
    submissions: Sequence[Submission], config: SubmitConfig, target: _Target, screen: Screen
) -> int:
    store, specs, this = open_briefly(config), list[JobSpec](), asyncio.current_task()
    codes = []
    assert this is not None
    try:
        with on_stop(this.cancel):  # asyncio's own handler cancels a running task, and that may get lost
            async with open_staging(config, target.area, target.chirp) as staging:
                ids = [check_job_id(one.id, submitted=True) for one in submissions]
                known = await asyncio.gather(*map(store.get, ids))
                specs = await submit_all(submissions, store, staging)
            for pause in await store.paused():
                if pause.gate is Gate.DISPATCH:
                    print(f"{screen.program}: the queue is {pause.told()}", file=sys.stderr)
            for spec, record in zip(specs, known, strict=True):
                begun = State.BLOCKED if spec.after or spec.after_any else State.WAITING
                state = begun if record is None else record.state
                if record is not None:
                    print(
                        f"{screen.program}: job {spec.id} was submitted before, and is {state}",
                        file=sys.stderr,
                    )
                if not screen.wait:
                    print(json.dumps({"id": spec.id, "state": state}) if screen.as_json else spec.id)
            for spec in specs if screen.wait else ():
                if spec.is_array:
                    codes.append(await wait_for_array(store, spec.id, as_json=screen.as_json))
                    continue
                record = await _wait(store, spec, quiet=screen.as_json)
                codes.append(_report(record, config, as_json=screen.as_json))
    except asyncio.CancelledError:
        if not specs:
            raise
        rest = (
            f"job {specs[len(codes)].id} and those after it go on"
            if len(specs) > 1
            else f"job {specs[0].id} goes on"
        )
        print(f"{screen.program}: interrupted; {rest}", file=sys.stderr)
        return INTERRUPTED
    finally:
        await store.close()
    return next(filter(None, codes), 0)


async def _wait(store: Store, spec: JobSpec, *, quiet: bool) -> JobRecord:
    """The job's record at its end. A queue that is away for a while is waited for: the job goes on meanwhile."""
    console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
    after: str | None = None
    with console.status(f"job {spec.id}: waiting") as status:
        while True:
            try:
                async for event in follow(store, spec.id, after=after):
                    after = event.id
                    console.print(f"job {spec.id}: {_step(event)}", markup=False)
                    status.update(f"job {spec.id}: {event.kind}")
                record = await store.get(spec.id)
            except StoreUnavailable as error:
                console.print(f"job {spec.id}: {error}; asking again in {STORE_RETRY:.0f} s", markup=False)
                await asyncio.sleep(STORE_RETRY)
            else:
                if record is None:
                    raise UnknownJob(f"job {spec.id} is no longer in the queue's records")
                return record


def _step(event: Event) -> str:
    texts = {
        EventKind.SUBMITTED: "submitted",
        EventKind.CLAIMED: f"handed to agent {event.agent} (attempt {event.attempt})",
        EventKind.RUNNING: "running",
        EventKind.DONE: "done",
        EventKind.FAILED: f"failed: {event.cause}: {event.text}",
        EventKind.REQUEUED: f"attempt {event.attempt} failed, waiting again: {event.cause}: {event.text}",
        EventKind.HANDED_BACK: f"attempt {event.attempt} never began, waiting again: {event.cause}",
        EventKind.REVIVED: f"attempt {event.attempt} goes on: its agent lives",
        EventKind.CANCELLING: f"to be cancelled: {event.text}",
        EventKind.CANCELLED: f"cancelled: {event.text}",
        EventKind.HELD: f"held: {event.text}",
        EventKind.RELEASED: f"released, waiting again: {event.text}",
        EventKind.RETRIED: f"to be run once more: {event.text}",
        EventKind.PUBLISHED: "output stored",
    }
    return texts.get(event.kind, event.kind.value).removesuffix(": ")


def _report(record: JobRecord, config: SubmitConfig, *, as_json: bool) -> int:
    outcome = record.outcome
    code = 1 if outcome is None else outcome.exit_code
    if as_json:
        facts: dict[str, Any] = {
            "id": record.spec.id,
            "state": record.state,
            "exit_code": code,
            "cause": None if outcome is None else outcome.cause,
            "reason": "" if outcome is None else outcome.reason,
            "attempt": record.attempt,
            "agent": record.agent,
            "host": "" if outcome is None else outcome.host,
            "output": _output(record, config),
        }
        print(json.dumps(facts))
    else:
        print(_output(record, config) or "no output was stored")
    if code == 0 and record.state.value != "done":
        return 1
    return code


def _output(record: JobRecord, config: SubmitConfig) -> str | None:
    if not record.published or config.done_job_dir is None:
        return None
    return str(config.done_job_dir / record.spec.id / f"{record.spec.id}.tgz")


def pair(text: str, option: str, form: str) -> tuple[str, str]:
    """`NAME=VALUE` of an option. Raises `BadName`."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadName(f"{option} {text!r}: expected {form}")
    return name, value


def size_of(text: str | None, option: str) -> int | None:
    """Bytes. Raises `BadName`."""
    if text is None:
        return None
    try:
        return SIZE.convert(text)
    except ValueError:
        raise BadName(f"{option} {text!r}: expected {SIZE.expects}") from None


def input_of(text: str) -> tuple[str, Path]:
    """`FILE[=NAME]` of an option: name and file."""
    path, _, name = text.partition("=")
    return name or Path(path).name, Path(path)
