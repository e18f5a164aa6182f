"""`copilot-job-submit`: puts a job on the queue and, if asked, waits for its end (report, section 4.6)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import copilot
from copilot.cli import from_afar
from copilot.cli.components import KNOWN_KEYS
from copilot.cli.queue import open_store
from copilot.cli.storage import open_staging
from copilot.client.follow import follow
from copilot.client.places import area_here, chirp_for_agents, chirp_named
from copilot.client.secrets import named, with_secrets
from copilot.client.submission import Submission, numbered, owner_here, submit_all
from copilot.config import load
from copilot.config.kinds import SIZE, Address
from copilot.errors import BadName, ConfigError, CopilotError, StoreUnavailable, UnknownJob
from copilot.files.area import FileArea
from copilot.job import (
    DEFAULT_MAX_ATTEMPTS,
    Event,
    EventKind,
    JobRecord,
    JobSpec,
    Limits,
    State,
    check_job_id,
)
from copilot.jobmanager.config import SubmitConfig
from copilot.runtime.signals import on_stop
from copilot.store.base import Store

PROGRAM = "copilot-job-submit"
INTERRUPTED = 130
STORE_RETRY = 5.0  # s

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


def _version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {copilot.__version__}")
        raise typer.Exit


@app.command()
def command(  # noqa: PLR0917  # one parameter per option
    command: Annotated[Path, typer.Option(help="File that the agent executes: a script or a program.")],
    arguments: Annotated[str, typer.Option(help="Its command line, quoted as for a shell.")] = "",
    environment: Annotated[
        list[str] | None,
        typer.Option("--environment", "-e", metavar="NAME=VALUE", help="Set for the job; repeatable."),
    ] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", metavar="FILE[=NAME]", help="Further file for the job's directory; repeatable."
        ),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret",
            metavar="NAME=FILE",
            help="What is in FILE for the job alone, as $COPILOT_SECRETS/NAME, sealed on its way and in the queue; repeatable.",
        ),
    ] = None,
    packages: Annotated[
        str, typer.Option(help="Software packages that the job needs, separated by blanks.")
    ] = "",
    validation: Annotated[
        Path | None, typer.Option(help="Script that checks the result on the agent.")
    ] = None,
    chirp_server: Annotated[
        str | None,
        typer.Option(
            help="Chirp server of the job manager, as agents reach it (host or host:port). "
            "(default: JM_CHIRP_SERVER; without JM_FILES_URL this machine)"
        ),
    ] = None,
    chirp_dir: Annotated[
        Path | None,
        typer.Option(
            help="Directory that this server exports. (default: JM_FILES_DIR or JM_CHIRP_WORK_DIR; without these "
            "the files go by Chirp)"
        ),
    ] = None,
    job_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            help="Id of the job: with it, the same command once more changes nothing. (default: a new UUID)",
        ),
    ] = None,
    priority: Annotated[int, typer.Option(min=-1000, max=1000, help="Higher goes first.")] = 0,
    max_run_time: Annotated[float | None, typer.Option(min=1, metavar="SECONDS", help="Longest run.")] = None,
    max_attempts: Annotated[
        int, typer.Option(min=1, max=100, help="Attempts until failures of the infrastructure end the job.")
    ] = DEFAULT_MAX_ATTEMPTS,
    max_retries: Annotated[
        int, typer.Option(min=0, max=99, help="How often the job is run again if it fails by itself.")
    ] = 0,
    exclusive: Annotated[
        bool,
        typer.Option(
            "--exclusive",
            help="Never two attempts at once: an agent that is cut off stops the job rather than that it is doubled.",
        ),
    ] = False,
    requirements: Annotated[
        str,
        typer.Option(
            metavar="EXPRESSION",
            help="What the agent's host must be like, as a ClassAd expression: 'other.Memory >= 2000 && other.Cores >= 4'.",
        ),
    ] = "",
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Most memory that all of it may use, like 2GiB. Agents with less do not get it.",
        ),
    ] = None,
    cpu_time: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="Most time of processors that all of it may use."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Most processes and threads at a time.")
    ] = None,
    open_files: Annotated[
        int | None, typer.Option(min=16, help="Most open files of each of its processes.")
    ] = None,
    file_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Largest file that it may write.")
    ] = None,
    disk: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Most disk that its directory may take. Agents with less do not get it."
        ),
    ] = None,
    network: Annotated[
        bool, typer.Option("--network", help="It needs the network, which a sandbox else does not have.")
    ] = False,
    image: Annotated[
        str,
        typer.Option(
            metavar="IMAGE",
            help="Container image that it runs in: docker://NAME[:TAG], or the path of a .sif file on the agent.",
        ),
    ] = "",
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Submit so many jobs, with '-1', '-2' … after the id and their number in COPILOT_NUMBER. (default: one job)",
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            "-w",
            help="Wait for the end; exit with the job's exit code, of many jobs the first that is not 0.",
        ),
    ] = False,
    remote: Annotated[
        bool,
        typer.Option(
            "--remote",
            "-r",
            help="Submit by XMPP, from any machine, with an account of your own: the settings are SUBMIT_….",
        ),
    ] = False,
    project: Annotated[
        str | None, typer.Option(help="For whose work it is. (default, with --remote: SUBMIT_PROJECT)")
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY",
            help="With --remote: wait for the end, and fetch the output to ID.tgz in this directory.",
        ),
    ] = None,
    unpack: Annotated[
        bool, typer.Option("--unpack", help="Unpack it there, below ID, instead of keeping it packed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Configuration file or directory. (default: $COPILOT_CONFIG or /etc/copilot; with --remote "
            "~/.config/copilot)"
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001  # its callback does it all
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Submit a job, or with --count many alike. Without --wait, prints their ids."""
    job = job_id or str(uuid.uuid4())
    try:
        submission = Submission(
            id=job,
            command=command,
            arguments=arguments,
            environment=dict(_pair(item, "--environment", "NAME=VALUE") for item in environment or ()),
            packages=packages.split(),
            inputs=dict(_input(item) for item in input_ or ()),
            validation=validation,
            priority=priority,
            max_attempts=max_attempts,
            max_user_attempts=max_retries + 1,
            max_run_time=max_run_time,
            owner=owner_here(),
            exclusive=exclusive,
            requirements=requirements,
            project=project or "",
            limits=Limits(
                memory=_size(memory, "--memory"),
                cpu_time=cpu_time,
                processes=processes,
                open_files=open_files,
                file_size=_size(file_size, "--file-size"),
                disk=_size(disk, "--disk"),
            ),
            network=network,
            image=image,
        )
        submissions = [submission] if count is None else numbered(submission, count)
        secrets = named(secret or ())
        if remote:
            _not_with_remote(chirp_server, chirp_dir)
            shown = from_afar.Screen(as_json=as_json, wait=wait, output_dir=output_dir, unpack=unpack)
            code = from_afar.submit(submissions, config, shown, secrets=secrets)
        else:
            _only_with_remote(output_dir, unpack=unpack)
            screen = _Screen(as_json=as_json, wait=wait)
            code = _submit_here(submissions, config, chirp_server, chirp_dir, screen, secrets)
    except CopilotError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        code = error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        print(f"{PROGRAM}: interrupted; if job {job} is on the queue already, it goes on", file=sys.stderr)
        code = INTERRUPTED
    raise typer.Exit(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    app(args=None if arguments is None else list(arguments), prog_name=PROGRAM)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Screen:
    """What the user wants to see."""

    as_json: bool
    wait: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where files go; at least one of the two is there."""

    area: FileArea | None
    chirp: Address | None


def _submit_here(
    submissions: Sequence[Submission],
    place: Path | None,
    chirp_server: str | None,
    chirp_dir: Path | None,
    screen: _Screen,
    secrets: Mapping[str, Path],
) -> int:
    """Straight to the queue and the file area."""
    settings, warnings = load(SubmitConfig, place, os.environ, known=lambda: KNOWN_KEYS)
    for warning in warnings:
        print(f"{PROGRAM}: warning: {warning}", file=sys.stderr)
    chirp = chirp_named(chirp_server, settings)
    server = chirp_for_agents(chirp, settings)
    target = _Target(area=area_here(chirp_dir, settings), chirp=chirp)
    submissions = [replace(one, chirp_server=server) for one in submissions]
    submissions = with_secrets(submissions, secrets, settings.public_keys_file, settings.jm_jabber_address)
    return asyncio.run(_run(submissions, settings, target, screen))


def _not_with_remote(chirp_server: str | None, chirp_dir: Path | None) -> None:
    if chirp_server is not None or chirp_dir is not None:
        raise ConfigError(
            "--chirp-server and --chirp-dir: not with --remote, where files go to the file server"
        )


def _only_with_remote(output_dir: Path | None, *, unpack: bool) -> None:
    if output_dir is not None or unpack:
        raise ConfigError(
            "--output-dir and --unpack: only with --remote; else JM_DONE_JOB_DIR has the output"
        )


async def _run(
    submissions: Sequence[Submission], config: SubmitConfig, target: _Target, screen: _Screen
) -> int:
    store, specs, this = open_store(config), list[JobSpec](), asyncio.current_task()
    codes = []
    assert this is not None
    try:
        with on_stop(this.cancel):  # asyncio's own handler cancels a running task, and that may get lost
            async with open_staging(config, target.area, target.chirp) as staging:
                ids = [check_job_id(one.id, submitted=True) for one in submissions]
                known = await asyncio.gather(*map(store.get, ids))
                specs = await submit_all(submissions, store, staging)
            for spec, record in zip(specs, known, strict=True):
                state = State.WAITING if record is None else record.state
                if record is not None:
                    print(f"{PROGRAM}: job {spec.id} was submitted before, and is {state}", file=sys.stderr)
                if not screen.wait:
                    print(json.dumps({"id": spec.id, "state": state}) if screen.as_json else spec.id)
            for spec in specs if screen.wait else ():
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
        print(f"{PROGRAM}: interrupted; {rest}", file=sys.stderr)
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


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadName(f"{option} {text!r}: expected {form}")
    return name, value


def _size(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        return SIZE.convert(text)
    except ValueError:
        raise BadName(f"{option} {text!r}: expected {SIZE.expects}") from None


def _input(text: str) -> tuple[str, Path]:
    path, _, name = text.partition("=")
    return name or Path(path).name, Path(path)
