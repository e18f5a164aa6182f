"""`copilot submit`: a command with its arguments, or a job file, to the queue."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from copilot.cli.options import AsJson, ConfigOption, Remote
from copilot.cli.submitting import (
    INTERRUPTED,
    Screen,
    input_of,
    not_with_remote,
    only_with_remote,
    pair,
    submit_here,
)
from copilot.client.here import owner_here
from copilot.client.jobfile import READERS, load_job_file, submission
from copilot.client.secrets import named
from copilot.client.submission import Submission, described, files_of, numbered
from copilot.errors import BadName, ConfigError
from copilot.grid.intake import check_files
from copilot.grid.jobkeys import read_keys
from copilot.job import MAX_ARRAY

SELDOM_OF_COMMANDS = frozenset(
    {"--wait", "--array", "--after", "--after-any", "--hold", "--walltime", "--remote"}
)
PROGRAM = "copilot submit"
PRIORITY = 30  # either way; more is for operators, and for `copilot-job-submit`


def submit(  # noqa: PLR0917  # one parameter per option
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND|JOBFILE [ARGUMENT]...",
            help=f"A file that agents execute, with its arguments; or a job file ({', '.join(READERS)}).",
            show_default=False,
        ),
    ],
    job_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            "--name",
            help="Id of the job: with it, the same once more changes nothing. (default: a new UUID)",
        ),
    ] = None,
    cores: Annotated[
        str | None, typer.Option(metavar="N[-M]", help="Cores: at least, and as many as it can use.")
    ] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs for itself.")] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Most memory, like 2GiB.")] = None,
    disk: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Most disk that its directory may take.")
    ] = None,
    walltime: Annotated[
        str | None, typer.Option(metavar="TIME", help="Longest run, like 90s or 1h30m.")
    ] = None,
    priority: Annotated[
        int | None, typer.Option(min=-PRIORITY, max=PRIORITY, help="Higher goes first.")
    ] = None,
    requirements: Annotated[
        str | None,
        typer.Option(metavar="EXPRESSION", help="What the host must be like: 'other.Memory >= 2000'."),
    ] = None,
    rank: Annotated[
        str | None,
        typer.Option(
            metavar="EXPRESSION", help="Of several idle hosts the one where this is highest: 'other.Memory'."
        ),
    ] = None,
    retries: Annotated[
        int | None, typer.Option(min=0, max=99, help="How often it is run again if it fails by itself.")
    ] = None,
    after: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Wait until this job is done. Repeatable.")
    ] = None,
    after_any: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Wait until this job is over, however it ends. Repeatable."),
    ] = None,
    hold: Annotated[
        bool, typer.Option("--hold", help="Keep it out of the queue until `copilot jobs release`.")
    ] = False,
    project: Annotated[str | None, typer.Option(help="For whose work it is.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="A word by which to find it. Repeatable.")
    ] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="FILE[=NAME]", help="Further file for it. Repeatable."),
    ] = None,
    environment: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", metavar="NAME=VALUE", help="Set for the job. Repeatable."),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="NAME=FILE", help="What is in FILE, sealed for it. Repeatable."),
    ] = None,
    package: Annotated[
        list[str] | None, typer.Option("--package", help="Software package that it needs. Repeatable.")
    ] = None,
    network: Annotated[bool, typer.Option("--network", help="It needs the network.")] = False,
    image: Annotated[
        str | None, typer.Option(help="Container image: docker://NAME[:TAG], or a .sif file of the agent.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="So many alike, each told its number in COPILOT_NUMBER."),
    ] = None,
    array: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_ARRAY,
            help="So many elements: each has its number, from 0, as {index} in arguments and in COPILOT_ARRAY_INDEX.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Wait for the end; exit with the job's exit code.")
    ] = False,
    output_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", help="With --remote: wait, and fetch the output to here."),
    ] = None,
    unpack: Annotated[bool, typer.Option("--unpack", help="Unpack it there, below ID.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all that can be checked here, show it, submit nothing.")
    ] = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
    remote: Remote = False,
) -> None:
    """Submit a job, and print its id.

    copilot submit --cores 4 run.sh -n 10

    copilot submit -- ./run.sh --verbose

    copilot submit --priority 5 job.toml

    Options stand before the command: what comes after it is the command's own. Those that are given go before what a job file says.
    """
    given = {
        "id": job_id,
        "cores": cores,
        "gpus": gpus,
        "memory": memory,
        "disk": disk,
        "walltime": walltime,
        "priority": priority,
        "requirements": requirements,
        "rank": rank,
        "retries": retries,
        "after": after,
        "after_any": after_any,
        "hold": hold or None,
        "array": array,
        "project": project,
        "tags": tag,
        "packages": package,
        "image": image,
        "network": network or None,
    }
    _warn_of_options(words)
    job = _job(
        words,
        given,
        inputs=dict(input_of(item) for item in input_ or ()),
        environment=dict(pair(item, "--env", "NAME=VALUE") for item in environment or ()),
    )
    if job.array and count is not None:
        raise ConfigError(
            "--count and an array: expected one of them; --array N makes one entry of the queue of all"
        )
    jobs = [job] if count is None else numbered(job, count)
    if dry_run:
        _show(jobs, as_json=as_json)
        return
    secrets = named(secret or ())
    try:
        if remote:
            not_with_remote(None, None)
            from copilot.cli import from_afar

            shown = from_afar.Screen(as_json=as_json, wait=wait, output_dir=output_dir, unpack=unpack)
            code = from_afar.submit(jobs, config, shown, secrets=secrets)
        else:
            only_with_remote(output_dir, unpack=unpack)
            screen = Screen(program=PROGRAM, as_json=as_json, wait=wait)
            code = submit_here(jobs, config, screen, secrets=secrets)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print(f"{PROGRAM}: interrupted; if job {job.id} is on the queue already, it goes on", file=sys.stderr)
        code = INTERRUPTED
    raise typer.Exit(code)


def _warn_of_options(words: Sequence[str]) -> None:
    """On a terminal: what reads like an option of ours and stands behind the command goes to the command, which is seldom meant where no
    `--` says so."""
    late = [word for word in words[1:] if word.partition("=")[0] in SELDOM_OF_COMMANDS]
    if late and "--" not in sys.argv and sys.stderr.isatty():
        print(
            f"{PROGRAM}: {late[0]} goes to {words[0]}, as all that stands behind it does; options of submit stand before it",
            file=sys.stderr,
        )


def _job(
    words: Sequence[str],
    given: Mapping[str, Any],
    *,
    inputs: Mapping[str, Path],
    environment: Mapping[str, str],
) -> Submission:
    """What command or job file and options say together. Raises `BadName`."""
    first, *arguments = words
    if Path(first).suffix in READERS:
        if arguments:
            raise ConfigError(f"{first} is a job file: options go before it, arguments into it")
        said, directory = load_job_file(Path(first)), Path(first).parent
    else:
        if not Path(first).is_file():
            raise BadName(
                f"{first}: expected a file of yours that agents execute, or a job file; for a program that is installed on the "
                "agents write a script that calls it"
            )
        said, directory = {"command": first, "arguments": shlex.join(arguments)}, Path()
    said |= _options({key: value for key, value in given.items() if value is not None}, said)
    said["environment"] = {**said.get("environment", {}), **environment}
    job = submission(said, directory, job=str(uuid.uuid4()), owner=owner_here())
    if abs(job.priority) > PRIORITY:
        raise BadName(f"priority {job.priority}: expected {-PRIORITY} to {PRIORITY}")
    return replace(job, inputs={**job.inputs, **inputs})


def _options(given: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """The values of options, read as those of a job file; tags of both count. Raises `BadName`."""
    try:
        read = read_keys(given)
    except BadName as error:
        raise BadName(f"--{str(error).replace('_', '-', 1)}") from None
    if "cores" in read and "max_cores" not in read:
        read["max_cores"] = None  # what the job file says of it belongs to its own cores
    if "tags" in read:
        read["tags"] = tuple(dict.fromkeys((*said.get("tags", ()), *read["tags"])))
    return read


def _show(jobs: Sequence[Submission], *, as_json: bool) -> None:
    """What would be submitted, checked as far as that can be done here."""
    shown = []
    for job in jobs:
        spec, files = described(job), files_of(job)
        check_files(spec, files)
        for path in files.values():
            if not path.is_file():
                raise BadName(f"{path}: no such file")
        shown.append(
            {**json.loads(spec.to_json()), "files": {name: str(path) for name, path in files.items()}}
        )
    if as_json:
        print(json.dumps(shown if len(shown) > 1 else shown[0]))
        return
    first = shown[0]
    for name, value in first.items():
        print(f"{name:<18} {value if isinstance(value, str) else json.dumps(value)}")
    if len(shown) > 1:
        print(f"and {len(shown) - 1} more like it, up to {shown[-1]['id']}")
